"""Promises: an HTTP proxy of this machine that takes CONNECT and absolute-form requests, and remembers each.

Leans on asyncio streams. Must never connect to anywhere but this machine, whatever it is asked for.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers.streams import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK = 65536
HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request to the proxy. headers: names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


class HttpProxy:
    """The running proxy. knows: names that it finds on this machine, beside its address. status: how it refuses all."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.knows: set[str] = set()
        self.status: int | None = None

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[HttpProxy]:
        """A proxy on a free port."""
        proxy = cls()
        async with serving(proxy._answer) as port:
            proxy.url = f"http://{HERE}:{port}"
            yield proxy

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        self.asked.append(Asked(method, target, headers))
        tunnel = method == "CONNECT"
        there = urlsplit(f"//{target}" if tunnel else target)
        status = self.status or (200 if there.hostname in {HERE, *self.knows} else 502)
        if status != 200:
            writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            return
        server_reader, server_writer = await asyncio.open_connection(HERE, there.port)
        try:
            if tunnel:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = f"{there.path or '/'}{'?' + there.query if there.query else ''}"
                kept = [line for line in lines if not line.lower().startswith(("connection:", "proxy-"))]
                sent = [f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]
                server_writer.write("\r\n".join(sent).encode("latin-1"))
            await asyncio.gather(_carry(reader, server_writer), _carry(server_reader, writer))
        finally:
            server_writer.close()


async def _carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()
