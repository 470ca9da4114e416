"""Promises of `relay event replay`: the same events once more, paced, counted, across a restart, whoever watches.

Leans on a real relay, a real handler and the real command. Ends only processes that it started.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from relay.cli.home import only_server
from relay.config import load_config
from relay.opened import open_relay
from tests.integration.commands import command, environment, is_one_sentence
from tests.integration.live_relay import LiveRelay, running_relay, until
from tests.integration.quiet import PORTAL
from tests.integration.serving import WAIT_S, serving
from tests.integration.test_cli_serve import send_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.quiet import Quiet
    from tests.integration.sink import Call, Sink
    from tests.integration.site import Site


@asynccontextmanager
async def served(site: Site) -> AsyncIterator[Path]:
    """The site's home, held as `relay serve` holds it."""
    home = site.live.relay.config.home
    with only_server(home):
        yield home


async def replay(home: Path, *arguments: object) -> Any:
    """`relay event replay … --json`."""
    return (await command("event", "replay", *arguments, "--home", home, "--json")).document


def by_event(calls: list[Call]) -> dict[str, list[Call]]:
    """The calls of each event, in order."""
    found: dict[str, list[Call]] = {}
    for call in calls:
        found.setdefault(call.event_id, []).append(call)
    return found


def of_deal(number: int) -> dict[str, Any]:
    """What an event of this deal has besides."""
    return {"data][FIELDS][ID": str(number)}


async def test_events_are_counted_first_and_then_sent_once_more(site: Site) -> None:
    async with served(site) as home:
        await site.fire(count=12)
        await site.fire("/other", count=3)
        await site.settled(done=15)
        counted = await replay(home, "--handler", "/ev", "--dry-run")
        assert counted["counts"] == [{"state": "done", "handler": f"{site.sink.url}/ev", "events": 12}]
        assert (counted["dry_run"], counted["events"], counted["replay_id"]) == (True, 12, None)
        assert len(site.sink.calls) == 15
        replayed = await replay(home, "--handler", "/ev", "--rate", 1000)
        assert (replayed["events"], replayed["replayed"], replayed["finished"]) == (12, 12, True)
        await site.settled(done=15)
        calls = by_event(site.sink.at("/ev"))
        assert [len(one) for one in calls.values()] == [2] * 12
        assert {(first.attempt, first.headers.get("x-relay-replay")) for first, _ in calls.values()} == {(1, None)}
        assert {(again.attempt, again.headers.get("x-relay-replay")) for _, again in calls.values()} == {(2, "1")}
        shown = (await command("event", "show", next(iter(calls)), "--home", home, "--json")).document
        assert (shown["replay"], shown["attempts"]) == (True, 2)
        text = (await command("event", "list", "--handler", "/ev", "--home", home)).out
        assert text.count("delivered (done), replay") == 12
        (entry,) = (await command("audit", "list", "--kind", "event.replayed", "--home", home, "--json")).document
        assert entry["details"] == {"states": ["done", "held", "dropped"], "handler": "/ev", "rate": 1000}


async def test_what_is_no_longer_kept_is_passed_over_and_said(site: Site) -> None:
    async with served(site) as home:
        for number in (7, 8):
            await site.fire(**of_deal(number))
        await site.settled(done=2)
        erased = await command("event", "erase", "--entity", "crm.deal:7", "--yes", "--home", home, "--json")
        assert erased.document["erased"] == 1
        ran = await command("event", "replay", "--state", "done", "--home", home)
        assert ran.out.splitlines() == [
            "Events that are on their way again: 1",
            "Passed over, because their payload is no longer kept: 1",
        ]
        await site.settled(done=2)


async def test_events_that_were_dropped_or_held_are_sent_after_all(site: Site) -> None:
    async with served(site) as home:
        await command("handler", "list", "--home", home)
        await command("app", "set", site.app.client_id, "--inactive", "--home", home)
        await site.fire(count=2)
        (first, _) = await site.deliveries()
        await command("event", "drop", first.event_id, "--reason", "a mistake", "--yes", "--home", home)
        await command("app", "set", site.app.client_id, "--active", "--home", home)
        await site.settled(done=1, dropped=1)
        assert (await replay(home, first.event_id))["replayed"] == 1
        await site.settled(done=2)
        assert len(site.sink.calls) == 2


async def test_whoever_goes_away_leaves_the_replay_running(site: Site) -> None:
    async with served(site) as home:
        await site.fire(count=6)
        await site.settled(done=6)
        arguments = ("event", "replay", "--state", "done", "--rate", "1", "--home", str(home))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "relay.cli", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(),
        )
        try:
            await site.sink.wait_for(7)
            process.send_signal(signal.SIGINT)
            async with asyncio.timeout(WAIT_S):
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
        assert process.returncode == 130
        assert out.decode() == "The replay 1 of 6 events is under way.\n"
        assert is_one_sentence(err.decode())
        assert "goes on with it by itself" in err.decode()
        await site.sink.wait_for(12)
        await site.settled(done=6)


async def test_where_no_relay_runs_the_replay_waits_for_one(quiet: Quiet, sink: Sink) -> None:
    home = quiet.path
    await command("portal", "add", PORTAL, "--allow", "127.0.0.0/8", "--home", home)
    async with running_relay(home, template=home / "relay.db") as live:
        await send_events(live.service, *[f"{sink.url}/ev"] * 3)
        await until(lambda: _all_done(live, 3))
    ran = await command("event", "replay", "--event", "oncrmdealadd", "--home", home)
    assert (ran.status, ran.out) == (0, "The replay 1 of 3 events is under way.\n")
    assert is_one_sentence(ran.err)
    assert "The relay is not running" in ran.err
    async with running_relay(home, template=home / "relay.db") as live:
        await sink.wait_for(6)
        await until(lambda: _all_done(live, 3))


async def _all_done(live: LiveRelay, count: int) -> bool:
    return (await live.relay.store.counts())["done"] == count


async def test_a_replay_goes_on_after_a_restart_and_sends_each_event_once(quiet: Quiet, sink: Sink) -> None:
    home, count = quiet.path, 30
    await command("portal", "add", PORTAL, "--allow", "127.0.0.0/8", "--home", home)
    async with serving(home) as server:
        await send_events((await server.logged("ready"))["service"], *[f"{sink.url}/ev"] * count)
        await sink.wait_for(count)
        await until(lambda: _done(home, count))
        begun = await replay(home, "--since", "1h", "--rate", 10, "--no-wait")
        assert (begun["events"], begun["finished"]) == (count, False)
        await sink.wait_for(count + 3)
        server.signal(signal.SIGTERM)
        assert await server.status() == 0
    before = len(sink.calls)
    assert count < before < 2 * count
    async with serving(home) as server:
        await server.logged("ready")
        await sink.wait_for(2 * count)
        await until(lambda: _done(home, count))
        server.signal(signal.SIGTERM)
        assert await server.status() == 0
    calls = by_event(sink.calls)
    assert [len(one) for one in calls.values()] == [2] * count
    assert {again.headers.get("x-relay-replay") for _, again in calls.values()} == {"1"}


async def _done(home: Path, count: int) -> bool:
    """Whether every event of a relay in another process is delivered."""
    opened = open_relay(load_config(home, {}))
    try:
        return (await opened.store.counts())["done"] == count
    finally:
        await opened.store.close()


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        ([], 2, "Say which events"),
        (["--state", "due"], 1, "Only events that are done, held or dropped can be replayed"),
        (["--state", "done", "--rate", "0"], 2, "Invalid value for '--rate'"),
        (["0" * 32], 1, "There is no event"),
    ],
)
def test_nothing_is_replayed_by_accident(quiet: Quiet, arguments: list[str], status: int, says: str) -> None:
    ran = quiet.tell("event", "replay", *arguments, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (status, "", True)
    assert says in ran.err


def test_a_replay_of_nothing_is_none(quiet: Quiet) -> None:
    assert quiet.ask("event", "replay", "--state", "done") == {
        "dry_run": False,
        "events": 0,
        "replay_id": None,
        "counts": [],
    }
