"""What the relay does by itself from time to time: rotate keys, delete what has ended, write down failures.

Leans on the issuer store. Works in small batches with other work between them; never deletes anything that could
still be used, and never an event.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.app.failures import Failures
    from relay.app.keys import Keys
    from relay.app.settings import IssuerSettings, RetentionSettings
    from relay.ports import Clock, Store

_DAY_MS = 86_400_000
_log = structlog.get_logger(__name__)


class Housekeeping:
    """Runs until cancelled."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        failures: Failures,
        clock: Clock,
        settings: IssuerSettings,
        retention: RetentionSettings,
        on_purged: Callable[[dict[str, int]], None],
    ) -> None:
        self._store = store
        self._keys = keys
        self._failures = failures
        self._clock = clock
        self._settings = settings
        self._retention = retention
        self._on_purged = on_purged

    async def run(self) -> None:
        """Work, then wait; a failure only delays. At the end what was counted is still written down."""
        try:
            while True:
                try:
                    await self.once()
                except Unavailable as error:
                    _log.warning("housekeeping.store_unavailable", reason=error.description)
                except Exception as error:  # keys must go on being rotated, whatever one round ran into
                    _log.error("housekeeping.failed", exc_info=error)
                await asyncio.sleep(self._settings.housekeeping_s)
        finally:
            await self._write_down()

    async def run_for_failures(self) -> None:
        """Only write down what was counted here: the rest is done by the nodes that deliver."""
        try:
            while True:
                await asyncio.sleep(self._settings.housekeeping_s)
                try:
                    await self._write_down()
                except Unavailable as error:
                    _log.warning("housekeeping.store_unavailable", reason=error.description)
        finally:
            await self._write_down()

    async def _write_down(self) -> None:
        if entries := self._failures.take():
            await self._store.add_audit(entries)

    async def once(self) -> None:
        """One round."""
        await self._write_down()
        await self._keys.tend()
        now = self._clock.now_ms() // 1000
        batch = self._settings.purge_batch
        for _ in range(self._settings.purge_rounds):
            counts = await self._store.purge(now, now - self._settings.lifetimes.refresh_grace_s - 3600, batch)
            self._on_purged(counts)
            if max(counts.values()) < batch:
                break
        await self._prune(now * 1000)

    async def _prune(self, now_ms: int) -> None:
        """Delete all deliveries that are over and old enough, resting after each batch as long as it took."""
        kept = self._retention
        while True:
            began_s = time.monotonic()
            counts = await self._store.prune(
                payloads_before_ms=now_ms - round(kept.payload_days * _DAY_MS),
                deliveries_before_ms=now_ms - round(max(kept.delivery_days, kept.payload_days) * _DAY_MS),
                most=kept.batch,
            )
            self._on_purged(counts)
            if max(counts.values()) < kept.batch:
                return
            await asyncio.sleep(time.monotonic() - began_s)
