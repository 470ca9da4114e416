"""Promises: a handler that answers each request with headers that never end, a few bytes at a time.

Leans on: asyncio streams; `python -m tests.bench.drip` prints its port, ends when standard input ends.
Must never: finish an answer, or hang up first: only the caller's own time-out ends a call.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.bench.loop import run, until_stdin_ends

EVERY_S = 0.2


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One more header every moment, for as long as the caller bears it."""
    with suppress(OSError):
        await reader.read(1 << 16)
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while not reader.at_eof():
            writer.write(b"X-Drip: 1\r\n")
            await writer.drain()
            with suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1 << 16), EVERY_S)
    writer.close()


async def _serve() -> None:
    server = await asyncio.start_server(drip, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await until_stdin_ends()
    server.close()


if __name__ == "__main__":
    run(_serve())
