"""How an application's handlers are reached: its own headers, authorities, client certificate and proxy.

Leans on real TLS handlers and a real HTTP proxy, all on this machine; a name server alone is made up.
Must never see anything sent, or a proxy asked, for an address that the portal's handlers may not be at.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from tests.e2e.private_ca import PrivateCa
from tests.integration.live_relay import running_relay, until
from tests.integration.restarting import Restarting
from tests.integration.sink import answering
from tests.integration.site import AppSide, PortalSide, Site
from tests.servers.http_proxy import HttpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.conftest import OpenSite
    from tests.integration.sink import Sink

METADATA = "169.254.169.254"


@pytest.fixture
def ca(tmp_path: Path) -> PrivateCa:
    """The handlers' own authority."""
    return PrivateCa(tmp_path)


@pytest.fixture
async def proxy() -> AsyncIterator[HttpProxy]:
    """A running proxy."""
    async with HttpProxy.running() as running:
        yield running


@asynccontextmanager
async def over_tls(sink: Sink, pem: Path, clients: PrivateCa | None = None) -> AsyncIterator[str]:
    """The sink's origin over TLS; with `clients` it demands a certificate by that authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    if clients is not None:
        context.load_verify_locations(clients.bundle)
        context.verify_mode = ssl.CERT_REQUIRED
    app = web.Application()
    app.router.add_post("/{path:.*}", sink.take)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def every_app(**transport: object) -> dict[str, Any]:
    """Settings of all applications."""
    return {"apps": {"*": transport}}


async def fire_at(site: Site, url: str) -> None:
    """One event for that handler."""
    site.sink.url, here = "", site.sink.url
    try:
        await site.fire(url)
    finally:
        site.sink.url = here


async def fails_as(site: Site, word: str) -> None:
    """Wait until the one delivery there is was tried, and failed like that; it waits for its next try."""

    async def noted() -> bool:
        (row,) = await site.deliveries()
        return row.last_error is not None

    await until(noted)
    (row,) = await site.deliveries()
    assert row.last_error == word
    assert row.state in {"due", "leased"}


async def held_as(site: Site, word: str, count: int = 1) -> None:
    """Wait until all there is is held for that reason."""
    await site.settled(held=count)
    assert {row.hold_reason for row in await site.deliveries()} == {word}


# Headers -----------------------------------------------------------------------------------------------------


async def test_an_applications_headers_arrive_at_its_handlers_and_at_no_others(
    tmp_path: Path, template: Path, sink: Sink
) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    async with home.running() as site:
        other = await site.portal.result("application.add", {"TITLE": "Other", "REDIRECT_URI": sink.url})
        own = site.app.client_id
    headers = {"X-Api-Key": "k3y; a=b", "user-agent": "ours/1", "Authorization": "Basic eDp5"}
    async with home.running({"apps": {own: {"headers": headers}}}) as site:
        await site.fire("/own")
        site.app.client_id = other["client_id"]
        await site.fire("/other")
        await site.settled(done=2)
    (call,), (without,) = sink.at("/own"), sink.at("/other")
    sent = {name.lower(): value for name, value in headers.items()}
    assert sent.items() <= call.headers.items()
    assert call.headers["content-type"] == without.headers["content-type"] == "application/x-www-form-urlencoded"
    assert (call.attempt, without.attempt) == (1, 1)
    assert not {"x-api-key", "authorization"} & without.headers.keys()
    assert without.headers["user-agent"].startswith("bitrix-relay/")


# TLS ---------------------------------------------------------------------------------------------------------


async def test_a_handler_behind_a_private_authority_is_called_once_that_is_trusted(
    tmp_path: Path, template: Path, sink: Sink, ca: PrivateCa
) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    async with over_tls(sink, ca.issue("127.0.0.1")) as origin:
        async with home.running() as site:
            await fire_at(site, f"{origin}/ev")
            await fails_as(site, "tls_failed")
        assert sink.calls == []
        async with home.running(every_app(ca_file=str(ca.bundle))) as site:
            await site.settled(done=1)
    assert [call.path for call in sink.calls] == ["/ev"]


async def test_a_trusted_authority_does_not_make_another_hosts_certificate_good(
    open_site_with: OpenSite, sink: Sink, ca: PrivateCa
) -> None:
    site = await open_site_with(every_app(ca_file=str(ca.bundle)))
    async with over_tls(sink, ca.issue("other.example.com")) as origin:
        await fire_at(site, f"{origin}/ev")
        await fails_as(site, "tls_failed")
    assert sink.calls == []


@pytest.mark.parametrize("apart", [True, False], ids=["key in its own file", "key in the same file"])
async def test_a_handler_that_demands_a_client_certificate_is_called_with_it(
    tmp_path: Path, template: Path, sink: Sink, ca: PrivateCa, apart: bool
) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    pem = ca.issue("relay.example.com")
    certificate, begin, key = pem.read_text().partition("-----BEGIN PRIVATE KEY")
    settings = {"ca_file": str(ca.bundle), "client_cert": str(pem)}
    if apart:
        pem.write_text(certificate)
        (tmp_path / "client.key").write_text(begin + key)
        settings["client_key"] = str(tmp_path / "client.key")
    async with over_tls(sink, ca.issue("127.0.0.1"), clients=ca) as origin:
        async with home.running(every_app(ca_file=str(ca.bundle))) as site:
            await fire_at(site, f"{origin}/ev")
            await fails_as(site, "disconnected")  # in TLS 1.3 a client learns of it only after the handshake
        assert sink.calls == []
        async with home.running(every_app(**settings)) as site:
            await site.settled(done=1)


# A proxy -----------------------------------------------------------------------------------------------------


async def test_an_event_goes_through_the_proxy_and_arrives_as_it_would_without(
    open_site_with: OpenSite, proxy: HttpProxy
) -> None:
    through = proxy.url.replace("http://", "http://us:s3cret@")
    site = await open_site_with(every_app(proxy=through, headers={"X-Api-Key": "k3y"}))
    await site.fire("/ev?a=%2Fb+c", count=1, **{"data][FIELDS][TITLE": "значение"})
    await site.settled(done=1)
    (call,), (asked,) = site.sink.calls, proxy.asked
    assert (asked.method, asked.target) == ("POST", f"{site.sink.url}/ev?a=%2Fb+c")
    assert asked.headers["proxy-authorization"] == "Basic dXM6czNjcmV0"
    assert (call.path, call.headers["x-api-key"]) == ("/ev?a=%2Fb+c", "k3y")
    assert call.headers["host"] == urlsplit(site.sink.url).netloc
    assert "authorization" not in call.headers
    assert "%D0%B7%D0%BD%D0%B0%D1%87%D0%B5%D0%BD%D0%B8%D0%B5" in call.body


async def test_to_an_https_handler_the_proxy_only_carries_what_it_cannot_read(
    open_site_with: OpenSite, sink: Sink, ca: PrivateCa, proxy: HttpProxy
) -> None:
    site = await open_site_with(
        every_app(proxy=proxy.url, headers={"X-Api-Key": "k3y"}, ca_file=str(ca.bundle), client_cert=str(ca.issue("a")))
    )
    async with over_tls(sink, ca.issue("127.0.0.1"), clients=ca) as origin:
        await fire_at(site, f"{origin}/ev")
        await site.settled(done=1)
    (call,), (asked,) = sink.calls, proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", urlsplit(origin).netloc)
    assert call.headers["x-api-key"] == "k3y"
    assert not {"x-api-key", "x-relay-event-id", "content-type"} & asked.headers.keys()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_or_is_gone_only_delays(open_site_with: OpenSite, scheme: str) -> None:
    async with HttpProxy.running() as proxy:
        proxy.status = 407
        site = await open_site_with(every_app(proxy=proxy.url))
        url = f"{scheme}{site.sink.url.removeprefix('http')}/ev"
        await fire_at(site, url)
        await fails_as(site, "status" if scheme == "http" else "connection_failed")

    async def noted() -> bool:
        return {row.last_error for row in await site.deliveries()} == {"connection_failed"}

    await until(noted)
    assert site.sink.calls == []


async def test_no_redirect_is_followed_through_a_proxy(open_site_with: OpenSite, proxy: HttpProxy) -> None:
    site = await open_site_with(every_app(proxy=proxy.url))
    site.sink.behaviour = answering(307, Location=f"{site.sink.url}/elsewhere")
    await site.fire("/ev")
    await site.sink.wait_for(2)
    assert {asked.target for asked in proxy.asked} == {f"{site.sink.url}/ev"}
    assert site.sink.at("/elsewhere") == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (f"http://{METADATA}/latest", "address_refused"),
        (f"https://{METADATA}/latest", "address_refused"),
        (f"http://[::ffff:{METADATA}]/", "address_refused"),
        ("https://8.8.8.8/", "address_refused"),
        ("http://2130706433/", "bad_url"),
        (f"http://127.0.0.1\\@{METADATA}/", "bad_url"),
        ("http://127.0.0.1:1\\@x/", "bad_url"),
    ],
)
async def test_a_proxy_is_never_asked_for_an_address_that_is_not_allowed(
    open_site_with: OpenSite, proxy: HttpProxy, url: str, reason: str
) -> None:
    site = await open_site_with(every_app(proxy=proxy.url))
    await fire_at(site, url)
    await held_as(site, reason)
    assert proxy.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("found", [[METADATA], ["8.8.8.8"], ["10.0.0.1", METADATA], ["fe80::1"]])
async def test_a_proxy_is_never_asked_for_a_name_that_may_lead_where_it_is_not_allowed(
    open_site_with: OpenSite, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, scheme: str, found: list[str]
) -> None:
    resolving(monkeypatch, {"handlers.example.com": found})
    proxy.knows.add("handlers.example.com")
    site = await open_site_with(every_app(proxy=proxy.url))
    await fire_at(site, f"{scheme}://handlers.example.com:{site.sink.url.rpartition(':')[2]}/ev")
    await held_as(site, "address_refused")
    assert proxy.asked == []


async def test_what_is_allowed_by_name_is_still_never_the_clouds_metadata(
    open_site_with: OpenSite, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, {"handlers.example.com": [METADATA]})
    site = await open_site_with(every_app(proxy=proxy.url))
    await site.live.relay.portals.announce(site.portal.url, window_s=60, allow=["handlers.example.com"])
    await fire_at(site, "http://handlers.example.com/ev")
    await held_as(site, "address_refused")
    assert proxy.asked == []


async def test_a_name_that_only_the_proxy_knows_must_be_allowed_by_name(
    open_site_with: OpenSite, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, {})
    proxy.knows.add("handlers.example.com")
    site = await open_site_with(every_app(proxy=proxy.url))
    await fire_at(site, f"http://handlers.example.com:{site.sink.url.rpartition(':')[2]}/ev")
    await fails_as(site, "name_not_resolved")
    assert proxy.asked == []
    await site.live.relay.portals.announce(site.portal.url, window_s=60, allow=["handlers.example.com"])
    await site.settled(done=1)
    assert [asked.headers["host"].partition(":")[0] for asked in proxy.asked] == ["handlers.example.com"]


@pytest.mark.parametrize("host", ["127.0.0.1", "proxy.example.com"])
async def test_the_proxy_itself_need_not_be_where_handlers_may_be(
    tmp_path: Path, template: Path, sink: Sink, proxy: HttpProxy, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    resolving(monkeypatch, {"proxy.example.com": ["127.0.0.1"], "handlers.example.com": ["10.0.0.1"]})
    proxy.knows.add("handlers.example.com")
    at_proxy = f"http://{host}:{urlsplit(proxy.url).port}"
    async with running_relay(tmp_path / "home", every_app(proxy=at_proxy), template) as live:
        portal = PortalSide(live)
        await live.relay.portals.announce(portal.url, window_s=60)
        given = (await portal.ask_registration()).json
        portal.client_id, portal.client_secret = given["client_id"], given["client_secret"]
        site = Site(live, portal, AppSide(live, "", ""), sink)
        await fire_at(site, f"{at_proxy}/ev")
        await held_as(site, "address_refused")
        assert proxy.asked == []
        await fire_at(site, f"http://handlers.example.com:{sink.url.rpartition(':')[2]}/ev")
        await site.settled(held=1, done=1)
    assert len(proxy.asked) == 1


def resolving(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Stand in for the name server of names below example.com."""
    ask = socket.getaddrinfo

    def answer(host: Any, port: Any, *arguments: Any, **options: Any) -> Any:
        if not str(host).endswith(".example.com"):
            return ask(host, port, *arguments, **options)
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [found for address in names[host] for found in ask(address, port, *arguments, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
