"""The bell over RabbitMQ: nodes that accepted events tell nodes that deliver them, by the handlers' ids and no more.

Leans on a durable quorum queue that all nodes share, with publisher confirms. A ring follows the commit of what it is
about; it may be lost or doubled, and costs some latency then, because the dispatcher's sweep finds the same work.
Never blocks or fails whoever rings, whatever the broker does.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aio_pika
import structlog

from relay.core.errors import Unavailable
from relay.queue.broker import OPEN_S, OPERATION_S, WATCH_S, Broker, BrokerUnreachable, bounded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable

    from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue

    from relay.core.model import Handler
    from relay.ports import Bell, Entropy

_log = structlog.get_logger(__name__)

QUEUE = "relay.rings"
MAX_WAITING = 10_000
MAX_IN_FLIGHT = 64
PREFETCH = 64
CONFIRM_S = 2.0
MAX_LENGTH = 100_000
MOST_SILENT = 2


class AmqpBell:
    """The Bell port of a node. own: the bell of its own dispatcher, if it has one. has_room: whether that is idle.

    A node that delivers takes up what it accepted itself; it calls the others when its hands are full.
    """

    def __init__(
        self,
        broker: Broker,
        queue: str = QUEUE,
        own: Bell | None = None,
        has_room: Callable[[], bool] = lambda: True,
        confirm_s: float = CONFIRM_S,
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._own = own
        self._has_room = has_room
        self._confirm_s = confirm_s
        self._waiting: dict[int, None] = {}
        self._rung = asyncio.Event()
        self._channel: AbstractChannel | None = None

    def ring(self, handlers: Iterable[Handler]) -> None:
        """Say that these handlers have work that is due; never blocks, never fails."""
        handlers = list(handlers)
        if self._own is not None:
            self._own.ring(handlers)
            if self._has_room():
                return
        if not self._broker.connected:
            return  # those who deliver will find it by themselves
        for handler in handlers:
            if not handler.paused and len(self._waiting) < MAX_WAITING:
                self._waiting[handler.id] = None
        self._rung.set()

    async def run(self) -> None:
        """Publish what was rung; until cancelled."""
        while True:
            await self._rung.wait()
            self._rung.clear()
            while self._waiting:
                ids = list(self._waiting)[:MAX_IN_FLIGHT]
                for handler_id in ids:
                    del self._waiting[handler_id]
                try:
                    await bounded(self._publish(ids), self._confirm_s)
                except BrokerUnreachable:
                    self._drop()
                except Exception as error:  # a fault of the library's or ours must not end this for good
                    _log.error("bell.failed", exc_info=error)
                    self._drop()

    def _drop(self) -> None:
        """Let go of what waits: those who deliver will find it by themselves."""
        self._channel = None
        self._waiting.clear()
        self._broker.suspect()

    async def _publish(self, ids: Collection[int]) -> None:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._broker.channel(on_return_raises=True)
            await declare(self._channel, self._queue)
        exchange = self._channel.default_exchange
        messages = [
            aio_pika.Message(str(handler_id).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            for handler_id in ids
        ]
        await asyncio.gather(*(exchange.publish(message, self._queue, mandatory=True) for message in messages))


class RingListener:
    """What a node that delivers does with the rings: it rings its dispatcher. `broker.run` makes it listen.

    find: the handlers of some ids. An id that is gone, a store that does not answer: the ring is let go.
    """

    def __init__(
        self,
        url: str,
        entropy: Entropy,
        bell: Bell,
        find: Callable[[Collection[int]], Awaitable[list[Handler]]],
        queue: str = QUEUE,
        operation_s: float = OPERATION_S,
        watch_s: float = WATCH_S,
    ) -> None:
        self.broker = Broker(
            url,
            "rings",
            entropy,
            on_open=self._listen,
            probe=self._check,
            operation_s=operation_s,
            watch_s=watch_s,
        )
        self._operation_s = operation_s
        self._bell = bell
        self._find = find
        self._queue = queue
        self._known: dict[int, Handler] = {}
        self._silent_queues = 0

    async def _listen(self, connection: AbstractConnection) -> None:
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize(timeout=self._operation_s)
        await channel.set_qos(prefetch_count=PREFETCH, timeout=self._operation_s)
        if self._silent_queues >= MOST_SILENT:
            # A broker that is killed just after a queue was declared may keep its name and nothing behind it. What
            # such a queue held is worth nothing.
            _log.warning("bell.queue_made_anew", queue=self._queue)
            await channel.queue_delete(self._queue, timeout=OPEN_S)
        queue = await declare(channel, self._queue)
        self._silent_queues += 1
        await bounded(queue.consume(self._take), self._operation_s)
        self._silent_queues = 0

    async def _check(self, connection: AbstractConnection) -> None:
        """The queue is there and somebody listens; a queue that was deleted takes its listeners with it."""
        channel = connection.channel(publisher_confirms=False)
        await channel.initialize(timeout=self._operation_s)
        queue = await channel.declare_queue(self._queue, passive=True)
        if not queue.declaration_result.consumer_count:
            raise BrokerUnreachable("nobody listens to the queue of rings")
        await channel.close()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        """One ring."""
        try:
            await self._ring(int(message.body))
        except ValueError:
            _log.warning("bell.not_a_ring", queue=self._queue)
        except Unavailable:
            pass  # the dispatcher's sweep will know as soon as the store does
        try:
            await bounded(message.ack(), self._operation_s)
        except BrokerUnreachable:
            self.broker.suspect()

    async def _ring(self, handler_id: int) -> None:
        handler = self._known.get(handler_id)
        if handler is None:
            for found in await self._find([handler_id]):
                handler = self._known[found.id] = found
        if handler is not None:
            self._bell.ring([handler])


async def declare(channel: AbstractChannel, name: str) -> AbstractQueue:
    """The queue of rings: on the disks of a majority, and never longer than is useful (the oldest go first)."""
    return await channel.declare_queue(
        name, durable=True, arguments={"x-queue-type": "quorum", "x-max-length": MAX_LENGTH}
    )
