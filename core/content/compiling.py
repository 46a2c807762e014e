"""A template's source -> its texts as programs, or a refusal that names every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from liquid.builtin.content import ContentNode

from core.content import delimiters, media
from core.content.analysis import Analysis
from core.content.declarations import check_source, inputs_by_name
from core.content.faults import Fault, Faults
from core.content.limits import MAX_BUTTONS, MAX_LABEL_BYTES, MAX_LINK_BYTES, MAX_SOURCE_BYTES
from core.content.links import HTTPS_ONLY, LinkPolicy, link_fault, prefix_fault
from core.content.liquid import Program, ValueNode, children, parse
from core.content.locales import Tag, parse_tag
from core.content.segments import Piece, reduce
from core.content.templates import Button, Field, TemplateBody, TemplateSource, Variable
from core.content.truncation import byte_count
from core.content.values import Input
from core.policy.people import Channel

if TYPE_CHECKING:
    from liquid.ast import Node
    from liquid.exceptions import LiquidError

_PUSH_FIELDS = frozenset(Field) - {Field.HTML}
FIELDS: dict[Channel, frozenset[Field]] = {
    Channel.PUSH: _PUSH_FIELDS,
    Channel.SMS: frozenset({Field.BODY}),
    Channel.EMAIL: frozenset({Field.TITLE, Field.BODY, Field.HTML}),
    Channel.WEB_PUSH: _PUSH_FIELDS - {Field.SUBTITLE, Field.VIDEO_URL, Field.SOUND},
    Channel.IN_APP: _PUSH_FIELDS - {Field.SOUND},
}
_BUTTON_CHANNELS = frozenset({Channel.PUSH, Channel.WEB_PUSH, Channel.IN_APP})
LINKS = frozenset({Field.DEEP_LINK})
MEDIA = frozenset({Field.IMAGE_URL, Field.VIDEO_URL})
_MAX_ERROR = 160

# A text: itself, segments, or what Liquid renders.
Text: TypeAlias = "str | tuple[Piece, ...] | Program"


class CompiledText(NamedTuple):
    """One text of a body. reads: names of inputs. label or link of button N: field is a Button's, number its place."""

    text: Text
    reads: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CompiledBody:
    """One body. inputs: all that its texts read, in the order of the values' list."""

    channel: Channel
    tag: Tag
    texts: Mapping[Field, CompiledText]
    buttons: tuple[tuple[CompiledText, CompiledText], ...]
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class Compiled:
    """All that a version's source holds, ready to be planned for readers. warnings: what an author should know."""

    source: TemplateSource
    links: LinkPolicy
    default: Tag
    bodies: Mapping[tuple[Channel, Tag], CompiledBody]
    declared: tuple[Input, ...]
    warnings: tuple[Fault, ...]


def compile_source(source: TemplateSource, links: LinkPolicy = HTTPS_ONLY) -> Compiled:
    """Compile a version. Raises TemplateRefused with every fault that was found."""
    faults = Faults()
    default = check_source(source, links, faults)
    declared = {one.name: one for one in source.variables}
    read = inputs_by_name(source.variables, links)
    bodies: dict[tuple[Channel, Tag], CompiledBody] = {}
    warnings: list[Fault] = []
    for number, body in enumerate(source.bodies):
        compiler = _BodyCompiler(body, f"bodies[{number}]", declared, links, faults, warnings)
        tag = parse_tag(body.locale)
        if tag is None:
            faults.add(f"bodies[{number}].locale", f"{body.locale[:64]!r} is no locale that CLDR knows")
        elif (body.channel, tag) in bodies:
            faults.add(f"bodies[{number}].locale", f"{tag} is there twice for {body.channel.name.lower()}")
        compiled = compiler.compile(tag or default, read)
        bodies[body.channel, tag or default] = compiled
    if default is not None and bodies and default not in {tag for _, tag in bodies}:
        faults.add("default_locale", f"no body is in {default}")
    faults.refuse()
    return Compiled(source, links, default, bodies, tuple(read(name) for name in declared), tuple(warnings))


class _BodyCompiler:
    def __init__(
        self,
        body: TemplateBody,
        at: str,
        declared: Mapping[str, Variable],
        links: LinkPolicy,
        faults: Faults,
        warnings: list[Fault],
    ) -> None:
        self._body = body
        self._at = at
        self._declared = declared
        self._links = links
        self._faults = faults
        self._warnings = warnings

    def compile(self, tag: Tag, read: Callable[[str], Input]) -> CompiledBody:
        body = self._body
        texts = {field: self._field(field) for field in Field if body.source(field)}
        buttons = tuple(self._button(number, button) for number, button in enumerate(body.buttons[: MAX_BUTTONS + 1]))
        self._check_whole(texts)
        every = [*texts.values(), *(text for pair in buttons for text in pair)]
        names = sorted({name for text in every for name in text.reads})
        return CompiledBody(body.channel, tag, texts, buttons, tuple(read(name) for name in names))

    def _check_whole(self, texts: Mapping[Field, CompiledText]) -> None:
        body = self._body
        allowed = FIELDS.get(body.channel)
        if allowed is None:
            self._faults.add(f"{self._at}.channel", "is none that texts can be for")
            return
        for field in texts.keys() - allowed:
            self._faults.add(f"{self._at}.{field}", f"{body.channel.name.lower()} has no {field.value}")
        if not texts.keys() & {Field.TITLE, Field.BODY, Field.HTML}:
            self._faults.add(f"{self._at}.body", "says nothing: neither title nor body")
        if body.channel is Channel.EMAIL and Field.TITLE not in texts:
            self._faults.add(f"{self._at}.title", "an e-mail needs a subject")
        if body.buttons and body.channel not in _BUTTON_CHANNELS:
            self._faults.add(f"{self._at}.buttons", f"{body.channel.name.lower()} has no buttons")
        if len(body.buttons) > MAX_BUTTONS:
            self._faults.add(f"{self._at}.buttons", f"are more than {MAX_BUTTONS}")

    def _field(self, field: Field) -> CompiledText:
        source = self._body.source(field)
        text = self._text(field.value, source, MAX_SOURCE_BYTES, link=field in LINKS | MEDIA)
        if field in MEDIA:
            self._judge(field, source if isinstance(text.text, str) else "")
        return text

    def _button(self, number: int, button: Button) -> tuple[CompiledText, CompiledText]:
        at = f"buttons[{number}]"
        if not button.label or not button.link:
            self._faults.add(f"{self._at}.{at}", "needs a label and a link")
        label = self._text(f"{at}.label", button.label, MAX_LABEL_BYTES, link=False)
        return label, self._text(f"{at}.link", button.link, MAX_LINK_BYTES, link=bool(button.link))

    def _text(self, name: str, source: str, max_bytes: int, *, link: bool) -> CompiledText:
        if byte_count(source) > max_bytes:
            self._fault(name, f"is longer than {max_bytes} bytes")
            return CompiledText("")
        sound = True
        for why, line in delimiters.faults_of(source):
            self._fault(name, why, line)
            sound = False
        if not sound:
            return CompiledText("")
        if not delimiters.has_tags(source):
            if link:
                self._link(name, source, complete=True)
            return CompiledText(source)
        return self._liquid(name, source, link=link)

    def _liquid(self, name: str, source: str, *, link: bool) -> CompiledText:
        errors: list[LiquidError] = []
        nodes = parse(source, errors)
        for why, line in _told(errors, source):
            self._fault(name, why, line)
        if errors:
            return CompiledText("")
        analysis = Analysis(source, self._declared)
        analysis.run(nodes)
        for why, line in analysis.faults:
            self._fault(name, why, line)
        if analysis.faults:
            return CompiledText("")
        if link:
            self._link_start(name, nodes)
        pieces = reduce(nodes, lambda path: _whole(analysis, path))
        if pieces is not None and all(isinstance(piece, str) for piece in pieces):
            return CompiledText("".join(map(str, pieces)))
        return CompiledText(Program(nodes) if pieces is None else pieces, frozenset(analysis.reads))

    def _link_start(self, name: str, nodes: list[Node]) -> None:
        """Check a link's beginning as far as it is written out; what values make of it is checked at rendering."""
        first = nodes[0]
        for node in children(nodes):
            if isinstance(node, ValueNode) and node is not first:
                node.verbatim = False
        if isinstance(first, ContentNode):
            self._link(name, first.text, complete=False)
        elif not isinstance(first, ValueNode) or not first.verbatim:
            self._fault(name, "must begin with its scheme or with a variable of type url", 1)

    def _link(self, name: str, text: str, *, complete: bool) -> None:
        policy = HTTPS_ONLY if name in (Field.IMAGE_URL, Field.VIDEO_URL) else self._links
        why = link_fault(text, policy) if complete else prefix_fault(text, policy, complete=False)
        if why:
            self._fault(name, why, 1)

    def _judge(self, field: Field, url: str) -> None:
        image = field is Field.IMAGE_URL
        platforms = (media.IMAGES if image else media.VIDEOS).get(self._body.channel)
        if platforms is None:
            return
        verdict = media.judge(url, self._body.image if image else self._body.video, platforms)
        if verdict.fault:
            self._fault(field.value, verdict.fault)
        self._warnings += [Fault(f"{self._at}.{field}", why) for why in verdict.warnings]

    def _fault(self, name: str, why: str, line: int = 0) -> None:
        self._faults.add(f"{self._at}.{name}", why, line)


def _whole(analysis: Analysis, path: Sequence[object]) -> str:
    """Return the name of the input that a path reads whole, else ""."""
    known = analysis.known(path)
    if known is None or ".".join(map(str, path)) != known.name:
        return ""
    return known.name


def _told(errors: list[LiquidError], source: str) -> Iterator[tuple[str, int]]:
    """Give errors with their lines, without those that only follow from a block whose beginning was wrong."""
    for number, error in enumerate(errors):
        why = str(error.message)[:_MAX_ERROR]
        if number and why.startswith(("unexpected tag 'end", "unexpected tag 'els", "unexpected tag 'when")):
            continue
        index = error.token.start_index if error.token else -1
        inside = 0 <= index <= len(source)
        yield why, delimiters.line_of(source, index) if inside else delimiters.line_of(source, len(source))
