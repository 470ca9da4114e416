"""Finds every message that the command line can show, so that a test can ask for each one's translation.

Leans on the syntax trees of the sources and on the built command tree. Reads only; a message that is put together
at run time from parts is not found, and must not exist.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING, Any

import relay
from relay.app import doctor
from relay.cli import settings_file
from relay.cli.help import help_paragraphs
from relay.cli.program import build_command
from relay.i18n import placeholders

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(relay.__file__).parent
# What raises errors that the command line shows: module, and the functions of it (all, if none is named).
SHOWN_ERRORS: dict[str, frozenset[str]] = {
    "build.py": frozenset({"_listen"}),
    "opened.py": frozenset({"master_key", "open_relay", "require_database"}),
    "config.py": frozenset(),
    "app/portals.py": frozenset({"announce", "find", "normalize_origin"}),
    "app/applications.py": frozenset({"add", "configure", "_checked", "_bounded"}),
    "app/adoption.py": frozenset({"_adopt", "adopt_document", "parse_adopted"}),
    "app/backup.py": frozenset(),
    "app/check.py": frozenset(),
    "core/urlpolicy.py": frozenset(),
    "ports.py": frozenset({"retried", "replayed", "dropped"}),
    "store/database.py": frozenset(),
    "store/desk_store.py": frozenset({"pause_handler"}),
    "store/directory_store.py": frozenset({"directory", "remove_portal", "add_app", "update_app"}),
    "cli/home.py": frozenset(),
    "cli/opening.py": frozenset(),
    "cli/settings_file.py": frozenset(),
    "cli/times.py": frozenset(),
    "cli/doctor.py": frozenset(),
}
_HOLE = "{}"


def said_messages() -> set[str]:
    """Messages that are translated where they are said."""
    sources = [*sorted((ROOT / "cli").glob("*.py")), ROOT / "app" / "doctor.py"]
    found = {text for source in sources for text in _called_with(ast.parse(source.read_text()))}
    found |= {*doctor._REMEDIES.values(), doctor._OTHER_REMEDY}
    found |= {*settings_file.TOP_SETTINGS.values(), *settings_file.SECTIONS.values()}
    found |= {settings_file.INTRODUCTION, settings_file.AFTERWARDS}
    return found | set(_help_texts(build_command()))


def error_templates() -> set[str]:
    """Texts of errors that are shown, each value in them a `{}`."""
    found: set[str] = set()
    for name, functions in SHOWN_ERRORS.items():
        for function in ast.walk(ast.parse((ROOT / name).read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and (
                not functions or function.name in functions
            ):
                found |= set(_raised(function))
    return found


def template(message: str) -> str:
    """A message with its placeholders made anonymous."""
    for name in placeholders(message):
        message = message.replace(f"{{{name}}}", _HOLE)
    return message


def _called_with(tree: ast.AST) -> Iterator[str]:
    """The messages in `tr(…)`, `terminal.tr(…)` and `Message(…)`, and what `_found(…)` says and advises."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            yield from _literals(
                {"tr": node.args[:1], "Message": node.args[:1], "_found": node.args[2:4]}.get(name, [])
            )
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in {"says", "remedy", "lead"}:
            yield from _literals([node.value])


def _literals(nodes: list[ast.expr]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
            yield node.value


def _raised(function: ast.AST) -> Iterator[str]:
    """What the function's errors say: first arguments of what it raises."""
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            called = getattr(node.exc.func, "id", "")
            text = _text(node.exc.args[0])
            if text is not None and called not in {"Failed", "WrongUsage"}:
                yield text


def _text(node: ast.expr) -> str | None:
    """A literal or f-string as a template; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else _HOLE for p in node.values)
    return None


def _help_texts(command: Any) -> Iterator[str]:
    yield from help_paragraphs(command.help)
    context = command.make_context(command.name, [], resilient_parsing=True)
    for param in command.get_params(context):
        if param.help:
            yield param.help
    for inner in getattr(command, "commands", {}).values():
        yield from _help_texts(inner)
