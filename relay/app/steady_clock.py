"""The time where one process delivers: this machine's clock, but never set back.

Leans on a clock that never jumps. What is due now by a clock that is then set back by an hour would wait for an hour;
so the time goes on, a little slower, until the machine's has caught up, over a restart as well. Must never be behind
the machine's clock.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.ports import Clock, DeliveryStore

PACE = 0.9
LOOK_EVERY_S = 1.0
WORTH_NOTING_MS = 1000
FURTHEST_MS = 86_400_000
_log = structlog.get_logger(__name__)


class SteadyClock:
    """A Clock over the machine's own one; `begin` it, then `keep` it in the background."""

    def __init__(self, store: DeliveryStore, own: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._own = own
        self._monotonic = monotonic
        self._now_ms = 0.0
        self._looked_s = monotonic()
        self._said = False

    def now_ms(self) -> int:
        """Unix milliseconds."""
        looked_s = self._monotonic()
        passed_s, self._looked_s = max(looked_s - self._looked_s, 0.0), looked_s
        self._now_ms = max(self._own.now_ms(), self._now_ms + passed_s * 1000 * PACE)
        return int(self._now_ms)

    async def begin(self) -> None:
        """Go on from where an earlier process was; not from a day ahead: such a clock was wrong. Raises Unavailable."""
        latest_ms, own_ms = await self._store.latest_ms(), self._own.now_ms()
        if latest_ms <= own_ms + FURTHEST_MS:
            self._now_ms = max(self._now_ms, latest_ms)
        else:
            ahead_s = (latest_ms - own_ms) // 1000
            remedy = "relay event retry --state due"
            _log.warning("clock.events_are_from_the_future", ahead_s=ahead_s, remedy=remedy)

    async def keep(self) -> None:
        """Let an earlier process's successor know how far it was; until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await self.note()
            except Unavailable:
                continue  # there is a next time

    async def note(self) -> None:
        """Store the time while it is ahead of the machine's. Raises Unavailable."""
        now_ms = self.now_ms()
        ahead_ms = now_ms - self._own.now_ms()
        if ahead_ms < WORTH_NOTING_MS:
            self._said = False
            return
        if not self._said:
            self._said = True
            _log.warning("clock.was_set_back", by_s=round(ahead_ms / 1000, 1))
        await self._store.note_clock(now_ms)
