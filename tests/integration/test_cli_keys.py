"""Promises of `relay key` and `relay migrate`: no live token is broken, and nothing is done twice.

Leans on a running relay, on a real SQLite file and on the real command.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from relay.cli.home import only_server
from tests.integration.commands import command, is_one_sentence

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.quiet import Quiet
    from tests.integration.site import Site


async def keys(site: Site, *arguments: object) -> Any:
    """`relay key … --json`."""
    return (await command("key", *arguments, "--home", site.live.relay.config.home, "--json")).document


def states(listed: list[dict[str, Any]], kind: str) -> list[str]:
    """Where the keys of a kind stand, the newest first."""
    return [one["state"] for one in listed if one["kind"] == kind]


async def test_keys_are_published_before_they_are_used_and_no_token_is_broken(site: Site) -> None:
    before = await site.authorize()
    assert states(await keys(site, "list"), "sealing") == ["active"]
    rotated = await keys(site, "rotate")
    assert (rotated["made"], rotated["now"]) == (2, False)
    assert states(rotated["keys"], "sealing") == states(rotated["keys"], "signing") == ["published", "active"]
    assert (await keys(site, "rotate"))["made"] == 0
    text = (await command("key", "rotate", "--home", site.live.relay.config.home)).out
    assert "published already" in text
    at_once = await keys(site, "rotate", "--now")
    assert states(at_once["keys"], "sealing") == ["active", "retired"]
    (retired,) = [one for one in at_once["keys"] if one["kind"] == "sealing" and one["state"] == "retired"]
    assert retired["good_until"] is not None
    after = await site.authorize()
    for granted in (before, after):
        assert (await site.check(granted["access_token"])).status == 200


def test_no_key_is_ever_shown(quiet: Quiet) -> None:
    for arguments in (["list"], ["rotate", "--now"]):
        shown = quiet.ask("key", *arguments)
        listed = shown["keys"] if isinstance(shown, dict) else shown
        assert {*listed[0]} == {"kind", "portal_id", "portal", "key_id", "state", "active_from", "good_until"}


# relay migrate -----------------------------------------------------------------------------------------------


def set_version(home: Path, version: str | None) -> None:
    """Have the database say that it is of another version, or a new file that has none."""
    if version is None:
        for path in home.glob("relay.db*"):
            path.unlink()
        (home / "relay.db").touch()
        return
    with closing(sqlite3.connect(home / "relay.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))


def test_a_database_is_brought_up_to_date_once(quiet: Quiet) -> None:
    newest = quiet.ask("migrate")["to"]
    assert quiet.ask("migrate") == {"from": newest, "to": newest, "migrated": False}
    set_version(quiet.path, None)
    assert "of an older version (none)" in quiet.tell("portal", "list").err
    assert quiet.ask("migrate") == {"from": None, "to": newest, "migrated": True}
    assert f"has version {newest} already" in quiet.tell("migrate").out
    assert quiet.ask("portal", "list") == []


def test_a_database_of_a_newer_program_is_left_alone(quiet: Quiet) -> None:
    set_version(quiet.path, "9999")
    for arguments in (["migrate"], ["portal", "list"]):
        ran = quiet.tell(*arguments, "--json")
        assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
        assert "of a newer version (9999)" in ran.err


def test_a_database_that_is_served_is_not_changed(quiet: Quiet) -> None:
    with only_server(quiet.path):
        assert quiet.ask("migrate")["migrated"] is False
        set_version(quiet.path, None)
        ran = quiet.tell("migrate")
    assert (ran.status, is_one_sentence(ran.err)) == (1, True)
    assert "stop it first" in ran.err
    assert (quiet.path / "relay.db").stat().st_size == 0


def test_a_postgresql_database_is_asked_for_its_version_too(quiet: Quiet, postgres_url: str) -> None:
    document = quiet.tell("migrate", "--json", RELAY_STORE=postgres_url).document
    assert (document["from"], document["migrated"]) == (document["to"], False)
    assert quiet.tell("portal", "add", "https://other.example.com", RELAY_STORE=postgres_url).status == 0
    listed = quiet.tell("portal", "list", "--json", RELAY_STORE=postgres_url).document
    assert [portal["url"] for portal in listed] == ["https://other.example.com"]
    nowhere = quiet.tell("migrate", "--json", RELAY_STORE="postgresql://nobody@127.0.0.1:1/none")
    assert (nowhere.status, nowhere.out, is_one_sentence(nowhere.err)) == (1, "", True)


@pytest.mark.parametrize("arguments", [["migrate"], ["backup", "x.tar.gz"], ["key", "list"]])
def test_where_there_is_no_relay_that_is_said(tmp_path: Path, quiet: Quiet, arguments: list[str]) -> None:
    empty = type(quiet)(tmp_path / "empty")
    ran = empty.tell(*arguments, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert "There is no relay in" in ran.err
    assert not empty.path.exists()
