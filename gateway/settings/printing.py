"""Write settings as TOML: an example made from the classes themselves, and the running ones without secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from gateway.settings.root import Settings
from gateway.settings.values import Component, Rate

REDACTED = frozenset({"key_sha256"})
HEAD = """\
# walletpush settings. Lines that begin with #name show a value; take the # away to use it.
# WALLETPUSH_SECTION__KEY in the environment goes before what stands here.
# Credentials are named by path, never written here.
"""


def example_toml() -> str:
    """Return a settings file with every key, its meaning and default; it loads as it is and means the defaults."""
    lines = [HEAD, *_example_keys(Settings, "", "")]
    for name, field in Settings.model_fields.items():
        component = _component(field)
        if component is not None:
            lines += _example_table(name, component, field)
    return "\n".join(lines) + "\n"


def redacted(settings: Settings) -> str:
    """Return settings as TOML for people: credentials by path, key hashes left out."""
    return "\n".join(_tables("", settings)).strip() + "\n"


def _example_table(path: str, component: type[BaseModel], field: FieldInfo, optional: bool = False) -> Iterator[str]:
    many = get_origin(field.annotation) is tuple
    mark = "#" if optional or many else ""
    yield from ("", f"# {_first_line(component)}", f"{mark}[[{path}]]" if many else f"{mark}[{path}]")
    yield from _example_keys(component, path, mark)
    for name, inner in component.model_fields.items():
        part = _component(inner)
        if part is not None and part is not Rate:
            yield from _example_table(f"{path}.{name}", part, inner, optional=bool(mark))


def _example_keys(component: type[BaseModel], path: str, mark: str) -> Iterator[str]:
    for name, field in component.model_fields.items():
        inner = _component(field)
        if inner is not None and inner is not Rate:
            continue
        if field.description:
            yield f"# {field.description}"
        shown, hidden = _example_value(field, bool(mark))
        yield f"{'#' if hidden else ''}{name} = {_value(shown)}"


def _example_value(field: FieldInfo, hidden: bool) -> tuple[object, bool]:
    if field.is_required() or field.default in (None, (), {}):
        return (field.examples or [""])[0], True
    return field.default, hidden


def _component(field: FieldInfo) -> type[Component] | None:
    if isinstance(field.annotation, type):
        return field.annotation if issubclass(field.annotation, Component) else None
    if get_origin(field.annotation) is Mapping:
        return None
    inner = [part for part in get_args(field.annotation) if isinstance(part, type) and issubclass(part, Component)]
    return inner[0] if inner else None


def _first_line(component: type[BaseModel]) -> str:
    return (component.__doc__ or "").partition("\n")[0]


def _tables(path: str, component: Component) -> Iterator[str]:
    later: list[tuple[str, object]] = []
    for name in type(component).model_fields:
        value = getattr(component, name)
        if _is_table(value):
            later.append((name, value))
        elif value is not None:
            yield f"{name} = {_value(['redacted'] * len(value) if name in REDACTED else value)}"
    prefix = f"{path}." if path else ""
    for name, value in later:
        for table, part in _headed(prefix + name, value):
            yield from ("", table, *_tables(prefix + name, part))


def _is_table(value: object) -> bool:
    if isinstance(value, tuple):
        return bool(value) and isinstance(value[0], Component)
    return isinstance(value, Component) and not isinstance(value, Rate)


def _headed(path: str, value: object) -> Iterator[tuple[str, Component]]:
    if isinstance(value, Component):
        yield f"[{path}]", value
    elif isinstance(value, Sequence):
        yield from ((f"[[{path}]]", part) for part in value)


def _value(value: object) -> str:
    """Write one TOML value; JSON's strings, numbers and booleans are TOML's."""
    if isinstance(value, Rate):
        value = value.model_dump()
    if isinstance(value, Mapping):
        pairs = (f"{key if key.isidentifier() else json.dumps(key)} = {_value(inner)}" for key, inner in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False)
