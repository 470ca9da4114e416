"""How `--help` looks: usage, what the command does, arguments, options, commands, examples, in the user's language.

Leans on the formatter that comes with typer. The texts of the commands and options are English; they are
translated here, where they are shown. Never wider than the terminal, examples aside.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from relay.i18n import Translator


class Command(TyperCommand):
    """A command whose help has examples (its epilog, a line each)."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        write_help(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands, with the same kind of help page. summaries: of its commands, where they are known."""

    summaries: Mapping[str, str] | None = None

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help page."""
        write_help(self, ctx, formatter)


class LazyCommands(Mapping[str, Any]):
    """The commands of a group, each built when it is first asked for."""

    def __init__(self, names: Iterable[str], load: Callable[[str], Any]) -> None:
        self._names = tuple(names)
        self._load = load
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        """The command. Raises KeyError."""
        if name not in self._names:
            raise KeyError(name)
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def write_help(command: Any, ctx: Any, formatter: Any) -> None:
    """Write one command's or group's help page."""
    tr: Translator = ctx.obj.tr
    formatter.write_usage(ctx.command_path, _usage(command, ctx, tr), prefix=tr("Usage:") + " ")
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text("\n\n".join(tr(paragraph) for paragraph in help_paragraphs(command.help)))
    params = command.get_params(ctx)
    arguments = [param for param in params if param.param_type_name == "argument"]
    options = [param for param in params if param.param_type_name == "option"]
    _section(formatter, tr("Arguments"), [(param.metavar, tr(param.help)) for param in arguments])
    _section(formatter, tr("Options"), [_option(param, tr) for param in options])
    summaries = [(name, tr(summary)) for name, summary in summaries_of(command).items()]
    _section(formatter, tr("Commands"), summaries)
    if command.epilog:
        formatter.write(f"\n{tr('Examples')}:\n")
        for line in inspect.cleandoc(command.epilog).splitlines():
            formatter.write(f"  {line}\n")


def summaries_of(command: Any) -> Mapping[str, str]:
    """What each command of a group does, in a line."""
    known: Mapping[str, str] | None = getattr(command, "summaries", None)
    if known is not None:
        return known
    commands = getattr(command, "commands", {})
    return {name: help_paragraphs(inner.help)[0] for name, inner in commands.items()}


def _section(formatter: Any, heading: str, rows: list[tuple[str, str]]) -> None:
    if rows:
        with formatter.section(heading):
            formatter.write_dl(rows)


def _usage(command: Any, ctx: Any, tr: Translator) -> str:
    pieces = [tr("[OPTIONS]")]
    for param in command.get_params(ctx):
        if param.param_type_name == "argument":
            pieces.append(param.metavar if param.required else f"[{param.metavar}]")
    if getattr(command, "commands", None):
        pieces.append(tr("COMMAND"))
    return " ".join(pieces)


def _option(param: Any, tr: Translator) -> tuple[str, str]:
    names = ", ".join([*param.opts, *param.secondary_opts])
    shown = names if param.is_flag else f"{names} {param.metavar or param.name.upper()}"
    return shown, f"{tr(param.help or '')}{' ' + tr('(required)') if param.required else ''}"


def help_paragraphs(text: str | None) -> list[str]:
    """A help text's paragraphs, each one line: the messages that are translated."""
    return [" ".join(part.split()) for part in (text or "").split("\n\n") if part.strip()]
