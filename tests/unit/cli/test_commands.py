"""Promises of the small pure parts of the commands: key states, handler loads, authorities, lazy commands, versions.

Leans on values that the tests make up, and on files in a test's own folder.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic.config import Config as Scripts
from alembic.script import ScriptDirectory

from relay.cli.ca_file import read_ca
from relay.cli.confirming import confirm
from relay.cli.failures import Failed, WrongUsage
from relay.cli.handler_commands import Load
from relay.cli.help import LazyCommands
from relay.cli.home import is_served, only_server
from relay.cli.key_commands import key_states
from relay.cli.progress import progress
from relay.cli.terminal import Terminal
from relay.config import Config
from relay.core.model import Handler
from relay.i18n import Translator
from relay.records import HandlerRow
from relay.store import migrations
from tests.factories import NOW, sealing_key

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----"


class Typed(io.StringIO):
    """A terminal at which somebody types."""

    def isatty(self) -> bool:
        """It is one."""
        return True


@pytest.mark.parametrize(
    ("typed", "goes_on"), [("yes\n", True), ("Y\n", True), ("да\n", True), ("no\n", False), ("", False)]
)
def test_only_a_yes_is_a_yes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, goes_on: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Typed(typed))
    terminal = Terminal(Translator("en"), Path("home"))
    if goes_on:
        confirm(terminal, "Really?", yes=False)
    else:
        with pytest.raises(Failed, match="Nothing was changed"):
            confirm(terminal, "Really?", yes=False)
    assert capsys.readouterr() == ("", "Really? [yes/no] ")


def test_where_nobody_can_be_asked_it_must_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    with pytest.raises(WrongUsage, match="--yes"):
        confirm(Terminal(Translator("en"), Path("home")), "Really?", yes=False)
    monkeypatch.setattr(sys, "stdin", Typed("yes\n"))
    with pytest.raises(WrongUsage, match="--yes"):
        confirm(Terminal(Translator("en"), Path("home"), as_json=True), "Really?", yes=False)
    confirm(Terminal(Translator("en"), Path("home"), as_json=True), "Really?", yes=True)


@pytest.mark.parametrize(("as_json", "shows"), [(False, True), (True, False)])
def test_how_far_it_is_is_shown_to_whoever_watches(monkeypatch: pytest.MonkeyPatch, as_json: bool, shows: bool) -> None:
    watched = Typed()
    monkeypatch.setattr(sys, "stderr", watched)
    with progress(Terminal(Translator("en"), Path("home"), as_json=as_json), "Copying") as report:
        report(5, 10)
    assert ("Copying" in watched.getvalue()) is shows
    unwatched = io.StringIO()
    monkeypatch.setattr(sys, "stderr", unwatched)
    with progress(Terminal(Translator("en"), Path("home")), "Copying") as report:
        report(5, 10)
    assert unwatched.getvalue() == ""


def load(lately: int, *, paused: bool = False, **counts: int) -> Load:
    """A handler with these counts."""
    return Load(HandlerRow(Handler(1, 1, "", "http://a.example/", paused), counts, None), lately)


@pytest.mark.parametrize(
    ("given", "waiting", "left_s"),
    [
        (load(300, due=10), 10, 10),
        (load(1, due=1, accepted=1, leased=1), 3, 900),
        (load(0, due=10), 10, None),
        (load(300), 0, None),
        (load(300, held=5, done=7), 0, None),
        (load(300, paused=True, due=10), 10, None),
        (load(10**6, due=1), 1, 1),
    ],
)
def test_how_long_a_handler_will_take_is_told_only_where_it_can_be(
    given: Load, waiting: int, left_s: int | None
) -> None:
    assert (given.waiting, given.left_s) == (waiting, left_s)


def test_of_one_owners_keys_one_is_active_those_before_are_retired_and_those_after_published() -> None:
    old, now, coming = (sealing_key(key_id=number, since=NOW + at) for number, at in ((1, -900), (2, -60), (3, 600)))
    assert key_states([old, coming, now], NOW) == [(coming, "published"), (now, "active"), (old, "retired")]
    assert key_states([coming], NOW) == [(coming, "active")]
    assert key_states([], NOW) == []
    replaced = replace(sealing_key(key_id=4), good_until=NOW + 9)
    assert key_states([replaced, sealing_key(key_id=5)], NOW) == [
        (sealing_key(key_id=5), "active"),
        (replaced, "retired"),
    ]


def test_only_certificates_are_read_from_a_file_of_an_authority(tmp_path: Path) -> None:
    terminal = Terminal(Translator("en"), tmp_path)
    (tmp_path / "ca.pem").write_bytes(f"-----BEGIN EC PRIVATE KEY-----\nAAAA\n{CERTIFICATE}\r\nend".encode())
    assert read_ca(terminal, Config(home=tmp_path, ca_file="ca.pem")) == f"{CERTIFICATE}\n"
    assert read_ca(terminal, Config(home=tmp_path / "elsewhere", ca_file=str(tmp_path / "ca.pem"))) is not None
    assert read_ca(terminal, Config(home=tmp_path)) is None
    (tmp_path / "ca.pem").write_text("none")
    with pytest.raises(Failed, match=r"ca\.pem"):
        read_ca(terminal, Config(home=tmp_path, ca_file="ca.pem"))


def test_a_command_is_built_when_it_is_asked_for_and_once() -> None:
    built: list[str] = []

    def build(name: str) -> Any:
        built.append(name)
        return object()

    commands = LazyCommands(["one", "two"], build)
    assert (list(commands), len(commands), built) == (["one", "two"], 2, [])
    assert commands["two"] is commands["two"]
    assert commands.get("three") is None
    assert built == ["two"]


def test_the_versions_of_the_schema_are_those_that_alembic_walks() -> None:
    scripts = Scripts()
    scripts.set_main_option("script_location", migrations.__path__[0])
    scripts.set_main_option("path_separator", "os")
    walked = [script.revision for script in ScriptDirectory.from_config(scripts).walk_revisions()]
    assert list(migrations.schema_versions()) == walked[::-1]


def test_looking_whether_a_home_is_served_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    assert not is_served(tmp_path)
    with only_server(tmp_path):
        assert is_served(tmp_path)
    assert not is_served(tmp_path)
    with only_server(tmp_path):
        pass
