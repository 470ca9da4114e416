"""How far a long command is, on standard error, for a person who watches.

Leans on rich, which is imported only where somebody does. Never writes where standard error is no terminal, or where
JSON was asked for.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.cli.terminal import Terminal

Report = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@contextlib.contextmanager
def progress(terminal: Terminal, title: str) -> Iterator[Report]:
    """A bar under the (translated) title while the block runs."""
    if terminal.as_json or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
