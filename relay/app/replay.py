"""Working off replays: a little at a time, paced, from where the last one stopped.

Leans on the delivery desk, which keeps a replay's place. A replayed event has its old id, says that it is a replay, and
has a full retry budget.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from relay.app.settings import RetentionSettings
    from relay.ports import Clock, Store

_log = structlog.get_logger(__name__)
IDLE_S = 2.0


class Replays:
    """Runs until cancelled."""

    def __init__(self, store: Store, clock: Clock, settings: RetentionSettings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._owed = 0.0

    async def run(self) -> None:
        """Work, then wait; a passing failure of the store only delays."""
        while True:
            try:
                busy = await self.step()
            except Unavailable as error:
                _log.warning("replay.store_unavailable", reason=error.description)
                busy = False
            await asyncio.sleep(self._settings.replay_step_s if busy else IDLE_S)

    async def step(self) -> bool:
        """One step of the oldest replay, as much as its rate allows in a step; whether there was one to work on."""
        most = max(int(self._owed), 1)
        replay = await self._store.replay_some(self._clock.now_ms(), most)
        if replay is None or replay.finished_at is not None:
            self._owed = 0.0
            return replay is not None
        self._owed = self._owed - most if self._owed >= most else 0.0
        self._owed = min(self._owed + replay.rate * self._settings.replay_step_s, 10_000.0)
        return True
