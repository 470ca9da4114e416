"""All that one node does with the broker: publish rings and events, listen to rings.

Leans on the bell and the sender of this package. Two connections, because a broker that is short of memory stops those
that publish, and rings must still be heard. Never does anything before `run`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.queue.amqp import AmqpBell, RingListener
from relay.queue.broker import Broker
from relay.queue.outbound import SCHEME, AmqpSender, SenderByScheme

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from relay.core.model import Handler
    from relay.ports import Bell, Entropy, Sender


class QueueNode:
    """One node at its broker."""

    def __init__(self, url: str, entropy: Entropy) -> None:
        self._url = url
        self._entropy = entropy
        self._publishing = Broker(url, "publishing", entropy)
        self._brokers = [self._publishing]
        self._bell: AmqpBell | None = None

    @property
    def connected(self) -> bool:
        """Whether every connection is there."""
        return all(broker.connected for broker in self._brokers)

    def sender(self, other: Sender) -> Sender:
        """Sends to the broker what is meant for it, and by `other` the rest."""
        return SenderByScheme({SCHEME: AmqpSender(self._publishing)}, other)

    def bell_between_nodes(
        self,
        own: Bell | None,
        has_room: Callable[[], bool],
        find: Callable[[Collection[int]], Awaitable[list[Handler]]],
    ) -> Bell:
        """The bell of a node that shares its store with others. own: its dispatcher, if it delivers; find: by ids."""
        if own is not None:
            self._brokers.append(RingListener(self._url, self._entropy, own, find).broker)
        self._bell = AmqpBell(self._publishing, own=own, has_room=has_room)
        return self._bell

    async def run(self) -> None:
        """Keep the connections and ring; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for broker in self._brokers:
                tasks.create_task(broker.run())
            if self._bell is not None:
                tasks.create_task(self._bell.run())
