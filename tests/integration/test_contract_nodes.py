"""Several nodes on one store: whatever they do at one time, it is as if they had done it one after another.

Leans on stores opened several times over one database, each with its own writer, as processes have them.
Must never let a delivery be in two hands, two heads be in a lane, or a call fail because another node was there.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select

from relay.core.errors import Conflict
from relay.core.keyring import NextKey
from relay.core.model import DeliveryState, Verdict
from relay.records import DeliveryFilter
from relay.store import schema as s
from tests.factories import NOW, NOW_MS
from tests.integration.stored import (
    EVERYTHING,
    FOR_EVER_MS,
    PROBE_MS,
    claim,
    ended,
    entry,
    new_app,
    new_delivery,
    new_portal,
    states,
    with_app,
)

if TYPE_CHECKING:
    from relay.core.model import Delivery
    from relay.records import Finished
    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter

NODES = 4
PATIENCE_S = 60


@pytest.fixture
async def nodes(adapter: Adapter) -> list[SqlStore]:
    """Some stores over one database in which there is a portal with an application."""
    opened = [await adapter.open() for _ in range(NODES)]
    await with_app(opened[0])
    return opened


def chunks(values: list[str], size: int) -> list[list[str]]:
    """The values, some at a time."""
    return [values[first : first + size] for first in range(0, len(values), size)]


async def counted(store: SqlStore) -> dict[str, int]:
    """How many deliveries are in each state, counted one by one."""
    query = select(s.deliveries.c.state, func.count()).group_by(s.deliveries.c.state)
    return await store._database.read(lambda c: {state: int(count) for state, count in c.execute(query)})


async def finish(store: SqlStore, results: list[Finished], owner: str) -> None:
    """Store how tries ended, if any did."""
    if results:
        await store.finish(results, owner)


async def in_lane(store: SqlStore, lane: int) -> list[tuple[int, str]]:
    """The blocking deliveries of a lane with their states, in order."""
    d = s.deliveries.c
    query = select(d.id, d.state).where(d.lane == lane, d.blocks).order_by(d.id)
    return await store._database.read(lambda c: [(row.id, row.state) for row in c.execute(query)])


async def test_one_item_that_comes_to_several_nodes_at_once_is_stored_once(nodes: list[SqlStore]) -> None:
    items = [f"{number:032x}" for number in range(30)]

    async def send(node: SqlStore, order: int) -> None:
        shuffled = random.Random(order).sample(items, len(items))
        for chunk in chunks(shuffled, 6):
            await node.accept([new_delivery(item_id=item_id) for item_id in chunk], NOW_MS)

    await asyncio.gather(*(send(node, order) for order, node in enumerate(nodes * 3)))
    assert await states(nodes[0]) == await counted(nodes[0]) == {"due": len(items)}


async def test_the_first_use_of_handlers_by_several_nodes_fails_nobody(nodes: list[SqlStore]) -> None:
    urls = [f"http://app.test/{number}" for number in range(25)]

    async def send(node: SqlStore, order: int) -> dict[str, int]:
        shuffled = random.Random(order).sample(urls, len(urls))
        known: dict[str, int] = {}
        for chunk in chunks(shuffled, 5):
            handlers = await node.accept([new_delivery(handler_url=url) for url in chunk], NOW_MS)
            known |= {handler.url: handler.id for handler in handlers}
        return known

    found = await asyncio.gather(*(send(node, order) for order, node in enumerate(nodes * 2)))
    assert all(known == found[0] for known in found)
    assert len(set(found[0].values())) == len(urls)
    assert await states(nodes[0]) == {"due": len(urls) * NODES * 2}


async def test_a_lane_that_nodes_fill_and_empty_at_once_has_one_head_and_keeps_its_order(
    nodes: list[SqlStore],
) -> None:
    lanes, each = (5, 6, 7), 12
    delivered: dict[int, list[int]] = {lane: [] for lane in lanes}
    everything_sent = asyncio.Event()

    async def fill(node: SqlStore, order: int) -> None:
        chance = random.Random(order)
        for _ in range(each):
            await node.accept([new_delivery(lane=lane) for lane in chance.sample(lanes, len(lanes))], NOW_MS)

    async def empty(node: SqlStore, owner: str) -> None:
        while not (everything_sent.is_set() and set(await states(node)) == {"done"}):
            mine = await claim(node, 5, owner=owner, now_ms=FOR_EVER_MS)
            assert len({one.lane for one in mine}) == len(mine)
            for one in mine:
                assert one.lane is not None
                delivered[one.lane].append(one.id)
            await finish(node, [ended(one) for one in mine], owner)

    async def sent() -> None:
        await asyncio.gather(*(fill(node, order) for order, node in enumerate(nodes)))
        everything_sent.set()

    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(sent(), *(empty(node, f"node {order}") for order, node in enumerate(nodes)))
    assert {lane: len(ids) for lane, ids in delivered.items()} == dict.fromkeys(lanes, NODES * each)
    assert all(ids == sorted(ids) for ids in delivered.values())
    assert await states(nodes[0]) == await counted(nodes[0])


async def test_no_delivery_is_claimed_by_two_nodes(nodes: list[SqlStore]) -> None:
    for number in range(4):
        await nodes[0].accept([new_delivery(handler_url=f"http://app.test/{number}") for _ in range(60)], NOW_MS)

    async def take(node: SqlStore, owner: str) -> list[int]:
        taken: list[int] = []
        while mine := await claim(node, 7, owner=owner):
            taken += [one.id for one in mine]
        return taken

    taken = await asyncio.gather(*(take(node, f"node {order}") for order, node in enumerate(nodes)))
    everything = list(itertools.chain.from_iterable(taken))
    assert len(everything) == len(set(everything)) == 240
    assert await states(nodes[0]) == await counted(nodes[0]) == {"leased": 240}


async def test_leases_that_are_over_are_released_once_and_given_to_one(nodes: list[SqlStore]) -> None:
    await nodes[0].accept([new_delivery() for _ in range(40)], NOW_MS)
    assert len(await claim(nodes[0], 40, owner="gone", lease_s=1)) == 40
    later_ms = NOW_MS + 2000

    async def sweep(node: SqlStore, owner: str) -> tuple[int, list[int]]:
        released = await node.release_leases(now_ms=later_ms)
        return released, [one.id for one in await claim(node, 40, owner=owner, now_ms=later_ms)]

    results = await asyncio.gather(*(sweep(node, f"node {order}") for order, node in enumerate(nodes)))
    assert sum(released for released, _ in results) == 40
    taken = [one for _, ids in results for one in ids]
    assert len(taken) == len(set(taken))


async def test_a_probe_that_several_nodes_make_is_one_and_takes_nothing_out_of_a_hand(nodes: list[SqlStore]) -> None:
    await nodes[0].accept([new_delivery() for _ in range(5)], NOW_MS)
    hands = await claim(nodes[0], 5)
    used_up = [
        ended(one, DeliveryState.HELD, verdict=Verdict.RETRY, status=500, error="status", hold_reason="budget")
        for one in hands
    ]
    await nodes[0].finish(used_up, "me")
    later_ms = NOW_MS + 10_000_000

    async def probe_and_take(node: SqlStore, owner: str) -> list[int]:
        await node.probe_held(later_ms, PROBE_MS)
        return [one.id for one in await claim(node, 5, owner=owner, now_ms=later_ms)]

    taken = await asyncio.gather(*(probe_and_take(node, f"node {order}") for order, node in enumerate(nodes)))
    assert len(list(itertools.chain.from_iterable(taken))) == 1
    assert await states(nodes[0]) == {"held": 4, "leased": 1}


async def test_a_person_s_work_beside_the_nodes_loses_nothing_and_hinders_nobody(nodes: list[SqlStore]) -> None:
    """Skip, retry and drop while nodes accept, claim, fail and finish: every delivery is done or dropped at the end."""
    chance = random.Random(4)
    total = 120

    async def fill(node: SqlStore) -> None:
        for _ in range(total // 4):
            await node.accept([new_delivery(lane=chance.randrange(8)) for _ in range(4)], NOW_MS)

    async def work(node: SqlStore, owner: str) -> None:
        while True:
            mine = await claim(node, 6, owner=owner, now_ms=FOR_EVER_MS)
            await finish(node, [_some_end(one, chance) for one in mine], owner)
            if not mine and filled.done() and not {"due", "leased"} & set(await states(node)):
                return  # what is left waits behind a held one

    async def decide(node: SqlStore) -> None:
        while not filled.done():
            for row in (await node.find(EVERYTHING, 200))[:3]:
                await node.skip(row.event_id, entry())
            await node.retry(DeliveryFilter(), NOW_MS)
            await node.drop(DeliveryFilter(states=(DeliveryState.HELD,)), "test", NOW_MS, entry())

    filled = asyncio.ensure_future(fill(nodes[0]))
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(filled, decide(nodes[1]), *(work(node, f"{node}") for node in nodes))
        while await nodes[0].retry(DeliveryFilter(), FOR_EVER_MS):
            await asyncio.gather(*(work(node, f"{node}") for node in nodes))
    found = await states(nodes[0])
    assert found == await counted(nodes[0])
    assert set(found) <= {"done", "dropped"}
    assert sum(found.values()) == total
    for lane in range(8):
        assert await in_lane(nodes[0], lane) == []


def _some_end(one: Delivery, chance: random.Random) -> Finished:
    if chance.random() < 0.7:
        return ended(one)
    held = chance.random() < 0.3
    state = DeliveryState.HELD if held else DeliveryState.DUE
    return ended(one, state, verdict=Verdict.RETRY, status=500, error="status", hold_reason="gone" if held else None)


async def test_a_portal_is_not_removed_from_under_an_event_that_another_node_accepts(nodes: list[SqlStore]) -> None:
    await nodes[0].accept([new_delivery(lane=1)], NOW_MS)
    await nodes[0].finish([ended(one) for one in await claim(nodes[0])], "me")
    accepting = [node.accept([new_delivery(lane=lane)], NOW_MS) for lane, node in enumerate(nodes[1:])]
    removed, *accepted = await asyncio.gather(nodes[0].remove_portal(1), *accepting, return_exceptions=True)
    stored = sum(isinstance(one, list) for one in accepted)
    if isinstance(removed, Conflict):
        assert stored > 0
        assert await states(nodes[0]) == {"done": 1, "due": stored}
    else:
        assert (removed, stored) == (None, 0)
        assert await states(nodes[0]) == {}


async def test_a_key_that_is_due_is_made_by_one_node(nodes: list[SqlStore]) -> None:
    following = NextKey(2, NOW, NOW + 60)
    await asyncio.gather(
        *(node.add_key(1, following, bytes([number]), entry("second.key")) for number, node in enumerate(nodes))
    )
    keys = select(s.keys.c.key_id).where(s.keys.c.portal_id == 1).order_by(s.keys.c.key_id)
    assert await nodes[0]._database.read(lambda c: list(c.execute(keys).scalars())) == [1, 2]
    assert len(await nodes[0].list_audit(0, "second.key", 10)) == 1


async def test_what_each_node_writes_for_the_first_time_at_once_fails_nobody(adapter: Adapter) -> None:
    nodes = [await adapter.open() for _ in range(NODES)]
    portals = await asyncio.gather(*(node.announce_portal(new_portal(), NOW) for node in nodes))
    assert len(set(portals)) == 1
    await asyncio.gather(*(node.probe() for node in nodes))
    assert await asyncio.gather(*(node.longest_access_s(3600) for node in nodes)) == [3600] * NODES
    await asyncio.gather(*(node.save_facts(portals[0], {"node": number}, NOW) for number, node in enumerate(nodes)))
    await asyncio.gather(*(node.set_admin_password_hash(f"hash {number}") for number, node in enumerate(nodes)))
    await asyncio.gather(*(node.save_challenge(b"key", f"challenge {n}", NOW + 60) for n, node in enumerate(nodes)))
    for node in nodes:
        assert await node.find_challenge(b"key", NOW) is not None
        assert (await node.directory()).portals[portals[0]].url == "http://portal.test"
    added = await asyncio.gather(*(node.add_app(new_app(portals[0]), NOW) for node in nodes), return_exceptions=True)
    assert sum(isinstance(one, int) for one in added) == 1
    assert sum(isinstance(one, Conflict) for one in added) == NODES - 1


async def test_every_node_sees_a_change_at_its_next_look(nodes: list[SqlStore]) -> None:
    for number, node in enumerate(nodes):
        await node.announce_portal(new_portal(url=f"http://portal{number}.test"), NOW)
        seen = [len((await other.directory()).portals) for other in nodes]
        assert seen == [number + 2] * NODES
