"""Retention: what is over and old enough goes, in small batches; what is not over stays, however old it is.

Leans on a running relay whose clock is moved, and on the stores. Must never wait for a round: conditions are waited
for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from relay.cli.home import only_server
from relay.config import DATABASE_FILE
from relay.core.model import DeliveryState
from relay.records import DeliveryFilter
from relay.store import schema as s
from tests.factories import NOW_MS
from tests.integration.commands import command
from tests.integration.live_relay import until
from tests.integration.restarting import Restarting
from tests.integration.sink import answering
from tests.integration.stored import ME, claim, ended, entry, new_delivery, with_app
from tests.integration.wire import get, send

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter
    from tests.integration.conftest import OpenSite
    from tests.integration.sink import Call, Sink
    from tests.integration.site import Site

DAY_S = 86400
QUICK = {"housekeeping": {"every_s": 0.05}, "retention": {"payload_days": 1, "delivery_days": 3}}
LATER_MS = NOW_MS + 10**6


async def rows(store: SqlStore, table: Any) -> int:
    """How many rows a table has."""
    query = select(func.count()).select_from(table)
    return await store._database.read(lambda c: int(c.execute(query).scalar_one()))


async def has_rows(site: Site, **wanted: int) -> None:
    """Wait until the tables have so many rows."""
    store = site.live.relay.store

    async def reached() -> bool:
        return {name: await rows(store, getattr(s, name)) for name in wanted} == wanted

    await until(reached)


async def counts_are_right(store: SqlStore) -> bool:
    """Whether the kept counts are those of the rows, in all and by handler."""
    d = s.deliveries.c
    query = select(d.handler_id, d.state, func.count()).group_by(d.handler_id, d.state)
    true = {(h, state): count for h, state, count in await store._database.read(lambda c: list(c.execute(query)))}
    kept = {
        (row.handler.id, state): count
        for row in await store.list_handlers()
        for state, count in row.counts.items()
        if count
    }
    in_all = sum((await store.counts()).values())
    return kept == true and in_all == sum(true.values())


async def hanging(_call: Call) -> web.StreamResponse:
    """A handler that never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def one_of_each(site: Site) -> None:
    """An event in each state, two where a lane makes the second wait; with their tries."""
    deal = {"data][FIELDS][ID": "5"}
    site.sink.behaviours = {"/held": answering(410), "/leased": hanging}
    await site.fire("/done", count=3)
    await site.fire("/held")
    await site.fire("/leased")
    await site.settled(done=3, held=1, leased=1)
    home = site.live.relay.config.home
    await site.fire("/due")
    await site.settled(done=4, held=1, leased=1)
    await command("handler", "pause", f"{site.sink.url}/due", "--home", home)
    await site.fire("/due", count=2, **deal)
    await site.fire("/due", count=1, **{"data][FIELDS][ID": "6"})
    dropped = ("event", "drop", "--entity", "crm.deal:6", "--reason", "a mistake", "--yes")
    await command(*dropped, "--home", home)
    await site.settled(done=4, held=1, leased=1, due=1, accepted=1, dropped=1)


async def test_first_payloads_and_then_all_of_what_is_over_goes_and_the_rest_stays(
    adapter: Adapter, open_site_with: OpenSite
) -> None:
    site = await open_site_with({**adapter.settings, **QUICK, "apps": {"*": {"timeout_s": 60}}})
    store, home = site.live.relay.store, site.live.relay.config.home
    await one_of_each(site)
    await has_rows(site, deliveries=9, payloads=9, attempts=5)
    site.live.clock.advance(1.5 * DAY_S)
    await has_rows(site, deliveries=9, payloads=4, attempts=5)
    assert await counts_are_right(store)
    with only_server(home):
        ran = await command("event", "replay", "--state", "done,dropped", "--home", home)
    assert ran.out.splitlines() == [
        "Events that are on their way again: 0",
        "Passed over, because their payload is no longer kept: 5",
    ]
    site.live.clock.advance(2 * DAY_S)
    await has_rows(site, deliveries=4, payloads=4, attempts=1)
    site.live.clock.advance(1000 * DAY_S)
    await purged_again(site)
    await has_rows(site, deliveries=4, payloads=4, attempts=1)
    assert await counts_are_right(store)
    assert {row.state for row in await site.deliveries()} <= {"held", "leased", "due", "accepted"}
    site.sink.behaviours = {}
    await command("handler", "resume", f"{site.sink.url}/due", "--home", home)
    now_ms = await store.clock_ms() or site.live.clock.now_ms()
    await store.retry(DeliveryFilter(states=(DeliveryState.HELD,)), now_ms)
    await site.sink.wait_for(3, "/due")
    await site.sink.wait_for(2, "/held")


async def purged_again(site: Site) -> None:
    """Wait for a round of housekeeping that began after this was called: what ended now is gone after it."""
    await site.live.relay.store.save_challenge(b"c" * 32, "c" * 43, 1)
    await has_rows(site, code_challenges=0)
    await site.live.relay.store.save_challenge(b"d" * 32, "d" * 43, 1)
    await has_rows(site, code_challenges=0)


async def test_no_batch_is_larger_than_it_may_be_and_the_oldest_go_first(store: SqlStore) -> None:
    await with_app(store)
    made = [new_delivery(handler_url=f"http://app.test/{number % 2}") for number in range(7)]
    await store.accept(made, NOW_MS)
    for one in await claim(store):
        await store.finish([ended(one)], ME)
    await store.accept([new_delivery() for _ in range(4)], NOW_MS)
    assert await store.prune(payloads_before_ms=NOW_MS, deliveries_before_ms=NOW_MS, most=3) == {
        "payloads": 0,
        "deliveries": 0,
    }
    payloads = [await store.prune(payloads_before_ms=LATER_MS, deliveries_before_ms=0, most=3) for _ in range(4)]
    assert [counts["payloads"] for counts in payloads] == [3, 3, 1, 0]
    assert {counts["deliveries"] for counts in payloads} == {0}
    assert (await rows(store, s.payloads), await rows(store, s.deliveries), await rows(store, s.attempts)) == (4, 11, 7)
    left = []
    while (await store.prune(payloads_before_ms=LATER_MS, deliveries_before_ms=LATER_MS, most=3))["deliveries"]:
        left.append((await rows(store, s.deliveries), await rows(store, s.attempts)))
        assert await counts_are_right(store)
    assert left == [(8, 4), (5, 1), (4, 0)]
    assert await rows(store, s.payloads) == 4
    assert {event.event_id for event in await store.find(DeliveryFilter(), 100)}.isdisjoint(
        new.event_id for new in made
    )


async def test_payloads_and_deliveries_of_one_age_leave_together(store: SqlStore) -> None:
    await with_app(store)
    await store.accept([new_delivery() for _ in range(5)], NOW_MS)
    await store.finish([ended(one) for one in await claim(store)], ME)
    rounds = [await store.prune(payloads_before_ms=LATER_MS, deliveries_before_ms=LATER_MS, most=2) for _ in range(4)]
    assert [counts["deliveries"] for counts in rounds] == [2, 2, 1, 0]
    assert [await rows(store, table) for table in (s.deliveries, s.payloads, s.attempts)] == [0, 0, 0]


async def test_what_is_replayed_or_retried_is_no_longer_over(store: SqlStore) -> None:
    await with_app(store)
    await store.accept([new_delivery() for _ in range(2)], NOW_MS)
    await store.finish([ended(one) for one in await claim(store)], ME)
    first, _ = await store.find(DeliveryFilter(), 2)
    await store.begin_replay(DeliveryFilter(event_id=first.event_id), 10, 1, entry())
    await store.replay_some(NOW_MS, 10)
    assert await store.prune(payloads_before_ms=LATER_MS, deliveries_before_ms=LATER_MS, most=10) == {
        "payloads": 1,
        "deliveries": 1,
    }
    (kept,) = await store.find(DeliveryFilter(), 2)
    assert (kept.event_id, kept.state, await rows(store, s.payloads)) == (first.event_id, "due", 1)


async def test_more_than_one_round_takes_goes_in_the_next_ones_and_is_counted(open_site_with: OpenSite) -> None:
    settings = {"housekeeping": {"every_s": 0.05, "rounds": 2}, "retention": {"batch": 5}}
    site = await open_site_with(settings)
    await site.fire(count=57)
    await site.settled(done=57)
    site.live.clock.advance(14.5 * DAY_S)
    await has_rows(site, deliveries=0, payloads=0, attempts=0)

    async def counted() -> bool:
        text = (await send(site.live.admin, get("/metrics"))).body.decode()
        return 'relay_purged_rows_total{table="deliveries"} 57.0' in text and 'relay_deliveries{state="done"} 0' in text

    await until(counted)


async def test_after_a_mass_deletion_the_file_shrinks(tmp_path: Path, template: Path, sink: Sink) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    file = home.home / DATABASE_FILE
    async with home.running(QUICK) as site:
        before = file.stat().st_size
        for _ in range(3):
            await site.fire(count=100, long="x" * 120_000)
        await site.settled(done=300)
        site.live.clock.advance(0.5 * DAY_S)
        await site.fire("/kept")
        await site.settled(done=301)
    full = file.stat().st_size
    assert full > before + 300 * 120_000
    async with home.running(QUICK) as site:
        site.live.clock.advance(4 * DAY_S)
        await has_rows(site, deliveries=0, payloads=0)

        async def small() -> bool:
            return file.stat().st_size < before + full / 50

        await until(small)
        await site.fire("/after")
        await site.settled(done=1)
