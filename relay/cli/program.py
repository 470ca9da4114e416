"""The command built for one language and run: arguments in, an exit status out.

Leans on typer. The commands are plain functions with English help; `help.py` shows it in the user's language,
which is chosen before the command tree is built. A command's module is imported when the command is called, because
some take most of a second. Never lets an exception out.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.main import get_command

from relay import __version__
from relay.cli.failures import FAILED, status_of
from relay.cli.help import Command, Group, LazyCommands
from relay.cli.options import AsJson, Home
from relay.cli.terminal import Terminal, terminal_of
from relay.i18n import Translator, pick_language
from relay.names import DEFAULT_HOME, HOME_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Each command or group: its module below relay.cli, and the first paragraph of its help.
COMMANDS = {
    "init": ("init", "Make a relay in the home directory, or change the settings of the one that is there."),
    "serve": ("serve", "Run the relay until it is told to stop (SIGTERM or Ctrl+C)."),
    "portal": ("portal_commands", "The portals that this relay serves."),
    "app": ("app_commands", "The applications of the portals."),
    "event": ("event_commands", "The events on their way to the applications."),
    "handler": ("handler_commands", "The handlers that events are delivered to."),
    "key": ("key_commands", "The keys that seal and sign tokens."),
    "audit": ("audit_commands", "The record of what concerns security."),
    "check": ("check", "Say whether a portal has all that an application needs."),
    "doctor": ("doctor", "Check the relay and say what to do about what is wrong."),
    "selftest": ("selftest", "Run the security checklist of the OAuth standards against the running relay."),
    "backup": ("backup", "Save the whole relay in one file, also while it serves."),
    "restore": ("restore", "Make a relay from a backup, in a home directory that is empty."),
    "migrate": ("migrate", "Bring the database to the version that this program needs."),
    "version": ("program", "Show the version of this program."),
}
EXAMPLES = """
relay version
relay version --json
"""
_ROOT_EXAMPLES = """
relay init --public-url https://relay.example.com
relay serve
relay portal add https://portal.example.com
relay doctor
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
    root: Any = get_command(_group(_root, _ROOT_EXAMPLES))
    root.summaries = {name: summary for name, (_, summary) in COMMANDS.items()}
    root.commands = LazyCommands(COMMANDS, _load)
    return root


def _load(name: str) -> Any:
    """Import and build one command of the root, or one group with all its commands."""
    module: Any = importlib.import_module(f"relay.cli.{COMMANDS[name][0]}")
    if not hasattr(module, "GROUP"):
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        _add(single, name, getattr(module, name), module.EXAMPLES)
        return get_command(single)
    group = _group(getattr(module, name), module.EXAMPLES)
    for command, function, examples in module.GROUP:
        _add(group, command, function, examples)
    built = get_command(group)
    built.name = name
    return built


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
