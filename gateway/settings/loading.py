"""Read the settings file and the environment into Settings, or say everything that is wrong with them."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings.exceptions import SettingsError as SourceError

from gateway.settings.root import Settings, broken_rules

PREFIX = "WALLETPUSH_"
# Variables with our prefix that are not settings: the build flavour, the file's path, what a supervisor tells a worker.
NOT_SETTINGS = frozenset({"BUILD", "CONFIG", "WORKER", "SUPERVISOR_PID", "REPORT_FD"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the settings: where and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        """Read as one line."""
        return f"{self.path}: {self.reason}" if self.path else self.reason


class SettingsError(Exception):
    """The settings cannot be used; `problems` lists all that was found."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


def load(path: Path | None, env: Mapping[str, str] | None = None, insecure: bool = False) -> Settings:
    """Read the TOML file at path, then WALLETPUSH_SECTION__KEY variables over it; return the whole, valid.

    path: None reads the environment alone. Relative paths inside the file start at its folder.
    env: os.environ when None. insecure: let the gateway be reached from other hosts without TLS and keys.
    Raises SettingsError with every problem found.
    """
    ours = {name: value for name, value in (os.environ if env is None else env).items() if _is_setting(name)}
    tree = _merged(_read_toml(path) if path else {}, _read_env(ours))
    settings, problems = _validated(tree, path.parent.resolve() if path else Path.cwd(), insecure)
    problems = [*_unknown_variables(ours), *problems]
    if problems:
        raise SettingsError(tuple(problems))
    return settings


def _validated(tree: Mapping[str, JsonValue], base: Path, insecure: bool) -> tuple[Settings, list[Problem]]:
    context = {"base": base}
    problems: list[Problem] = []
    unknown: frozenset[str] = frozenset()
    try:
        settings = Settings.model_validate(tree, context=context)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = [_explain(detail) for detail in details]
        unknown = frozenset(str(detail["loc"][0]) for detail in details)
        # What could be read is judged too, so that one run shows all there is to repair.
        rest = {name: value for name, value in tree.items() if name not in unknown}
        settings = Settings.model_validate(rest, context=context)
    problems += [Problem(path, reason) for path, reason in broken_rules(settings, insecure, unknown)]
    return settings, problems


def _read_toml(path: Path) -> dict[str, JsonValue]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError((Problem(str(path), f"not valid TOML: {error}"),)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError((Problem(str(path), f"cannot be read: {error}"),)) from None


class _Readable(Settings, BaseSettings):
    """Settings as pydantic-settings reads them from variables."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter="__")


class _Variables(EnvSettingsSource):
    """The variables of one mapping instead of the process environment."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._given = env
        super().__init__(_Readable)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {name.lower(): value for name, value in self._given.items()}


def _read_env(ours: Mapping[str, str]) -> dict[str, JsonValue]:
    try:
        return _Variables(ours)()
    except SourceError as error:
        what = str(error).partition(" from source")[0]
        raise SettingsError((Problem("environment", f"{what}: a list or table must be JSON"),)) from None


def _unknown_variables(ours: Mapping[str, str]) -> Iterator[Problem]:
    known = list(Settings.model_fields)
    for name in ours:
        top = name.removeprefix(PREFIX).split("__")[0].lower()
        if top not in known:
            yield Problem(name, _unknown(top, known))


def _is_setting(name: str) -> bool:
    return name.startswith(PREFIX) and name.removeprefix(PREFIX) not in NOT_SETTINGS


def _merged(under: Mapping[str, JsonValue], over: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    merged = dict(under)
    for name, value in over.items():
        below = merged.get(name)
        merged[name] = _merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def _explain(detail: ErrorDetails) -> Problem:
    loc = detail["loc"]
    if detail["type"] == "extra_forbidden":
        parent = _model_at(loc[:-1])
        known = list(parent.model_fields) if parent else []
        reason = _unknown(str(loc[-1]), known, _dotted(loc[:-1]))
    elif detail["type"] == "missing":
        reason = "must be set"
    else:
        reason = detail["msg"].removeprefix("Value error, ")
    return Problem(_dotted(loc), reason)


def _unknown(name: str, known: list[str], parent: str = "") -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    prefix = f"{parent}." if parent else ""
    return f"unknown key {prefix}{name}" + (f", did you mean {prefix}{nearest[0]}?" if nearest else "")


def _dotted(loc: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in loc)
    return text.removeprefix(".")


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel] | None:
    model: type[BaseModel] | None = Settings
    annotation: object = Settings
    for part in loc:
        if model is not None and isinstance(part, str) and part in model.model_fields:
            annotation = model.model_fields[part].annotation
        model = _model_in(annotation)
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Find the component that a field's type holds, inside Optional, tuple or Mapping."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner))), None)
