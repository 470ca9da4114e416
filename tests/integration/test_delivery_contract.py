"""The delivery store's contract: what was accepted is delivered or held, and one hand has it at a time.

Leans on every adapter alike. Must never lose a delivery, nor give one to two hands.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from relay.core.errors import Unavailable
from relay.core.model import DeliveryState, Verdict
from relay.records import DeliveryFilter
from tests.factories import NOW_MS
from tests.integration.stored import (
    EVERYTHING,
    FOR_EVER_MS,
    ME,
    OTHER,
    claim,
    ended,
    entry,
    new_delivery,
    states,
    with_app,
)

if TYPE_CHECKING:
    from relay.core.model import Delivery
    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter


@pytest.fixture
async def deliveries(store: SqlStore) -> SqlStore:
    """A store with a portal whose events may be accepted."""
    await with_app(store)
    return store


async def finish(store: SqlStore, *results: object, owner: str = ME) -> None:
    await store.finish(results, owner)  # type: ignore[arg-type]


async def test_what_is_accepted_is_due_at_once_and_comes_back_whole(deliveries: SqlStore) -> None:
    new = new_delivery("e" * 32, event="ONX", category="crm", send_refresh_token=True, has_ts=False)
    (handler,) = await deliveries.accept([new], NOW_MS)
    assert handler.url == "http://app.example/ev"
    wanted = {handler.id: 1}
    (leased,) = await deliveries.claim(wanted, now_ms=NOW_MS, lease_until_ms=FOR_EVER_MS, owner=ME)
    assert (leased.form, leased.auth_sealed) == (new.form, b"sealed auth")
    got = leased.delivery
    assert (got.event_id, got.attempt, got.retry_number, got.tries_since_ms) == ("e" * 32, 1, 1, NOW_MS)
    assert (got.item.event, got.item.category, got.item.client_id) == ("ONX", "crm", new.item.client_id)
    assert (got.item.send_auth, got.item.send_refresh_token, got.item.has_ts) == (True, True, False)


@pytest.mark.parametrize(
    "change",
    [
        {"event": "E" * 200, "category": "ж" * 200},
        {"client_id": ""},
        {"client_id": "local." + "x" * 200},
        {"client_id": "a\x00b", "event": "a\x00b", "category": "\x00"},
        {"client_id": "�", "event": "�"},
        {"handler_url": ""},
        {"handler_url": "http://app.example/" + "a" * 5000},
        {"handler_url": "http://app.example/\x00"},
    ],
)
async def test_an_item_is_stored_whatever_it_holds(deliveries: SqlStore, change: dict[str, Any]) -> None:
    """A stock portal never sends it again."""
    await deliveries.accept([new_delivery(), new_delivery(**change)], NOW_MS)
    assert await states(deliveries) == {"due": 2}
    assert len(await claim(deliveries)) == 2


async def test_a_batch_is_accepted_all_or_not_at_all(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("1" * 32)], NOW_MS)
    with pytest.raises(Exception, match=r"exists already|did not answer"):
        await deliveries.accept([new_delivery("2" * 32), new_delivery("1" * 32), new_delivery("3" * 32)], NOW_MS)
    assert [row.event_id for row in await deliveries.find(EVERYTHING, 10)] == ["1" * 32]
    assert len(await claim(deliveries)) == 1


async def test_of_batches_accepted_together_only_the_failing_one_fails(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("1" * 32)], NOW_MS)
    good = [deliveries.accept([new_delivery(), new_delivery()], NOW_MS) for _ in range(20)]
    bad = deliveries.accept([new_delivery(), new_delivery("1" * 32)], NOW_MS)
    results = await asyncio.gather(*good[:10], bad, *good[10:], return_exceptions=True)
    assert [index for index, result in enumerate(results) if isinstance(result, Exception)] == [10]
    assert await states(deliveries) == {"due": 41}


async def test_an_item_id_is_stored_once_however_often_it_is_sent(deliveries: SqlStore) -> None:
    def twice() -> list[object]:
        return [new_delivery(item_id="a" * 32), new_delivery(item_id="b" * 32), new_delivery(item_id="a" * 32)]

    await asyncio.gather(*(deliveries.accept(twice(), NOW_MS) for _ in range(10)))  # type: ignore[arg-type]
    assert await states(deliveries) == {"due": 2}
    await deliveries.accept([new_delivery(), new_delivery()], NOW_MS)
    assert await states(deliveries) == {"due": 4}


async def test_an_item_id_is_stored_once_even_after_its_delivery(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery(item_id="a" * 32)], NOW_MS)
    (delivery,) = await claim(deliveries)
    await finish(deliveries, ended(delivery))
    await deliveries.accept([new_delivery(item_id="a" * 32)], NOW_MS)
    assert await states(deliveries) == {"done": 1}


async def test_the_oldest_due_deliveries_are_claimed_first(deliveries: SqlStore) -> None:
    for age in (3, 1, 2):
        await deliveries.accept([new_delivery(f"{age}" * 32)], NOW_MS + age)
    assert [one.event_id[0] for one in await claim(deliveries, 1, now_ms=NOW_MS + 9)] == ["1"]
    assert [one.event_id[0] for one in await claim(deliveries, 1, now_ms=NOW_MS + 9)] == ["2"]
    assert [one.event_id[0] for one in await claim(deliveries, 1, now_ms=NOW_MS + 9)] == ["3"]


async def test_nothing_is_claimed_before_it_is_due(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery()], NOW_MS + 1000)
    ((handler, due_ms),) = await deliveries.next_due()
    assert due_ms == NOW_MS + 1000
    early = await deliveries.claim({handler.id: 9}, now_ms=NOW_MS + 999, lease_until_ms=FOR_EVER_MS, owner=ME)
    assert early == []
    assert len(await claim(deliveries, now_ms=NOW_MS + 1000)) == 1


async def test_a_delivery_is_in_one_hand_however_many_reach_for_it(adapter: Adapter) -> None:
    here, there = await adapter.open(), await adapter.open()
    await with_app(here)
    await here.accept([new_delivery(handler_url=f"http://app.test/{n % 3}") for n in range(60)], NOW_MS)
    hands = [claim(store, 4, owner=f"hand {n}") for n in range(10) for store in (here, there)]
    claimed = [delivery.id for hand in await asyncio.gather(*hands) for delivery in hand]
    assert len(claimed) == len(set(claimed))
    rest = [delivery.id for delivery in await claim(here)]
    assert sorted(claimed + rest) == sorted(row.id for row in await here.find(EVERYTHING, 100))


async def test_each_handler_gets_what_was_asked_for_it(deliveries: SqlStore) -> None:
    urls = ("http://a.test/", "http://b.test/")
    handlers = await deliveries.accept([new_delivery(handler_url=url) for url in urls for _ in range(5)], NOW_MS)
    wanted = {
        handler.id: number for handler, number in zip(sorted(handlers, key=lambda one: one.url), (1, 3), strict=True)
    }
    leased = await deliveries.claim(wanted, now_ms=NOW_MS, lease_until_ms=FOR_EVER_MS, owner=ME)
    claimed = [one.delivery.item.handler_url for one in leased]
    assert sorted(claimed) == [urls[0], urls[1], urls[1], urls[1]]


async def test_a_finished_delivery_is_done_with_its_try_recorded(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("e" * 32)], NOW_MS)
    (delivery,) = await claim(deliveries)
    await finish(deliveries, ended(delivery))
    assert await states(deliveries) == {"done": 1}
    assert await deliveries.next_due() == []
    shown = await deliveries.show("e" * 32)
    assert shown is not None
    row, tries = shown
    assert (row.state, row.attempts, row.last_status, row.finished_at_ms) == ("done", 1, 200, NOW_MS + 12)
    assert [(one.number, one.outcome.verdict, one.outcome.duration_ms) for one in tries] == [(1, Verdict.DELIVERED, 12)]


async def test_a_failed_try_is_claimed_again_when_it_is_due_and_counts_on(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("e" * 32)], NOW_MS)
    for attempt in (1, 2, 3):
        now_ms = NOW_MS + attempt * 1000
        (delivery,) = await claim(deliveries, now_ms=now_ms)
        assert (delivery.attempt, delivery.retry_number, delivery.tries_since_ms) == (attempt, attempt, NOW_MS + 1000)
        again = ended(
            delivery, DeliveryState.DUE, verdict=Verdict.RETRY, due_at_ms=now_ms + 1000, status=500, error="status"
        )
        await finish(deliveries, again)
        assert await claim(deliveries, now_ms=now_ms + 999) == []
    shown = await deliveries.show("e" * 32)
    assert shown is not None
    assert [one.number for one in shown[1]] == [1, 2, 3]
    assert shown[0].last_error == "status"


async def test_a_held_delivery_waits_and_says_why(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("e" * 32)], NOW_MS)
    (delivery,) = await claim(deliveries)
    held = ended(
        delivery,
        DeliveryState.HELD,
        verdict=Verdict.HOLD,
        status=None,
        error="address_refused",
        hold_reason="address_refused",
    )
    await finish(deliveries, held)
    assert await states(deliveries) == {"held": 1}
    assert await deliveries.next_due() == []
    (row,) = await deliveries.find(EVERYTHING, 1)
    assert (row.hold_reason, row.finished_at_ms) == ("address_refused", None)


async def test_a_try_whose_lease_was_lost_changes_nothing(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery()], NOW_MS)
    (mine,) = await claim(deliveries, lease_s=1)
    assert await deliveries.release_leases(now_ms=NOW_MS + 1000) == 1
    (theirs,) = await claim(deliveries, owner=OTHER, now_ms=NOW_MS + 1000)
    assert (theirs.id, theirs.attempt) == (mine.id, 2)
    await finish(deliveries, ended(mine))
    assert await states(deliveries) == {"leased": 1}
    await finish(deliveries, ended(theirs), owner=OTHER)
    assert await states(deliveries) == {"done": 1}


async def test_a_result_is_the_owners_of_that_try_only(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery()], NOW_MS)
    (mine,) = await claim(deliveries)
    await finish(deliveries, ended(mine), owner=OTHER)
    assert await states(deliveries) == {"leased": 1}
    await finish(deliveries, ended(mine))
    await finish(deliveries, ended(mine, DeliveryState.DUE))
    assert await states(deliveries) == {"done": 1}


async def test_only_leases_that_are_over_are_released_and_what_is_released_is_due_at_once(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery(), new_delivery()], NOW_MS)
    await claim(deliveries, 1, lease_s=1)
    await claim(deliveries, 1, lease_s=100)
    assert await deliveries.release_leases(now_ms=NOW_MS + 999) == 0
    assert await deliveries.release_leases(now_ms=NOW_MS + 1000) == 1
    assert await states(deliveries) == {"due": 1, "leased": 1}
    assert len(await claim(deliveries, now_ms=NOW_MS + 1000)) == 1


async def test_released_by_a_look_far_ahead_a_delivery_is_due_now_and_not_then(deliveries: SqlStore) -> None:
    """A starting relay releases every lease there is, whatever its end."""
    await deliveries.accept([new_delivery()], NOW_MS)
    await claim(deliveries)
    assert await deliveries.release_leases(now_ms=NOW_MS + 10**12) == 1
    ((_, due_ms),) = await deliveries.next_due()
    assert due_ms <= NOW_MS
    assert len(await claim(deliveries)) == 1


async def test_a_lease_is_prolonged_for_its_owner_only(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery(), new_delivery()], NOW_MS)
    (mine,) = await claim(deliveries, 1, lease_s=1)
    (theirs,) = await claim(deliveries, 1, owner=OTHER, lease_s=1)
    kept = await deliveries.extend_leases([mine.id, theirs.id, 10**6], owner=ME, lease_until_ms=NOW_MS + 9000)
    assert kept == {mine.id}
    assert await deliveries.release_leases(now_ms=NOW_MS + 2000) == 1
    (released,) = await claim(deliveries, now_ms=NOW_MS + 2000)
    assert released.id == theirs.id


async def test_what_was_claimed_but_never_tried_is_given_back_uncounted(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery(), new_delivery()], NOW_MS)
    (mine,) = await claim(deliveries, 1)
    (theirs,) = await claim(deliveries, 1, owner=OTHER)
    await deliveries.give_back([mine.id, theirs.id], owner=ME)
    (again,) = await claim(deliveries)
    assert (again.id, again.attempt) == (mine.id, 1)


async def test_a_persons_retry_makes_held_and_waiting_deliveries_due_with_a_new_budget(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery(f"{n}" * 32) for n in (1, 2, 3)], NOW_MS)
    first, second, third = await claim(deliveries)
    await finish(
        deliveries,
        ended(first, DeliveryState.HELD, verdict=Verdict.HOLD, hold_reason="gone"),
        ended(second, DeliveryState.DUE, verdict=Verdict.RETRY, due_at_ms=FOR_EVER_MS),
        ended(third),
    )
    assert await deliveries.retry(EVERYTHING, NOW_MS + 5000) == 2
    assert await states(deliveries) == {"due": 2, "done": 1}
    again = await claim(deliveries, now_ms=NOW_MS + 5000)
    assert [(one.attempt, one.retry_number, one.tries_since_ms) for one in again] == [(2, 1, NOW_MS + 5000)] * 2


async def test_deliveries_are_found_by_what_a_person_says_of_them(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("1" * 32, event="ONA", handler_url="http://a.test/x_y")], NOW_MS)
    await deliveries.accept([new_delivery("2" * 32, event="ONB", handler_url="http://b.test/xzy")], NOW_MS + 10)

    async def found(wanted: DeliveryFilter) -> list[str]:
        return [row.event_id[0] for row in await deliveries.find(wanted, 10)]

    assert await found(EVERYTHING) == ["2", "1"]
    assert await found(DeliveryFilter(event="ona")) == ["1"]
    assert await found(DeliveryFilter(handler="b.test")) == ["2"]
    assert await found(DeliveryFilter(handler="x_y")) == ["1"]
    assert await found(DeliveryFilter(event_id="2" * 32)) == ["2"]
    assert await found(DeliveryFilter(since_ms=NOW_MS + 10)) == ["2"]
    assert await found(DeliveryFilter(until_ms=NOW_MS + 10)) == ["1"]
    assert await found(DeliveryFilter(states=(DeliveryState.HELD,))) == []
    assert await found(DeliveryFilter(portal_id=2)) == []
    assert len(await deliveries.find(EVERYTHING, 1)) == 1


async def test_a_person_drops_what_is_not_over_and_nothing_else_does(deliveries: SqlStore) -> None:
    await deliveries.accept([new_delivery("1" * 32), new_delivery("2" * 32)], NOW_MS)
    (delivery,) = await claim(deliveries, 1)
    await finish(deliveries, ended(delivery))
    assert await deliveries.drop(EVERYTHING, "not wanted", NOW_MS, entry("event.dropped")) == 1
    assert await states(deliveries) == {"done": 1, "dropped": 1}
    assert await claim(deliveries, now_ms=FOR_EVER_MS) == []


async def test_all_is_there_after_a_restart(adapter: Adapter) -> None:
    before = await adapter.open()
    await with_app(before)
    await before.accept([new_delivery(f"{n}" * 32) for n in (1, 2, 3)], NOW_MS)
    first, second, third = await claim(before)
    await finish(before, ended(first), ended(second, DeliveryState.DUE, verdict=Verdict.RETRY, due_at_ms=NOW_MS + 5))
    await before.close()
    after = await adapter.open()
    assert await states(after) == {"done": 1, "due": 1, "leased": 1}
    assert await after.release_leases(now_ms=FOR_EVER_MS) == 1
    resumed: list[Delivery] = await claim(after, now_ms=NOW_MS + 5)
    assert sorted(one.event_id for one in resumed) == [second.event_id, third.event_id]


async def test_a_closed_store_accepts_nothing(store: SqlStore) -> None:
    await store.close()
    with pytest.raises(Unavailable):
        await store.accept([new_delivery()], NOW_MS)


async def test_where_nodes_share_a_store_they_share_its_clock(adapter: Adapter) -> None:
    store, another = await adapter.open(), await adapter.open()
    before, after = await store.clock_ms(), await another.clock_ms()
    if not adapter.settings:  # a file, which one process has to itself
        assert before is after is None
        return
    assert before is not None
    assert after is not None
    assert 0 <= after - before < 60_000
    assert abs(before - time.time() * 1000) < 60_000


async def test_the_latest_time_is_that_of_the_newest_delivery_or_the_one_noted(deliveries: SqlStore) -> None:
    assert await deliveries.latest_ms() == 0
    await deliveries.accept([new_delivery()], NOW_MS)
    assert await deliveries.latest_ms() == NOW_MS
    for noted in (NOW_MS + 5, NOW_MS + 9):
        await deliveries.note_clock(noted)
        assert await deliveries.latest_ms() == noted
    await deliveries.accept([new_delivery()], NOW_MS + 20)
    assert await deliveries.latest_ms() == NOW_MS + 20
