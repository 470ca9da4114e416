"""Promises that what is stored cannot steer a terminal, and that JSON stands alone on standard output.

Leans on captured output. Starts nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from relay.cli.tables import show_fields, show_table
from relay.cli.terminal import Terminal, printable
from relay.i18n import Translator

if TYPE_CHECKING:
    import pytest

TERMINAL = Terminal(Translator("en"), Path("home"))


@given(st.text())
def test_nothing_that_steers_a_terminal_is_printed(text: str) -> None:
    assert all(char.isprintable() or char == "\n" for char in printable(text))


def test_a_control_character_is_shown_as_what_it_is() -> None:
    assert printable("a\x1b[2Jb\x9b\u202e") == "a\\x1b[2Jb\\x9b\\x202e"


def test_json_is_alone_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(Translator("en"), Path("home"), as_json=True)
    terminal.say("not this")
    terminal.document({"name": "Имя"})
    terminal.remark("a remark")
    written = capsys.readouterr()
    assert json.loads(written.out) == {"name": "Имя"}
    assert written.err == "a remark\n"


def test_a_table_in_a_pipe_has_a_line_for_each_row_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 500
    show_table(TERMINAL, ["One", "Two"], [["a", long], ["b\nc", "[bold]d"]])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["One", "Two"], ["a", long], ["b", "c", "[bold]d"]]


def test_fields_stand_below_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(TERMINAL, [("Id", "1"), ("Portal", "https://portal.example.com")])
    assert capsys.readouterr().out == "Id:     1\nPortal: https://portal.example.com\n"
