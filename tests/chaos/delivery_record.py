"""Promises: handlers that record every delivery of an event, by its number, and answer after a while of their own.

Leans on: aiohttp's server on a free loopback port.
Must never: record an event before its whole body is there, or answer before it is recorded.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NUMBER = re.compile(rb"data%5BFIELDS%5D%5BID%5D=(\d+)&")


@dataclass(frozen=True, slots=True)
class Try:
    """One delivery as the handler saw it."""

    event_id: str
    attempt: int


@dataclass(slots=True)
class DeliveryRecord:
    """`tries`: what came for each event, in order. `delays_s`: how long each handler thinks before it answers."""

    delays_s: list[float]
    handlers: list[str] = field(default_factory=list)
    tries: dict[int, list[Try]] = field(default_factory=dict)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @classmethod
    @asynccontextmanager
    async def running(cls, delays_s: list[float]) -> AsyncIterator[Self]:
        """Serve one handler for each delay."""
        record = cls(delays_s)
        app = web.Application()
        app.router.add_post("/{handler}", record._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
        record.handlers = [f"{origin}/{number}" for number in range(len(delays_s))]
        try:
            yield record
        finally:
            await runner.cleanup()

    @property
    def duplicates(self) -> int:
        """Deliveries beyond the first of each event."""
        return sum(len(tries) - 1 for tries in self.tries.values())

    async def arrival(self) -> None:
        """Wait until something arrives."""
        self._arrived.clear()
        await self._arrived.wait()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        found = NUMBER.search(body)
        assert found is not None, body
        headers = request.headers
        one = Try(headers["X-Relay-Event-Id"], int(headers["X-Relay-Attempt"]))
        self.tries.setdefault(int(found[1]), []).append(one)
        self._arrived.set()
        delay_s = self.delays_s[int(request.match_info["handler"])]
        if delay_s:
            await asyncio.sleep(delay_s)
        return web.Response()
