"""Promises: a portal under load: several posters whose `rest.event.call`s look like a stock portal's, each item once.

Leans on: asyncio streams, one connection a call, closed after it; the answer's JSON alone decides, as in a portal.
Must never: repeat a call, or count an item as accepted without a truthy `result` in the answer.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote_plus, urlsplit

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

CALL_TIMEOUT_S = 15.0
PORTAL_URL = "http://portal.test"


@dataclass(frozen=True, slots=True)
class Call:
    """One `rest.event.call`: the numbers of its events, and whether the portal was told that they are taken."""

    numbers: range
    accepted: bool


@dataclass(frozen=True, slots=True)
class LoadPortal:
    """A registered portal with one app, as far as posting events needs one."""

    host: str
    port: int
    keys: dict[str, str]
    client_id: str

    @classmethod
    async def register(cls, relay_url: str) -> Self:
        """Register the announced portal and add its app."""
        origin = urlsplit(relay_url)
        bare = cls(str(origin.hostname), origin.port or 80, {}, "")
        keys = await bare.call("/oauth/register/", [("redirect_uri", PORTAL_URL), ("type", "B")])
        known = cls(bare.host, bare.port, keys, "")
        app = [("TITLE", "App"), ("REDIRECT_URI", "http://127.0.0.1/"), ("SCOPE", "crm")]
        added = await known.call("/rest/application.add", app)
        return cls(bare.host, bare.port, keys, added["result"]["client_id"])

    async def send(self, events: Iterable[tuple[int, str]]) -> bool:
        """One call with these (number, handler URL) items. Whether the relay has taken them."""
        return await self.is_taken(self.fields(events))

    async def is_taken(self, fields: Iterable[tuple[str, str]]) -> bool:
        """Whether the relay takes these fields of a call."""
        try:
            answer = await self.call("/rest/rest.event.call", fields)
        except (OSError, EOFError, ValueError, IndexError):
            return False
        return bool(answer.get("result"))

    async def call(self, path: str, fields: Iterable[tuple[str, str]]) -> dict[str, Any]:
        """POST as the portal does. :raises OSError, EOFError, IndexError, ValueError: no JSON came back."""
        _, body = await self.answer(path, fields)
        document = json.loads(body)
        if not isinstance(document, dict):
            raise ValueError("no JSON object")
        return document

    async def answer(self, path: str, fields: Iterable[tuple[str, str]]) -> tuple[int, bytes]:
        """The status and the body of the answer. :raises OSError, EOFError, IndexError: there was none."""
        pairs = [*fields, *self.keys.items(), ("client_redirect_uri", PORTAL_URL)]
        body = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\nAccept: */*\r\n"
            f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        async with asyncio.timeout(CALL_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(self.host, self.port)
            try:
                writer.write(head.encode() + body)
                await writer.drain()
                answer = await reader.read()
            finally:
                writer.close()
        status, _, _ = answer.partition(b"\r\n")
        return int(status.split(b" ")[1]), answer.partition(b"\r\n\r\n")[2]

    def fields(self, events: Iterable[tuple[int, str]]) -> list[tuple[str, str]]:
        """The fields of one `rest.event.call` with these (number, handler URL) items."""
        return [field for index, event in enumerate(events) for field in self._item(index, *event)]

    def lane_event(self, lane: int, number: int, url: str) -> list[tuple[str, str]]:
        """The fields of a call with one event of an entity, which the relay knows again if it is sent once more."""
        known_by = ("QUERY[0][relay_item_id]", f"{lane:08x}{number:024x}")
        return [*self._item(0, lane, url), ("QUERY[0][query][QUERY_DATA][data][NUMBER]", str(number)), known_by]

    def _item(self, index: int, number: int, url: str) -> list[tuple[str, str]]:
        item = f"QUERY[{index}]"
        data = f"{item}[query][QUERY_DATA]"
        return [
            (f"{item}[client_id]", self.client_id),
            (f"{item}[additional][category]", "crm"),
            (f"{item}[additional][sendAuth]", "1"),
            (f"{item}[additional][sendRefreshToken]", "0"),
            (f"{item}[auth][EVENT_SESSION]", "7"),
            (f"{item}[auth][LOCAL_USER]", "1"),
            (f"{item}[auth][application_token]", "47ee90ad1637f2f2378c9adcf19ad54e"),
            (f"{item}[query][DOMAIN]", "portal.test"),
            (f"{item}[query][QUERY_URL]", url),
            (f"{data}[event]", "ONCRMDEALADD"),
            (f"{data}[event_handler_id]", "11"),
            (f"{data}[data][FIELDS][ID]", str(number)),
            (f"{data}[ts]", str(int(time.time()))),
        ]


@dataclass(slots=True)
class EventLoad:
    """Posters that go on until `stop`. They hold back while `too_much` says that the relay is far behind."""

    portal: LoadPortal
    handlers: list[str]
    chance: random.Random
    too_much: Callable[[int], bool]
    calls: list[Call] = field(default_factory=list)
    accepted: int = 0
    _next: int = 0
    _stopping: bool = False
    _posters: list[asyncio.Task[None]] = field(default_factory=list)

    def start(self, posters: int) -> None:
        """Start posting."""
        self._posters = [asyncio.create_task(self._post()) for _ in range(posters)]

    async def stop(self) -> None:
        """Let every poster end its call."""
        self._stopping = True
        await asyncio.gather(*self._posters)

    async def _post(self) -> None:
        while not self._stopping:
            if self.too_much(self.accepted):
                await asyncio.sleep(0.02)
                continue
            count = self.chance.randint(1, 50)
            numbers = range(self._next, self._next + count)
            self._next += count
            accepted = await self.portal.send([(number, self.chance.choice(self.handlers)) for number in numbers])
            self.calls.append(Call(numbers, accepted))
            if accepted:
                self.accepted += count
            else:
                # A portal does not wait either, but a test on two processors must let the relay start.
                await asyncio.sleep(0.05)
