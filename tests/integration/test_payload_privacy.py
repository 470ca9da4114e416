"""What is stored of events is sealed if it shall be, and can be erased for good; nothing is lost by either.

Leans on the raw bytes of the database's files, on a running relay and its command. Must never look for bytes that
would not be there without the promise: each search is shown to find them otherwise.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import pytest
from aiohttp import web

from relay.cli.home import only_server
from relay.config import DATABASE_FILE, load_config
from relay.core.errors import Unavailable
from relay.opened import open_relay
from relay.records import AuditEntry
from tests.integration.commands import command
from tests.integration.live_relay import until
from tests.integration.restarting import Restarting
from tests.integration.sink import answering

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.adapters import Adapter
    from tests.integration.conftest import OpenSite
    from tests.integration.sink import Call, Sink
    from tests.integration.site import Site

TITLE = "Ангелина Vypiska-9471 & co"
PIECES = ["Vypiska-9471", quote_plus("Ангелина"), "Ангелина", "event_handler_id", "47ee90ad1637f2", "LOCAL_USER"]
SEALED: dict[str, Any] = {"delivery": {"encrypt_payloads": True}}
SIZES = (0, 900, 3000, 9000, 50_000)  # within a page of the file, and beyond


def raw_bytes(home: Path) -> bytes:
    """Everything that SQLite has written: the file and its log.

    Read by another process: where a process closes a file, it loses all locks that it has on it, and SQLite its.
    """
    return subprocess.check_output(["cat", *sorted(home.glob(f"{DATABASE_FILE}*"))])


def found_in(home: Path) -> list[str]:
    """The pieces of an event that are there in the clear."""
    raw = raw_bytes(home)
    return [piece for piece in PIECES if piece.encode() in raw]


def data_of(call: Call) -> str:
    """A call's body without what each try makes anew."""
    return call.body.partition("&auth%5B")[0]


async def contact(site: Site, number: int, mark: str, path: str = "/ev", size: int = 0) -> None:
    """An event of a contact."""
    fields = {"event": "ONCRMCONTACTADD", "data][FIELDS][ID": str(number), "data][MARK": mark + "x" * size}
    await site.fire(path, count=1, **fields)


async def told(home: Path, *arguments: object) -> Any:
    """A command on the home, as JSON."""
    return (await command(*arguments, "--home", home, "--json")).document


# Sealed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sealed", [True, False])
async def test_nothing_of_a_sealed_event_is_ever_in_the_files_in_the_clear(
    tmp_path: Path, template: Path, sink: Sink, sealed: bool
) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    wanted = [] if sealed else [piece for piece in PIECES if piece not in {"Ангелина", "47ee90ad1637f2", "LOCAL_USER"}]
    sink.behaviour = answering(500)
    async with home.running(SEALED if sealed else {}) as site:
        await site.fire(count=20, **{"data][FIELDS][TITLE": TITLE, "data][LONG": TITLE * 900})
        await sink.wait_for(1)
        assert found_in(home.home) == wanted
        sink.behaviour = answering(200)
        await site.settled(done=20)
        assert found_in(home.home) == wanted
    assert found_in(home.home) == wanted


async def test_sealed_events_are_delivered_unchanged(adapter: Adapter, open_site_with: OpenSite) -> None:
    plain, sealed = await open_site_with(adapter.settings), None
    sink = plain.sink
    fields = {"data][FIELDS][TITLE": TITLE, "data][FIELDS][ID": "5"}
    await plain.fire("/ev", count=2, **fields)
    await plain.settled(done=2)
    await plain.live.relay.store.close()
    sealed = await open_site_with({**adapter.settings, **SEALED})
    await sealed.fire("/ev", count=2, **fields)
    await sealed.settled(done=4)
    as_plain, as_sealed = sink.calls[:2], sink.calls[2:]
    assert sorted(map(data_of, as_plain)) == sorted(map(data_of, as_sealed))
    assert quote_plus(TITLE) in as_sealed[0].body
    assert "47ee90ad1637f2f2378c9adcf19ad54e" in as_sealed[0].body


async def test_sealing_is_switched_on_and_off_with_events_waiting(tmp_path: Path, template: Path, sink: Sink) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    sink.behaviour = answering(500)
    for settings, name in (({}, "first"), (SEALED, "second"), ({}, "third")):
        async with home.running(settings) as site:
            await site.fire(f"/{name}", count=3, name=name)
            await sink.wait_for(1, f"/{name}")
    async with home.running(SEALED) as site:
        sink.behaviour = answering(200)
        await site.settled(done=9)
    for name in ("first", "second", "third"):
        assert len({call.event_id for call in sink.at(f"/{name}")}) == 3
        assert all(f"&name={name}&" in call.body for call in sink.at(f"/{name}"))


async def test_events_that_wait_outlive_a_change_of_every_key_that_can_be_changed(
    adapter: Adapter, open_site_with: OpenSite
) -> None:
    site = await open_site_with({**adapter.settings, **SEALED})
    home = site.live.relay.config.home
    sink, client_id = site.sink, site.app.client_id
    sink.behaviour = answering(500)
    await site.fire(count=5, title="waits")
    await sink.wait_for(1)
    for _ in range(2):
        assert (await told(home, "key", "rotate", "--now"))["made"] >= 2
    await told(home, "app", "rotate-secret", client_id, "--overlap", "0")
    await told(home, "app", "signing-key", client_id)
    answered: list[Call] = []

    async def take(call: Call) -> web.StreamResponse:
        answered.append(call)
        return web.Response()

    sink.behaviour = take
    await site.settled(done=5)
    assert all("&title=waits&" in call.body for call in answered)
    token = answered[-1].body.partition("auth%5Baccess_token%5D=")[2].partition("&")[0]
    assert (await site.check(token)).status == 200


# Erased ------------------------------------------------------------------------------------------------------


async def test_an_entitys_events_are_erased_beside_a_running_relay_and_no_others(site: Site) -> None:
    home, sink = site.live.relay.config.home, site.sink
    for size in SIZES:
        for number, mark in ((123, "GoesAway"), (124, "StaysOne"), (1234, "StaysTwo")):
            await contact(site, number, mark, "/done", size)
    await site.settled(done=3 * len(SIZES))
    sink.behaviour = answering(500)
    for size in SIZES:
        for number, mark in ((124, "StaysOne"), (123, "GoesAway")):
            await contact(site, number, mark, "/wait", size)
    await sink.wait_for(2, "/wait")
    auth = [row[0] for row in stored(home, "crm.contact:123")]
    assert len(auth) == 2 * len(SIZES)
    assert all(one in raw_bytes(home) for one in auth)
    erased = await told(home, "event", "erase", "--entity", "crm.contact:123", "--yes")
    assert (erased["erased"], erased["being_delivered"]) == (2 * len(SIZES), 0)
    raw = raw_bytes(home)
    assert b"GoesAway" not in raw
    assert not [one for one in auth if one in raw]
    assert raw.count(b"StaysOne") >= 2 * len(SIZES)
    assert raw.count(b"StaysTwo") >= len(SIZES)
    counts = await site.live.relay.store.counts()
    assert (counts["dropped"], counts["done"]) == (len(SIZES), 3 * len(SIZES))
    (entry,) = await told(home, "audit", "list", "--kind", "event.erased")
    assert entry["details"] == {"entity": "crm.contact:123"}
    sink.behaviour = answering(200)
    await site.settled(done=4 * len(SIZES), dropped=len(SIZES))
    with only_server(home):
        replayed = await told(home, "event", "replay", "--entity", "crm.contact:123")
    assert (replayed["replayed"], replayed["skipped"]) == (0, 2 * len(SIZES))
    assert b"GoesAway" not in raw_bytes(home)


def stored(home: Path, entity: str) -> list[Any]:
    """The sealed auth of an entity's events."""
    query = "SELECT auth_sealed FROM payloads JOIN deliveries ON deliveries.id = delivery_id WHERE entity = ?"
    with closing(sqlite3.connect(home / DATABASE_FILE)) as onlooker:
        return onlooker.execute(query, (entity,)).fetchall()


async def test_erased_events_are_dropped_and_passed_over_on_every_store(
    adapter: Adapter, open_site_with: OpenSite
) -> None:
    site = await open_site_with({**adapter.settings, **SEALED})
    store, home = site.live.relay.store, site.live.relay.config.home
    await contact(site, 123, "Delivered")
    await site.settled(done=1)
    site.sink.behaviour = answering(500)
    await contact(site, 123, "Waiting", "/wait")
    await contact(site, 124, "Other", "/other")
    await site.sink.wait_for(1, "/wait")
    assert (await told(home, "event", "erase", "--entity", "CRM.contact:123", "--yes"))["erased"] == 2
    assert (await store.unerased("crm.contact:123"), await store.unerased("crm.contact:124")) == (0, 1)
    assert (await told(home, "event", "erase", "--entity", "crm.contact:123", "--yes"))["erased"] == 0
    site.sink.behaviour = answering(200)
    await site.settled(done=2, dropped=1)
    with only_server(home):
        replayed = await told(home, "event", "replay", "--since", "1h")
    assert (replayed["replayed"], replayed["skipped"]) == (1, 2)
    await site.settled(done=2, dropped=1)
    assert {call.path for call in site.sink.calls[-2:]} == {"/other"}


async def test_a_reader_that_ends_in_time_only_delays_an_erasure(site: Site) -> None:
    home = site.live.relay.config.home
    await contact(site, 123, "GoesAway")
    await site.settled(done=1)
    with closing(sqlite3.connect(home / DATABASE_FILE, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM payloads").fetchone()
        erasing = asyncio.create_task(told(home, "event", "erase", "--entity", "crm.contact:123", "--yes"))

        async def erased() -> bool:
            return await site.live.relay.store.unerased("crm.contact:123") == 0

        await until(erased)
        assert b"GoesAway" in raw_bytes(home)
        reader.execute("COMMIT")
        await erasing
    assert b"GoesAway" not in raw_bytes(home)


async def test_bytes_that_a_reader_keeps_are_never_said_to_be_erased(
    tmp_path: Path, template: Path, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    async with home.running() as site:
        await contact(site, 123, "GoesAway")
        await site.settled(done=1)
    monkeypatch.setattr("relay.store.sqlite.BUSY_TIMEOUT_S", 0.05)
    relay = open_relay(load_config(home.home))
    entry = AuditEntry("event.erased", relay.clock.now_ms() // 1000)
    try:
        with closing(sqlite3.connect(home.home / DATABASE_FILE, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM payloads").fetchone()
            with pytest.raises(Unavailable):
                await relay.store.erase("crm.contact:123", relay.clock.now_ms(), entry)
            reader.execute("COMMIT")
        assert await relay.store.erase("crm.contact:123", relay.clock.now_ms(), entry) == 0
        assert b"GoesAway" not in raw_bytes(home.home)
    finally:
        await relay.store.close()
