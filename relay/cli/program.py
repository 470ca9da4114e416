"""The command built for one language and run: arguments in, an exit status out.

Leans on typer. The commands are plain functions with English help; `help.py` shows it in the user's language,
which is chosen before the command tree is built. Never lets an exception out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_command

from relay import __version__
from relay.cli import app_commands, doctor, event_commands, init, portal_commands, serve
from relay.cli.failures import FAILED, status_of
from relay.cli.help import Command, Group
from relay.cli.options import AsJson, Home
from relay.cli.terminal import Terminal, terminal_of
from relay.config import DEFAULT_HOME, HOME_VARIABLE
from relay.i18n import Translator, pick_language

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT_EXAMPLES = """
relay init --public-url https://relay.example.com
relay serve
relay portal add https://portal.example.com
relay doctor
"""
VERSION_EXAMPLES = """
relay version
relay version --json
"""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Every failure becomes one sentence."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    terminal = Terminal(
        tr=Translator(pick_language(os.environ)),
        home=Path(os.environ.get(HOME_VARIABLE) or DEFAULT_HOME),
    )
    try:
        status = build_command().main(args=arguments, prog_name="relay", standalone_mode=False, obj=terminal)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone; the rest must not be tried again when the program ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except typer.Exit as stop:
        return stop.exit_code
    except (Exception, KeyboardInterrupt) as error:
        return status_of(error, terminal)
    return status if isinstance(status, int) else 0


def build_command() -> Any:
    """The whole command tree; its texts are English until they are shown."""
    root = _group(_root, ROOT_EXAMPLES)
    _add(root, "init", init.init, init.EXAMPLES)
    _add(root, "serve", serve.serve, serve.EXAMPLES)
    groups: dict[str, Any] = {"portal": portal_commands, "app": app_commands, "event": event_commands}
    for name, module in groups.items():
        group = _group(getattr(module, name), module.EXAMPLES)
        for command, function, examples in module.COMMANDS:
            _add(group, command, function, examples)
        root.add_typer(group, name=name)
    _add(root, "doctor", doctor.doctor, doctor.EXAMPLES)
    _add(root, "version", version, VERSION_EXAMPLES)
    return get_command(root)


def _root(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """The OAuth server and event queue of an on-premises Bitrix24 portal that has no internet.

    Start with `relay init`, then `relay serve`, then `relay portal add`.
    """
    ctx.obj = terminal_of(ctx, home, as_json)


def version(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """Show the version of this program."""
    terminal = terminal_of(ctx, home, as_json)
    if terminal.as_json:
        terminal.document({"version": __version__, "python": ".".join(map(str, sys.version_info[:3]))})
    terminal.say(f"relay {__version__}")


def _group(callback: Callable[..., None], examples: str) -> typer.Typer:
    return typer.Typer(
        cls=Group,
        callback=callback,
        epilog=examples,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )


def _add(group: typer.Typer, name: str, function: Callable[..., None], examples: str) -> None:
    group.command(name, cls=Command, epilog=examples)(function)
