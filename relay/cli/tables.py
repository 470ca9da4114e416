"""Lists for people: a table where it fits, a block of lines for each row where the terminal is too narrow for one.

Leans on rich for how wide a sign is, and on all of rich only for wrapped cells, because it is slow to import. Never
cuts a value off, because an id that cannot be copied is of no use; in a pipe each row is one line however long.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from rich.cells import cell_len

from relay.cli.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.cli.terminal import Terminal

_UNBOUNDED = 100_000
_GAP = "  "
_NARROW = 80


def show_table(terminal: Terminal, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print the rows under their (translated) headings."""
    shown = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *shown, strict=True)]
    if sum(widths) + len(_GAP) * (len(widths) - 1) <= _terminal_width():
        for row in (headings, *shown):
            terminal.say(_GAP.join(map(_padded, row, widths)).rstrip())
        return
    for row in shown:
        show_fields(terminal, list(zip(headings, row, strict=True)))
        terminal.say()


def show_fields(terminal: Terminal, fields: Sequence[tuple[str, str]]) -> None:
    """Print `heading: value` lines, for one thing; a long value runs on as the terminal breaks it."""
    indent = max(cell_len(heading) for heading, _ in fields) + 2
    for heading, value in fields:
        terminal.say(f"{_padded(f'{heading}:', indent)}{value}")


def show_wrapped(terminal: Terminal, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of sentences: a table with wrapped cells, or blocks of lines where the terminal is narrow."""
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = [[printable(cell) for cell in row] for row in rows]
    if _terminal_width() < _NARROW or not sys.stdout.isatty():
        for row in shown:
            show_fields(terminal, [pair for pair in zip(headings, row, strict=True) if pair[1]])
            terminal.say()
        return
    table = Table(show_lines=True)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in shown:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
