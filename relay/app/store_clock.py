"""The time by the store's clock: the one that all nodes share, so that a lease ends for all of them at one moment.

Leans on a clock that never jumps, set by the store's every few seconds. Must never go by this machine's wall clock once
the store has been asked: it may be wrong, and it may be set while we look at it.
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

SET_EVERY_S = 10.0
SLOWEST_ANSWER_MS = 1000
WORTH_SAYING_MS = 5000
_log = structlog.get_logger(__name__)


class StoreClock:
    """A Clock; `keep` it right in the background. own: this machine's, until the store was asked."""

    def __init__(self, store: DeliveryStore, own: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._own = own
        self._monotonic = monotonic
        self._base_ms: float | None = None
        self._said = False

    def now_ms(self) -> int:
        """Unix milliseconds by the store."""
        if self._base_ms is None:
            return self._own.now_ms()
        return round(self._base_ms + self._monotonic() * 1000)

    async def begin(self) -> None:
        """Ask the store for the first time. Raises Unavailable."""
        await self.set()

    async def set(self) -> None:
        """Ask the store. An answer that took long says little, and is not taken. Raises Unavailable."""
        asked_ms = self._monotonic() * 1000
        stored_ms = await self._store.clock_ms()
        answered_ms = self._monotonic() * 1000
        if stored_ms is None or (self._base_ms is not None and answered_ms - asked_ms > SLOWEST_ANSWER_MS):
            return
        self._base_ms = stored_ms - (asked_ms + answered_ms) / 2
        self._compare(self._own.now_ms() - self.now_ms())

    async def keep(self) -> None:
        """Set it over and over; until cancelled."""
        while True:
            await asyncio.sleep(SET_EVERY_S)
            try:
                await self.set()
            except Unavailable:
                continue  # it goes on as it is

    def _compare(self, ahead_ms: int) -> None:
        """Say once that this machine's clock is wrong, or the database's, and once that they agree again."""
        differs = abs(ahead_ms) >= WORTH_SAYING_MS
        if differs and not self._said:
            _log.warning("clock.differs_from_the_database_s", ahead_s=round(ahead_ms / 1000, 1))
        elif self._said and not differs:
            _log.info("clock.agrees_with_the_database_s")
        self._said = differs
