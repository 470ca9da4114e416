"""A handler below HTTP: it says the first thing once, and the next over and over, until the caller is gone.

Leans on asyncio's streams; a request is read to its end first. Must never end a connection by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.integration.wire import PATIENCE_S
from tests.servers.streams import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(slots=True)
class RawHandler:
    """pause_s: between two pieces. ended: one count for each caller that went away."""

    first: bytes
    again: bytes
    pause_s: float
    url: str = ""
    calls: int = 0
    ended: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    async def left(self, times: int) -> None:
        """Wait until so many callers went away."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(times):
                await self.ended.acquire()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
            self.calls += 1
            writer.write(self.first)
            while not reader.at_eof():
                writer.write(self.again)
                await writer.drain()
                await asyncio.sleep(self.pause_s)
        self.ended.release()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def running_raw_handler(first: bytes, again: bytes, *, pause_s: float = 0) -> AsyncIterator[RawHandler]:
    """A handler on a free port of this machine."""
    handler = RawHandler(first, again, pause_s)
    async with serving(handler.serve) as port:
        handler.url = f"http://127.0.0.1:{port}"
        yield handler
