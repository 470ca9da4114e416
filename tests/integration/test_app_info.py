"""`app.info` at the relay, the browser's way through `/oauth/authorize/`, and the portal's own call (sections 3, 6).

Leans on the wire. Must never take a redirect URI from a caller.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import md5
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.integration.site import PORTAL_URL, as_json
from tests.integration.wire import Request, form, get, post

if TYPE_CHECKING:
    from tests.integration.site import Site

PATHS = ["/rest/app.info", "/rest/app.info/", "/rest/app.info.json", "//rest//app.info"]


def ways(token: str, path: str) -> list[Request]:
    """Every way in which libraries hand over the token."""
    bearer = ("Authorization", f"Bearer {token}")
    return [
        get(f"{path}?auth={token}"),
        get(f"{path}?access_token={token}"),
        get(f"{path}?auth=&access_token={token}&other=1"),
        get(path, bearer),
        post(path, form({"auth": token})),
        post(path, form({"access_token": token})),
        post(f"{path}?auth={token}", b""),
        post(path, as_json({"auth": token}), "application/json"),
        post(path, as_json({"access_token": token, "x": [1, {"y": 2}]}), "application/json"),
        post(path, b"", "text/plain", bearer),
    ]


@pytest.mark.parametrize("path", PATHS)
async def test_the_token_may_be_handed_over_in_every_way(site: Site, path: str) -> None:
    token = (await site.authorize())["access_token"]
    for request in ways(token, path):
        answer = await site.live.ask(request)
        assert answer.status == 200, request
        assert answer.json["result"]["client_id"] == site.app.client_id
        assert "location" not in answer.headers


async def test_the_answer_holds_all_that_libraries_read(site: Site) -> None:
    given = await site.authorize()
    answer = (await site.app.info(given["access_token"])).json
    assert set(answer) == {"result", "time"}
    result = answer["result"]
    expires = result.pop("expires")
    assert expires.endswith("+00:00")
    assert int(datetime.fromisoformat(expires).timestamp()) == given["expires"]
    assert result == {
        "client_id": site.app.client_id,
        "scope": "crm,user,placement",
        "user_id": 67,
        "status": "L",
        "install": {
            "installed": True,
            "version": "1",
            "status": "L",
            "scope": "crm,user,placement",
            "domain": "portal.test",
            "uri": PORTAL_URL,
            "client_endpoint": f"{PORTAL_URL}/rest/",
            "member_id": md5(site.portal.client_id.encode()).hexdigest(),
            "member_type": result["install"]["member_type"],
        },
    }
    assert isinstance(result["install"]["member_type"], str)
    assert result["install"]["installed"] is True
    assert type(result["user_id"]) is int


async def test_the_answer_holds_the_time_block_of_a_rest_answer(site: Site) -> None:
    time_block: dict[str, Any] = (await site.app.info((await site.authorize())["access_token"])).json["time"]
    assert set(time_block) == {
        "start",
        "finish",
        "duration",
        "processing",
        "date_start",
        "date_finish",
        "operating_reset_at",
        "operating",
    }
    assert time_block["start"] <= time_block["finish"]
    assert all(isinstance(time_block[name], int | float) for name in ("start", "finish", "duration", "processing"))
    assert datetime.fromisoformat(time_block["date_start"]).tzinfo is not None


async def test_the_portal_may_ask_as_well(site: Site) -> None:
    """`POST /rest/app.info` with `auth` beside what the portal appends to every call."""
    given = await site.authorize()
    answer = await site.portal.ask("app.info", {"auth": given["access_token"]})
    assert answer.json["result"]["client_id"] == site.app.client_id


@pytest.mark.parametrize("token", ["", "x", "0" * 70, "%FF", "кот"])
async def test_without_a_good_token_the_answer_is_invalid_token_401(site: Site, token: str) -> None:
    for request in (post("/rest/app.info", form({"auth": token})), get("/rest/app.info"), get("/rest/app.info?auth=")):
        answer = await site.live.ask(request)
        assert (answer.status, answer.error) == (401, "invalid_token")
        assert "portal" not in answer.json["error_description"].lower()
        assert "not found" not in answer.json["error_description"].lower()


async def browse(site: Site, path: str, **query: str) -> tuple[str, dict[str, str]]:
    """Where the browser is sent, and with which query."""
    answer = await site.live.ask(get(f"{path}?{form(query).decode()}"))
    assert answer.status == 302
    address = urlsplit(answer.headers["location"])
    return f"{address.scheme}://{address.netloc}{address.path}", dict(parse_qsl(address.query, keep_blank_values=True))


@pytest.mark.parametrize("path", ["/oauth/authorize", "/oauth/authorize/", "//oauth//authorize/"])
async def test_a_browser_is_sent_on_to_the_portals_page(site: Site, path: str) -> None:
    where, query = await browse(
        site, path, client_id=site.app.client_id, state="a&b=ж +", response_type="code", scope="crm"
    )
    assert where == f"{PORTAL_URL}/oauth/authorize/"
    assert query == {"client_id": site.app.client_id, "state": "a&b=ж +", "response_type": "code", "scope": "crm"}


async def test_the_redirect_uri_never_comes_from_the_caller(site: Site) -> None:
    _, query = await browse(
        site, "/oauth/authorize/", client_id=site.app.client_id, state="s", redirect_uri="http://evil.example/"
    )
    assert "redirect_uri" not in query
    asked = {
        "CLIENT_ID": site.app.client_id,
        "STATE": "s",
        "REDIRECT_URI": "http://evil.example/",
        "PARAMS[LOCAL_USER]": "1",
    }
    assert (await site.portal.result("rest.code", asked))["redirect_uri"] == f"{site.sink.url}/cb"


@pytest.mark.parametrize("state", ["\r\nX-Injected: 1", "\x00", "%FF", "кот", "a" * 2000])
async def test_a_state_of_any_content_comes_through_and_breaks_nothing(site: Site, state: str) -> None:
    _, query = await browse(site, "/oauth/authorize/", client_id=site.app.client_id, state=state)
    assert query["state"] == state
    answer = await site.live.ask(get(f"/oauth/authorize/?client_id={site.app.client_id}&state=%0d%0aX-Injected:%201"))
    assert "x-injected" not in answer.headers


async def test_a_browser_with_an_unknown_application_stays_here_and_is_not_asked_for_a_password(site: Site) -> None:
    for target in ("/oauth/authorize/?client_id=local.unknown", "/oauth/authorize/"):
        answer = await site.live.ask(get(target))
        assert answer.status == 400
        assert "location" not in answer.headers
        assert "www-authenticate" not in answer.headers
