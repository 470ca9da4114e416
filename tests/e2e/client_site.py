"""Promises: a site behind TLS by its own CA, with an app whose stored tokens have expired, as client libraries meet it.

Leans on: StockSite's parts; the relay started once with a token lifetime of a second.
Must never: make a token in any other way than the portal and the relay do.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tests.e2e.event_sink import EventSink
from tests.e2e.portal_process import StandInPortal
from tests.e2e.private_ca import PrivateCa
from tests.e2e.relay_process import RelayProcess, free_ports
from tests.e2e.stock_site import StockSite
from tests.e2e.tls_front import tls_front

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.portal_process import LocalApp

# The name some clients have hard-coded; here it leads to the relay, as the site's own DNS would make it.
CLOUD_HOST = "oauth.bitrix24.tech"
PORTAL_HOST = "portal.test"
DEALS = 120
PAIRS_A_JOB = 3
JOBS = 2
EXPIRY_WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class ClientSite:
    """`trusted`: the CA's file. `names`: host names and the ports of 127.0.0.1 they lead to. `stale`: expired pairs
    that no job has got yet.
    """

    site: StockSite
    app: LocalApp
    trusted: Path
    names: dict[str, int]
    stale: list[dict[str, Any]] = field(default_factory=list)

    async def job(self) -> dict[str, Any]:
        """What an app is told: its keys, expired pairs of its own, a fresh code, a delivered event."""
        given, pairs = self.stale[0], [self.stale.pop() for _ in range(PAIRS_A_JOB)]
        return {
            "client_id": self.app.client_id,
            "client_secret": self.app.client_secret,
            "application_token": await self.site.portal.application_token(self.app.client_id),
            "domain": urlsplit(given["client_endpoint"]).netloc,
            "client_endpoint": given["client_endpoint"],
            "server_endpoint": given["server_endpoint"],
            "names": self.names,
            "stale": pairs,
            "event": await self._event(),
            "code": (await self.site.portal.code(self.app.client_id)).result["code"],
        }

    async def _event(self) -> dict[str, str]:
        await self.site.portal.put_handler("ONCRMDEALADD", f"{self.site.sink.url}/event", client_id=self.app.client_id)
        await self.site.portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 5}})
        return (await self.site.sink.wait_for("/event"))[0].form


@asynccontextmanager
async def client_site(folder: Path, *, by_name: bool) -> AsyncIterator[ClientSite]:
    """A site reached by host names on port 443 (`by_name`), or by 127.0.0.1 and ports."""
    ca = PrivateCa(folder)
    (front_port,) = free_ports(1)
    front = f"https://127.0.0.1:{front_port}"
    relay_url = f"https://{CLOUD_HOST}" if by_name else front
    relay = await RelayProcess.create(folder / "relay", public_url=relay_url)
    named: dict[str, Any] = {"public_url": f"https://{PORTAL_HOST}"} if by_name else {}
    try:
        await relay.start(RELAY_TOKENS__ACCESS_S="1")
        async with (
            EventSink.running() as sink,
            tls_front(relay.url, ca.issue(CLOUD_HOST, "127.0.0.1"), front_port),
            StandInPortal.running(folder / "portal", pem=ca.issue(PORTAL_HOST, "127.0.0.1"), **named) as portal,
        ):
            assert portal.tls_url is not None
            await portal.set_options(oauth_server=front, ca_file=str(ca.bundle))
            await relay.announce((await portal.options())["public_url"])
            await portal.fill_deals(DEALS)
            app = await portal.add_app("An app", f"{sink.url}/cb", "crm,user")
            names = {CLOUD_HOST: front_port, PORTAL_HOST: urlsplit(portal.tls_url).port or 443} if by_name else {}
            world = ClientSite(StockSite(relay, portal, sink), app, ca.bundle, names)
            await _let_pairs_expire(world)
            yield world
    finally:
        await relay.close()


async def _let_pairs_expire(world: ClientSite) -> None:
    """Get pairs while tokens live for a second; then the relay goes on with its usual lifetimes."""
    site = world.site
    for _ in range(JOBS * PAIRS_A_JOB):
        world.stale.append(await site.authorize(world.app))
    await site.relay.restart()
    async with asyncio.timeout(EXPIRY_WAIT_S):
        while (await site.portal.rest("profile", world.stale[-1]["access_token"])).error != "expired_token":
            pass
