"""Promises of `relay backup` and `relay restore`: everything that was accepted, verified, all of it or nothing.

Leans on real SQLite files, on a relay under load and on the real command. Touches only a test's own folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import itertools
import json
import os
import signal
import sqlite3
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from relay.cli.backup import copy_database
from tests.factories import MASTER_KEY
from tests.integration.commands import command, is_one_sentence, relay
from tests.integration.live_relay import until
from tests.integration.quiet import PORTAL, Quiet
from tests.integration.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.integration.site import Site


@pytest.fixture
def saved(quiet: Quiet, tmp_path: Path) -> Path:
    """A backup of a quiet relay, with its key."""
    file = tmp_path / "saved.tar.gz"
    assert quiet.tell("backup", file, "--with-key").status == 0
    return file


def members(file: Path) -> dict[str, bytes]:
    """What is in an archive."""
    with tarfile.open(file) as tar:
        return {one.name: content.read() for one in tar if (content := tar.extractfile(one)) is not None}


def packed(file: Path, contents: dict[str, bytes]) -> Path:
    """An archive of these members, in their order."""
    with tarfile.open(file, "w:gz") as tar:
        for name, content in contents.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return file


# Round trip --------------------------------------------------------------------------------------------------


def test_a_relay_is_the_same_after_its_restoration(quiet: Quiet, tmp_path: Path) -> None:
    quiet.put("ONCRMDEALADD", entity="crm.deal:5")
    file, restored = tmp_path / "saved.tar.gz", Quiet(tmp_path / "restored")
    told = quiet.ask("backup", file, "--with-key")
    assert (told["file"], told["bytes"], told["with_key"]) == (str(file), file.stat().st_size, True)
    assert told["files"] == ["relay.toml", "master.key", "relay.db"]
    done = restored.ask("restore", file)
    assert (done["home"], done["master_key"], done["schema"]) == (str(restored.path), True, told["schema"])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [file, restored.path, *restored.path.iterdir()]}
    assert modes == {
        "saved.tar.gz": 0o600,
        "restored": 0o700,
        "relay.toml": 0o600,
        "master.key": 0o600,
        "relay.db": 0o600,
    }
    assert (restored.path / "relay.toml").read_bytes() == (quiet.path / "relay.toml").read_bytes()
    for arguments in (["event", "list"], ["portal", "list"], ["key", "list"]):
        assert restored.ask(*arguments) == quiet.ask(*arguments)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quiet", "restored", "saved.tar.gz"]


def test_without_the_key_a_backup_needs_the_key_that_was_kept(quiet: Quiet, tmp_path: Path) -> None:
    file, restored = tmp_path / "saved.tar.gz", Quiet(tmp_path / "restored")
    ran = quiet.tell("backup", file)
    assert f"keep {quiet.path / 'master.key'} too" in ran.out
    assert [*members(file)] == ["manifest.json", "relay.toml", "relay.db"]
    assert MASTER_KEY.hex().encode() not in b"".join(members(file).values())
    ran = restored.tell("restore", file)
    assert (ran.status, f"put it back as {restored.path / 'master.key'}" in ran.out) == (0, True)
    assert restored.tell("portal", "list").status == 1
    (restored.path / "master.key").write_text(MASTER_KEY.hex())
    assert [portal["url"] for portal in restored.ask("portal", "list")] == [PORTAL]


def test_a_backup_is_restored_into_a_directory_that_is_there_and_empty(saved: Path, tmp_path: Path) -> None:
    home = tmp_path / "volume"
    home.mkdir(mode=0o755)
    (home / ".restoring-left").mkdir()  # by a restoration that was killed
    (home / ".restoring-left" / "relay.db").touch()
    relay("restore", saved, "--home", home)
    assert sorted(path.name for path in home.iterdir()) == ["master.key", "relay.db", "relay.toml"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


# Refusals ----------------------------------------------------------------------------------------------------


def test_a_home_that_holds_anything_is_not_touched(saved: Path, tmp_path: Path) -> None:
    home = tmp_path / "busy"
    home.mkdir(mode=0o755)
    (home / "notes.txt").write_text("mine")
    ran = relay("restore", saved, "--home", home, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert "is not empty" in ran.err
    assert [path.name for path in home.iterdir()] == ["notes.txt"]
    assert stat.S_IMODE(home.stat().st_mode) == 0o755


def _truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _one_bit_off(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "spoil",
    [
        _truncated,
        _one_bit_off,
        lambda _: b"",
        lambda _: b"this is no backup, whatever it is called" * 1000,
    ],
)
def test_a_damaged_backup_leaves_nothing_behind(saved: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    saved.write_bytes(spoil(saved.read_bytes()))
    ran = relay("restore", saved, "--home", tmp_path / "home", "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True), ran
    assert "not a backup of a relay, or it is damaged" in ran.err
    assert not (tmp_path / "home").exists()


def _another_database(contents: dict[str, bytes]) -> dict[str, bytes]:
    return contents | {"relay.db": contents["relay.db"][:-1] + b"x"}


def _no_database(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in contents.items() if name != "relay.db"}


def _way_out(contents: dict[str, bytes]) -> dict[str, bytes]:
    manifest = json.loads(contents["manifest.json"])
    manifest["members"][0]["name"] = "../escaped"
    return {"manifest.json": json.dumps(manifest).encode(), "../escaped": contents["relay.toml"]}


def _other_order(contents: dict[str, bytes]) -> dict[str, bytes]:
    return dict(reversed(contents.items()))


def _broken_database(contents: dict[str, bytes]) -> dict[str, bytes]:
    whole = contents["relay.db"]
    broken = whole[: 4096 * 3] + os.urandom(4096 * 20) + whole[4096 * 23 :]
    manifest = json.loads(contents["manifest.json"])
    manifest["members"][-1]["sha256"] = hashlib.sha256(broken).hexdigest()
    return contents | {"manifest.json": json.dumps(manifest).encode(), "relay.db": broken}


@pytest.mark.parametrize(
    "change", [_another_database, _no_database, _way_out, _other_order, _broken_database], ids=lambda one: one.__name__
)
def test_a_backup_that_was_tampered_with_leaves_nothing_behind(
    saved: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    packed(saved, change(members(saved)))
    ran = relay("restore", saved, "--home", tmp_path / "home", "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True), ran
    assert "damaged" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quiet", "saved.tar.gz"]


def test_a_backup_of_a_newer_program_leaves_nothing_behind(saved: Path, tmp_path: Path) -> None:
    contents = members(saved)
    manifest = json.loads(contents["manifest.json"]) | {"schema": "9999"}
    packed(saved, contents | {"manifest.json": json.dumps(manifest).encode()})
    ran = relay("restore", saved, "--home", tmp_path / "home")
    assert (ran.status, is_one_sentence(ran.err)) == (1, True)
    assert "made by a newer program" in ran.err
    assert not (tmp_path / "home").exists()


def test_another_relays_key_is_noticed_before_anything_is_restored(saved: Path, tmp_path: Path) -> None:
    ran = relay("restore", saved, "--home", tmp_path / "home", RELAY_MASTER_KEY="ab" * 32)
    assert (ran.status, is_one_sentence(ran.err)) == (1, True)
    assert "does not fit its database" in ran.err
    assert not (tmp_path / "home").exists()


def test_a_file_that_is_there_is_never_replaced(quiet: Quiet, saved: Path) -> None:
    before = saved.read_bytes()
    ran = quiet.tell("backup", saved, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert "is there already" in ran.err
    assert saved.read_bytes() == before


def test_a_backup_needs_a_place(quiet: Quiet, tmp_path: Path) -> None:
    nowhere = quiet.tell("backup", tmp_path / "nowhere" / "saved.tar.gz")
    assert (nowhere.status, "There is no directory" in nowhere.err) == (1, True)
    full = quiet.tell("backup", tmp_path / "saved.tar.gz", RELAY_DELIVERY__MIN_FREE_BYTES=str(2**62))
    assert (full.status, is_one_sentence(full.err), "MB of free space" in full.err) == (1, True, True)
    assert not (tmp_path / "saved.tar.gz").exists()


def test_data_in_postgresql_are_for_pg_dump(quiet: Quiet, tmp_path: Path) -> None:
    ran = quiet.tell("backup", tmp_path / "saved.tar.gz", "--json", RELAY_STORE="postgresql://nobody@127.0.0.1:1/none")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert "pg_dump" in ran.err
    assert str(quiet.path / "master.key") in ran.err


def test_a_damaged_database_is_not_saved_as_if_it_were_sound(quiet: Quiet, tmp_path: Path) -> None:
    quiet.put(*["ONCRMDEALADD"] * 500)
    with (quiet.path / "relay.db").open("r+b") as file:
        file.seek(4096 * 20)
        file.write(os.urandom(4096 * 20))
    ran = quiet.tell("backup", tmp_path / "saved.tar.gz", "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True), ran
    assert [path.name for path in tmp_path.iterdir()] == ["quiet"]


# Under load --------------------------------------------------------------------------------------------------


class Load:
    """Events that are fired without a pause; what the relay has accepted of them."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._numbers = itertools.count(1)
        self.accepted: set[str] = set()

    async def run(self) -> None:
        """Fire until cancelled."""
        for number in self._numbers:
            of_deal: dict[str, Any] = {"data][FIELDS][ID": str(number)}
            await self._site.fire(**of_deal)
            self.accepted.add(f"crm.deal:{number}")

    async def reached(self, count: int) -> None:
        """Wait until so many are accepted."""
        await until(lambda: self._has(count))

    async def _has(self, count: int) -> bool:
        return len(self.accepted) >= count


@contextlib.asynccontextmanager
async def under_load(site: Site) -> AsyncIterator[Load]:
    """Several portal processes that fire events."""
    load = Load(site)
    firing = [asyncio.create_task(load.run()) for _ in range(4)]
    try:
        yield load
    finally:
        for task in firing:
            task.cancel()
        await asyncio.gather(*firing, return_exceptions=True)


def test_a_copy_is_of_one_moment_and_does_not_begin_anew_at_every_commit(quiet: Quiet, tmp_path: Path) -> None:
    steps: list[int] = []
    with contextlib.closing(sqlite3.connect(quiet.path / "relay.db", isolation_level=None)) as writing:

        def commit_meanwhile(done: int, _total: int) -> None:
            steps.append(done)
            assert len(steps) < 1000
            writing.execute("INSERT INTO meta VALUES (?, 1)", (f"step {len(steps)}",))

        version = copy_database(quiet.path / "relay.db", tmp_path / "copy.db", commit_meanwhile, pages=4)
    assert version is not None
    assert len(steps) > 5
    assert steps == sorted(steps)
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT count(*) FROM meta WHERE name LIKE 'step %'").fetchone() == (0,)


async def test_a_backup_under_load_has_every_event_accepted_before_and_a_relay_of_it_delivers_them(
    site: Site, tmp_path: Path
) -> None:
    file, home = tmp_path / "saved.tar.gz", tmp_path / "restored"
    async with under_load(site) as load:
        await load.reached(50)
        before = set(load.accepted)
        ran = await command("backup", file, "--with-key", "--home", site.live.relay.config.home, "--json")
        assert ran.document["bytes"] > 0
        assert len(load.accepted) > len(before)  # the relay went on accepting meanwhile
    await command("restore", file, "--home", home)
    listed = (await command("event", "list", "--limit", 100_000, "--home", home, "--json")).document
    assert before <= {row["entity"] for row in listed}
    site.sink.calls.clear()
    waiting = {row["event_id"] for row in listed if row["state"] != "done"}
    async with serving(home) as server:
        await server.logged("ready")
        await until(lambda: _is_drained(home))
        server.signal(signal.SIGTERM)
        assert await server.status() == 0
    assert waiting <= {call.event_id for call in site.sink.calls}
    done = (await command("event", "list", "--limit", 100_000, "--home", home, "--json")).document
    assert {row["state"] for row in done} == {"done"}
    assert len(done) == len(listed)


async def _is_drained(home: Path) -> bool:
    listed = await command("event", "list", "--state", "accepted,due,leased", "--home", home, "--json")
    return not listed.document
