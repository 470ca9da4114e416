"""Promises: one keep-alive HTTP connection that costs the load generator as little as Python can.

Leans on: asyncio protocols; requests are whole byte strings made beforehand.
Must never: take an answer that is not 200 for one: a bench that measures refusals measures nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ANSWER_S = 30.0
_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class BadAnswerError(Exception):
    """The server answered something else than 200, or hung up."""


class Connection(asyncio.Protocol):
    """Sends one request at a time and waits for its answer."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._waiting: asyncio.Future[bytes] | None = None

    @classmethod
    async def open(cls, port: int) -> Connection:
        """Connect to a port of this machine."""
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    async def exchange(self, request: bytes) -> bytes:
        """Send a request; the body of its answer. Raises BadAnswerError."""
        if self._transport is None:
            raise BadAnswerError("the connection is closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_size = self._received.find(_HEAD_END)
        if head_size < 0:
            return
        head = self._received[:head_size]
        start = head_size + len(_HEAD_END)
        size = content_length(head)
        if len(self._received) < start + size:
            return
        body = self._received[start : start + size]
        self._received = b""
        if head.startswith(b"HTTP/1.1 200"):
            self._answer(body)
        else:
            self._fail(f"{head.splitlines()[0]!r} {body[:200]!r}")

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(f"the server hung up: {exc}")

    def _answer(self, body: bytes) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(body)

    def _fail(self, reason: str) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_exception(BadAnswerError(reason))


@asynccontextmanager
async def connections(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """So many open connections, closed at the end."""
    opened = [await Connection.open(port) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def form_post(path: str, body: bytes) -> bytes:
    """A whole request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: relay.local\r\nAccept: */*\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("ascii") + body


def content_length(head: bytes) -> int:
    """The length a head of a message announces, 0 if none."""
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    return int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
