"""Where and from what a run was made: the machine, the versions of what is measured, the commit."""

from __future__ import annotations

import os
import platform
import shutil
import sqlite3
import ssl
import subprocess
from importlib import metadata
from pathlib import Path

import psutil

from bench.results import MachineFacts

_PACKAGES = ("aioapns", "grpcio", "h2", "httpx", "orjson", "protobuf", "pycurl", "uvloop")
_ROOT = Path(__file__).resolve().parent.parent


def facts() -> MachineFacts:
    """Look at this machine and environment."""
    return MachineFacts(
        _cpu(), os.cpu_count() or 1, psutil.virtual_memory().total // 2**20, f"Linux {platform.release()}", _versions()
    )


def commit() -> str:
    """Return the full hash, with "+" behind it when tracked files differ from it; "unknown" outside a repository."""
    found = _git("rev-parse", "HEAD")
    if not found:
        return "unknown"
    return found + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def short(commit: str) -> str:
    """Return the first 7 digits of a commit, with its "+"."""
    return commit if commit == "unknown" else commit[:7] + ("+" if commit.endswith("+") else "")


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION.split()[1]}
    found |= {"sqlite": sqlite3.sqlite_version, "h2load": _h2load()}
    return found | {name: metadata.version(name) for name in _PACKAGES}


def _h2load() -> str:
    if shutil.which("h2load") is None:
        return "none"
    said = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=False, timeout=10).stdout
    return said.strip().rpartition("/")[2] or "unknown"


def _git(*words: str) -> str:
    if shutil.which("git") is None:
        return ""
    command = ["git", "-C", str(_ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30).stdout.strip()
