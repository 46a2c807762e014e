"""What a template says of itself and its variables, checked before its texts are."""

from __future__ import annotations

import re
from collections.abc import Callable

from core.content.delimiters import count_tags
from core.content.faults import Faults
from core.content.limits import MAX_ALL_TAGS, MAX_BODIES, MAX_TAGS, MAX_VARIABLES
from core.content.links import LinkPolicy, policy_fault
from core.content.locales import Tag, parse_tag
from core.content.templates import SOURCES, TemplateSource, Variable, VariableType
from core.content.truncation import byte_count
from core.content.values import Input, WrongValue, reader_of, source_of

_ID = re.compile(r"[a-z0-9._-]{1,64}")
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MAX_WORD_BYTES = 64
_MAX_RECORD_FIELDS = 16
# A default amount may leave its currency to the reader; any stands in for checking it.
_ANY_CURRENCY = "USD"
_ENGLISH = Tag("en", "Latn")


def check_source(source: TemplateSource, links: LinkPolicy, faults: Faults) -> Tag:
    """Check all but the texts; return the default locale."""
    if not _ID.fullmatch(source.template_id):
        faults.add("template_id", "must be 1 to 64 of [a-z0-9._-]")
    if not 0 < byte_count(source.category) <= _MAX_WORD_BYTES:
        faults.add("category", f"must have 1 to {_MAX_WORD_BYTES} bytes")
    if why := policy_fault(links):
        faults.add("links", why)
    if not source.bodies:
        faults.add("bodies", "are missing")
    if len(source.bodies) > MAX_BODIES:
        faults.add("bodies", f"are more than {MAX_BODIES}")
        # What is too much is not read further: a refusal must not cost more than a template.
        faults.refuse()
    tags = sum(count_tags(text) for body in source.bodies for text in body.sources())
    if tags > MAX_ALL_TAGS:
        faults.add("bodies", f"have {tags} tags of Liquid in all, {MAX_ALL_TAGS} are allowed")
        faults.refuse()
    _check_tags(source.tags, faults)
    _check_variables(source.variables, links, faults)
    default = parse_tag(source.default_locale)
    if default is None:
        faults.add("default_locale", f"{source.default_locale[:64]!r} is no locale that CLDR knows")
    return default or _ENGLISH


def inputs_by_name(variables: tuple[Variable, ...], links: LinkPolicy) -> Callable[[str], Input]:
    """Return the function that gives the input behind a name, declared or not."""
    declared = {one.name: one for one in variables}
    made: dict[str, Input] = {}

    def read(name: str) -> Input:
        if name not in made:
            made[name] = _input(name, declared.get(name), links)
        return made[name]

    return read


def _input(name: str, variable: Variable | None, links: LinkPolicy) -> Input:
    source, key = source_of(name)
    read = reader_of(variable, links)
    if variable is None:
        return Input(name, source, key, None, required=False, default=None, read=read)
    return Input(name, source, key, variable.type, variable.required, variable.default, read)


def _check_tags(tags: tuple[str, ...], faults: Faults) -> None:
    if len(tags) > MAX_TAGS:
        faults.add("tags", f"are more than {MAX_TAGS}")
    for number, tag in enumerate(tags[:MAX_TAGS]):
        if not 0 < byte_count(tag) <= _MAX_WORD_BYTES:
            faults.add(f"tags[{number}]", f"must have 1 to {_MAX_WORD_BYTES} bytes")


def _check_variables(variables: tuple[Variable, ...], links: LinkPolicy, faults: Faults) -> None:
    if len(variables) > MAX_VARIABLES:
        faults.add("variables", f"are more than {MAX_VARIABLES}")
        faults.refuse()
    names: set[str] = set()
    for number, variable in enumerate(variables):
        at = f"variables[{number}]"
        _check_name(variable.name, at, faults)
        if variable.name in names:
            faults.add(f"{at}.name", f"{variable.name[:64]!r} is there twice")
        names.add(variable.name)
        _check_fields(variable, at, links, faults)
        _check_default(variable, at, links, faults)


def _check_name(name: str, at: str, faults: Faults) -> None:
    prefix, dot, key = name.partition(".")
    if dot and prefix not in SOURCES[1:]:
        faults.add(f"{at}.name", f"a name has no prefix but {', '.join(SOURCES[1:])}")
    elif not _KEY.fullmatch(key if dot else name):
        faults.add(f"{at}.name", "must be 1 to 64 of [a-z0-9_], a letter first")
    elif name in SOURCES or name == "forloop":
        faults.add(f"{at}.name", f"{name!r} is taken")


def _check_fields(variable: Variable, at: str, links: LinkPolicy, faults: Faults) -> None:
    if variable.fields and variable.type is not VariableType.LIST:
        faults.add(f"{at}.fields", "only a list has them")
    if len(variable.fields) > _MAX_RECORD_FIELDS:
        faults.add(f"{at}.fields", f"are more than {_MAX_RECORD_FIELDS}")
    for number, one in enumerate(variable.fields[:_MAX_RECORD_FIELDS]):
        if not _KEY.fullmatch(one.name):
            faults.add(f"{at}.fields[{number}].name", "must be 1 to 64 of [a-z0-9_], a letter first")
        if one.type is VariableType.LIST or one.fields:
            faults.add(f"{at}.fields[{number}].type", "a list within a list is not allowed")
        else:
            _check_default(one, f"{at}.fields[{number}]", links, faults)


def _check_default(variable: Variable, at: str, links: LinkPolicy, faults: Faults) -> None:
    if variable.default is None:
        return
    if variable.type is VariableType.LIST:
        faults.add(f"{at}.default_value", "a list has none")
        return
    try:
        reader_of(variable, links)(variable.default, _ANY_CURRENCY)
    except WrongValue as exc:
        faults.add(f"{at}.default_value", str(exc))
