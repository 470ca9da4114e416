"""Promises: a handler that hangs, refuses, fails or cheats costs the others nothing, and its own events wait for it.

Leans on: the real command, one portal's events, good and hostile handlers over real sockets.
Must never: take an event for delivered that no handler has answered with 2xx.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from aiohttp import web

from tests.chaos.event_load import PORTAL_URL, LoadPortal
from tests.chaos.hostile_handler import HostileHandler
from tests.chaos.relay_database import states
from tests.e2e.event_sink import EventSink
from tests.e2e.relay_process import RelayProcess, delivery_rules, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from tests.e2e.event_sink import Arrived

    World = tuple[RelayProcess, LoadPortal]

pytestmark = pytest.mark.asyncio(loop_scope="module")

GOOD_EVENTS = 100
BAD_EVENTS = 20
HANDLER_CONCURRENCY = 8
WAIT_S = 30.0
SOON = {"retry_first_s": 0.1, "retry_cap_s": 0.5, "breaker_first_s": 0.1, "breaker_cap_s": 0.5}
# An entity of its own for every event, or they would wait for each other in a lane.
numbers = itertools.count(1)


@asynccontextmanager
async def relay_and_portal(
    folder: Path, *, drain_s: float = 0.5, concurrency: int = 512, **rules: float
) -> AsyncIterator[World]:
    """A relay that tries again soon and is impatient when it stops, and a registered portal."""
    settings = {"RELAY_DELIVERY__DRAIN_S": str(drain_s), "RELAY_DELIVERY__CONCURRENCY": str(concurrency)}
    async with RelayProcess.running(folder / "relay", **settings, **delivery_rules(**(SOON | rules))) as relay:
        await relay.announce(PORTAL_URL)
        yield relay, await LoadPortal.register(relay.url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def patient(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A relay that waits 30 s for a handler's answer."""
    async with relay_and_portal(tmp_path_factory.mktemp("patient")) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A relay that waits a second, and for no more than 16 answers at once."""
    async with relay_and_portal(tmp_path_factory.mktemp("hasty"), concurrency=16, timeout_s=1) as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def good() -> AsyncIterator[EventSink]:
    async with EventSink.running() as sink:
        yield sink


@pytest_asyncio.fixture(loop_scope="module")
async def bad() -> AsyncIterator[HostileHandler]:
    async with HostileHandler.running() as handler:
        yield handler


def events(count: int, url: str) -> list[tuple[int, str]]:
    return [(next(numbers), url) for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds: for what no event loop of ours is told of."""
    async with asyncio.timeout(WAIT_S):
        while not condition():
            await asyncio.sleep(0.01)


async def event_at(relay: RelayProcess, url: str) -> dict[str, Any]:
    """What the relay says of the one event for this handler."""
    (event,) = await relay.command("event", "list", "--handler", url)
    assert isinstance(event, dict)
    return event


@pytest.mark.parametrize("way", ["silent", "half a line", "half a header", "short body", "endless body"])
async def test_a_handler_that_hangs_delays_no_other(
    way: str, patient: World, good: EventSink, bad: HostileHandler
) -> None:
    _, portal = patient
    mixed = events(GOOD_EVENTS, f"{good.url}/good") + events(BAD_EVENTS, bad.url_of(way))
    assert await portal.send(sorted(mixed, key=lambda item: item[0] % BAD_EVENTS))
    arrived = await good.wait_for("/good", GOOD_EVENTS)
    assert len({one.event_id for one in arrived}) == GOOD_EVENTS
    if way != "endless body":
        # Those of the bad one are still held, no more at once than its share.
        await until(lambda: way in bad.most_open)
        assert 0 < bad.open_now[way] <= bad.most_open[way] <= HANDLER_CONCURRENCY


async def test_more_hanging_handlers_than_calls_at_once_do_not_starve_a_good_one(
    hasty: World, good: EventSink, bad: HostileHandler
) -> None:
    _, portal = hasty
    hanging = [(number, f"{bad.url_of('silent')}?handler={number}") for number, _ in events(40, "")]
    assert await portal.send(hanging)
    assert await portal.send(events(GOOD_EVENTS, f"{good.url}/good"))
    await good.wait_for("/good", GOOD_EVENTS)


async def test_a_hanging_handler_is_given_up_and_its_events_come_again(hasty: World, good: EventSink) -> None:
    _, portal = hasty
    released = asyncio.Event()

    async def hang(_: Arrived) -> int:
        await released.wait()
        return 200

    good.replies["/hang"] = hang
    assert await portal.send(events(3, f"{good.url}/hang"))
    await good.wait_until(lambda: sum(one.attempt == 2 for one in good.at("/hang")) == 3)
    assert len({one.event_id for one in good.at("/hang")}) == 3
    released.set()


@pytest.mark.parametrize("way", ["garbage", "hang up", "half a header"])
async def test_a_broken_answer_is_no_delivery(way: str, hasty: World, bad: HostileHandler) -> None:
    relay, portal = hasty
    assert await portal.send(events(1, bad.url_of(way)))
    await until(lambda: len(bad.calls.get(way, [])) >= 3)
    assert len(set(bad.calls[way])) == 1
    assert (await event_at(relay, bad.url_of(way)))["state"] in {"due", "leased"}


@pytest.mark.parametrize("way", ["endless body", "short body"])
async def test_an_answer_that_does_not_end_counts_by_its_status_and_is_cut(
    way: str, hasty: World, bad: HostileHandler
) -> None:
    relay, portal = hasty
    assert await portal.send(events(1, bad.url_of(way)))
    await until(lambda: way in bad.calls and bad.open_now[way] == 0)
    event = await event_at(relay, bad.url_of(way))
    assert (event["state"], event["attempts"]) == ("done", 1)
    assert len(bad.calls[way]) == 1


async def test_a_refused_connection_is_tried_until_somebody_listens(patient: World) -> None:
    relay, portal = patient
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/late"
    arrived: list[tuple[str, int]] = []

    async def take(request: web.Request) -> web.Response:
        arrived.append((request.headers["X-Relay-Event-Id"], int(request.headers["X-Relay-Attempt"])))
        return web.Response()

    assert await portal.send(events(1, url))
    async with asyncio.timeout(WAIT_S):
        while (event := await event_at(relay, url))["attempts"] < 2:
            pass
    app = web.Application()
    app.router.add_post("/late", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        await until(lambda: len(arrived) > 0)
        assert arrived[0][0] == event["event_id"]
        assert arrived[0][1] > 2
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("status", [500, 503, 404, 302, 401])
async def test_a_failing_handler_is_asked_again_until_it_takes_the_event(
    status: int, patient: World, good: EventSink
) -> None:
    _, portal = patient

    async def at_last(one: Arrived) -> int:
        return 204 if one.attempt == 4 else status

    good.replies["/failing"] = at_last
    assert await portal.send(events(1, f"{good.url}/failing"))
    tries = await good.wait_for("/failing", 4)
    assert [one.attempt for one in tries] == [1, 2, 3, 4]
    assert len({one.event_id for one in tries}) == 1


async def test_sigterm_lets_what_is_in_flight_end_and_takes_nothing_new(tmp_path: Path, good: EventSink) -> None:
    released = asyncio.Event()

    async def slow(_: Arrived) -> int:
        await released.wait()
        return 200

    good.replies["/slow"] = slow
    count = 3 * HANDLER_CONCURRENCY
    async with relay_and_portal(tmp_path, drain_s=20) as (relay, portal):
        assert await portal.send(events(count, f"{good.url}/slow"))
        await good.wait_for("/slow")
        await relay.terminate()
        late = 0
        async with asyncio.timeout(WAIT_S):
            while await portal.send(events(1, f"{good.url}/late")):
                late += 1
        released.set()
        assert await relay.ended() == 0
        begun = len(good.arrived)
        assert states(relay.home) == {"done": begun, "due": count + late - begun}
        await relay.start()
        tries = await good.wait_for("/slow", count)
        assert len({one.event_id for one in tries}) == count
        assert {one.attempt for one in tries} == {1}


async def test_sigterm_does_not_wait_for_a_hanging_handler_beyond_its_patience(
    tmp_path: Path, bad: HostileHandler
) -> None:
    async with relay_and_portal(tmp_path) as (relay, portal):
        assert await portal.send(events(1, bad.url_of("silent")))
        await until(lambda: "silent" in bad.calls)
        async with asyncio.timeout(20):  # less than the 30 s that the handler would be waited for
            assert await relay.stop() == 0
        await relay.start()
        await until(lambda: len(bad.calls["silent"]) >= 2)
        assert len(set(bad.calls["silent"])) == 1
