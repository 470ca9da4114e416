"""HTTP by hand: requests as bytes, answers taken apart, captured requests with live values put in.

Leans on asyncio's streams alone, so that no client library tidies a request up. Must never wait longer than
PATIENCE_S.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from tests.factories import WIRE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PATIENCE_S = 20
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. headers: names in lower case, the last of each."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; fails if it is none."""
        return json.loads(self.body)

    @property
    def is_json(self) -> bool:
        """Whether a portal would take the body for an answer."""
        try:
            json.loads(self.body)
        except ValueError:
            return False
        return True

    @property
    def error(self) -> str | None:
        """The error code of a JSON answer; None if it is no JSON or no error."""
        said = self.json if self.is_json else None
        return said.get("error") if isinstance(said, dict) else None


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it goes over the wire, but for its Content-Length, which follows the body."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """The whole request."""
        headers = [header for header in self.headers if header[0].lower() != "content-length"]
        if self.body or self.method == "POST":
            headers.append(("Content-Length", str(len(self.body))))
        lines = [f"{self.method} {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        return "\r\n".join(lines).encode("latin-1") + self.body


def captured(name: str) -> Request:
    """A request that the real portal module sent."""
    head, _, body = (WIRE / f"{name}.http").read_bytes().partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    method, target, _ = first.split(" ")
    headers = tuple((line.partition(": ")[0], line.partition(": ")[2]) for line in lines)
    return Request(method, target, headers, body)


def with_values(request: Request, values: Mapping[str, str]) -> Request:
    """The request with made-up values replaced by live ones, wherever they stand, each escaped as PHP does."""
    body, target = request.body.decode("ascii"), request.target
    for old, new in values.items():
        body = body.replace(quote_plus(old), quote_plus(new))
        target = target.replace(quote_plus(old), quote_plus(new))
    return replace(request, body=body.encode("ascii"), target=target)


def form(pairs: Mapping[str, object] | Iterable[tuple[str, object]]) -> bytes:
    """A form of names written out with their brackets."""
    given = pairs.items() if hasattr(pairs, "items") else pairs
    return "&".join(f"{quote_plus(name)}={quote_plus(str(value))}" for name, value in given).encode("ascii")


def post(target: str, body: bytes, content_type: str = FORM, *headers: tuple[str, str]) -> Request:
    """A POST as a portal sends it: no User-Agent, one connection a request."""
    base = (("Host", "relay.local"), ("Connection", "close"), ("Accept", "*/*"), ("Content-Type", content_type))
    return Request("POST", target, (*base, *headers), body)


def get(target: str, *headers: tuple[str, str]) -> Request:
    """A GET."""
    return Request("GET", target, (("Host", "relay.local"), ("Connection", "close"), *headers))


async def send(address: str, request: Request | bytes) -> Answer:
    """Send over a connection of its own and read the answer to its end; an answer to HEAD has no body."""
    raw = request if isinstance(request, bytes) else request.to_bytes()
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(raw)
            await writer.drain()
            return await read_answer(reader, bodiless=raw.startswith(b"HEAD "))
        finally:
            writer.close()


async def read_answer(reader: asyncio.StreamReader, *, bodiless: bool = False) -> Answer:
    """One answer off a stream."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
    length = headers.get("content-length")
    if bodiless:
        return Answer(int(first.split(" ")[1]), headers, b"")
    body = await (reader.read() if length is None else reader.readexactly(int(length)))
    return Answer(int(first.split(" ")[1]), headers, body)
