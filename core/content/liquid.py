"""Liquid by python-liquid, cut down to what a notification needs, with bounds on everything a text can make it do.

Only the tags of `delimiters.TAGS` and the filters of `filters.FILTERS` exist; nothing can be included. Values are
texts, numbers, dates, amounts, lists and records of these: names are looked up in dictionaries only, never as
attributes. Work is counted in steps, one for each node or expression, times the turns of the loop around it: some 2 us
each.

Why Liquid: it is the language that marketers know. bench/rendering.py, title and body, four variables, messages/s on
one core, medians of five turns on a shared host: segments 209,000 (with conditions 100,000), python-liquid 23,000
(18,000; a loop over five items 5,400), Jinja2's sandbox 27,000 (30,000; 11,000), minijinja with fuel 106,000
(139,000; 44,000). minijinja would be the faster general engine, but it is another language, turns an amount into a
plain tuple, and knows no limit of output; reduction to segments is faster still for what most templates are. What is
left to this module, loops and assignments, runs at 4,000 to 12,000 with checks and bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from liquid import BoundTemplate, Environment, Mode, RenderContext
from liquid.builtin import content, illegal
from liquid.builtin.output import Output, OutputNode
from liquid.builtin.tags import assign_tag, case_tag, comment_tag, for_tag, if_tag, inline_comment_tag, unless_tag
from liquid.exceptions import BreakLoop, ContinueLoop, LiquidError
from liquid.output import LimitedStringIO
from liquid.undefined import UNDEFINED, FalsyStrictUndefined, Undefined

from core.content import masks
from core.content.filters import FILTERS, FilterFault, Scope
from core.content.formats import major
from core.content.limits import MAX_OUTPUT_BYTES
from core.content.values import MissingValue
from core.values import Money

if TYPE_CHECKING:
    from typing import TextIO

    from liquid import Token
    from liquid.ast import Node
    from liquid.expression import Expression

MAX_STEPS = 5_000
MAX_DEPTH = 8
_MAX_LOCALS_BYTES = 65_536


class TooMuchWork(ValueError):
    """A text asked for more steps than a rendering may take."""


class Writing(NamedTuple):
    """How a field's values are put into it. escape: for HTML and URLs. isolate: keeps a value's direction apart."""

    scope: Scope
    escape: Callable[[str], str] | None = None
    isolate: Callable[[str], str] | None = None


class ValueNode(OutputNode):
    """{{ }}. hidden: what it shows is made from a sensitive value. verbatim: a URL that is not escaped within one."""

    __slots__ = ("hidden", "isolated", "verbatim")

    def __init__(self, token: Token, expression: Expression) -> None:
        super().__init__(token, expression)
        self.hidden = self.isolated = self.verbatim = False

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Write the value."""
        assert isinstance(context, Context)
        context.spend(1)
        writing = context.writing
        if self.hidden and writing.scope.locked:
            return buffer.write(masks.HIDDEN)
        value = self.expression.evaluate(context)
        if isinstance(value, Undefined):
            raise MissingValue(str(object.__getattribute__(value, "name")))
        text = writing.scope.formats.text(value)
        if self.isolated and writing.isolate is not None:
            text = writing.isolate(text)
        if writing.escape is not None and not self.verbatim:
            text = writing.escape(text)
        return buffer.write(text)


class LoopNode(for_tag.ForNode):
    """{% for %}. weight: steps of one turn."""

    __slots__ = ("weight",)

    weight: int

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        """Run the loop, its turns paid for before the first."""
        assert isinstance(context, Context)
        context.turn_weight = self.weight
        return super().render_to_output(context, buffer)


class Context(RenderContext):
    """What one rendering knows and how much it may still do."""

    __slots__ = ("steps", "turn_weight", "writing")

    def __init__(self, template: BoundTemplate, names: dict[str, object], writing: Writing) -> None:
        super().__init__(template, globals=names)
        self.writing = writing
        self.steps = MAX_STEPS
        self.turn_weight = 1

    def spend(self, steps: int) -> None:
        """Count work. Raises TooMuchWork."""
        self.steps -= steps
        if self.steps < 0:
            raise TooMuchWork("the text asks for too much work")

    def raise_for_loop_limit(self, length: int = 1) -> None:
        """Pay for all turns of a loop that begins."""
        self.spend(length * self.turn_weight)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Return a filter bound to this rendering."""
        del token
        apply, takes_missing, per_step = FILTERS[name].apply, name == "default", FILTERS[name].characters_per_step

        def bound(value: object, *arguments: object) -> object:
            for one in arguments if takes_missing else (value, *arguments):
                _require(one)
            self.spend(1 + (len(value) // per_step if isinstance(value, str) else 0))
            return apply(self.writing.scope, None if isinstance(value, Undefined) else value, *arguments)

        return bound

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        """Look up a path; what is missing knows its whole name."""
        value = super().get(path, token=token, default=default)
        return FalsyStrictUndefined(".".join(map(str, path)), token=token) if isinstance(value, Undefined) else value

    def get_item(self, obj: object, key: object) -> object:
        """Look up a part of a value; only records, lists and amounts have any."""
        if isinstance(obj, Money):
            return PARTS_OF_MONEY[str(key)](obj)
        if isinstance(obj, (dict, list, str, for_tag.ForLoop)):
            return super().get_item(obj, key)
        raise KeyError(key)


def _require(value: object) -> None:
    if isinstance(value, Undefined):
        raise MissingValue(str(object.__getattribute__(value, "name")))


PARTS_OF_MONEY: dict[str, Callable[[Money], object]] = {
    "value": major,
    "minor": lambda money: money.minor_units,
    "currency": lambda money: money.currency,
}


class _ValueTag(Output):
    node_class = ValueNode


class _LoopTag(for_tag.ForTag):
    node_class = LoopNode


class _IfTag(if_tag.IfTag):
    # By itself it overlooks the condition in `else if`, and a second `else`.
    mode = Mode.STRICT


class _UnlessTag(unless_tag.UnlessTag):
    mode = Mode.STRICT


class LiquidEnvironment(Environment):
    """An environment with what is allowed; it gathers what the parser finds wrong."""

    block_nesting_limit = MAX_DEPTH
    context_depth_limit = MAX_DEPTH + 4
    local_namespace_limit = _MAX_LOCALS_BYTES
    output_stream_limit = MAX_OUTPUT_BYTES

    def __init__(self) -> None:
        super().__init__(undefined=FalsyStrictUndefined)
        self.errors: list[LiquidError] = []

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Register what is allowed, and nothing else."""
        del extra
        for tag in (
            content.Literal, _ValueTag, illegal.Illegal, _IfTag, _UnlessTag, case_tag.CaseTag, _LoopTag,
            for_tag.BreakTag, for_tag.ContinueTag, assign_tag.AssignTag, comment_tag.CommentTag,
            inline_comment_tag.InlineCommentTag,
        ):  # fmt: skip
            self.add_tag(tag)

    def error(self, exc: type[LiquidError] | LiquidError, msg: str | None = None, token: Token | None = None) -> None:
        """Note an error and go on parsing."""
        error = exc if isinstance(exc, LiquidError) else exc(msg, token=token)
        error.token = error.token or token
        self.errors.append(error)


ENVIRONMENT = LiquidEnvironment()


class Program:
    """A text that Liquid renders, node by node."""

    __slots__ = ("_template",)

    def __init__(self, nodes: list[Node]) -> None:
        self._template = BoundTemplate(ENVIRONMENT, nodes)

    def render(self, names: dict[str, object], writing: Writing) -> str:
        """Render with values by name.

        Raises MissingValue, TooMuchWork, FilterFault, LiquidError or TypeError (what cannot be compared or written).
        """
        context = Context(self._template, names, writing)
        buffer = LimitedStringIO(MAX_OUTPUT_BYTES)
        for node in self._template.nodes:
            try:
                node.render(context, buffer)
            except (BreakLoop, ContinueLoop):
                raise FilterFault("break or continue stands outside a loop") from None
        return buffer.getvalue()


def parse(source: str, errors: list[LiquidError]) -> list[Node]:
    """Parse a text whose tags `delimiters` found sound; append what is wrong with it to errors."""
    environment = LiquidEnvironment()
    try:
        template = environment.from_string(source)
    except LiquidError as exc:
        errors.extend([*environment.errors, exc])
        return []
    errors.extend(environment.errors)
    return template.nodes


def children(nodes: Iterable[Node]) -> Iterable[Node]:
    """Give nodes and all below them."""
    for node in nodes:
        yield node
        yield from children(node.children(STATIC))


STATIC = RenderContext(BoundTemplate(ENVIRONMENT, []))
