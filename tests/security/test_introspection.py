"""Promises of introspection (RFC 7662) and token revocation (RFC 7009).

Leans on a real relay over real HTTP. Each test is named by the source of its promise. Must never say more of a token
that is not the asking client's than that it is not active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.live_relay import PUBLIC_URL
from tests.integration.site import AppSide, PortalSide, Site
from tests.integration.wire import form, get, post
from tests.security.world import Verdicts, another_app, another_portal, audit, introspect, revoke, stored_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INACTIVE = {"active": False}
SHARED = {"client_id": "app.0123456789abcd.01234567", "client_secret": "marketplace-secret"}


async def test_rfc7662_2_2_the_clients_own_token_is_described(site: Site) -> None:
    pair = await site.authorize(SCOPE="user,crm")
    said = (await introspect(site.app, pair["access_token"])).json
    serial = said.pop("jti")
    assert len(serial) == 12
    assert said == {
        "active": True,
        "iss": PUBLIC_URL,
        "client_id": site.app.client_id,
        "sub": "67",
        "exp": pair["expires"],
        "scope": "user crm",
        "aud": f"{site.portal.url}/rest/",
        "token_type": "Bearer",
    }


async def test_rfc7662_2_2_nothing_but_active_false_for_foreign_tokens(issuing: Site) -> None:
    """Foreign, unknown, refresh, code, expired, revoked: one answer, which gives nothing away."""
    pair, code = await issuing.authorize(), await issuing.code()
    other, second = await another_app(issuing), await another_portal(issuing)
    for app in (other, second.app):
        for token in (pair["access_token"], pair["refresh_token"]):
            assert (await introspect(app, token)).json == INACTIVE
    for token in (pair["refresh_token"], code, "x", "0" * 70, "f" * 70, "a.b.c", "x" * 600):
        answer = await introspect(issuing.app, token)
        assert (answer.status, answer.json) == (200, INACTIVE)
    assert (await introspect(issuing.app, pair["access_token"])).json["active"] is True
    issuing.live.clock.advance(3600)
    assert (await introspect(issuing.app, pair["access_token"])).json == INACTIVE


@pytest.mark.parametrize("endpoint", ["/oauth/introspect", "/oauth/revoke"])
async def test_rfc7662_2_1_post_only_and_with_a_token(site: Site, endpoint: str) -> None:
    query = form(site.app.grant(token="x")).decode()
    assert (await site.live.ask(get(f"{endpoint}?{query}"))).status == 405
    assert (await site.live.ask(post(endpoint, form(site.app.grant())))).error == "invalid_request"
    assert (await site.live.ask(post(endpoint, form(site.app.grant(token=""))))).error == "invalid_request"


async def test_rfc7009_2_2_revoke_answers_200_for_unknown(site: Site) -> None:
    for token in ("x", "0" * 70, "a.b.c"):
        answer = await revoke(site.app, token)
        assert (answer.status, answer.body) == (200, b"{}")


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "nonsense"])
async def test_rfc7009_2_1_a_hint_that_is_wrong_changes_nothing(site: Site, hint: str) -> None:
    pair = await site.authorize()
    assert (await revoke(site.app, pair["access_token"], token_type_hint=hint)).status == 200
    assert await Verdicts(site).of(pair["access_token"]) == "invalid_token"


async def test_rfc7009_2_1_revoke_refuses_foreign(issuing: Site) -> None:
    pair, other = await issuing.authorize(), await another_app(issuing)
    for token in (pair["access_token"], pair["refresh_token"]):
        refused = await revoke(other, token)
        assert (refused.status, refused.error) == (400, "unauthorized_client")
    assert await Verdicts(issuing).of(pair["access_token"]) == "good"
    assert (await issuing.app.refresh(pair["refresh_token"])).status == 200
    assert await audit(issuing, "grant.revoked") == []
    assert await audit(issuing, "token.revoked") == []


async def test_rfc7009_2_1_an_access_token_ends_alone(issuing: Site) -> None:
    pair, other = await issuing.authorize(), await issuing.authorize()
    assert (await revoke(issuing.app, pair["access_token"])).status == 200
    assert await Verdicts(issuing).of(pair["access_token"]) == "invalid_token"
    assert await Verdicts(issuing).of(other["access_token"]) == "good"
    assert (await issuing.app.refresh(pair["refresh_token"])).status == 200


async def test_rfc7009_2_1_with_a_refresh_token_its_access_tokens_end(issuing: Site) -> None:
    first, other = await issuing.authorize(), await issuing.authorize()
    second = (await issuing.app.refresh(first["refresh_token"])).json
    assert (await revoke(issuing.app, second["refresh_token"])).status == 200
    for pair in (first, second):
        assert await Verdicts(issuing).of(pair["access_token"]) == "invalid_token"
        assert (await issuing.app.refresh(pair["refresh_token"])).error == "invalid_grant"
    assert await Verdicts(issuing).of(other["access_token"]) == "good"


async def test_rfc7009_2_2_revoking_again_is_200_and_writes_nothing_new(issuing: Site) -> None:
    pair = await issuing.authorize()
    for token in (pair["access_token"], pair["refresh_token"]):
        for _ in range(3):
            assert (await revoke(issuing.app, token)).status == 200
    assert len(await audit(issuing, "token.revoked")) == 1
    assert len(await audit(issuing, "grant.revoked")) == 1


async def _shared_app(site: Site, portal: PortalSide) -> AppSide:
    """An application of the marketplace, the same at every portal."""
    found = await site.live.relay.portals.find(portal.url)
    await site.live.relay.applications.add(
        found, title="Shop", redirect_uri="https://shop.test/", scope="crm", status="F", **SHARED
    )
    await portal.result("application.install", {"CLIENT_ID": SHARED["client_id"], "VERSION": "1"})
    return AppSide(site.live, **SHARED)


@pytest.mark.parametrize("ask", [introspect, revoke])
async def test_rfc7662_2_1_one_client_at_two_portals_has_the_tokens_of_both(
    site: Site, ask: Callable[[AppSide, str], Awaitable[object]]
) -> None:
    second = await another_portal(site)
    sites = [
        Site(site.live, portal, await _shared_app(site, portal), site.sink) for portal in (site.portal, second.portal)
    ]
    for here in sites:
        token = (await here.authorize())["access_token"]
        assert (await introspect(here.app, token)).json["active"] is True
        assert (await introspect(here.app, token)).json["aud"] == f"{here.portal.url}/rest/"
        assert (await revoke(here.app, token)).status == 200
        assert (await introspect(here.app, token)).json == INACTIVE


async def test_rfc7662_2_2_a_token_that_lost_its_stored_parameters_is_not_active(site: Site) -> None:
    """As after an older copy of the database was put back: better none than one with a wider scope."""
    token = (await site.authorize(SCOPE="crm"))["access_token"]
    app = await stored_app(site)
    site.live.clock.advance(3000)
    await site.live.relay.store.purge(site.live.now + 3600, 0, 100)
    assert await Verdicts(site).of(token) == "invalid_token"
    assert app.scope == "crm,user,placement"
