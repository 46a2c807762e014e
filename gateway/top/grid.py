"""Tables that fit: columns leave, the least wanted first, until the rest has room; what is over goes to pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

GAP = 2
# A picture is drawn when its width is known.
Picture = Callable[[int], Text]
Cell = str | Text | Picture


@dataclass(frozen=True, slots=True)
class Column:
    """leaves: the higher, the earlier it goes for want of room; 0 stays. picture: its least width, if it is one."""

    title: str
    leaves: int = 0
    left: bool = False
    picture: int = 0


def grid(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], width: int) -> Table:
    """Return a table of the columns that fit into width; rows have a cell per column."""
    natural = [
        max(column.picture, cell_len(column.title), *(_width(row[i]) for row in rows), 0)
        for i, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    while (over := sum(natural[i] + GAP for i in kept) - GAP - width) > 0:
        last = max(kept, key=lambda i: (columns[i].leaves, i))
        if not columns[last].leaves:
            break
        kept.remove(last)
    table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold dim")
    for i in kept:
        table.add_column(
            columns[i].title, justify="left" if columns[i].left else "right", no_wrap=True, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(_drawn(row[i], natural[i] + max(0, -over)) for i in kept))
    return table


def _width(cell: Cell) -> int:
    return 0 if callable(cell) else cell_len(str(cell))


def _drawn(cell: Cell, width: int) -> str | Text:
    return cell(width) if callable(cell) else cell
