"""How a handler is spared and bounded: when it asks to wait, fails, is slow, or talks without end.

Leans on real handlers and on the relay's clock, which can be moved. Must never call one more often than its rules say.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import pytest

from relay.core.breaker import Circuit
from tests.integration.deals import DAY_S, NotedHandler, answered, fire, gone_round, reached, rules, told
from tests.integration.live_relay import until
from tests.integration.raw_handler import running_raw_handler
from tests.integration.wire import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site

CHUNKED = b"HTTP/1.1 %d Somehow\r\nTransfer-Encoding: chunked\r\n\r\n"


def unordered(**settings: Any) -> dict[str, Any]:
    """Rules without an order."""
    return rules(order="none", **settings)


def circuit_of(site: Site) -> Circuit:
    """The circuit of the first handler."""
    assert site.live.runtime is not None
    return site.live.runtime.dispatcher.circuits()[1][0]


async def test_410_is_held_as_gone_and_never_tried_again_by_itself(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(order="lane", retry_cap_s=1))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 410
    await fire(site, "5a", "5b", "6a")
    gone, *_ = await reached(site, "held", "accepted", "done")
    assert (gone.hold_reason, gone.attempts, gone.last_status) == ("gone", 1, 410)
    handler.statuses.clear()
    for _ in range(2):
        site.live.clock.advance(DAY_S)
        await gone_round(site)
    assert handler.notes == ["5a", "6a"]
    assert (await told(site, "event", "retry", gone.event_id))["events"] == 1
    await reached(site, "done", "done", "done")
    assert handler.notes == ["5a", "6a", "5a", "5b"]


async def asked_to_wait(site: Site, handler: NotedHandler, status: int, value: str) -> tuple[int, int]:
    """After an answer with that Retry-After: milliseconds from before the call and from after it to the next one."""
    before_ms = site.live.clock.now_ms()
    handler.status, handler.headers = status, {"Retry-After": value}
    await fire(site, "5a")
    (row,) = await answered(site, status)
    return row.due_at_ms - before_ms, row.due_at_ms - site.live.clock.now_ms()


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "EAST-5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


DATES: dict[str, Callable[[float], str]] = {
    "IMF-fixdate": lambda at: formatdate(at, usegmt=True),
    "no zone": formatdate,
    "asctime": lambda at: time.asctime(time.gmtime(at)),
}


@pytest.mark.usefixtures("_far_from_greenwich")
@pytest.mark.parametrize("form", ["seconds", *DATES])
async def test_no_call_before_the_time_a_busy_handler_asked_for(open_site_with: OpenSite, form: str) -> None:
    site = await open_site_with(unordered())
    handler = NotedHandler(site.sink)
    value = DATES[form](time.time() + 100) if form in DATES else "100"
    since_before_ms, since_after_ms = await asked_to_wait(site, handler, 503, value)
    assert since_before_ms >= 98_900
    assert since_after_ms <= 100_000
    handler.status = 200
    await fire(site, "6a")
    site.live.clock.advance(100 - PATIENCE_S - 2)
    await gone_round(site)
    assert handler.notes == ["5a"]
    site.live.clock.advance(PATIENCE_S + 2)
    await reached(site, "done", "done")


async def test_an_events_own_retry_after_stops_no_other(open_site_with: OpenSite) -> None:
    site = await open_site_with(unordered())
    handler = NotedHandler(site.sink)
    since_before_ms, _ = await asked_to_wait(site, handler, 404, "100")
    assert since_before_ms >= 100_000
    handler.status = 200
    await fire(site, "6a")
    await reached(site, "due", "done")
    assert handler.notes == ["5a", "6a"]


async def test_a_retry_after_is_honoured_up_to_its_cap(open_site_with: OpenSite) -> None:
    site = await open_site_with(unordered(retry_after_cap_s=50))
    handler = NotedHandler(site.sink)
    since_before_ms, since_after_ms = await asked_to_wait(site, handler, 429, str(DAY_S))
    assert since_before_ms >= 50_000
    assert since_after_ms <= 50_000
    site.live.clock.advance(50)
    await handler.called(2)


async def test_after_failures_in_a_row_calls_stop_and_one_probe_at_a_time_finds_out(open_site_with: OpenSite) -> None:
    site = await open_site_with(unordered(breaker_failures=3, breaker_first_s=60, breaker_cap_s=600))
    handler = NotedHandler(site.sink)
    handler.status = 500
    await fire(site, *(f"{deal}a" for deal in range(10, 30)))

    async def is_open() -> bool:
        return circuit_of(site) is Circuit.OPEN

    await until(is_open)
    await gone_round(site)
    calls, handler.most = len(handler.notes), 0
    assert 3 <= calls <= 3 + 8

    handler.gate.clear()
    for probes, open_s in enumerate((60, 120)):
        site.live.clock.advance(open_s - 30)
        await gone_round(site)
        assert len(handler.notes) == calls + probes, "a call while the circuit is open"
        site.live.clock.advance(30)
        await handler.called(calls + probes + 1)
        await fire(site, f"{40 + probes}a")
        site.live.clock.advance(60)
        await gone_round(site)
        assert (len(handler.notes), circuit_of(site)) == (calls + probes + 1, Circuit.HALF_OPEN)
        handler.let_through()
        await until(is_open)
    assert handler.most == 1

    handler.status = 200
    handler.gate.set()
    site.live.clock.advance(240)
    await reached(site, *["done"] * 22)


async def test_one_success_in_between_keeps_the_circuit_closed(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(order="handler", breaker_failures=2, breaker_first_s=600, breaker_cap_s=600))
    handler = NotedHandler(site.sink)
    notes = [f"{deal}a" for deal in range(10, 15)]
    handler.statuses = dict.fromkeys(notes, 500)
    for note in notes:
        await fire(site, note)
        await handler.called_for(note)
        del handler.statuses[note]
    await reached(site, *["done"] * 5)


async def test_calls_start_no_faster_than_the_rate(open_site_with: OpenSite) -> None:
    site = await open_site_with(unordered(rate=0.01))
    handler = NotedHandler(site.sink)
    await fire(site, "5a", "5b", "6a")
    for calls in (1, 2):
        await handler.called(calls)
        site.live.clock.advance(70)
        await gone_round(site)
        assert len(handler.notes) == calls
        site.live.clock.advance(31)
    await reached(site, "done", "done", "done")


async def test_a_rate_of_many_a_second_is_kept_over_a_burst(open_site_with: OpenSite) -> None:
    site = await open_site_with(unordered(rate=20))
    began = time.monotonic()
    await site.fire(count=13)
    await site.settled(done=13)
    assert time.monotonic() - began >= 12 / 20


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_never_more_calls_at_once_than_a_handler_may_have(open_site_with: OpenSite, concurrency: int) -> None:
    site = await open_site_with(unordered(concurrency=concurrency))
    at_first = min(concurrency, 2)
    handlers = [NotedHandler(site.sink, path) for path in ("/ev", "/other")]
    for handler in handlers:
        handler.gate.clear()
        await site.fire(handler.path, count=20, **{"data][note": "5a"})
        await handler.called(at_first)
    await gone_round(site)
    assert [handler.now for handler in handlers] == [at_first] * 2
    for handler in handlers:
        handler.let_through()
        await handler.called(at_first + concurrency)
    await gone_round(site)
    assert [handler.now for handler in handlers] == [concurrency] * 2
    for handler in handlers:
        handler.gate.set()
        await reached(site, *["done"] * 20, path=handler.path)
    assert [handler.most for handler in handlers] == [concurrency] * 2


@pytest.mark.parametrize(
    ("first", "again", "status", "error"),
    [
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x", None, "timeout"),
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n", None, "timeout"),
        (CHUNKED % 500, b"1\r\nx\r\n", 500, "status"),
    ],
    ids=["header", "early hints", "body of an error"],
)
async def test_an_answer_that_drips_is_cut_off_after_the_time_for_the_whole_call(
    open_site_with: OpenSite, first: bytes, again: bytes, status: int | None, error: str
) -> None:
    site = await open_site_with(unordered(timeout_s=0.4))
    async with running_raw_handler(first, again, pause_s=0.02) as handler:
        site.sink.url = handler.url
        await site.fire()
        await handler.left(2)
        (row,) = await site.deliveries()
        assert (str(row.state) in {"due", "leased"}, row.last_status, row.last_error) == (True, status, error)
        found = await site.live.relay.store.show(row.event_id)
        assert found is not None
        assert found[1][0].outcome.duration_ms >= 400


@pytest.mark.parametrize(
    ("settings", "again", "pause_s"),
    [
        ({"timeout_s": 0.4}, b"1\r\nx\r\n", 0.02),
        ({"timeout_s": 3 * PATIENCE_S, "response_bytes": 1000}, b"10000\r\n" + b"x" * 0x10000 + b"\r\n", 0),
        ({"timeout_s": 3 * PATIENCE_S, "response_bytes": 10}, b"1\r\nx\r\n", 0.01),
    ],
    ids=["drips too long", "flood", "drips too much"],
)
async def test_a_body_without_end_after_200_is_cut_off_and_the_event_counts_as_taken(
    open_site_with: OpenSite, settings: dict[str, Any], again: bytes, pause_s: float
) -> None:
    site = await open_site_with(unordered(**settings))
    async with running_raw_handler(CHUNKED % 200, again, pause_s=pause_s) as handler:
        site.sink.url = handler.url
        await site.fire()
        await site.settled(done=1)
        await handler.left(1)
        (row,) = await site.deliveries()
        assert (row.attempts, row.last_status, row.last_error, handler.calls) == (1, 200, None, 1)
