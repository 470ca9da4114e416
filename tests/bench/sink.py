"""Promises: a handler that takes every event at once and notes when it came: `python -m tests.bench.sink BOARD [PORT]`.

Leans on: asyncio protocols and the board; prints its port, ends when standard input ends.
Must never: cost so much that what is measured is the sink.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import cast

from tests.bench.board import Board
from tests.bench.connection import content_length
from tests.bench.loop import run, until_stdin_ends

ID_FIELD = b"FIELDS%5D%5BID%5D="
_HEAD_END = b"\r\n\r\n"
_TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok"


class Sink(asyncio.Protocol):
    """One connection of a sender."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (head_size := self._received.find(_HEAD_END)) >= 0:
            end = head_size + len(_HEAD_END) + content_length(self._received[:head_size])
            if len(self._received) < end:
                return
            self._take(self._received[:end])
            self._received = self._received[end:]

    def _take(self, message: bytes) -> None:
        at = message.find(ID_FIELD)
        if at >= 0:
            number = message[at + len(ID_FIELD) :].split(b"&", 1)[0]
            self._board.note(int(number), time.monotonic_ns())
        if self._transport is not None:
            self._transport.write(_TAKEN)


async def _serve(board: Board, port: int) -> None:
    server = await asyncio.get_running_loop().create_server(lambda: Sink(board), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await until_stdin_ends()
    server.close()


if __name__ == "__main__":
    run(_serve(Board(Path(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
