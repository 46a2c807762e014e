"""Texts of plain substitutions and conditions, reduced once to a list of segments that is filled in and joined.

What a segment shows and what a condition finds is computed by the same filters, formats and expressions that Liquid
uses, so that both ways give the same text; tests hold them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from liquid.ast import BlockNode
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions import FilteredExpression, Path
from liquid.builtin.expressions.primitive import FloatLiteral, IntegerLiteral, StringLiteral
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode

from core.content import masks
from core.content.amounts import AmountWriter
from core.content.conditions import Condition, Reads, can_decide, decide
from core.content.filling import AMOUNT, ITSELF, ITSELF_IF_ASCII, WRITTEN, Filler
from core.content.filters import FILTERS
from core.content.liquid import ValueNode, Writing
from core.content.money import money_format
from core.content.templates import VariableType
from core.content.values import MissingValue

if TYPE_CHECKING:
    from liquid.ast import Node
    from liquid.expression import Expression

    from core.content.values import Input

Change: TypeAlias = Callable[[str], str]
Write: TypeAlias = Callable[[object], str]
Fill: TypeAlias = Callable[[list[object]], str]


class Slot(NamedTuple):
    """Where a value is put in. filters: names with their arguments. The flags are ValueNode's."""

    name: str
    filters: tuple[tuple[str, tuple[object, ...]], ...]
    hidden: bool
    isolated: bool
    verbatim: bool


class Branch(NamedTuple):
    """The first whose condition holds is taken; None always holds. unless: whether the first holds when it is false."""

    choices: tuple[tuple[Expression | None, tuple[Piece, ...]], ...]
    unless: bool


Piece: TypeAlias = "str | Slot | Branch"


def reduce(nodes: Sequence[Node], reads: Reads) -> tuple[Piece, ...] | None:
    """Return a text's segments; None if it is more than substitutions and conditions.

    reads: see conditions.Reads.
    """
    pieces: list[Piece] = []
    for node in nodes:
        piece = _piece(node, reads)
        if piece is None:
            return None
        last = pieces[-1] if pieces else None
        if isinstance(piece, str) and isinstance(last, str):
            pieces[-1] = last + piece
        elif piece != "":
            pieces.append(piece)
    return tuple(pieces)


def _piece(node: Node, reads: Reads) -> Piece | None:
    if isinstance(node, ContentNode):
        return node.text
    if isinstance(node, CommentNode):
        return ""
    if isinstance(node, ValueNode):
        return _slot(node, reads)
    if isinstance(node, (IfNode, UnlessNode)):
        return _branch(node, reads)
    return None


def _slot(node: ValueNode, reads: Reads) -> Slot | None:
    expression = node.expression
    if not isinstance(expression, FilteredExpression) or not isinstance(expression.left, Path):
        return None
    name = reads(expression.left.path)
    filters: list[tuple[str, tuple[object, ...]]] = []
    for one in expression.filters or []:
        values = [_literal(argument.value) for argument in one.args]
        if FILTERS[one.name].uses_now or None in values:
            return None
        filters.append((one.name, tuple(values)))
    return Slot(name, tuple(filters), node.hidden, node.isolated, node.verbatim) if name else None


def _literal(expression: Expression) -> object:
    """Return a written argument's value, None for any other expression."""
    literal = isinstance(expression, (StringLiteral, IntegerLiteral, FloatLiteral))
    return expression.value if literal else None  # type: ignore[attr-defined]


def _branch(node: IfNode | UnlessNode, reads: Reads) -> Branch | None:
    blocks: list[tuple[Expression | None, BlockNode]] = [(node.condition, node.consequence)]
    blocks += [(one.expression, one.block) for one in node.alternatives]
    if node.default:
        blocks.append((None, node.default))
    choices = []
    for condition, block in blocks:
        pieces = reduce(block.nodes, reads)
        if pieces is None or (condition is not None and not can_decide(condition, reads)):
            return None
        # Liquid shows nothing of a block that is all blank, but finds what is wrong with its conditions.
        shown = tuple(piece for piece in pieces if not isinstance(piece, str)) if block.blank else pieces
        choices.append((condition, shown))
    return Branch(tuple(choices), isinstance(node, UnlessNode))


def fill(pieces: Sequence[Piece], inputs: Sequence[Input], writing: Writing) -> Fill:
    """Return the function that makes the text of typed values, which are aligned with inputs.

    It raises MissingValue, FilterFault or TypeError.
    """
    parts: list[object] = []
    gaps: list[tuple[int, int, int, Write | None]] = []
    branches: list[tuple[int, Fill]] = []
    index_of = {one.name: index for index, one in enumerate(inputs)}
    for at, piece in enumerate(pieces):
        if isinstance(piece, Slot) and not (piece.hidden and writing.scope.locked):
            index = index_of[piece.name]
            gaps.append((at, index, *_writer(piece, inputs[index], writing)))
        elif isinstance(piece, Branch):
            branches.append((at, _chooser(piece, inputs, index_of, writing)))
        parts.append(masks.HIDDEN if isinstance(piece, Slot) else piece)
    return Filler(parts, gaps, branches)


def _chooser(branch: Branch, inputs: Sequence[Input], index_of: Mapping[str, int], writing: Writing) -> Fill:
    choices: list[tuple[Condition, Fill]] = []
    otherwise = fill((), inputs, writing)
    for condition, pieces in branch.choices:
        if condition is None:
            otherwise = fill(pieces, inputs, writing)
        else:
            choices.append((decide(condition, index_of), fill(pieces, inputs, writing)))
    unless = branch.unless

    def chosen(bound: list[object]) -> str:
        wanted = not unless
        for holds, text in choices:
            if holds(bound) is wanted:
                return text(bound)
            wanted = True
        return otherwise(bound)

    return chosen


def _writer(slot: Slot, read: Input, writing: Writing) -> tuple[int, Write | None]:
    """Return how a gap is filled, and by what."""
    escape = None if slot.verbatim else writing.escape
    isolate = writing.isolate if slot.isolated else None
    never_missing = read.required or read.default is not None
    if escape is None and never_missing:
        if read.type in (VariableType.TEXT, VariableType.URL) and not slot.filters:
            return _text_writer(isolate)
        if read.type is VariableType.MONEY and slot.filters in ((), (("money", ()),)):
            return AMOUNT, AmountWriter(partial(money_format, writing.scope.formats.tag))
    return WRITTEN, _filtered_writer(slot, read, writing, isolate, escape)


def _text_writer(isolate: Change | None) -> tuple[int, Write | None]:
    if isolate is None:
        return ITSELF, None
    return (ITSELF_IF_ASCII if isolate("a") == "a" else WRITTEN), isolate  # type: ignore[return-value]  # values are str


def _filtered_writer(slot: Slot, read: Input, writing: Writing, isolate: Change | None, escape: Change | None) -> Write:
    scope = writing.scope
    filters = [(FILTERS[name].apply, arguments) for name, arguments in slot.filters]
    strict = read.type is None and not (slot.filters and slot.filters[0][0] == "default")

    def written(value: object) -> str:
        if value is None and strict:
            raise MissingValue(read.name)
        for apply, arguments in filters:
            value = apply(scope, value, *arguments)
        text = scope.formats.text(value)
        if isolate is not None:
            text = isolate(text)
        return text if escape is None else escape(text)

    return written
