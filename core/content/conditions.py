"""Conditions over values in a list instead of names in a context; what is equal or less is Liquid's own answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from liquid.builtin.expressions import BooleanExpression, Path
from liquid.builtin.expressions import logical as liquid
from liquid.builtin.expressions.primitive import Blank, Empty, Literal, Nil

from core.content.liquid import PARTS_OF_MONEY, STATIC
from core.values import Money

if TYPE_CHECKING:
    from liquid.expression import Expression

Condition: TypeAlias = Callable[[list[object]], bool]
# The name of the input that a path reads whole, "" if it reads a part of one.
Reads: TypeAlias = Callable[[Sequence[object]], str]
_Operand: TypeAlias = Callable[[list[object]], object]
_COMPARISONS = (
    liquid.EqExpression, liquid.NeExpression, liquid.LtExpression, liquid.GtExpression, liquid.LeExpression,
    liquid.GeExpression, liquid.ContainsExpression,
)  # fmt: skip
_PAIRS = (liquid.LogicalAndExpression, liquid.LogicalOrExpression)


def can_decide(expression: Expression, reads: Reads) -> bool:
    """Tell whether `decide` knows all that a condition is made of. reads: see Reads."""
    if isinstance(expression, BooleanExpression):
        return can_decide(expression.expression, reads)
    if isinstance(expression, _PAIRS):
        return can_decide(expression.left, reads) and can_decide(expression.right, reads)
    if isinstance(expression, _COMPARISONS):
        return _is_operand(expression.left, reads) and _is_operand(expression.right, reads)
    return _is_operand(expression, reads)


def decide(expression: Expression, index_of: Mapping[str, int]) -> Condition:
    """Return a condition as a function of the values' list; True and False are all it returns."""
    if isinstance(expression, BooleanExpression):
        return decide(expression.expression, index_of)
    if isinstance(expression, liquid.LogicalAndExpression):
        first, second = decide(expression.left, index_of), decide(expression.right, index_of)
        return lambda bound: first(bound) and second(bound)
    if isinstance(expression, liquid.LogicalOrExpression):
        first, second = decide(expression.left, index_of), decide(expression.right, index_of)
        return lambda bound: first(bound) or second(bound)
    if isinstance(expression, _COMPARISONS):
        return _comparison(expression, index_of)
    value = _operand(expression, index_of)
    return lambda bound: liquid.is_truthy(value(bound))


def _comparison(expression: Expression, index_of: Mapping[str, int]) -> Condition:
    left, right = _operand(expression.left, index_of), _operand(expression.right, index_of)  # type: ignore[attr-defined]
    token = expression.token
    # Liquid has no public names for what its operators do.
    if isinstance(expression, liquid.EqExpression):
        return lambda bound: liquid._eq(left(bound), right(bound))  # noqa: SLF001
    if isinstance(expression, liquid.NeExpression):
        return lambda bound: not liquid._eq(left(bound), right(bound))  # noqa: SLF001
    if isinstance(expression, liquid.LtExpression):
        return lambda bound: liquid._lt(token, left(bound), right(bound))  # noqa: SLF001
    if isinstance(expression, liquid.GtExpression):
        return lambda bound: liquid._lt(token, right(bound), left(bound))  # noqa: SLF001
    if isinstance(expression, liquid.LeExpression):
        return lambda bound: liquid._le(left(bound), right(bound))  # noqa: SLF001
    if isinstance(expression, liquid.GeExpression):
        return lambda bound: liquid._le(right(bound), left(bound))  # noqa: SLF001
    return lambda bound: liquid._contains(token, left(bound), right(bound))  # noqa: SLF001


def _is_operand(expression: Expression, reads: Reads) -> bool:
    if isinstance(expression, Path):
        *whole, part = expression.path
        return reads(expression.path) != "" or (part in PARTS_OF_MONEY and whole != [] and reads(whole) != "")
    return isinstance(expression, (Literal, Nil, Empty, Blank))


def _operand(expression: Expression, index_of: Mapping[str, int]) -> _Operand:
    if not isinstance(expression, Path):
        value = expression.evaluate(STATIC)
        return lambda bound: value
    name = ".".join(map(str, expression.path))
    if name in index_of:
        index = index_of[name]
        return lambda bound: bound[index]
    return _part_of_money(index_of[name.rpartition(".")[0]], str(expression.path[-1]))


def _part_of_money(index: int, part: str) -> _Operand:
    part_of = PARTS_OF_MONEY[part]

    def operand(bound: list[object]) -> object:
        value = bound[index]
        return part_of(value) if isinstance(value, Money) else None

    return operand
