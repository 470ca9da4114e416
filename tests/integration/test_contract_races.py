"""Every race of two nodes that a lock or a condition is there for, made to happen: see overlap.py.

Leans on every adapter alike. Must never leave a lane without a head, a delivery in two hands, or a call failed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import pytest

from relay.core.errors import Conflict, RelayError
from relay.core.model import DeliveryState, Verdict
from relay.core.vault import hash_token
from tests.factories import NOW, NOW_MS
from tests.integration.overlap import overlapping
from tests.integration.stored import (
    EVERYTHING,
    FOR_EVER_MS,
    PROBE_MS,
    claim,
    ended,
    entry,
    find_refresh,
    new_code,
    new_delivery,
    new_grant,
    rotation,
    states,
    with_app,
)

if TYPE_CHECKING:
    from relay.core.model import Delivery
    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter

Nodes: TypeAlias = "tuple[SqlStore, SqlStore, SqlStore]"
LATER_MS = NOW_MS + 10_000_000


@pytest.fixture
async def nodes(adapter: Adapter) -> Nodes:
    """Two nodes and one that looks on, over one store with a portal and its application."""
    one, other, onlooker = await adapter.open(), await adapter.open(), await adapter.open()
    await with_app(one)
    await asyncio.gather(one.directory(), other.directory(), onlooker.directory())
    return one, other, onlooker


async def in_hand(store: SqlStore, count: int = 1, *, lane: int | None = None, owner: str = "me") -> list[Delivery]:
    """Some accepted deliveries, claimed."""
    await store.accept([new_delivery(lane=lane) for _ in range(count)], NOW_MS)
    return await claim(store, count, owner=owner)


async def held(store: SqlStore, count: int, reason: str = "budget") -> None:
    """Some deliveries that are held."""
    hands = await in_hand(store, count)
    used_up = [
        ended(one, DeliveryState.HELD, verdict=Verdict.RETRY, status=500, error="status", hold_reason=reason)
        for one in hands
    ]
    await store.finish(used_up, "me")


async def test_of_two_swaps_of_a_refresh_token_both_get_the_first_ones_successor(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await one.open_grant(new_grant(1, "first"), NOW)
    old = await find_refresh(one, "first")
    results = await overlapping(
        one, one.rotate_refresh(rotation(old, "mine"), NOW), onlooker, other.rotate_refresh(rotation(old, "yours"), NOW)
    )
    assert results == (b"sealed mine", b"sealed mine")
    assert await one.find_refresh(hash_token("yours")) is None


async def test_a_refresh_token_is_not_swapped_while_its_grant_is_revoked(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await one.open_grant(new_grant(1, "first"), NOW)
    old = await find_refresh(one, "first")
    revoking = one.revoke_grant(old.grant.id, entry(portal_id=1, app_number=1))
    results = await overlapping(one, revoking, onlooker, other.rotate_refresh(rotation(old, "yours"), NOW))
    assert results == (None, None)
    assert await one.find_refresh(hash_token("yours")) is None


async def test_a_code_is_redeemed_once(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await one.save_code(new_code(1, "code"))
    mine = one.redeem_code(hash_token("code"), new_grant(1, "mine"), NOW)
    yours = other.redeem_code(hash_token("code"), new_grant(1, "yours"), NOW)
    assert await overlapping(one, mine, onlooker, yours) == (True, False)
    assert await one.find_refresh(hash_token("yours")) is None


async def test_an_item_is_stored_once_and_the_second_node_is_answered_alike(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    items = [f"{number:032x}" for number in range(4)]
    mine = one.accept([new_delivery(item_id=item_id) for item_id in items], NOW_MS)
    yours = other.accept([new_delivery(item_id=item_id) for item_id in [*reversed(items), "f" * 32]], NOW_MS)
    results = await overlapping(one, mine, onlooker, yours)
    assert [type(result) for result in results] == [list, list]
    assert await states(one) == {"due": 5}


async def test_a_handler_is_stored_once(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    url = "http://app.test/" + "".join(chr(97 + number * 7 % 26) + str(number) for number in range(1500))
    results = await overlapping(
        one,
        one.accept([new_delivery(handler_url=url)], NOW_MS),
        onlooker,
        other.accept([new_delivery(handler_url=url)], NOW_MS),
    )
    assert results[0] == results[1]
    assert await states(one) == {"due": 2}


async def test_what_is_accepted_behind_a_head_that_ends_is_the_next_head(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    hands = await in_hand(one, lane=5)
    finishing = one.finish([ended(hand) for hand in hands], "me")
    await overlapping(one, finishing, onlooker, other.accept([new_delivery(lane=5)], NOW_MS))
    assert await states(one) == {"done": 1, "due": 1}


async def test_a_head_that_ends_while_another_is_accepted_lets_it_go_on(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    hands = await in_hand(one, lane=5)
    accepting = other.accept([new_delivery(lane=5)], NOW_MS)
    await overlapping(other, accepting, onlooker, one.finish([ended(hand) for hand in hands], "me"))
    assert await states(one) == {"done": 1, "due": 1}


async def test_two_that_are_accepted_at_once_are_one_behind_the_other(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await one.accept([new_delivery()], NOW_MS)
    mine, yours = one.accept([new_delivery(lane=5)], NOW_MS), other.accept([new_delivery(lane=5)], NOW_MS)
    await overlapping(one, mine, onlooker, yours)
    assert await states(one) == {"due": 2, "accepted": 1}


async def test_batches_of_a_thousand_lanes_in_opposite_order_wait_for_one_another_and_are_stored(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    lanes = range(1, 1001)
    mine = one.accept([new_delivery(lane=lane) for lane in lanes], NOW_MS)
    yours = other.accept([new_delivery(lane=lane) for lane in reversed(lanes)], NOW_MS)
    await overlapping(one, mine, onlooker, yours)
    assert await states(one) == {"due": 1000, "accepted": 1000}


async def test_of_two_claims_each_takes_others(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    (handler,) = await one.accept([new_delivery() for _ in range(6)], NOW_MS)
    wanted = {handler.id: 4}
    mine = one.claim(wanted, now_ms=NOW_MS, lease_until_ms=FOR_EVER_MS, owner="one")
    yours = other.claim(wanted, now_ms=NOW_MS, lease_until_ms=FOR_EVER_MS, owner="other")
    results = await overlapping(one, mine, onlooker, yours)
    taken = [leased.delivery.id for result in results if isinstance(result, list) for leased in result]
    assert len(taken) == len(set(taken))
    assert len(taken) >= 4


async def test_a_lease_that_is_prolonged_is_not_released(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await one.accept([new_delivery()], NOW_MS)
    (hand,) = await claim(one, owner="one", lease_s=1)
    keeping = one.extend_leases([hand.id], owner="one", lease_until_ms=FOR_EVER_MS)
    results = await overlapping(one, keeping, onlooker, other.release_leases(now_ms=NOW_MS + 2000))
    assert results == ({hand.id}, 0)
    assert await states(one) == {"leased": 1}


async def test_a_probe_is_made_once(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await held(one, 3)
    results = await overlapping(one, one.probe_held(LATER_MS, PROBE_MS), onlooker, other.probe_held(LATER_MS, PROBE_MS))
    assert results == (1, 0)
    assert await states(one) == {"held": 2, "due": 1}


async def test_a_second_probe_takes_the_first_one_out_of_nobody_s_hand(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await held(one, 1)

    async def probe_and_take() -> None:
        await one.probe_held(LATER_MS, PROBE_MS)
        assert len(await claim(one, now_ms=LATER_MS)) == 1

    await overlapping(one, probe_and_take(), onlooker, other.probe_held(LATER_MS, PROBE_MS))
    assert await states(one) == {"leased": 1}


async def test_what_is_released_when_a_handler_is_well_is_released_once(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await held(one, 3)
    results = await overlapping(one, one.release_held(1, NOW_MS), onlooker, other.release_held(1, NOW_MS))
    assert results == (3, 0)


async def test_a_head_that_is_claimed_is_not_skipped(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await one.accept([new_delivery("e" * 32, lane=5), new_delivery(lane=5)], NOW_MS)
    results = await overlapping(one, claim(one), onlooker, other.skip("e" * 32, entry("skip")))
    assert results[1] is False
    assert await states(one) == {"leased": 1, "accepted": 1}
    assert await one.list_audit(0, "skip", 10) == []


async def test_what_is_claimed_is_neither_dropped_nor_counted_as_dropped(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await one.accept([new_delivery()], NOW_MS)
    results = await overlapping(one, claim(one), onlooker, other.drop(EVERYTHING, "test", NOW_MS, entry()))
    assert results[1] == 0
    assert await states(one) == {"leased": 1}


async def test_a_payload_that_is_in_a_hand_is_not_erased(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await one.accept([new_delivery(entity="crm.deal:5")], NOW_MS)
    results = await overlapping(one, claim(one), onlooker, other.erase("crm.deal:5", NOW_MS, entry()))
    assert results[1] == 0
    await one.release_leases(now_ms=FOR_EVER_MS)
    (handler,) = await one.find_handlers([1])
    again = await one.claim({handler.id: 1}, now_ms=FOR_EVER_MS, lease_until_ms=FOR_EVER_MS, owner="me")
    assert [leased.form != b"" for leased in again] == [True]


async def test_what_is_retried_and_claimed_is_not_replayed_from_under_the_hand(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await held(one, 1, "gone")
    await one.begin_replay(EVERYTHING, 100, NOW, entry())

    async def retry_and_take() -> None:
        await one.retry(EVERYTHING, NOW_MS)
        assert len(await claim(one)) == 1

    await overlapping(one, retry_and_take(), onlooker, other.replay_some(NOW_MS, 100))
    assert await states(one) == {"leased": 1}


async def test_what_is_replayed_is_not_pruned(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await one.finish([ended(hand) for hand in await in_hand(one)], "me")
    await one.begin_replay(EVERYTHING, 100, NOW, entry())
    pruning = other.prune(payloads_before_ms=FOR_EVER_MS, deliveries_before_ms=FOR_EVER_MS, most=100)
    await overlapping(one, one.replay_some(NOW_MS, 100), onlooker, pruning)
    assert await states(one) == {"due": 1}
    assert len(await claim(one)) == 1


async def test_one_replay_is_worked_off_by_one_node_at_a_time(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    await one.finish([ended(hand) for hand in await in_hand(one, 4)], "me")
    replay = await one.begin_replay(EVERYTHING, 100, NOW, entry())
    await overlapping(one, one.replay_some(NOW_MS, 2), onlooker, other.replay_some(NOW_MS, 2))
    found = await one.find_replay(replay.id)
    assert found is not None
    counts = await one.counts()
    assert (counts["due"], counts["done"]) == (found.replayed, 4 - found.replayed)
    assert found.replayed in {2, 4}


async def test_a_portal_with_an_event_that_is_being_accepted_is_not_removed(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    await one.finish([ended(hand) for hand in await in_hand(one)], "me")
    accepted, removed = await overlapping(
        one, one.accept([new_delivery(lane=1)], NOW_MS), onlooker, other.remove_portal(1)
    )
    assert isinstance(accepted, list)
    assert isinstance(removed, Conflict)
    assert await states(one) == {"done": 1, "due": 1}


async def test_an_event_of_a_portal_that_is_being_removed_is_refused(
    nodes: Nodes,
) -> None:
    one, other, onlooker = nodes
    removed, accepted = await overlapping(
        one, one.remove_portal(1), onlooker, other.accept([new_delivery(lane=1)], NOW_MS)
    )
    assert removed is None
    assert isinstance(accepted, RelayError)
    assert await states(one) == {}


async def test_changes_of_the_directory_are_all_counted(nodes: Nodes) -> None:
    one, other, onlooker = nodes
    before = (await one.directory()).version
    changes = one.update_app(1, {"title": "a"}), other.update_app(1, {"scope": "im"})
    assert await overlapping(one, changes[0], onlooker, changes[1]) == (None, None)
    directory = await onlooker.directory()
    assert directory.version == before + 2
    assert (directory.apps[1].title, directory.apps[1].scope) == ("a", "im")
