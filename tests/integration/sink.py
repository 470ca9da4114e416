"""A handler of events: a real HTTP server that records what it is sent and answers as a test says.

Leans on aiohttp. Must never forget or reorder what came.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from tests.integration.wire import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Call:
    """One request to the handler. headers: names in lower case."""

    path: str
    headers: dict[str, str]
    body: str

    @property
    def event_id(self) -> str:
        """The id that is the same on every try."""
        return self.headers["x-relay-event-id"]

    @property
    def attempt(self) -> int:
        """Which try this is."""
        return int(self.headers["x-relay-attempt"])


class HangUp(Exception):
    """Raised by a behaviour: the connection ends without an answer."""


Behaviour = Callable[[Call], Awaitable[web.StreamResponse]]


def answering(status: int, **headers: str) -> Behaviour:
    """A handler that answers with that status at once."""

    async def answer(_call: Call) -> web.StreamResponse:
        return web.Response(status=status, headers=headers)

    return answer


class Sink:
    """The running handler. `behaviour` answers every call; `behaviours` those of one path."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.behaviour: Behaviour = answering(200)
        self.behaviours: dict[str, Behaviour] = {}
        self.url = ""
        self._came = asyncio.Condition()

    def at(self, path: str) -> list[Call]:
        """The calls of one path."""
        return [call for call in self.calls if call.path == path]

    async def wait_for(self, count: int, path: str | None = None) -> list[Call]:
        """The first `count` calls (of a path), once they are there."""

        def so_far() -> list[Call]:
            return self.calls if path is None else self.at(path)

        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len(so_far()) >= count)
        return so_far()[:count]

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Record one call, then answer it."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(request.raw_path, headers, (await request.read()).decode("latin-1"))
        self.calls.append(call)
        async with self._came:
            self._came.notify_all()
        try:
            return await self.behaviours.get(call.path, self.behaviour)(call)
        except HangUp:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()


@contextlib.asynccontextmanager
async def running_sink() -> AsyncIterator[Sink]:
    """A handler on a free port of this machine."""
    sink = Sink()
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", sink.take)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    sink.url = f"http://{host}:{port}"
    try:
        yield sink
    finally:
        await runner.cleanup()
