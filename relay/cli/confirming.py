"""Asking before something that cannot be undone.

Leans on the terminal. Asks on standard error, because standard output is for results. Never takes silence for a yes:
where nobody can be asked, `--yes` must say it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.failures import Failed, WrongUsage

if TYPE_CHECKING:
    from relay.cli.terminal import Terminal

Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def confirm(terminal: Terminal, question: str, *, yes: bool) -> None:
    """Go on only if a person says yes to the (translated) question. Raises WrongUsage, or Failed for a no."""
    if yes:
        return
    tr = terminal.tr
    if terminal.as_json or not sys.stdin.isatty():
        raise WrongUsage(tr("This must be confirmed: add --yes."))
    print(f"{question} [{tr('yes')}/{tr('no')}] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    if sys.stdin.readline().strip().lower() not in {"y", "yes", "д", "да"}:
        raise Failed(tr("Nothing was changed."))
