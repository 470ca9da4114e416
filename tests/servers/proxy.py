"""Promises: a network in front of a server that can be cut in the middle: nothing comes through, and nobody is told.

Leans on asyncio streams. Must never close or refuse a connection while the network is cut: that would be news.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tests.servers.streams import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHUNK = 65536


class Network:
    """A listener that hands everything on to a server of this machine. port: where it listens."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self._server_port = server_port
        self._whole = asyncio.Event()
        self._whole.set()

    def cut(self) -> None:
        """From now on nothing comes through, in either direction; new connections hang as well."""
        self._whole.clear()

    def heal(self) -> None:
        """What was sent meanwhile arrives now."""
        self._whole.set()

    @classmethod
    @asynccontextmanager
    async def before(cls, server_port: int) -> AsyncIterator[Network]:
        """A network before the server at that port."""
        network = cls(server_port)
        async with serving(network._connect) as network.port:
            yield network

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(self._carry(reader, server_writer), self._carry(server_reader, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        await self._whole.wait()
        writer.close()
