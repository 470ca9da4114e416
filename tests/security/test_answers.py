"""Promises of every answer: never kept by anybody (RFC 6749 section 5.1), never a redirect that repeats a POST
(RFC 9700 section 4.12), and a metadata document that says what is there (RFC 8414).

Leans on a real relay over real HTTP. Each test is named by the source of its promise. Must never follow a redirect.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.integration.live_relay import PUBLIC_URL
from tests.integration.wire import Request, form, get, post
from tests.security.world import QUICK_HOUSEKEEPING, begin_pkce, details, introspect, revoke, written_down

if TYPE_CHECKING:
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site
    from tests.integration.wire import Answer

PATHS = [
    "/oauth/token",
    "/oauth/token/",
    "//oauth/token/",
    "/rest//oauth/token/",
    "/oauth/introspect",
    "/oauth/revoke/",
    "/oauth/register/",
    "/oauth/authorize",
    "/oauth/authorize/",
    "/rest/app.info",
    "/rest/app.info.json",
    "/rest/rest.check",
    "/rest/rest.check/",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/",
    "/nothing/here",
]


async def _token_answers(site: Site) -> list[Answer]:
    """Every kind of answer that holds, held or refused a token."""
    code = await site.code()
    redeemed = await site.app.redeem(code)
    fields = {"CLIENT_ID": site.app.client_id, "STATE": "s", "PARAMS[LOCAL_USER]": "67"}
    query = form(site.app.grant(grant_type="refresh_token", refresh_token=redeemed.json["refresh_token"])).decode()
    return [
        redeemed,
        await site.app.redeem(code),
        await site.live.ask(get(f"/oauth/token/?{query}")),
        await site.app.refresh("x"),
        await site.live.ask(post("/oauth/token/", b"")),
        await site.portal.ask("rest.authorize", fields),
        await site.portal.ask("rest.code", fields),
        await site.check(redeemed.json["access_token"]),
        await site.check("x"),
        await site.app.info(redeemed.json["access_token"]),
        await introspect(site.app, redeemed.json["access_token"]),
        await revoke(site.app, redeemed.json["access_token"]),
        await begin_pkce(site, "s"),
        await site.portal.ask_registration(),
        await site.portal.ask("relay.bundle"),
    ]


async def test_rfc6749_5_1_no_store_on_every_token_answer(site: Site) -> None:
    for answer in await _token_answers(site):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"


async def test_rfc6749_5_1_no_store_on_slowed_down_and_unavailable_answers(open_site_with: OpenSite) -> None:
    site = await open_site_with({"throttle": {"capacity": 1, "rate": 0.001, "failure_cost": 1}})
    site.app.client_secret = site.portal.client_secret = "wrong"
    answers = [await site.app.refresh("x") for _ in range(3)] + [await site.check("x")]
    assert [answer.status for answer in answers[1:]] == [429, 429, 503]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


@pytest.mark.parametrize("path", PATHS)
async def test_rfc9700_4_12_never_307(site: Site, path: str) -> None:
    """The only redirect is the browser's way to the portal, a 302; a 307 would carry a posted secret on."""
    body = form(site.app.grant(grant_type="refresh_token", refresh_token="x", token="x"))
    for method in ("GET", "POST", "HEAD", "PUT", "OPTIONS"):
        for target in (path, f"{path}?client_id={site.app.client_id}&state=s"):
            request = Request(method, target, post("/", b"").headers, body if method in {"POST", "PUT"} else b"")
            answer = await site.live.ask(request)
            redirected = answer.status == 302 and "authorize" in path and "?" in target
            assert redirected or not 300 <= answer.status < 400
            assert ("location" in answer.headers) == redirected


async def test_rfc8414_3_metadata_says_what_is_there(site: Site) -> None:
    metadata = (await site.live.ask(get("/.well-known/oauth-authorization-server"))).json
    assert metadata["issuer"] == PUBLIC_URL
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    named = {name: url.removeprefix(PUBLIC_URL) for name, url in metadata.items() if name.endswith(("endpoint", "uri"))}
    assert set(named) == {
        "authorization_endpoint",
        "token_endpoint",
        "introspection_endpoint",
        "revocation_endpoint",
        "jwks_uri",
    }
    for path in named.values():
        assert (await site.live.ask(get(path))).status not in {404, 503}
    for name in ("token", "introspection", "revocation"):
        assert metadata[f"{name}_endpoint_auth_methods_supported"] == ["client_secret_post", "client_secret_basic"]


async def test_rfc8414_3_3_the_issuer_is_configured_and_not_what_a_caller_says(site: Site) -> None:
    request = get("/.well-known/oauth-authorization-server")
    lied = replace(request, headers=(("Host", "evil.test"), ("X-Forwarded-Host", "evil.test"), ("Forwarded", "host=e")))
    assert (await site.live.ask(lied)).json == (await site.live.ask(request)).json


async def _address_of_a_failure(site: Site, *headers: tuple[str, str]) -> str:
    fields = form({**site.app.grant(grant_type="refresh_token", refresh_token="x"), "client_secret": "wrong"})
    await site.live.ask(post("/oauth/token/", fields, "application/x-www-form-urlencoded", *headers))
    (entry,) = await written_down(site, "client.refused")
    return str(details(entry)["address"])


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Client-IP", "True-Client-IP"])
async def test_rfc9700_4_13_proxy_headers_of_strangers_are_not_believed(open_site_with: OpenSite, name: str) -> None:
    site = await open_site_with(QUICK_HOUSEKEEPING)
    value = "for=203.0.113.9" if name == "Forwarded" else "203.0.113.9"
    assert await _address_of_a_failure(site, (name, value)) == "127.0.0.1"


@pytest.mark.parametrize(
    ("forwarded", "believed"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("198.51.100.1, 203.0.113.9, 127.0.0.7", "203.0.113.9"),
        ("203.0.113.9, garbage", "127.0.0.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("", "127.0.0.1"),
    ],
)
async def test_rfc9700_4_13_a_configured_proxy_is_believed_for_one_hop(
    open_site_with: OpenSite, forwarded: str, believed: str
) -> None:
    site = await open_site_with({**QUICK_HOUSEKEEPING, "trusted_proxies": ["127.0.0.0/8"]})
    assert await _address_of_a_failure(site, ("X-Forwarded-For", forwarded)) == believed
