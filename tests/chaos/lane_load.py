"""Promises: a portal that sends each entity's events one after the other, each again until it is taken, at any node.

Leans on the item id by which the relay knows an event that it has taken already (protocol.md section 4).
Must never: go on to an entity's next event before the last one was answered with a truthy `result`.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

    from tests.chaos.event_load import LoadPortal

AGAIN_S = 0.05


@dataclass(slots=True)
class LaneLoad:
    """doors: the portal at each node that may be asked. handlers: each lane has one of them. refused: calls."""

    doors: list[LoadPortal]
    handlers: list[str]
    chance: random.Random
    lanes: int = 10
    pause_s: float = 0.1
    accepted: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    accepted_at: dict[tuple[int, int], float] = field(default_factory=dict)
    refused: int = 0
    _stopping: bool = False
    _senders: list[asyncio.Task[None]] = field(default_factory=list)

    @asynccontextmanager
    async def sending(self) -> AsyncIterator[Self]:
        """Send; who still sends at the end is cut short."""
        self._senders = [asyncio.create_task(self._send(lane)) for lane in range(self.lanes)]
        try:
            yield self
        finally:
            for task in self._senders:
                task.cancel()
            await asyncio.gather(*self._senders, return_exceptions=True)

    async def stop(self) -> int:
        """Let every entity's last event be taken; how many were."""
        self._stopping = True
        await asyncio.gather(*self._senders)
        return sum(self.accepted.values())

    def events(self) -> set[tuple[int, int]]:
        """The lane and number of every accepted event."""
        return {(lane, number) for lane, count in self.accepted.items() for number in range(count)}

    async def _send(self, lane: int) -> None:
        while not self._stopping:
            number = self.accepted[lane]
            while not await self._is_taken(lane, number):
                self.refused += 1
                await asyncio.sleep(AGAIN_S)
            self.accepted_at[lane, number] = time.monotonic()
            self.accepted[lane] += 1
            await asyncio.sleep(self.pause_s)

    async def _is_taken(self, lane: int, number: int) -> bool:
        door = self.chance.choice(self.doors)
        return await door.is_taken(door.lane_event(lane, number, self.handlers[lane % len(self.handlers)]))
