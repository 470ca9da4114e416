"""Lanes in the store: within one only the head goes, the others wait behind it, and other lanes never do.

Leans on every adapter alike. Must never find two deliveries of a lane under way.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.core.model import DeliveryState, Verdict
from tests.factories import NOW_MS
from tests.integration.stored import EVERYTHING, claim, ended, new_delivery, states, with_app

if TYPE_CHECKING:
    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter

ME = "me"


async def accept_in(store: SqlStore, lane: int | None, *names: str) -> None:
    await store.accept([new_delivery(name * 32, lane=lane) for name in names], NOW_MS)


async def test_only_the_head_of_a_lane_is_due(store: SqlStore) -> None:
    await with_app(store)
    await accept_in(store, 7, "1", "2", "3")
    await accept_in(store, 8, "4")
    await accept_in(store, None, "5", "6")
    assert await states(store) == {"accepted": 2, "due": 4}
    assert [one.event_id[0] for one in await claim(store)] == ["1", "4", "5", "6"]


async def test_a_lane_goes_on_in_order_as_its_heads_are_done(store: SqlStore) -> None:
    await with_app(store)
    await accept_in(store, 7, "1", "2")
    await accept_in(store, 7, "3")
    order = []
    for _ in range(3):
        (head,) = await claim(store)
        order.append(head.event_id[0])
        await store.finish([ended(head)], ME)
    assert order == ["1", "2", "3"]
    assert await states(store) == {"done": 3}


async def test_a_failing_head_keeps_its_lane_waiting_and_no_other(store: SqlStore) -> None:
    await with_app(store)
    await accept_in(store, 7, "1", "2")
    await accept_in(store, 8, "3", "4")
    first, third = await claim(store)
    failed = ended(first, DeliveryState.DUE, verdict=Verdict.RETRY, due_at_ms=NOW_MS + 1000)
    await store.finish([failed, ended(third)], ME)
    assert [one.event_id[0] for one in await claim(store)] == ["4"]
    assert [one.event_id[0] for one in await claim(store, now_ms=NOW_MS + 1000)] == ["1"]


async def test_of_many_accepted_at_once_one_is_the_head(adapter: Adapter) -> None:
    here, there = await adapter.open(), await adapter.open()
    await with_app(here)
    calls = [store.accept([new_delivery(lane=7)], NOW_MS) for _ in range(15) for store in (here, there)]
    await asyncio.gather(*calls)
    assert await states(here) == {"accepted": 29, "due": 1}
    (head,) = await claim(there)
    await there.finish([ended(head)], ME)
    assert await states(here) == {"accepted": 28, "due": 1, "done": 1}
    assert await here.backlog() == 29


async def test_what_a_restart_releases_is_still_the_head(adapter: Adapter) -> None:
    before = await adapter.open()
    await with_app(before)
    await accept_in(before, 7, "1", "2")
    await claim(before)
    await before.close()
    after = await adapter.open()
    await after.release_leases(now_ms=NOW_MS + 10**9)
    assert [one.event_id[0] for one in await claim(after)] == ["1"]
    assert len(await after.find(EVERYTHING, 9)) == 2
