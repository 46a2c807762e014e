"""Build what pyproject.toml cannot say: the Cython extensions and the protobuf stubs."""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler import Options
from setuptools import Command, Extension, setup
from setuptools.command.build import build

Options.warning_errors = True
TRACED = os.environ.get("WALLETPUSH_BUILD", "release") == "traced"
CHECKS = dict.fromkeys(("boundscheck", "wraparound", "initializedcheck"), TRACED)
DIRECTIVES = {"language_level": 3, "cdivision": True, "linetrace": TRACED, **CHECKS}
MACROS = [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")] if TRACED else []


class BuildStubs(Command):
    """Generate typed protobuf and gRPC stubs beside their .proto files."""

    user_options = []
    initialize_options = finalize_options = lambda self: None

    def run(self):
        from google.rpc import status_pb2
        from grpc_tools import protoc

        roots = [".", Path(protoc.__file__).parent / "_proto", Path(status_pb2.__file__).parents[2]]
        sources = sorted(str(p) for p in Path("protos").rglob("*.proto"))
        outs = [f"--{kind}_out=." for kind in ("python", "pyi", "grpc_python")]
        if protoc.main(["protoc", *(f"-I{root}" for root in roots), *outs, *sources]):
            sys.exit("protoc failed")


def extension(path):
    """One extension per .pyx; those under adapters/http2 speak through libnghttp2."""
    libraries = ["nghttp2"] if path.parts[:2] == ("adapters", "http2") else []
    arguments = ["-O1" if TRACED else "-O3", "-Wall", "-Wno-unused-function"]
    return Extension(".".join(path.with_suffix("").parts), [str(path)], libraries=libraries,
                     define_macros=MACROS, extra_compile_args=arguments)


build.sub_commands.insert(0, ("build_stubs", None))
PYX = sorted(p for room in ("core", "adapters", "gateway") for p in Path(room).rglob("*.pyx"))
setup(cmdclass={"build_stubs": BuildStubs},
      ext_modules=cythonize([extension(p) for p in PYX], compiler_directives=DIRECTIVES, nthreads=2))
