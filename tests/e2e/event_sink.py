"""Promises: an app's side of events: a real HTTP server that keeps every delivery and answers as a test says.

Leans on: aiohttp's server on a free loopback port.
Must never: change or sort what it got; a form's fields stay pairs in their order.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qsl

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Arrived:
    """One request that reached the sink."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The form's fields as they came."""
        return parse_qsl(self.body.decode("ascii"), keep_blank_values=True, strict_parsing=True)

    @property
    def form(self) -> dict[str, str]:
        """The form's fields by name; a name that came twice fails the test."""
        pairs = self.pairs
        form = dict(pairs)
        assert len(form) == len(pairs), pairs
        return form

    def auth(self) -> dict[str, str]:
        """The members of the `auth` block."""
        return {name[5:-1]: value for name, value in self.form.items() if name.startswith("auth[")}

    @property
    def event_id(self) -> str:
        return self.headers["X-Relay-Event-Id"]

    @property
    def attempt(self) -> int:
        return int(self.headers["X-Relay-Attempt"])


@dataclass(slots=True)
class EventSink:
    """`replies` maps a path to what answers there: a status, or a coroutine function that gives one. Else 200."""

    url: str = ""
    arrived: list[Arrived] = field(default_factory=list)
    replies: dict[str, int | Callable[[Arrived], Awaitable[int]]] = field(default_factory=dict)
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """A sink on a free port; handlers that still hang at the end are cancelled."""
        sink = cls()
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", sink._take)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        sink.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield sink
        finally:
            await runner.cleanup()

    def at(self, path: str) -> list[Arrived]:
        """What has come to this path so far."""
        return [one for one in self.arrived if one.path == path]

    async def wait_for(self, path: str, count: int = 1) -> list[Arrived]:
        """Wait until `count` requests have come to this path."""
        await self.wait_until(lambda: len(self.at(path)) >= count)
        return self.at(path)

    async def wait_until(self, condition: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
        """Wait until the condition holds; it is looked at after each arrival."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(condition)

    async def _take(self, request: web.Request) -> web.Response:
        one = Arrived(request.path, dict(request.query), dict(request.headers), await request.read())
        async with self._changed:
            self.arrived.append(one)
            self._changed.notify_all()
        reply = self.replies.get(one.path, 200)
        return web.Response(status=reply if isinstance(reply, int) else await reply(one), text="ok")
