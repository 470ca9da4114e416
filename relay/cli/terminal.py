"""What a command speaks through: text or one JSON document on standard output, remarks on standard error.

Leans on the translator. Never prints human text on standard output when JSON was asked for, and never lets a
stored text reach the terminal with control characters in it.
"""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.i18n import Translator

if TYPE_CHECKING:
    import typer


@dataclass(frozen=True, slots=True)
class Terminal:
    """One command's way to its user.

    home: the relay's home directory. as_json: one JSON document is wanted. relay: how this relay's commands begin
    when they are shown to be typed: with the home, where it was given in the command.
    """

    tr: Translator
    home: Path
    as_json: bool = False
    relay: str = "relay"

    def say(self, text: str = "") -> None:
        """A line for a person; nothing where JSON is wanted."""
        if not self.as_json:
            print(printable(text))  # noqa: T201 - this is where the command line prints

    def document(self, value: Any) -> None:
        """The one JSON document."""
        print(json.dumps(value, ensure_ascii=False, indent=2))  # noqa: T201

    def remark(self, text: str) -> None:
        """A line on standard error: a warning, or the one sentence of an error."""
        print(printable(text), file=sys.stderr)  # noqa: T201


def terminal_of(ctx: typer.Context, home: Path | None = None, as_json: bool = False) -> Terminal:
    """The terminal of a command; its own `--home` and `--json` win over those given before it."""
    terminal: Terminal = ctx.obj
    if home is not None:
        terminal = replace(terminal, home=home, relay=f"relay --home {shlex.quote(str(home))}")
    return replace(terminal, as_json=as_json or terminal.as_json)


def printable(text: str) -> str:
    """The text with control characters shown as what they are: a stored title must not steer a terminal."""
    return "".join(char if char.isprintable() or char == "\n" else f"\\x{ord(char):02x}" for char in text)
