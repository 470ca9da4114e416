"""Promises: a relay for the portal's tests: keeps every request as bytes, answers what the test has said.

Leans on: asyncio streams; the values that the captures in ``tests/wire`` were taken with.
Must never: behave like a relay of its own accord.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.e2e.portal_process import StandInPortal

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

WAIT_S = 10.0

SERVICE_ID = "local.134b7678dbeac8"
SERVICE_SECRET = "fb356424caeeadbc883e5829965c17b7802cd18d5c6d0921fd"
PUBLIC_URL = "http://127.0.0.1:18081"
CLIENT_ID = "local.a7088e84e21e7e.7cc04201"
CLIENT_SECRET = "e40052659cab8ecb00ec17edfc9a55995a61039b1e477da616"
APP = "http://127.0.0.1:18090"


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. `hang` = the connection stays open without a byte; `drop` = it is closed so."""

    body: str = ""
    status: int = 200
    headers: tuple[str, ...] = ()
    hang: bool = False
    drop: bool = False

    def encoded(self) -> bytes:
        body = self.body.encode()
        lines = [f"HTTP/1.1 {self.status} X", f"Content-Length: {len(body)}", *self.headers]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def said(document: Any, status: int = 200) -> Reply:
    """A reply whose body is this JSON document."""
    return Reply(json.dumps(document), status)


NO_JSON = Reply("<html>Bad gateway</html>", 502)


@dataclass(slots=True)
class ScriptedRelay:
    """`replies` maps a path without `/rest/` and slashes (`rest.check`, `oauth/register`) to a reply or to a
    function of the form's fields; anything else is answered ``{"result": true}``."""

    replies: dict[str, Reply | Callable[[dict[str, str]], Reply]] = field(default_factory=dict)
    requests: list[bytes] = field(default_factory=list)
    url: str = ""
    _server: asyncio.Server | None = None
    _arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def running(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Self]:
        relay = cls()
        relay._server = await asyncio.start_server(relay._serve, "127.0.0.1", 0, ssl=tls)
        relay.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{relay._server.sockets[0].getsockname()[1]}"
        try:
            yield relay
        finally:
            relay._server.close()
            for writer in relay._open:
                writer.close()
            await relay._server.wait_closed()

    def asked(self, name: str) -> list[dict[str, str]]:
        """Fields of the requests to this path so far."""
        return [form_of(request) for request in self.requests if name_of(request) == name]

    async def wait_for(self, name: str, count: int = 1) -> list[dict[str, str]]:
        """Wait until this path was asked `count` times: events leave the portal after its answer."""
        async with asyncio.timeout(WAIT_S), self._arrived:
            await self._arrived.wait_for(lambda: len(self.asked(name)) >= count)
        return self.asked(name)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            request = await _read_request(reader)
            async with self._arrived:
                self.requests.append(request)
                self._arrived.notify_all()
            reply = self.replies.get(name_of(request), said({"result": True}))
            if callable(reply):
                reply = reply(form_of(request))
            if reply.hang:
                await reader.read()
            elif not reply.drop:
                writer.write(reply.encoded())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the portal gave up: its time-out is what the test is about
        finally:
            self._open.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return head + await reader.readexactly(length)


def name_of(request: bytes) -> str:
    """`rest.check` of ``POST /rest/rest.check HTTP/1.1``; `oauth/register` of ``/oauth/register/``."""
    path = urlsplit(request.split(b" ", 2)[1].decode()).path
    return path.removeprefix("/rest/").strip("/")


def form_of(request: bytes) -> dict[str, str]:
    return dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode(), keep_blank_values=True))


@asynccontextmanager
async def portal_and_relay(folder: Path, **options: Any) -> AsyncIterator[tuple[StandInPortal, ScriptedRelay]]:
    """The portal of the captures, registered and with its one app, pointed at a scripted relay."""
    settings = {
        "public_url": PUBLIC_URL,
        "service_client_id": SERVICE_ID,
        "service_client_secret": SERVICE_SECRET,
    }
    async with ScriptedRelay.running() as relay:
        settings["oauth_server"] = relay.url
        portal = await StandInPortal.start(folder, **settings | options)
        try:
            await portal.put_app(
                CLIENT_ID, CLIENT_SECRET, id=1, title="App", url=f"{APP}/cb", scope="crm,user,placement"
            )
            yield portal, relay
        finally:
            await portal.stop()
