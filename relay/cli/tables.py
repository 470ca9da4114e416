"""Lists for people: a table where it fits, a block of lines for each row where the terminal is too narrow for one.

Leans on rich. When the output goes to a file or a pipe, each row is one line however long. Never cuts a value
off: an id that cannot be copied is of no use.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from relay.cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.cli.terminal import Terminal

_UNBOUNDED = 100_000
_GAP = 2
_NARROW = 80


def show_table(terminal: Terminal, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows under their (translated) headings."""
    shown = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False, soft_wrap=False)
    if _width(headings, shown) <= console.width:
        console.print(_table(headings, shown))
        return
    for row in shown:
        show_fields(terminal, list(zip(headings, row, strict=True)))
        terminal.say()


def show_fields(terminal: Terminal, fields: Sequence[tuple[str, str]]) -> None:
    """Print `heading: value` lines, for one thing; a long value runs on as the terminal breaks it."""
    indent = max(cell_len(heading) for heading, _ in fields) + 2
    for heading, value in fields:
        label = f"{heading}:"
        terminal.say(f"{label}{' ' * (indent - cell_len(label))}{value}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table


def _width(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    columns = zip(headings, *rows, strict=True)
    return sum(max(map(cell_len, column)) + _GAP for column in columns)


def show_wrapped(terminal: Terminal, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of sentences: a table with wrapped cells, or blocks of lines where the terminal is narrow."""
    console = Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False)
    shown = [[printable(cell) for cell in row] for row in rows]
    if console.width < _NARROW or not sys.stdout.isatty():
        for row in shown:
            show_fields(terminal, [pair for pair in zip(headings, row, strict=True) if pair[1]])
            terminal.say()
        return
    table = Table(show_lines=True)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)
