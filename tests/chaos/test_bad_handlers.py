"""Promises: a handler that hangs, refuses, fails or cheats costs the others nothing, and its own events wait for it.

Leans on: the real command, one portal's events, good and hostile handlers over real sockets.
Must never: take an event for delivered that no handler has answered with 2xx.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from tests.chaos.event_load import PORTAL_URL, LoadPortal
from tests.chaos.hostile_handler import HostileHandler
from tests.chaos.relay_database import states
from tests.e2e.event_sink import EventSink
from tests.e2e.relay_process import RelayProcess, delivery_rules, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.event_sink import Arrived

GOOD_EVENTS = 100
BAD_EVENTS = 20
HANDLER_CONCURRENCY = 8
WAIT_S = 30.0
SOON = {"retry_first_s": 0.1, "retry_cap_s": 0.5, "breaker_first_s": 0.1, "breaker_cap_s": 0.5}
SHORT = {"timeout_s": 1}


@asynccontextmanager
async def relay_and_portal(
    folder: Path, *, drain_s: float = 0.5, concurrency: int = 512, **rules: float
) -> AsyncIterator[tuple[RelayProcess, LoadPortal]]:
    """A relay that tries again soon and is impatient when it stops, and a registered portal."""
    settings = {"RELAY_DELIVERY__DRAIN_S": str(drain_s), "RELAY_DELIVERY__CONCURRENCY": str(concurrency)}
    async with RelayProcess.running(folder / "relay", **settings, **delivery_rules(**(SOON | rules))) as relay:
        await relay.announce(PORTAL_URL)
        yield relay, await LoadPortal.register(relay.url)


@pytest.mark.parametrize("way", ["silent", "half a line", "half a header", "short body", "endless body"])
async def test_a_handler_that_hangs_delays_no_other(way: str, tmp_path: Path) -> None:
    async with (
        HostileHandler.running() as bad,
        EventSink.running() as good,
        relay_and_portal(tmp_path) as (_, portal),
    ):
        mixed = [(number, f"{good.url}/good") for number in range(GOOD_EVENTS)]
        mixed += [(number, bad.url_of(way)) for number in range(GOOD_EVENTS, GOOD_EVENTS + BAD_EVENTS)]
        assert await portal.send(sorted(mixed, key=lambda item: item[0] % BAD_EVENTS))
        arrived = await good.wait_for("/good", GOOD_EVENTS)
        assert len({one.event_id for one in arrived}) == GOOD_EVENTS
        if way != "endless body":
            # The relay waits 30 s for a handler: all those of the bad one are still held, and no more than its share.
            assert 0 < bad.most_open[way] <= HANDLER_CONCURRENCY


async def test_a_hanging_handler_is_given_up_and_its_events_come_again(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def hang(_: Arrived) -> int:
        await released.wait()
        return 200

    async with EventSink.running() as sink, relay_and_portal(tmp_path, **SHORT) as (_, portal):
        sink.replies["/hang"] = hang
        assert await portal.send([(number, f"{sink.url}/hang") for number in range(3)])
        await sink.wait_until(lambda: sum(one.attempt == 2 for one in sink.at("/hang")) == 3)
        assert len({one.event_id for one in sink.at("/hang")}) == 3
        released.set()


async def test_more_hanging_handlers_than_calls_at_once_do_not_starve_a_good_one(tmp_path: Path) -> None:
    async with (
        HostileHandler.running() as bad,
        EventSink.running() as good,
        relay_and_portal(tmp_path, concurrency=16, **SHORT) as (_, portal),
    ):
        hanging = [(number, f"{bad.url_of('silent')}?handler={number}") for number in range(40)]
        assert await portal.send(hanging)
        assert await portal.send([(100 + number, f"{good.url}/good") for number in range(GOOD_EVENTS)])
        await good.wait_for("/good", GOOD_EVENTS)


@pytest.mark.parametrize("way", ["garbage", "hang up", "half a header"])
async def test_a_broken_answer_is_no_delivery(way: str, tmp_path: Path) -> None:
    async with HostileHandler.running() as bad, relay_and_portal(tmp_path, **SHORT) as (relay, portal):
        assert await portal.send([(1, bad.url_of(way))])
        async with asyncio.timeout(WAIT_S):
            while len(bad.calls.get(way, [])) < 3:
                await asyncio.sleep(0.01)
        assert len(set(bad.calls[way])) == 1
        await relay.stop()
        assert states(relay.home) == {"due": 1}


@pytest.mark.parametrize("way", ["endless body", "short body"])
async def test_an_answer_that_does_not_end_counts_by_its_status_and_is_cut(way: str, tmp_path: Path) -> None:
    async with HostileHandler.running() as bad, relay_and_portal(tmp_path, **SHORT) as (relay, portal):
        assert await portal.send([(1, bad.url_of(way))])
        async with asyncio.timeout(WAIT_S):
            while not bad.calls or bad.open_now[way]:
                await asyncio.sleep(0.01)
        await relay.stop()
        assert states(relay.home) == {"done": 1}
        assert len(bad.calls[way]) == 1


async def test_a_refused_connection_is_tried_until_somebody_listens(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    attempts: list[tuple[str, int]] = []
    arrived = asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        attempts.append((request.headers["X-Relay-Event-Id"], int(request.headers["X-Relay-Attempt"])))
        arrived.set()
        return web.Response()

    async with relay_and_portal(tmp_path) as (relay, portal):
        assert await portal.send([(1, f"http://127.0.0.1:{port}/late")])
        async with asyncio.timeout(WAIT_S):
            while (event := (await relay.command("event", "list"))[0])["attempts"] < 2:
                pass
        app = web.Application()
        app.router.add_post("/late", take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            async with asyncio.timeout(WAIT_S):
                await arrived.wait()
            assert attempts[0][0] == event["event_id"]
            assert attempts[0][1] > 2
        finally:
            await runner.cleanup()


@pytest.mark.parametrize("status", [500, 503, 404, 302, 401])
async def test_a_failing_handler_is_asked_again_until_it_takes_the_event(status: int, tmp_path: Path) -> None:
    async def at_last(one: Arrived) -> int:
        return 204 if one.attempt == 4 else status

    async with EventSink.running() as sink, relay_and_portal(tmp_path) as (relay, portal):
        sink.replies["/failing"] = at_last
        assert await portal.send([(1, f"{sink.url}/failing")])
        tries = await sink.wait_for("/failing", 4)
        assert [one.attempt for one in tries] == [1, 2, 3, 4]
        assert len({one.event_id for one in tries}) == 1
        await relay.stop()
        assert states(relay.home) == {"done": 1}


async def test_sigterm_lets_what_is_in_flight_end_and_takes_nothing_new(tmp_path: Path) -> None:
    released = asyncio.Event()

    async def slow(_: Arrived) -> int:
        await released.wait()
        return 200

    async with EventSink.running() as sink, relay_and_portal(tmp_path, drain_s=20) as (relay, portal):
        sink.replies["/slow"] = slow
        count = 3 * HANDLER_CONCURRENCY
        assert await portal.send([(number, f"{sink.url}/slow") for number in range(count)])
        await sink.wait_for("/slow")
        await relay.terminate()
        async with asyncio.timeout(WAIT_S):
            while await portal.send([(1000, f"{sink.url}/late")]):
                pass
        in_flight = len(sink.arrived)
        released.set()
        assert await relay.ended() == 0
        assert len(sink.arrived) == in_flight < count
        found = states(relay.home)
        assert found["done"] == in_flight
        assert "leased" not in found
        await relay.start()
        tries = await sink.wait_for("/slow", count)
        assert len({one.event_id for one in tries}) == count
        assert {one.attempt for one in tries} == {1}


async def test_sigterm_does_not_wait_for_a_hanging_handler_beyond_its_patience(tmp_path: Path) -> None:
    async with HostileHandler.running() as bad, relay_and_portal(tmp_path) as (relay, portal):
        assert await portal.send([(1, bad.url_of("silent"))])
        async with asyncio.timeout(WAIT_S):
            while not bad.calls:
                await asyncio.sleep(0.01)
        async with asyncio.timeout(20):  # less than the 30 s that the handler would be waited for
            assert await relay.stop() == 0
        await relay.start()
        async with asyncio.timeout(WAIT_S):
            while len(bad.calls["silent"]) < 2:
                await asyncio.sleep(0.01)
        assert len(set(bad.calls["silent"])) == 1
