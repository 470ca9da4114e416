"""Whether there is room for more events: the backlog and the disk, looked at once a second at the most.

Leans on the store's kept counts. Refuses whole batches only, and says so well before, in the log and in health.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from relay.app.settings import RoomSettings
    from relay.ports import Clock, Store

_log = structlog.get_logger(__name__)
LOOK_EVERY_MS = 1000
SAY_EVERY_MS = 60_000


class Room:
    """Looks after room. free_bytes: how many bytes the store's disk has left, or None where nobody can tell."""

    def __init__(
        self, store: Store, clock: Clock, settings: RoomSettings, free_bytes: Callable[[], int | None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._free_bytes = free_bytes
        self._looked_ms = 0
        self._said: str | None = None
        self._said_ms = 0
        self._refusal: str | None = None
        self.warning: str | None = None

    async def refusal(self) -> str | None:
        """Why no event can be taken now, or None."""
        now_ms = self._clock.now_ms()
        if abs(now_ms - self._looked_ms) >= LOOK_EVERY_MS:
            self._looked_ms = now_ms
            await self._look(now_ms)
        return self._refusal

    async def _look(self, now_ms: int) -> None:
        used, reason = max(self._uses(await self._store.backlog(), self._free_bytes()))
        self.warning = reason if used >= self._settings.warn_at else None
        self._refusal = reason if used >= 1 else None
        self._say(now_ms)

    def _uses(self, backlog: int, free: int | None) -> Iterator[tuple[float, str]]:
        """What there is a limit to: how much of it is used, 1 at the limit, in numbers and in words."""
        settings = self._settings
        yield (
            backlog / settings.max_backlog,
            f"{backlog} events wait for delivery, {settings.max_backlog} are the limit",
        )
        if free is not None:
            words = f"{free} bytes are free on the disk, {settings.min_free_bytes} are the least"
            yield settings.min_free_bytes / max(free, 1), words

    def _say(self, now_ms: int) -> None:
        """Log a change at once, and what lasts once a minute."""
        state = "room.refusing" if self._refusal else "room.getting_low" if self.warning else None
        if state is None and self._said is not None:
            _log.info("room.enough_again")
        elif state is not None and (state != self._said or now_ms - self._said_ms >= SAY_EVERY_MS):
            self._said_ms = now_ms
            _log.warning(state, reason=self.warning)
        self._said = state
