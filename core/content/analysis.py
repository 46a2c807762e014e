"""What a parsed text reads and does, and what of it is refused: unknown names, wrong filters, too much work.

It also marks the nodes that show something made from a sensitive value. That follows assignments and loops by name and
not by order, so that a name counts as sensitive everywhere once it is so anywhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from liquid.ast import IllegalNode
from liquid.builtin.expressions import FilteredExpression, LoopExpression, Path
from liquid.builtin.expressions.arguments import KeywordArgument
from liquid.builtin.expressions.logical import GeExpression, GtExpression, LeExpression, LtExpression
from liquid.builtin.expressions.primitive import FloatLiteral, IntegerLiteral, Literal, RangeLiteral, StringLiteral
from liquid.builtin.tags.assign_tag import AssignNode

from core.content.delimiters import line_of
from core.content.filters import FILTERS
from core.content.limits import MAX_LIST_ITEMS
from core.content.liquid import MAX_STEPS, PARTS_OF_MONEY, STATIC, LoopNode, ValueNode, children
from core.content.templates import SOURCES, Variable, VariableType

if TYPE_CHECKING:
    from liquid.ast import Node
    from liquid.builtin.expressions.filtered import Filter
    from liquid.expression import Expression
    from liquid.token import Token

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
LOOP = "forloop"
_LOOP_PARTS = frozenset({"index", "index0", "rindex", "rindex0", "first", "last", "length"})
_ORDERED = frozenset({VariableType.INTEGER, VariableType.NUMBER, VariableType.TEXT})
_Ordering = LtExpression | GtExpression | LeExpression | GeExpression


class Known(NamedTuple):
    """What is known of a name. type: None where only its value tells. name: that of the input, "" for a local."""

    type: VariableType | None = None
    sensitive: bool = False
    name: str = ""
    fields: tuple[Variable, ...] = ()


@dataclass(slots=True)
class Analysis:
    """One text. faults: what is refused, with lines. reads: names of the inputs it reads."""

    source: str
    declared: Mapping[str, Variable]
    faults: list[tuple[str, int]] = field(default_factory=list)
    reads: set[str] = field(default_factory=set)
    uses_now: bool = False
    _sensitive: set[str] = field(default_factory=set)
    _scopes: list[dict[str, Known]] = field(default_factory=lambda: [{}])

    def run(self, nodes: list[Node]) -> None:
        """Look at all nodes, mark those that show what is sensitive, and note faults."""
        self._follow(list(children(nodes)))
        weight = self._visit(nodes)
        if weight > MAX_STEPS:
            self.faults.append((f"asks for {weight} steps of work, {MAX_STEPS} are allowed", 1))

    def known(self, path: Sequence[object]) -> Known | None:
        """Return what is known of a path's value, None for a name that stands for nothing; no faults are noted."""
        root = path[0]
        if not isinstance(root, str):
            return None
        for scope in reversed(self._scopes):
            if root in scope:
                return scope[root]
        name = ".".join(map(str, path[:2])) if root in SOURCES[1:] else root
        variable = self.declared.get(name)
        if variable is not None:
            return Known(variable.type, variable.sensitive, name, variable.fields)
        return Known(name=name) if root in SOURCES[1:] and len(path) > 1 else None

    def _follow(self, nodes: list[Node]) -> None:
        """Find the local names that hold something sensitive, until none is added."""
        before = -1
        while len(self._sensitive) > before:
            before = len(self._sensitive)
            for node in nodes:
                if isinstance(node, AssignNode) and self._shows_sensitive(node.expression):
                    self._sensitive.add(str(node.name))
                elif isinstance(node, LoopNode) and self._shows_sensitive(node.expression):
                    self._sensitive.add(str(node.expression.identifier))

    def _shows_sensitive(self, expression: Expression) -> bool:
        return any(self._is_sensitive(path.path) for path in _paths(expression))

    def _is_sensitive(self, path: Sequence[object]) -> bool:
        if path[0] in self._sensitive:
            return True
        known = self.known(path)
        if known is None:
            return False
        return known.sensitive or any(one.sensitive for one in known.fields)

    def _visit(self, nodes: Iterable[Node]) -> int:
        """Look at nodes in order; return the steps that they take at most, loops counted once."""
        weight = 0
        for node in nodes:
            weight += 1
            if isinstance(node, IllegalNode):
                continue
            for expression in node.expressions():
                weight += self._expression(expression)
            weight += self._node(node)
        return weight

    def _node(self, node: Node) -> int:
        if isinstance(node, ValueNode):
            self._value(node)
            return 0
        if isinstance(node, AssignNode):
            self._assign(node)
            return 0
        if not isinstance(node, LoopNode):
            return self._visit(node.children(STATIC))
        self._scopes.append({LOOP: Known(), str(node.expression.identifier): self._item(node.expression)})
        node.weight = self._visit([node.block])
        self._scopes.pop()
        return node.weight + (self._visit([node.default]) if node.default else 0)

    def _item(self, loop: LoopExpression) -> Known:
        self._new_name(str(loop.identifier), loop.token)
        sensitive = str(loop.identifier) in self._sensitive
        if not isinstance(loop.iterable, Path):
            return Known(VariableType.INTEGER, sensitive)
        known = self.known(loop.iterable.path)
        if known is not None and known.type is VariableType.LIST:
            return Known(None if known.fields else VariableType.TEXT, sensitive, fields=known.fields)
        return Known(None, sensitive)

    def _assign(self, node: AssignNode) -> None:
        name = str(node.name)
        self._new_name(name, node.token)
        self._scopes[0][name] = Known(None, name in self._sensitive)

    def _new_name(self, name: str, token: Token) -> None:
        if name in self.declared or name in SOURCES or name == LOOP:
            self._fault(f"{name!r} is taken and cannot be a name of the text's own", token)
        elif not NAME.fullmatch(name):
            self._fault(f"{name[:64]!r} is no name: use a-z, 0-9 and _, a letter first", token)

    def _value(self, node: ValueNode) -> None:
        expression = node.expression
        filters = _filters(expression)
        masked = bool(filters) and filters[-1].name in FILTERS and FILTERS[filters[-1].name].masks
        node.hidden = self._shows_sensitive(expression) and not masked
        path = expression.left if isinstance(expression, FilteredExpression) else None
        known = self.known(path.path) if isinstance(path, Path) else None
        node.isolated = known is not None and known.type in (VariableType.TEXT, None)
        node.verbatim = known is not None and known.type is VariableType.URL and not filters
        if known is not None and known.type is VariableType.LIST and not filters and len(_path_of(path)) == 1:
            self._fault("a list cannot be shown as it is: use join, or a loop", node.token)

    def _expression(self, expression: Expression) -> int:
        """Check an expression and what it is made of; return how many there are."""
        weight = 1
        if isinstance(expression, Path):
            self._path(expression)
        elif isinstance(expression, RangeLiteral):
            self._range(expression)
        elif isinstance(expression, LoopExpression):
            self._loop(expression)
        elif isinstance(expression, _Ordering):
            self._comparison(expression)
        for one in _filters(expression):
            weight += 1
            self._filter(one, expression)
        return weight + sum(self._expression(child) for child in _parts(expression))

    def _path(self, path: Path) -> None:
        segments = path.path
        if not all(isinstance(one, int) or (isinstance(one, str) and _is_part(one)) for one in segments):
            self._fault(f"{_shown(path)} is no name: use a-z, 0-9 and _, a letter first", path.token)
            return
        known = self.known(segments)
        if known is None:
            self._fault(f"{_shown(path)} is not declared", path.token)
            return
        if known.name:
            self.reads.add(known.name)
        rest = segments[2 if known.name and "." in known.name else 1 :]
        if rest and not self._has_part(known, segments[0], rest):
            self._fault(f"{_shown(path)} does not exist", path.token)

    def _has_part(self, known: Known, root: object, rest: Sequence[object]) -> bool:
        part = rest[0]
        if root == LOOP and not known.name:
            return len(rest) == 1 and part in _LOOP_PARTS
        if known.fields and known.type is None:
            return len(rest) == 1 and any(one.name == part for one in known.fields)
        if known.type is VariableType.LIST:
            return self._has_item(known, rest)
        if known.type in (VariableType.MONEY, None) and part in PARTS_OF_MONEY:
            return len(rest) == 1
        return len(rest) == 1 and part == "size" and known.type in (VariableType.TEXT, None)

    def _has_item(self, known: Known, rest: Sequence[object]) -> bool:
        if rest[0] == "size":
            return len(rest) == 1
        if rest[0] not in ("first", "last") and not isinstance(rest[0], int):
            return False
        return len(rest) == 1 or (len(rest) == 2 and any(one.name == rest[1] for one in known.fields))

    def _range(self, expression: RangeLiteral) -> None:
        start, stop = expression.start, expression.stop
        if not isinstance(start, IntegerLiteral) or not isinstance(stop, IntegerLiteral):
            self._fault("a range goes from one written number to another", expression.token)
        elif stop.value - start.value >= MAX_LIST_ITEMS:
            self._fault(f"a range has at most {MAX_LIST_ITEMS} numbers", expression.token)

    def _loop(self, loop: LoopExpression) -> None:
        for bound in (loop.limit, loop.offset):
            if bound is not None and not isinstance(bound, IntegerLiteral):
                self._fault("limit and offset are written numbers", loop.token)
        if isinstance(loop.iterable, Path):
            known = self.known(loop.iterable.path)
            if known is not None and known.type not in (VariableType.LIST, None):
                self._fault(f"{_shown(loop.iterable)} is no list", loop.token)

    def _comparison(self, expression: _Ordering) -> None:
        sides = [self._compared(expression.left), self._compared(expression.right)]
        for side, kind in zip((expression.left, expression.right), sides, strict=True):
            if kind is not None and kind not in _ORDERED:
                hint = ": compare its .value" if kind is VariableType.MONEY else ""
                self._fault(f"{_shown(side)} cannot be more or less than something{hint}", expression.token)
        if VariableType.TEXT in sides and not {VariableType.TEXT, None}.issuperset(sides):
            self._fault(f"a text is compared with a number: {_shown(expression)}", expression.token)

    def _compared(self, side: Expression) -> VariableType | None:
        """Return what is compared, None where only its value tells."""
        if isinstance(side, StringLiteral):
            return VariableType.TEXT
        if isinstance(side, (IntegerLiteral, FloatLiteral)):
            return VariableType.NUMBER
        known = self.known(side.path) if isinstance(side, Path) else None
        whole = known is not None and (len(_path_of(side)) == 1 or known.name == ".".join(map(str, _path_of(side))))
        return known.type if known is not None and whole else None

    def _filter(self, one: Filter, expression: Expression) -> None:
        found = FILTERS.get(one.name)
        if found is None:
            self._fault(f"the filter {one.name[:32]!r} does not exist", one.token)
            return
        self.uses_now = self.uses_now or found.uses_now
        if any(isinstance(argument, KeywordArgument) for argument in one.args):
            self._fault(f"{one.name} takes no named arguments", one.token)
        elif not found.fewest <= len(one.args) <= found.most:
            allowed = found.fewest if found.fewest == found.most else f"{found.fewest} to {found.most}"
            self._fault(f"{one.name} takes {allowed} arguments, not {len(one.args)}", one.token)
        else:
            self._filter_values(one, expression)

    def _filter_values(self, one: Filter, expression: Expression) -> None:
        found = FILTERS[one.name]
        if found.literal and all(isinstance(argument.value, Literal) for argument in one.args):
            why = found.literal([argument.value.evaluate(STATIC) for argument in one.args])
            if why:
                self._fault(f"{one.name} {why}", one.token)
        left = expression.left if isinstance(expression, FilteredExpression) else None
        if not found.takes or _filters(expression)[0] is not one or not isinstance(left, Path) or len(left.path) > 1:
            return
        known = self.known(left.path)
        if known is not None and known.type is not None and known.type not in found.takes:
            self._fault(f"{one.name} cannot be applied to {_shown(left)}, a {known.type.name.lower()}", one.token)

    def _fault(self, why: str, token: Token) -> None:
        inside = 0 <= token.start_index <= len(self.source)
        self.faults.append((why, line_of(self.source, token.start_index) if inside else 1))


def _paths(expression: Expression) -> Iterator[Path]:
    if isinstance(expression, Path):
        yield expression
    for child in _parts(expression):
        yield from _paths(child)


def _parts(expression: Expression) -> list[Expression]:
    parts = list(expression.children())
    left = getattr(expression, "left", None)
    # The expression of a `when` leaves out what it compares with, which `case` has.
    return parts if left is None or left in parts or isinstance(expression, FilteredExpression) else [left, *parts]


def _filters(expression: Expression) -> list[Filter]:
    return expression.filters or [] if isinstance(expression, FilteredExpression) else []


def _path_of(expression: object) -> Sequence[object]:
    return expression.path if isinstance(expression, Path) else []


def _is_part(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def _shown(expression: Expression) -> str:
    return repr(str(expression)[:80])
