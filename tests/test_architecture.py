"""The house's rules that a machine can check: who imports whom, what lies where, how long things get."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("core", "adapters", "gateway", "protos", "bench", "tests")
PACKAGES = ("core", "adapters", "gateway")
MAY_IMPORT = {
    "core": {"core"},
    "protos": {"protos"},
    "adapters": {"adapters", "core"},
    "gateway": {"gateway", "adapters", "core", "protos"},
}
# What core must not touch: sockets, the clock, logging, the network's formats and stores.
NOT_IN_CORE = {
    "asyncio", "socket", "ssl", "time", "logging", "structlog", "grpc", "google", "aiohttp", "sqlite3",
    "sqlalchemy", "threading", "select", "http", "urllib", "os",
}  # fmt: skip
# Dates and zones are values; what asks datetime for the hour is not.
CLOCK_READ = re.compile(r"\.(?:now|utcnow|today)\s*\(")
# settings -> concrete classes: the parts of a worker, its channels, the two processes.
WIRING = {
    "gateway/wiring.py", "gateway/parts.py", "gateway/channels.py", "gateway/main_process.py",
    "gateway/people_parts.py", "gateway/policy_parts.py", "gateway/privacy_parts.py",
    "gateway/preview_parts.py", "gateway/erasure_parts.py",
}  # fmt: skip
SIMULATORS = "adapters.simulators"
TOP_LEVEL = {"pyproject.toml", "README.md", "protos", "gateway", "core", "adapters", "bench", "tests"}
TOP_LEVEL_HELPERS = {"setup.py", "Makefile"}
BY_TOOLS = {"build", "dist", "htmlcov", "var", "__pycache__"}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40
IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+c?import\b|c?import\s+([\w.]+(?:\s*,\s*[\w.]+)*))", re.MULTILINE)
FUNCTION = re.compile(r"^(\s*)(?:async def|def|cpdef|cdef)\s+(?!class\b|struct\b|enum\b|extern\b)[^=\n]*\(")


def is_generated(path: Path) -> bool:
    return "_pb2" in path.name or path.suffix == ".c"


def sources(*suffixes: str, rooms: tuple[str, ...] = PACKAGES) -> list[Path]:
    found = (path for room in rooms for path in (ROOT / room).rglob("*") if path.suffix in suffixes)
    return sorted(path for path in found if not is_generated(path) and "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> set[str]:
    """Return the full names of the modules that a .py, .pyx or .pxd imports, at any depth."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        found = [match[1] or match[2] for match in IMPORT.finditer(text)]
        return {name.strip() for names in found for name in names.split(",")}
    modules: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` imports the module too.
            modules |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return modules


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each function's name and its lines, decorators and docstring included."""
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield node.name, (node.end_lineno or 0) - node.lineno + 1
        return
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        start = FUNCTION.match(line)
        if start:
            yield line.strip(), _length(lines, number, len(start[1]))


def _length(lines: list[str], number: int, indent: int) -> int:
    """Count a function's lines in Cython: up to the next line that is not further in than its first, but for `)`."""
    last = number
    for place in range(number + 1, len(lines)):
        text = lines[place]
        if text.strip() and len(text) - len(text.lstrip()) <= indent and not text.lstrip().startswith(")"):
            break
        last = place if text.strip() else last
    return last - number + 1


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_stands_below_them(room: str) -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources(".py", ".pyx", ".pxd", rooms=(room,))
        for module in imports(path)
        if module.partition(".")[0] in set(ROOMS) - MAY_IMPORT[room]
    ]
    assert not wrong


def test_core_touches_no_socket_clock_log_or_store() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources(".py", ".pyx", ".pxd", rooms=("core",))
        for module in imports(path)
        if module.partition(".")[0] in NOT_IN_CORE
    ]
    wrong += [name_of(path) for path in sources(".py", ".pyx", rooms=("core",)) if CLOCK_READ.search(path.read_text())]
    assert not wrong


def test_only_wiring_names_concrete_adapters_and_only_the_demo_and_its_command_the_simulators() -> None:
    wrong = []
    for path in sources(".py", ".pyx", ".pxd", rooms=("gateway",)):
        name = name_of(path)
        for module in imports(path):
            simulates = module.startswith(SIMULATORS)
            allowed = name.startswith("gateway/demo/") or name == "gateway/commands/simulate.py"
            if module.startswith("adapters") and not (allowed if simulates else name in WIRING):
                wrong.append(f"{name} imports {module}")
    assert not wrong
    assert all((ROOT / name).exists() for name in WIRING)


def test_servicers_do_not_import_one_another() -> None:
    files = sources(".py", rooms=("gateway/services",))
    is_servicer = re.compile(r"^class \w+Servicer\b", re.MULTILINE).search
    servicers = {f"gateway.services.{path.stem}" for path in files if is_servicer(path.read_text("utf-8"))}
    assert len(servicers) >= 3
    wrong = [f"{name_of(path)} imports {one}" for path in files for one in imports(path) & servicers]
    assert [one for one in wrong if f"gateway/services/{one.rpartition('.')[2]}.py" not in one] == []


def test_the_client_needs_nothing_of_the_gateway_it_calls() -> None:
    wrong = [
        f"{name_of(path)} imports {module}"
        for path in sources(".py", rooms=("gateway/client",))
        for module in imports(path)
        if module.partition(".")[0] in {"core", "adapters"}
        or (module.startswith("gateway") and not module.startswith("gateway.client"))
    ]
    assert not wrong


def test_the_top_level_holds_what_the_design_says() -> None:
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.name not in BY_TOOLS}
    found = {name for name in found if not name.endswith(".egg-info")}
    assert found - TOP_LEVEL_HELPERS == TOP_LEVEL


def test_files_are_at_most_400_lines() -> None:
    lengths = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in sources(".py", ".pyx", ".pxd")}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FILE_LINES} == {}


def test_functions_are_at_most_40_lines() -> None:
    wrong = [
        f"{name_of(path)}: {name} has {lines}"
        for path in sources(".py", ".pyx", ".pxd")
        for name, lines in functions(path)
        if lines > MAX_FUNCTION_LINES
    ]
    assert not wrong


def test_functions_are_mostly_short() -> None:
    lengths = sorted(lines for path in sources(".py") for _, lines in functions(path))
    assert lengths[len(lengths) // 2] <= 7
    assert lengths[len(lengths) * 9 // 10] <= 31


def test_every_extension_has_its_layout_and_its_stub() -> None:
    missing = [
        name_of(path.with_suffix(suffix))
        for path in sources(".pyx")
        for suffix in (".pxd", ".pyi")
        if not path.with_suffix(suffix).exists()
    ]
    assert not missing


def test_every_module_says_what_it_is_for() -> None:
    silent = []
    for path in sources(".py"):
        tree = ast.parse(path.read_text("utf-8"))
        if tree.body and not ast.get_docstring(tree):
            silent.append(name_of(path))
    assert not silent


def test_the_readme_lists_every_folder_and_nothing_else() -> None:
    block = (ROOT / "README.md").read_text("utf-8").partition("## The tree")[2].split("```")[1]
    lines = [line.split(maxsplit=1) for line in block.splitlines()[1:]]
    assert [words for words in lines if len(words) != 2] == []
    assert {words[0].rstrip("/") for words in lines if words[0].endswith("/")} == set(_folders())


def _folders() -> Iterator[str]:
    for room in ROOMS:
        yield room
        for path in (ROOT / room).rglob("*"):
            # What tools write, and packages that only hold packages, need no line.
            if path.is_dir() and any(_is_source(one) for one in path.iterdir()):
                yield name_of(path)


def _is_source(path: Path) -> bool:
    return path.suffix in {".py", ".pyx", ".proto"} and path.name != "__init__.py"
