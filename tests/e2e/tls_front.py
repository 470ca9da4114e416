"""Promises: TLS in front of a plain HTTP server on this machine, the way a site's nginx stands before the relay.

Leans on: asyncio streams; a certificate by PrivateCa.
Must never: look into what passes, or open a connection to anywhere but the server it was given.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CHUNK = 65536


@asynccontextmanager
async def tls_front(backend: str, pem: Path, port: int) -> AsyncIterator[None]:
    """Serve `backend` (an http:// origin) by TLS on this port of 127.0.0.1 with the certificate in `pem`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    origin = urlsplit(backend)
    passing: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        passing.add(task)
        try:
            # Cancelled at the end: asyncio's streams would log that as a fault of this callback.
            with suppress(asyncio.CancelledError):
                await _join(reader, writer, str(origin.hostname), origin.port or 80)
        finally:
            passing.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield
    finally:
        server.close()
        for task in passing:
            task.cancel()
        await asyncio.gather(*passing, return_exceptions=True)
        await server.wait_closed()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """Pass bytes both ways until either side ends."""
    try:
        inner_reader, inner_writer = await asyncio.open_connection(host, port)
    except ConnectionError:
        await _close(writer)
        return
    ways = [asyncio.create_task(_pass(*way)) for way in ((reader, inner_writer), (inner_reader, writer))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        await _close(inner_writer)
        await _close(writer)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError, ssl.SSLError):
        while chunk := await source.read(CHUNK):
            target.write(chunk)
            await target.drain()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()
