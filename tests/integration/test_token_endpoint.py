"""The token endpoint as client libraries use it: every way to ask, one way to be answered (protocol.md section 6).

Leans on the wire. Must never see a redirect, nor an answer without one of the fields that libraries break on.
"""

from __future__ import annotations

import base64
import json
from hashlib import md5
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.live_relay import PUBLIC_URL
from tests.integration.site import PORTAL_URL, as_json
from tests.integration.wire import Answer, Request, form, get, post

if TYPE_CHECKING:
    from tests.integration.site import Site

TYPES: dict[str, type] = {
    "access_token": str,
    "refresh_token": str,
    "expires": int,
    "expires_in": int,
    "scope": str,
    "domain": str,
    "server_endpoint": str,
    "client_endpoint": str,
    "member_id": str,
    "status": str,
    "user_id": int,
}
PATHS = ["/oauth/token", "/oauth/token/", "//oauth/token/", "/rest//oauth/token/", "/rest/oauth/token"]


def well_formed(site: Site, answer: Answer) -> dict[str, Any]:
    """The answer, once it is the whole superset with the right types and shapes."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert "location" not in answer.headers
    said: dict[str, Any] = answer.json
    assert {name: type(value) for name, value in said.items()} == TYPES
    for name, life_s in (("access_token", 3600), ("refresh_token", 180 * 86400)):
        token = said[name]
        assert len(token) == 70
        assert set(token) <= set("0123456789abcdef")
        assert abs(int.from_bytes(bytes.fromhex(token[:8]), "little") - site.live.now - life_s) <= 3
        assert int.from_bytes(bytes.fromhex(token[24:32]), "little") == said["user_id"]
    assert abs(said["expires"] - site.live.now - 3600) <= 3
    assert 3597 <= said["expires_in"] <= 3600
    assert said["scope"] == "crm,user,placement"
    assert said["domain"] == "relay.test"
    assert said["server_endpoint"] == f"{PUBLIC_URL}/rest/"
    assert said["client_endpoint"] == f"{PORTAL_URL}/rest/"
    assert said["member_id"] == md5(site.portal.client_id.encode()).hexdigest()
    assert said["status"] == "L"
    return said


async def refresh_fields(site: Site) -> dict[str, str]:
    given = await site.authorize()
    return site.app.grant(grant_type="refresh_token", refresh_token=given["refresh_token"])


async def test_both_grants_answer_the_same_superset(site: Site) -> None:
    redeemed = well_formed(site, await site.app.redeem(await site.code()))
    refreshed = well_formed(site, await site.app.refresh(redeemed["refresh_token"]))
    assert redeemed["user_id"] == refreshed["user_id"] == 67
    assert redeemed["access_token"] != refreshed["access_token"]
    assert redeemed["refresh_token"] != refreshed["refresh_token"]
    for said in (redeemed, refreshed):
        assert (await site.check(said["access_token"])).status == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", ["get", "post"])
async def test_every_path_is_served_by_get_and_post_without_a_redirect(site: Site, path: str, way: str) -> None:
    body = form(await refresh_fields(site))
    request = get(f"{path}?{body.decode()}") if way == "get" else post(path, body)
    well_formed(site, await site.live.ask(request))


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8", "text/plain", ""])
async def test_json_is_read_whatever_its_content_type_is_called(site: Site, content_type: str) -> None:
    request = post("/oauth/token/", as_json(await refresh_fields(site)), content_type)
    well_formed(site, await site.live.ask(request))


async def test_json_without_a_content_type_header_is_read(site: Site) -> None:
    body = b"\n " + as_json(await refresh_fields(site))
    well_formed(
        site, await site.live.ask(Request("POST", "/oauth/token/", (("Host", "x"), ("Connection", "close")), body))
    )


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded; charset=UTF-8", "text/plain", ""])
async def test_a_form_is_read_whatever_its_content_type_is_called(site: Site, content_type: str) -> None:
    request = post("/oauth/token/", form(await refresh_fields(site)), content_type)
    well_formed(site, await site.live.ask(request))


async def test_query_and_form_are_merged(site: Site) -> None:
    fields = await refresh_fields(site)
    query = form({name: fields[name] for name in ("client_id", "client_secret")}).decode()
    body = form({name: fields[name] for name in ("grant_type", "refresh_token")})
    well_formed(site, await site.live.ask(post(f"/oauth/token/?{query}", body)))


async def test_query_and_json_are_merged(site: Site) -> None:
    fields = await refresh_fields(site)
    query = form({"grant_type": fields.pop("grant_type")}).decode()
    well_formed(site, await site.live.ask(post(f"/oauth/token?{query}", as_json(fields), "application/json")))


async def test_the_same_fields_in_query_and_form_are_no_contradiction(site: Site) -> None:
    body = form(await refresh_fields(site))
    well_formed(site, await site.live.ask(post(f"/oauth/token/?{body.decode()}", body)))


async def test_a_get_with_an_empty_body_of_a_form_is_read(site: Site) -> None:
    query = form(await refresh_fields(site)).decode()
    well_formed(site, await site.live.ask(post(f"/oauth/token/?{query}", b"")))


async def test_what_libraries_send_beside_is_ignored(site: Site) -> None:
    extra = {"redirect_uri": "", "scope": "disk", "auth": "old", "bx24_request_id": "1", "nested[a][b]": "x"}
    headers = (("Authorization", f"Bearer {'a' * 70}"), ("Cookie", "a=b"), ("User-Agent", "lib/1"))
    request = post("/oauth/token/?scope=im", form({**extra, **await refresh_fields(site)}))
    well_formed(
        site, await site.live.ask(Request(request.method, request.target, (*request.headers, *headers), request.body))
    )


async def test_a_basic_header_authenticates_the_client(site: Site) -> None:
    fields = await refresh_fields(site)
    pair = f"{fields.pop('client_id')}:{fields.pop('client_secret')}"
    header = ("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
    well_formed(site, await site.live.ask(post("/oauth/token/", form(fields), "text/plain", header)))


async def test_json_null_is_an_absent_field_and_a_number_is_its_text(site: Site) -> None:
    fields: dict[str, object] = {**await refresh_fields(site), "code": None, "scope": 5, "auth": {"a": [1]}}
    well_formed(site, await site.live.ask(post("/oauth/token/", as_json(fields), "application/json")))


async def test_the_portals_own_token_page_passes_a_request_on(site: Site) -> None:
    given = await site.authorize()
    old = "52563120e104c8ccb54f1b89e2626d97a4f94262"
    well_formed(site, await site.replay("oauth-token-proxied-by-portal", **{old: given["refresh_token"]}))


async def test_the_hosts_name_is_not_looked_at(site: Site) -> None:
    """Hard-coded clients reach us by DNS under the cloud's name."""
    request = post("/oauth/token/", form(await refresh_fields(site))).to_bytes()
    well_formed(site, await site.live.ask(request.replace(b"relay.local", b"oauth.bitrix.info")))


async def test_a_head_request_spends_nothing(site: Site) -> None:
    fields = await refresh_fields(site)
    raw = get(f"/oauth/token/?{form(fields).decode()}").to_bytes().replace(b"GET", b"HEAD", 1)
    assert (await site.live.ask(raw)).status == 405
    first = well_formed(site, await site.live.ask(post("/oauth/token/", form(fields))))
    assert (await site.check(first["access_token"])).status == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_refused_in_json(site: Site, method: str) -> None:
    raw = post("/oauth/token/", form(await refresh_fields(site))).to_bytes().replace(b"POST", method.encode(), 1)
    answer = await site.live.ask(raw)
    assert (answer.status, answer.error) == (405, "invalid_request")


async def test_an_answer_is_json_that_any_reader_takes(site: Site) -> None:
    answer = await site.app.redeem(await site.code())
    assert answer.body.isascii()
    assert json.loads(answer.body)["user_id"] == 67
