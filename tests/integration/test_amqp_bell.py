"""The bell over a real broker: rings reach those who deliver, and no fault of the broker's reaches whoever rings.

Leans on RabbitMQ as its package brings it, stopped, killed and paused. Must never wait for a broker without an end.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aio_pika
import pytest

from relay.core.errors import Unavailable
from relay.core.model import Handler
from relay.queue.amqp import MAX_LENGTH, MAX_WAITING, AmqpBell, RingListener
from relay.queue.broker import Broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Iterable

    from tests.servers.rabbitmq import RabbitServer

PATIENCE_S = 40
AT_ONCE_S = 0.1


def handler(number: int, *, paused: bool = False) -> Handler:
    """A handler."""
    return Handler(number, 1, "local.app", f"http://app.test/{number}", paused)


@dataclass
class Dispatcher:
    """What a listener rings. has_room: whether it would take more."""

    rung: list[int] = field(default_factory=list)
    has_room: bool = False

    def ring(self, handlers: Iterable[Handler]) -> None:
        """The Bell port."""
        self.rung += [one.id for one in handlers]


@dataclass
class Nodes:
    """A node that accepts and one that delivers. lookups: the ids that were asked for."""

    publishing: Broker
    bell: AmqpBell
    listener: RingListener
    worker: Dispatcher
    queue: str
    lookups: list[int]

    @property
    def connected(self) -> bool:
        """Whether both are."""
        return self.publishing.connected and self.listener.broker.connected

    async def heard(self, number: int) -> None:
        """Wait until the worker was rung for that handler."""
        await until(lambda: number in self.worker.rung)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running_nodes(url: str, **options: object) -> AsyncIterator[Nodes]:
    """Both nodes, running, with a queue of their own."""
    queue, worker = f"rings.{secrets.token_hex(4)}", Dispatcher()
    lookups: list[int] = []

    async def find(ids: Collection[int]) -> list[Handler]:
        lookups.extend(ids)
        return [handler(number) for number in ids if number != 404]

    publishing = Broker(url, "publishing", os.urandom, operation_s=1, watch_s=0.5)
    bell = AmqpBell(publishing, queue, confirm_s=0.5, **options)  # type: ignore[arg-type]
    listener = RingListener(url, os.urandom, worker, find, queue, operation_s=1, watch_s=0.5)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(run()) for run in (publishing.run, bell.run, listener.broker.run)]
        yield Nodes(publishing, bell, listener, worker, queue, lookups)
        for task in running:
            task.cancel()


@pytest.fixture
async def nodes(rabbit_server: RabbitServer) -> AsyncIterator[Nodes]:
    """Nodes that are connected."""
    async with running_nodes(rabbit_server.url) as running:
        await until(lambda: running.connected)
        yield running


async def test_a_ring_reaches_the_one_who_delivers_by_the_handler_s_id_alone(nodes: Nodes) -> None:
    nodes.bell.ring([handler(5), handler(6, paused=True), handler(7)])
    await nodes.heard(5)
    await nodes.heard(7)
    nodes.bell.ring([handler(5)])
    await until(lambda: nodes.worker.rung.count(5) == 2)
    assert 6 not in nodes.worker.rung
    assert sorted(nodes.lookups) == [5, 7]


async def test_rings_for_one_handler_are_told_once_while_they_wait(nodes: Nodes) -> None:
    for _ in range(1000):
        nodes.bell.ring([handler(5)])
    nodes.bell.ring([handler(6)])
    await nodes.heard(6)
    assert nodes.worker.rung.count(5) < 10


async def test_the_queue_is_a_durable_quorum_queue(nodes: Nodes, rabbit_server: RabbitServer) -> None:
    async with await aio_pika.connect(rabbit_server.url) as connection:
        with pytest.raises(aio_pika.exceptions.ChannelPreconditionFailed, match="x-queue-type"):
            await (await connection.channel()).declare_queue(
                nodes.queue, durable=True, arguments={"x-max-length": MAX_LENGTH}
            )


async def test_what_is_no_ring_and_a_handler_that_is_gone_are_passed_over(
    nodes: Nodes, rabbit_server: RabbitServer
) -> None:
    async with await aio_pika.connect(rabbit_server.url) as connection:
        exchange = (await connection.channel()).default_exchange
        for body in (b"nonsense", b"", b"\xff" * 500):
            await exchange.publish(aio_pika.Message(body), nodes.queue)
    nodes.bell.ring([handler(404), handler(5)])
    await nodes.heard(5)
    assert nodes.worker.rung == [5]


async def test_a_store_that_does_not_answer_costs_the_ring_and_no_more(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()

    async def unavailable(_ids: Collection[int]) -> list[Handler]:
        asked.set()
        raise Unavailable("no")

    with monkeypatch.context() as patch:
        patch.setattr(nodes.listener, "_find", unavailable)
        nodes.bell.ring([handler(5)])
        await asyncio.wait_for(asked.wait(), PATIENCE_S)
    nodes.bell.ring([handler(5)])
    await nodes.heard(5)


async def test_a_node_that_delivers_rings_itself_and_calls_others_when_its_hands_are_full(
    rabbit_server: RabbitServer,
) -> None:
    own = Dispatcher(has_room=True)
    async with running_nodes(rabbit_server.url, own=own, has_room=lambda: own.has_room) as nodes:
        await until(lambda: nodes.connected)
        nodes.bell.ring([handler(5)])
        own.has_room = False
        nodes.bell.ring([handler(6)])
        await nodes.heard(6)
        assert own.rung == [5, 6]
        assert nodes.worker.rung == [6]


async def test_a_queue_that_is_deleted_is_there_again(nodes: Nodes, rabbit_server: RabbitServer) -> None:
    nodes.bell.ring([handler(5)])
    await nodes.heard(5)
    async with await aio_pika.connect(rabbit_server.url) as connection:
        await (await connection.channel()).queue_delete(nodes.queue)
    await until(lambda: not nodes.listener.broker.connected)
    await until(lambda: nodes.connected)
    nodes.bell.ring([handler(6)])
    await nodes.heard(6)


async def test_a_queue_that_a_killed_broker_left_dead_is_made_anew(rabbit_server: RabbitServer) -> None:
    """Killed just after it was declared, a quorum queue may keep its name and nothing behind it."""
    async with running_nodes(rabbit_server.url) as nodes:
        async with asyncio.timeout(PATIENCE_S):
            while not nodes.connected:
                await asyncio.sleep(0)
        await asyncio.to_thread(rabbit_server.kill)
        await asyncio.to_thread(rabbit_server.start)
        await until(lambda: nodes.connected)
        nodes.bell.ring([handler(5)])
        await nodes.heard(5)


async def test_a_broker_that_hangs_is_noticed_and_blocks_nobody(nodes: Nodes, rabbit_server: RabbitServer) -> None:
    nodes.bell.ring([handler(5)])
    await nodes.heard(5)
    rabbit_server.pause()
    try:
        assert ring_quickly(nodes.bell)
        await until(lambda: not nodes.publishing.connected)
        assert ring_quickly(nodes.bell)
    finally:
        rabbit_server.resume()
    await until(lambda: nodes.connected)
    nodes.bell.ring([handler(6)])
    await nodes.heard(6)


def ring_quickly(bell: AmqpBell) -> bool:
    """Ring for more handlers than may wait; whether that took next to no time and room."""
    began = time.perf_counter()
    for number in range(1000, 1000 + MAX_WAITING * 2):
        bell.ring([handler(number)])
    return len(bell._waiting) <= MAX_WAITING and time.perf_counter() - began < AT_ONCE_S * 20
