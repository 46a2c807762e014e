"""One body for one kind of reader: its texts bound to locale, zone and privacy, those without values finished."""

from __future__ import annotations

import html
from typing import NamedTuple

import regex
from liquid.exceptions import LiquidError

from core.content.compiling import LINKS, MEDIA, CompiledBody, CompiledText
from core.content.filling import Binder
from core.content.filters import Scope
from core.content.formats import Formats
from core.content.limits import MAX_LABEL_BYTES, MAX_OUTPUT_BYTES, PUSH_BODY_MAX_BYTES, PUSH_TITLE_MAX_BYTES
from core.content.links import HTTPS_ONLY, LinkPolicy, encode, link_fault
from core.content.liquid import Program, TooMuchWork, Writing
from core.content.locales import Tag, format_tag
from core.content.privacy import Privacy, applied, general_text
from core.content.rendered import NotRendered, Reader, Refusal, Rendered
from core.content.segments import Fill, fill
from core.content.templates import SOURCES, Button, Field, Values
from core.content.truncation import byte_count, truncate_bytes
from core.content.values import MissingValue, WrongValue
from core.policy.people import Channel

_RTL = regex.compile(r"[\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]")
# First strong isolate, pop directional isolate: https://unicode.org/reports/tr9/#Explicit_Directional_Isolates
_ISOLATE, _END_ISOLATE = "\u2068", "\u2069"
_PUSHES = frozenset({Channel.PUSH, Channel.WEB_PUSH})
_CUT_BYTES = {Field.TITLE: PUSH_TITLE_MAX_BYTES, Field.SUBTITLE: PUSH_TITLE_MAX_BYTES, Field.BODY: PUSH_BODY_MAX_BYTES}
_WORDS = frozenset({Field.TITLE, Field.SUBTITLE, Field.BODY, Field.HTML})
_UTF8_MAX = 4
_COLUMNS = {field: Rendered._fields.index(field.value) for field in Field}
_BUTTONS = Rendered._fields.index("buttons")
_WIDTH = len(Rendered._fields)
_TITLE, _BODY, _HTML = _COLUMNS[Field.TITLE], _COLUMNS[Field.BODY], _COLUMNS[Field.HTML]


class _Cell(NamedTuple):
    """A text that varies. fill or program makes it. max_bytes: longer is cut if cut, else refused."""

    column: int
    name: str
    max_bytes: int
    cut: bool
    links: LinkPolicy | None = None


class Plan:
    """Renders messages for readers who differ in nothing but their values.

    A row has the columns of Rendered, and behind them a label and a link for each button.
    """

    __slots__ = ("_binder", "_buttons", "_currency", "_inputs", "_names", "_programs", "_row", "_segments")

    def __init__(
        self, body: CompiledBody, channel: Channel, tag: Tag | None, reader: Reader, links: LinkPolicy
    ) -> None:
        self._inputs = body.inputs
        self._binder = Binder(body.inputs)
        self._names = tuple((*_name_parts(one.name), one.type is None) for one in body.inputs)
        self._currency = reader.currency
        self._segments: list[tuple[Fill, int, _Cell]] = []
        self._programs: list[tuple[Program, Writing, _Cell]] = []
        privacy = applied(reader.privacy, channel)
        scope = Scope(Formats(format_tag(tag, body.tag), reader.time_zone), privacy is Privacy.MASKED)
        hidden = privacy is Privacy.HIDDEN
        self._buttons = 0 if hidden else len(body.buttons)
        self._row: list[object] = [*Rendered(channel, str(body.tag)), *[""] * (2 * self._buttons)]
        for field, text in body.texts.items():
            if not hidden or field in (Field.DEEP_LINK, Field.SOUND):
                self._add(_cell(field, channel, links), text, _writing(field, scope, body.tag))
        for number, (label, link) in enumerate(body.buttons if not hidden else ()):
            at, name = _WIDTH + 2 * number, f"buttons[{number}]"
            label_cell = _Cell(at, f"{name}.label", MAX_LABEL_BYTES, cut=True)
            self._add(label_cell, label, _writing(Field.TITLE, scope, body.tag))
            link_cell = _Cell(at + 1, f"{name}.link", MAX_OUTPUT_BYTES, cut=False, links=links)
            self._add(link_cell, link, _writing(Field.DEEP_LINK, scope, body.tag))
        if hidden:
            self._row[_BODY] = general_text(body.tag.language, body.tag.script)

    def render(self, values: Values, now_unix_s: int) -> Rendered | NotRendered:
        """Render one message; what is wrong with its values is an answer, not an error."""
        name = ""
        try:
            bound = self._binder.bind(values, self._currency)
            row = self._row.copy()
            for make, short, cell in self._segments:
                name = cell.name
                text = make(bound)
                if len(text) > short or cell.links is not None:
                    text = _checked(text, cell)
                row[cell.column] = text
            if self._programs:
                names = self._by_name(bound)
                for program, writing, cell in self._programs:
                    name = cell.name
                    now = writing.scope._replace(now_unix_s=now_unix_s)
                    row[cell.column] = _checked(program.render(names, writing._replace(scope=now)), cell)
        except _TextFault as exc:
            return NotRendered(exc.reason, exc.field, str(exc))
        except (ValueError, TypeError, ArithmeticError, LiquidError) as exc:
            return _not_rendered(exc, name)
        if self._buttons:
            row[_BUTTONS] = tuple(map(Button, row[_WIDTH::2], row[_WIDTH + 1 :: 2]))  # type: ignore[arg-type]
            del row[_WIDTH:]
        if not (row[_BODY] or row[_TITLE] or row[_HTML]):
            return NotRendered(Refusal.SAYS_NOTHING, "body", "neither title nor body says anything with these values")
        return Rendered._make(row)

    def _add(self, cell: _Cell, text: CompiledText, writing: Writing) -> None:
        if isinstance(text.text, Program):
            self._programs.append((text.text, writing, cell))
        elif isinstance(text.text, str):
            self._row[cell.column] = truncate_bytes(text.text, cell.max_bytes) if cell.cut else text.text
        else:
            short = cell.max_bytes // _UTF8_MAX
            self._segments.append((fill(text.text, self._inputs, writing), short, cell))

    def _by_name(self, bound: list[object]) -> dict[str, object]:
        """Return values as Liquid looks them up; an undeclared one without value is not there."""
        names: dict[str, object] = {}
        sources: dict[str, dict[str, object]] = {source: {} for source in SOURCES[1:]}
        for (prefix, key, undeclared), value in zip(self._names, bound, strict=True):
            if value is not None or not undeclared:
                (sources[prefix] if prefix else names)[key] = value
        return {**sources, **names}


class _TextFault(Exception):
    def __init__(self, reason: Refusal, field: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason
        self.field = field


def _checked(text: str, cell: _Cell) -> str:
    if cell.links is not None:
        if fault := link_fault(text, cell.links):
            raise _TextFault(Refusal.WRONG_LINK, cell.name, fault)
        return text
    if cell.cut:
        return truncate_bytes(text, cell.max_bytes)
    if byte_count(text) > cell.max_bytes:
        raise _TextFault(Refusal.TOO_LONG, cell.name, f"has more than {cell.max_bytes} bytes")
    return text


def _not_rendered(exc: Exception, name: str) -> NotRendered:
    why = str(getattr(exc, "message", exc))
    if isinstance(exc, MissingValue):
        return NotRendered(Refusal.MISSING_VALUE, why, "has no value")
    if isinstance(exc, WrongValue):
        return NotRendered(Refusal.WRONG_VALUE, why.partition(" ")[0], why.partition(" ")[2])
    if isinstance(exc, TooMuchWork):
        return NotRendered(Refusal.TOO_MUCH_WORK, name, why)
    return NotRendered(Refusal.TEMPLATE_FAILED, name, why)


def _cell(field: Field, channel: Channel, links: LinkPolicy) -> _Cell:
    column = _COLUMNS[field]
    if field in LINKS:
        return _Cell(column, field.value, MAX_OUTPUT_BYTES, cut=False, links=links)
    if field in MEDIA:
        return _Cell(column, field.value, MAX_OUTPUT_BYTES, cut=False, links=HTTPS_ONLY)
    if channel in _PUSHES and field in _CUT_BYTES:
        return _Cell(column, field.value, _CUT_BYTES[field], cut=True)
    return _Cell(column, field.value, MAX_OUTPUT_BYTES, cut=False)


def _writing(field: Field, scope: Scope, tag: Tag) -> Writing:
    if field in LINKS or field in MEDIA:
        # Nobody sees a link: masks there would only break it.
        return Writing(scope._replace(locked=False), encode)
    if field not in _WORDS:
        return Writing(scope)
    isolate = _isolated if tag.right_to_left else _isolated_if_foreign
    return Writing(scope, html.escape if field is Field.HTML else None, isolate)


def _isolated(text: str) -> str:
    return f"{_ISOLATE}{text}{_END_ISOLATE}" if text else ""


def _isolated_if_foreign(text: str) -> str:
    """Keep a right-to-left value from turning the left-to-right text around it."""
    return text if text.isascii() or not _RTL.search(text) else _isolated(text)


def _name_parts(name: str) -> tuple[str, str]:
    prefix, dot, key = name.partition(".")
    return (prefix, key) if dot else ("", name)
