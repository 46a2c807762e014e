"""What commands print: lines, tables, and messages of the contract as JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message

_WIDEST = 100_000


def say(line: str) -> None:
    """Print one line."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def note(line: str) -> None:
    """Print one line beside the result, for people."""
    sys.stderr.write(line + "\n")


def as_json(message: Message, also: Mapping[str, bool] = MappingProxyType({})) -> str:
    """Return a message as JSON on one line, fields by their names in the contract.

    also: what is told even where it is false, which the contract's JSON leaves out.
    """
    import json

    from google.protobuf.json_format import MessageToDict

    fields = MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps({**fields, **also}, ensure_ascii=False)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under their columns; folded to a terminal's width, but never in a pipe or file."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE, show_header=any(columns))
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console = Console(soft_wrap=False)
    if not console.is_terminal:
        console.width = console.measure(drawn, options=console.options.update(max_width=_WIDEST)).maximum
    console.print(drawn)
