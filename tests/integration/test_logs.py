"""The log at its most talkative, after every flow there is: no token, code, secret or payload value is in it.

Leans on a relay in a process of its own, its log at debug level in a file. Must never look for what was never sent.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest

from tests.integration.relay_process import RelayProcess, operated, relay_process
from tests.integration.sink import answering
from tests.integration.site import AppSide, Site, open_site
from tests.integration.wire import form, get, post, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.integration.sink import Sink

PAYLOAD = "payload-value-that-nobody-may-log"
MADE_UP = "5ecre7" * 8


@pytest.fixture(params=["json", "text"])
def process(request: pytest.FixtureRequest, tmp_path: Path, template: Path) -> Iterator[RelayProcess]:
    """A relay that logs all it can, in either format."""
    settings = {"log": {"level": "debug", "format": request.param}}
    with relay_process(tmp_path / "home", settings, template) as running:
        yield running


@pytest.fixture
async def site(process: RelayProcess, sink: Sink) -> AsyncIterator[Site]:
    """A site at that process."""
    async with operated(process) as live:
        yield await open_site(live, sink)


async def grants(site: Site) -> list[str]:
    """Both grants with their refusals; every secret that was given or made."""
    given = await site.authorize(**{"PARAMS[X]": PAYLOAD})
    code = await site.code()
    redeemed = (await site.app.redeem(code)).json
    await site.app.redeem(code)
    refreshed = (await site.app.refresh(given["refresh_token"])).json
    await site.app.refresh(given["refresh_token"])
    await site.app.refresh(MADE_UP)
    await AppSide(site.live, site.app.client_id, MADE_UP).refresh(refreshed["refresh_token"])
    await site.app.refresh("с секретом")
    query = form(site.app.grant(grant_type="refresh_token", refresh_token=refreshed["refresh_token"])).decode()
    last = (await site.live.ask(get(f"/rest//oauth/token/?{query}"))).json
    pairs = [given, redeemed, refreshed, last]
    tokens = [pair[name] for pair in pairs for name in ("access_token", "refresh_token")]
    for token in tokens:
        await site.check(token)
        await site.app.info(token)
        await site.app.info(token.upper())
    return [code, *tokens]


async def malformed(site: Site, secrets: list[str]) -> None:
    """Requests that no server takes, with secrets in every part of them."""
    secret = secrets[-1]
    basic = base64.b64encode(f"{site.app.client_id}:{site.app.client_secret}".encode()).decode()
    for raw in (
        f"GET /oauth/token/?refresh_token={secret}\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET /oauth/token/?refresh_token={secret} HTTP/9.9\r\nHost: x\r\n\r\n",
        f"GET /oauth/token/?refresh_token={secret} \r\n\r\n",
        f"POST /oauth/token/ HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\x00\r\n\r\n",
        f"POST /oauth/token/ HTTP/1.1\r\nHost: x\r\nAuthorization {secret}\r\n\r\n",
        f"POST /oauth/token/ HTTP/1.1\r\nHost: x\r\nContent-Length: {secret}\r\n\r\n",
        f"POST /oauth/token/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{secret}\r\n",
        f"POST /oauth/token/ HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 70\r\n\r\n{secret}",
        f"{secret} / HTTP/1.1\r\n\r\n",
        f"client_secret={site.app.client_secret}&refresh_token={secret}\r\n\r\n",
    ):
        for address in (site.live.service, site.live.admin):
            await send(address, raw.encode("latin-1"))


async def portal_calls(site: Site) -> None:
    """Calls that go well, that are refused, and that are nonsense."""
    for name in ("application.add", "application.update", "rest.authorize", "rest.check", "rest.code", "batch"):
        await site.replay(name)
    await site.portal.ask_registration({"BX_HASH": MADE_UP})
    await site.live.ask(post("/rest/methods", form({**site.portal.appended, "client_secret": MADE_UP})))
    await site.live.ask(post("/rest/rest.event.call", b"QUERY[0]" * 4000))
    await site.live.ask(post("/oauth/token/", f'{{"refresh_token": "{MADE_UP}'.encode(), "application/json"))
    await send(
        site.live.admin,
        get("/api/status", ("Authorization", "Basic " + base64.b64encode(b"a:" + MADE_UP.encode()).decode())),
    )


async def events(site: Site) -> None:
    """Events that are taken, that fail and are taken later, that are held, and an unreadable one."""
    site.sink.behaviours = {"/fails": answering(500), "/moves": answering(302, Location=f"http://{PAYLOAD}/")}
    for path in ("/ev", "/fails", "/moves"):
        await site.fire(path, count=2, **{"data][secret": PAYLOAD})
        await site.sink.wait_for(2, path)
    await site.replay("rest.event.call-onappinstall")
    for url in (
        f"http://169.254.169.254/{PAYLOAD}",
        f"ftp://{PAYLOAD}",
        f"http://{PAYLOAD}.invalid/",
        f"http://{PAYLOAD}\x00",
    ):
        await site.portal.ask("rest.event.call", {"QUERY[0][query][QUERY_URL]": url})
    site.sink.behaviours = {}


async def test_no_token_code_secret_or_payload_value_is_ever_logged(process: RelayProcess, site: Site) -> None:
    secrets = await grants(site)
    await portal_calls(site)
    await malformed(site, secrets)
    await events(site)
    process.fill_disk()
    await site.portal.ask(
        "rest.event.call", {"QUERY[0][query][QUERY_DATA][a]": PAYLOAD * 1000, "QUERY[0][auth][b]": MADE_UP}
    )
    await site.app.refresh(secrets[-1])
    process.free_disk()
    sent = [parse_qs(call.body) for call in site.sink.calls]
    secrets += [value for fields in sent for name in fields if "token]" in name for value in fields[name]]
    secrets += [site.portal.client_secret, site.app.client_secret, MADE_UP, PAYLOAD, "47ee90ad1637f2f2378c9adcf19ad54e"]
    log = process.log
    for word in ("ready", "request.refused", "request.unavailable", "aiohttp.server"):
        assert word in log
    assert not {secret for secret in secrets if secret in log}
    encoded = [base64.b64encode(f"{site.app.client_id}:{site.app.client_secret}".encode()).decode()[:40]]
    assert not {secret for secret in encoded if secret in log}
