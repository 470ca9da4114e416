"""Events about deals with a note each, a handler that answers by note, and what became of them, by note.

Leans on `Site` and `Sink`. A note is the deal's id and a letter, `5a`. Must never tell of what other handlers got.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from aiohttp import web

from tests.integration.commands import command
from tests.integration.live_relay import until

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.records import DeliveryRow
    from tests.integration.sink import Call, Sink
    from tests.integration.site import Site

DAY_S = 86400
UPDATE = "ONCRMDEALUPDATE"
WELL = "/well/"


class NotedHandler:
    """Answers each note with its status, once the gate is open. now, most: calls at once."""

    def __init__(self, sink: Sink, path: str = "/ev") -> None:
        self.status = 200
        self.statuses: dict[str, int] = {}
        self.headers: Mapping[str, str] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.now = 0
        self.most = 0
        self.sink = sink
        self.path = path
        sink.behaviours[path] = self._answer

    @property
    def notes(self) -> list[str]:
        """The notes of all calls, in the order in which they came."""
        return [note_of(call) for call in self.sink.at(self.path)]

    def let_through(self) -> None:
        """Answer the calls that wait now, and none that come after them."""
        self.gate.set()
        self.gate.clear()

    async def called(self, times: int) -> None:
        """Wait until it was called so often."""
        await self.sink.wait_for(times, self.path)

    async def called_for(self, note: str, times: int = 1) -> None:
        """Wait until it was called so often with that note."""

        async def enough() -> bool:
            return self.notes.count(note) >= times

        await until(enough)

    async def _answer(self, call: Call) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
        finally:
            self.now -= 1
        return web.Response(status=self.statuses.get(note_of(call), self.status), headers=self.headers)


def rules(**settings: Any) -> dict[str, Any]:
    """Settings with these rules for every application; no lease ends because the clock is moved."""
    return {"apps": {"*": settings}, "delivery": {"lease_s": 7 * DAY_S}}


def note_of(call: Call) -> str:
    return parse_qs(call.body)["data[note]"][0]


async def fire(site: Site, *notes: str, path: str = "/ev", event: str = UPDATE) -> None:
    """One `rest.event.call` for each note, one after the other."""
    for note in notes:
        data: dict[str, Any] = {"data][FIELDS][ID": note[:-1], "data][note": note}
        await site.fire(path, event=event, **data)


async def rows_of(site: Site, path: str = "/ev") -> list[DeliveryRow]:
    """The deliveries of one handler, oldest first."""
    return [row for row in await site.deliveries() if row.handler_url == site.sink.url + path]


async def reached(site: Site, *states: str, path: str = "/ev") -> list[DeliveryRow]:
    """The deliveries of one handler, once they are in these states, oldest first."""

    async def there() -> bool:
        return [str(row.state) for row in await rows_of(site, path)] == list(states)

    await until(there)
    return await rows_of(site, path)


async def answered(site: Site, *statuses: int | None, path: str = "/ev") -> list[DeliveryRow]:
    """The deliveries of one handler, once these were its last answers (None: not called yet), oldest first."""

    async def there() -> bool:
        return [row.last_status for row in await rows_of(site, path)] == list(statuses)

    await until(there)
    return await rows_of(site, path)


async def told(site: Site, *arguments: object) -> Any:
    """The JSON document of a command at the running relay."""
    return (await command(*arguments, "--home", site.live.relay.config.home, "--json")).document


async def gone_round(site: Site) -> None:
    """Wait until the relay has looked for work and made calls, twice over: a new handler's event was delivered.

    It is an outgoing webhook's, which no application's switch stops.
    """
    for _ in range(2):
        path = f"{WELL}{len(site.sink.calls)}"
        assert await site.portal.result("rest.event.call", {"QUERY[0][query][QUERY_URL]": site.sink.url + path})
        await site.sink.wait_for(1, path)
