"""Every failure as one plain sentence on standard error and an exit status: 1 for a failure, 2 for wrong usage.

Leans on the tree of RelayErrors, whose texts are made to be shown. An unexpected failure is named but never shown
as a stack trace, unless RELAY_DEBUG is set.
"""

from __future__ import annotations

import os
import sqlite3
import traceback
from typing import TYPE_CHECKING

import typer

from relay.core.errors import RelayError
from relay.core.vault import CannotOpen

if TYPE_CHECKING:
    from relay.cli.terminal import Terminal

DEBUG_VARIABLE = "RELAY_DEBUG"
FAILED = 1
WRONG_USAGE = 2
INTERRUPTED = 130
# BadParameter's ancestors, which older and newer typer keep in different places.
_USAGE_ERROR = typer.BadParameter.__mro__[1]


class Failed(RelayError):
    """A command of the command line could not do what it was asked; the text is translated already."""

    code = "failed"
    status = 400


class WrongUsage(Failed):
    """The command was called with arguments that do not go together; the text is translated already."""

    code = "usage"


def status_of(error: BaseException, terminal: Terminal) -> int:
    """Tell the user what failed; the exit status."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return INTERRUPTED
    if isinstance(error, _USAGE_ERROR):
        return _wrong_usage(error, terminal)
    terminal.remark(sentence(error, terminal))
    return WRONG_USAGE if isinstance(error, WrongUsage) else FAILED


def sentence(error: BaseException, terminal: Terminal) -> str:
    """What happened, in one sentence and in the user's language."""
    tr = terminal.tr
    if isinstance(error, Failed):
        return error.description
    if isinstance(error, RelayError):
        return tr.finished(error.description)
    if isinstance(error, CannotOpen):
        return tr(
            "The master key of {home} does not fit its database: put back the master.key the database was made with.",
            home=terminal.home,
        )
    if isinstance(error, OSError) and error.filename:
        reason = tr.finished(error.strerror or str(error))
        return tr("{path} cannot be used: {reason}.", path=error.filename, reason=reason)
    cause = getattr(error, "orig", error)
    if isinstance(cause, sqlite3.Error):
        return tr("The database in {home} cannot be used: {reason}.", home=terminal.home, reason=cause)
    return tr(
        "Something unexpected went wrong ({kind}). Run the command again with {variable}=1 to see where.",
        kind=type(error).__name__,
        variable=DEBUG_VARIABLE,
    )


def _wrong_usage(error: BaseException, terminal: Terminal) -> int:
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
        terminal.remark(context.get_help())
        return WRONG_USAGE
    message = " ".join(str(getattr(error, "format_message", error.__str__)()).split())
    hint = terminal.tr("Help: {command} --help", command=context.command_path) if context is not None else ""
    terminal.remark(f"{terminal.tr.finished(message)} {hint}".rstrip())
    return WRONG_USAGE
