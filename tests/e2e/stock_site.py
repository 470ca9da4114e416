"""Promises: a site as an integrator has it: a relay, a stock portal pointed at it by one option, an app's server.

Leans on: RelayProcess, StandInPortal, EventSink; `relay portal add` for the announcement.
Must never: tell the portal more than `oauth_server`, or the relay more than the announcement.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import aiohttp

from tests.e2e.event_sink import EventSink
from tests.e2e.portal_process import StandInPortal
from tests.e2e.relay_process import RelayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.e2e.portal_process import LocalApp

QUERY_DATA = "[query][QUERY_DATA]"


@dataclass(frozen=True, slots=True)
class Answer:
    """A status and a JSON document."""

    status: int
    body: dict[str, Any]

    @property
    def error(self) -> str | None:
        return self.body.get("error")


@dataclass(frozen=True, slots=True)
class StockSite:
    """The three of them."""

    relay: RelayProcess
    portal: StandInPortal
    sink: EventSink

    async def add_app(self, path: str, *, scope: str = "crm,user", install_path: str = "") -> LocalApp:
        """Add a local app in the portal; its address is `path` of the sink."""
        install_url = self.sink.url + install_path if install_path else ""
        return await self.portal.add_app("An app", self.sink.url + path, scope, install_url=install_url)

    async def authorize(self, app: LocalApp, **how: Any) -> dict[str, Any]:
        """The answer to `rest.authorize`: a token pair for a user of the portal."""
        answer = await self.portal.authorize(app.client_id, **how)
        assert answer.error == "", answer.body
        return dict(answer.result)

    async def token(self, app: LocalApp, **grant: str) -> Answer:
        """POST /oauth/token/ at the relay; `code` or `refresh_token` says which grant."""
        grant_type = "authorization_code" if "code" in grant else "refresh_token"
        keys = {"client_id": app.client_id, "client_secret": app.client_secret}
        return await self.ask("/oauth/token/", {"grant_type": grant_type, **keys, **grant})

    async def app_info(self, token: str) -> Answer:
        """`app.info` of the relay."""
        return await self.ask("/rest/app.info", {"auth": token})

    async def ask(self, path: str, form: Mapping[str, str]) -> Answer:
        """POST a form to the relay as an app does."""
        async with (
            aiohttp.ClientSession() as client,
            client.post(self.relay.url + path, data=form, allow_redirects=False) as answer,
        ):
            return Answer(answer.status, await answer.json())

    async def sent_data(self, item: int = 0) -> list[tuple[str, str]]:
        """QUERY_DATA of one item of the portal's last `rest.event.call`: `[data][ID]` read as `data[ID]`."""
        request = (await self.portal.exchanges("rest.event.call"))[-1].request
        body = request.partition(b"\r\n\r\n")[2].decode("ascii")
        prefix = f"QUERY[{item}]{QUERY_DATA}"
        pairs = parse_qsl(body, keep_blank_values=True, strict_parsing=True)
        inner = [(name.removeprefix(prefix)[1:], value) for name, value in pairs if name.startswith(prefix)]
        return [(name.replace("]", "", 1), value) for name, value in inner]


@asynccontextmanager
async def stock_site(folder: Path, **settings: str) -> AsyncIterator[StockSite]:
    """A site in `folder`; `settings` are the relay's (RELAY_…). The portal is not registered yet."""
    async with (
        EventSink.running() as sink,
        RelayProcess.running(folder / "relay", **settings) as relay,
        StandInPortal.running(folder / "portal") as portal,
    ):
        await relay.announce(portal.url)
        await portal.set_options(oauth_server=relay.url)
        yield StockSite(relay, portal, sink)
