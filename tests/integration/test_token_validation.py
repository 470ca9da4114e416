"""How a portal checks tokens at the relay: `rest.authorize` and `rest.check` (protocol.md sections 3 and 4).

Leans on the wire. Must never answer a passing failure with JSON, nor a lasting one without.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from hashlib import md5
from typing import TYPE_CHECKING

import pytest

from relay.config import DATABASE_FILE
from tests.integration.live_relay import PUBLIC_URL
from tests.integration.site import PORTAL_URL, PortalSide

if TYPE_CHECKING:
    from tests.integration.site import Site


async def test_rest_authorize_gives_the_whole_superset(site: Site) -> None:
    result = (await site.replay("rest.authorize")).json["result"]
    token, refresh = result.pop("access_token"), result.pop("refresh_token")
    for text in (token, refresh):
        assert len(text) == 70
        assert set(text) <= set("0123456789abcdef")
        assert int.from_bytes(bytes.fromhex(text[24:32]), "little") == 1
    expires, expires_in = result.pop("expires"), result.pop("expires_in")
    assert abs(expires - site.live.now - 3600) <= 2
    assert 3598 <= expires_in <= 3600
    assert int.from_bytes(bytes.fromhex(token[:8]), "little") == expires
    assert result == {
        "scope": "crm,user,placement",
        "status": "L",
        "server_endpoint": f"{PUBLIC_URL}/rest/",
        "client_endpoint": f"{PORTAL_URL}/rest/",
        "domain": "relay.test",
        "member_id": md5(site.portal.client_id.encode()).hexdigest(),
        "user_id": 1,
    }


async def test_an_empty_scope_means_all_that_the_application_has(site: Site) -> None:
    assert (await site.replay("rest.authorize-empty-scope")).json["result"]["scope"] == "crm,user,placement"


async def test_a_narrower_scope_is_kept_with_the_token(site: Site) -> None:
    given = await site.authorize(SCOPE="crm,im")
    assert given["scope"] == "crm"
    assert (await site.check(given["access_token"])).json["result"]["scope"] == "crm"
    assert (await site.app.info(given["access_token"])).json["result"]["scope"] == "crm"


async def test_a_scope_of_which_the_application_has_nothing_is_refused(site: Site) -> None:
    answer = await site.portal.ask(
        "rest.authorize", {"CLIENT_ID": site.app.client_id, "SCOPE": "im", "PARAMS[LOCAL_USER]": "1"}
    )
    assert answer.error == "insufficient_scope"


@pytest.mark.parametrize(
    "user", ["", "0", "-1", "abc", "4294967296", "0" * 11 + "19999999999", "1" * 5000, "%D9%A3", "1.0"]
)
async def test_a_grant_needs_a_user(site: Site, user: str) -> None:
    for method in ("rest.authorize", "rest.code"):
        answer = await site.portal.ask(method, {"CLIENT_ID": site.app.client_id, "PARAMS[LOCAL_USER]": user})
        assert answer.error == "invalid_request"
    assert (await site.portal.ask("rest.authorize", {"CLIENT_ID": site.app.client_id})).error == "invalid_request"


async def test_applications_the_portal_made_up_while_unregistered_are_unknown(site: Site) -> None:
    answer = await site.portal.ask("rest.authorize", {"CLIENT_ID": "no_client_id_1", "PARAMS[LOCAL_USER]": "1"})
    assert answer.error == "APPLICATION_NOT_FOUND"


async def test_rest_check_says_all_that_the_portal_requires(site: Site) -> None:
    given = await site.authorize(**{"PARAMS[TZ_OFFSET]": "-10800", "PARAMS[EVENT_SESSION]": "7"})
    answer = await site.check(given["access_token"])
    assert answer.status == 200
    assert answer.json["result"] == {
        "access_token": given["access_token"],
        "client_id": site.app.client_id,
        "expires": given["expires"],
        "scope": "crm,user,placement",
        "status": "L",
        "parameters": {"LOCAL_USER": "67", "TZ_OFFSET": "-10800", "EVENT_SESSION": "7"},
    }


async def test_the_status_of_an_application_that_is_not_local_is_left_out(site: Site) -> None:
    """Another value would rewrite the portal's own row."""
    (portal,) = (await site.live.relay.store.directory()).portals.values()
    client_id, _ = await site.live.relay.applications.add(
        portal, title="M", redirect_uri="", scope="crm", client_id="app.m", client_secret="w" * 50, status="F"
    )
    await site.portal.result("application.install", {"CLIENT_ID": client_id, "VERSION": "1"})
    given = await site.portal.result("rest.authorize", {"CLIENT_ID": client_id, "PARAMS[LOCAL_USER]": "1"})
    assert given["status"] == "F"
    assert "status" not in (await site.check(given["access_token"])).json["result"]


async def test_parameters_come_back_as_they_were_sent_whatever_they_are(site: Site) -> None:
    sent = {"PARAMS[EVENT_SESSION]": "99", "PARAMS[TZ_OFFSET]": "61", "PARAMS[X][y]": "Сделка & Ко", "PARAMS[E]": ""}
    given = await site.authorize(**sent)
    checked = (await site.check(given["access_token"])).json["result"]
    assert checked["parameters"] == {
        "LOCAL_USER": "67",
        "EVENT_SESSION": "99",
        "TZ_OFFSET": "61",
        "X[y]": "Сделка & Ко",
        "E": "",
    }


async def test_a_token_got_by_refresh_starts_its_event_session_afresh(site: Site) -> None:
    given = await site.authorize(**{"PARAMS[EVENT_SESSION]": "3", "PARAMS[TZ_OFFSET]": "3600", "PARAMS[X]": "y"})
    refreshed = (await site.app.refresh(given["refresh_token"])).json
    checked = (await site.check(refreshed["access_token"])).json["result"]
    assert checked["parameters"] == {"LOCAL_USER": "67", "TZ_OFFSET": "3600", "EVENT_SESSION": "7"}


async def test_an_expired_token_is_expired_token_401(site: Site) -> None:
    given = await site.authorize()
    site.live.clock.advance(3601)
    for answer in (await site.check(given["access_token"]), await site.app.info(given["access_token"])):
        assert (answer.error, answer.status) == ("expired_token", 401)


@pytest.mark.parametrize("token", ["", "0" * 70, "f" * 70, "кириллица &=", "a" * 40, "x.y.z"])
async def test_an_unknown_token_is_invalid_token(site: Site, token: str) -> None:
    assert (await site.check(token)).error == "invalid_token"


async def test_the_real_modules_check_of_an_unknown_token_is_invalid_token(site: Site) -> None:
    assert (await site.replay("rest.check")).error == "invalid_token"


async def test_a_forged_token_is_invalid_token(site: Site) -> None:
    token = (await site.authorize())["access_token"]
    for position in (0, 8, 12, 20, 24, 34, 40, 69):
        forged = token[:position] + f"{int(token[position], 16) ^ 1:x}" + token[position + 1 :]
        assert (await site.check(forged)).error == "invalid_token"
    assert (await site.check(token.upper())).error == "invalid_token"


async def test_a_refresh_token_or_code_is_no_access_token(site: Site) -> None:
    given = await site.authorize()
    assert (await site.check(given["refresh_token"])).error == "invalid_token"
    assert (await site.check(await site.code())).error == "invalid_token"


async def test_a_deleted_applications_token_is_application_not_found(site: Site) -> None:
    given = await site.authorize()
    await site.replay("application.delete")
    assert (await site.check(given["access_token"])).error == "APPLICATION_NOT_FOUND"


async def test_another_portals_token_is_unknown(site: Site) -> None:
    given = await site.authorize()
    other = PortalSide(site.live, url="http://other.test")
    await other.register()
    assert (await other.ask("rest.check", {"TOKEN": given["access_token"]})).error == "invalid_token"


async def test_checking_a_token_writes_nothing(site: Site) -> None:
    given = await site.authorize(**{"PARAMS[X]": "stored"})
    with closing(sqlite3.connect(site.live.relay.config.home / DATABASE_FILE)) as onlooker:

        def commits() -> int:
            return int(onlooker.execute("PRAGMA data_version").fetchone()[0])

        before = commits()
        for _ in range(3):
            assert (await site.check(given["access_token"])).status == 200
            assert (await site.app.info(given["access_token"])).status == 200
        assert commits() == before
        await site.authorize()
        assert commits() != before


async def test_a_store_that_cannot_be_written_is_503_without_json(site: Site) -> None:
    """A portal keeps every JSON error for an hour."""
    await site.live.relay.store.close()
    for method in ("rest.authorize", "rest.code", "rest.event.call", "application.add"):
        answer = await site.portal.ask(
            method,
            {
                "CLIENT_ID": site.app.client_id,
                "TITLE": "x",
                "PARAMS[LOCAL_USER]": "1",
                "QUERY[0][query][QUERY_URL]": "http://127.0.0.1/x",
            },
        )
        assert answer.status == 503
        assert not answer.is_json
    batch = await site.portal.ask("batch", {"cmd[a]": f"rest.code?CLIENT_ID={site.app.client_id}&PARAMS[LOCAL_USER]=1"})
    assert batch.status == 503
    assert not batch.is_json
