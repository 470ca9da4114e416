"""Promises: handlers that misbehave below HTTP: each path of this server is one way to treat a caller badly.

Leans on: asyncio streams; a request is read to its end first, so that the sender has done its part.
Must never: end a hanging connection by itself while the server runs.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.servers.streams import serving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

ENDLESS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
ANSWERS: dict[str, bytes] = {
    "silent": b"",
    "half a line": b"HTTP/1.1 20",
    "half a header": b"HTTP/1.1 200 OK\r\nContent-Len",
    "short body": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc",
    "endless body": ENDLESS,
    "garbage": b"\x00\xff<html>\r\n\r\n" * 50,
    "hang up": b"",
}
HANG_UP = {"garbage", "hang up"}
"""The ways that end the connection; the others keep it open."""


@dataclass(slots=True)
class HostileHandler:
    """`open_now` and `most_open`: how many callers each way holds or has held at once."""

    url: str = ""
    calls: dict[str, list[str]] = field(default_factory=dict)
    open_now: dict[str, int] = field(default_factory=dict)
    most_open: dict[str, int] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Self]:
        """Serve on a free port; at the end every connection is dropped."""
        handler = cls()
        async with serving(handler._treat) as port:
            handler.url = f"http://127.0.0.1:{port}"
            yield handler

    def url_of(self, way: str) -> str:
        return f"{self.url}/{way.replace(' ', '-')}"

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        await reader.readexactly(int(headers["Content-Length"]))
        way = head.split(" ", 2)[1].partition("?")[0].strip("/").replace("-", " ")
        self.calls.setdefault(way, []).append(headers["X-Relay-Event-Id"])
        self.open_now[way] = self.open_now.get(way, 0) + 1
        self.most_open[way] = max(self.open_now[way], self.most_open.get(way, 0))
        try:
            writer.write(ANSWERS[way])
            await writer.drain()
            while ANSWERS[way] is ENDLESS:
                writer.write(CHUNK)
                await writer.drain()
            if way not in HANG_UP:
                await reader.read()
        finally:
            self.open_now[way] -= 1
