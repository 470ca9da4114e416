"""Promises: what the stand-in makes of the relay's answers: registration, apps, repeats, cron, losses.

Leans on: a scripted relay.
Must never: pass because a call was not made: each test names the requests it expects.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.e2e.portal_peers import (
    APP,
    CLIENT_ID,
    NO_JSON,
    SERVICE_ID,
    Reply,
    ScriptedRelay,
    form_of,
    name_of,
    portal_and_relay,
    said,
)
from tests.e2e.portal_process import PortalBrokenError, PortalRefusedError

if TYPE_CHECKING:
    from pathlib import Path

UNREGISTERED = {"service_client_id": "", "service_client_secret": ""}
KEYS = {"client_id": "local.portal", "client_secret": "secret"}


def names(relay: ScriptedRelay) -> list[str]:
    return [name_of(request) for request in relay.requests]


# Registration (§3)


async def test_an_unregistered_portal_registers_by_itself_before_its_first_call(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, **UNREGISTERED) as (portal, relay):
        relay.replies["oauth/register"] = said(KEYS)
        relay.replies["application.list"] = said({"result": []})
        await portal.call("methods")
        assert names(relay) == ["oauth/register", "application.list", "methods"]
        assert relay.asked("methods")[0]["client_id"] == "local.portal"
        assert (await portal.options())["member_id"] == hashlib.md5(b"local.portal").hexdigest()


@pytest.mark.parametrize("reply", [said({"error": "no"}), NO_JSON, Reply(drop=True), Reply("", 500)])
async def test_a_refused_registration_changes_nothing(reply: Reply, tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["oauth/register"] = reply
        await portal.register()
        assert (await portal.options())["service_client_id"] == SERVICE_ID


@pytest.mark.parametrize("document", [{}, {"result": KEYS}, {"error": ""}])
async def test_an_answer_without_credentials_at_the_top_wipes_the_registration(
    document: dict[str, Any], tmp_path: Path
) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["oauth/register"] = said(document)
        await portal.register()
        assert (await portal.options())["registered"] is False


async def test_null_kills_the_hit(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["oauth/register"] = said(None)
        with pytest.raises(PortalBrokenError):
            await portal.register()


async def test_apps_that_the_relay_lists_are_added(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["oauth/register"] = said(KEYS)
        listed = [{"CLIENT_ID": "app.market"}, {"CLIENT_ID": CLIENT_ID}]
        relay.replies["application.list"] = said({"result": listed})
        await portal.register()
        assert [app.client_id for app in await portal.apps()] == [CLIENT_ID, "app.market"]


# Apps


async def test_an_unregistered_portal_adds_an_app_without_asking(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, **UNREGISTERED) as (portal, relay):
        relay.replies["oauth/register"] = said({"error": "no"})
        app = await portal.add_app("App", f"{APP}/", "crm")
        assert app.client_id.startswith("no_client_id_")
        assert app.client_secret == ""
        assert names(relay) == ["oauth/register"]


async def test_an_added_app_gets_the_relays_keys_and_its_install_event(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["application.add"] = said({"result": {"client_id": "local.n", "client_secret": "s1"}})
        app = await portal.add_app("App", f"{APP}/", "crm", install_url=f"{APP}/inst")
        assert (app.client_id, app.client_secret, app.scope) == ("local.n", "s1", "crm")
        assert names(relay) == ["application.add", "rest.event.call"]
        event = relay.asked("rest.event.call")[0]
        assert event["QUERY[0][client_id]"] == "local.n"
        assert event["QUERY[0][query][QUERY_DATA][event]"] == "ONAPPINSTALL"


async def test_a_refused_app_is_gone_and_its_reason_shown(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["application.add"] = said({"error": "E", "error_description": "Because"})
        with pytest.raises(PortalRefusedError, match="E: Because"):
            await portal.add_app("App", f"{APP}/", "crm")
        assert [app.client_id for app in await portal.apps()] == [CLIENT_ID]


async def test_an_update_says_only_what_changed(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        app = await portal.update_app(CLIENT_ID, scope="im")
        sent = relay.asked("application.update")[0]
        assert [name for name in sent if name.isupper()] == ["CLIENT_ID", "SCOPE"]
        assert (app.title, app.scope) == ("App", "im")
        await portal.update_app(CLIENT_ID)
        assert [name for name in relay.asked("application.update")[1] if name.isupper()] == ["CLIENT_ID"]


async def test_a_missing_installation_is_asked_for_once(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        missing = {"error": "ERROR_OAUTH", "error_description": "Application not installed"}
        relay.replies["rest.authorize"] = said(missing)
        assert (await portal.authorize(CLIENT_ID)).error == "ERROR_OAUTH"
        assert names(relay) == ["rest.authorize", "application.install", "rest.authorize"]


# One call (§2)


async def test_verification_needed_is_answered_once_with_the_licence(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, licence_key="K") as (portal, relay):
        relay.replies["application.update"] = said({"error": "verification_needed"})
        assert (await portal.call("application.update", {"CLIENT_ID": "x"})).error == "verification_needed"
        plain, signed = relay.asked("application.update")
        added = {name: signed.pop(name) for name in ("BX_TYPE", "BX_LICENCE", "BX_HASH")}
        assert signed == plain
        licence = hashlib.md5(b"BITRIXKLICENCE").hexdigest()
        values = "|".join([*plain.values(), "CP", licence])
        expected = hashlib.md5(values.encode()).hexdigest() + hashlib.md5(b"K").hexdigest()
        assert added == {
            "BX_TYPE": "CP",
            "BX_LICENCE": licence,
            "BX_HASH": hashlib.md5(expected.encode()).hexdigest(),
        }


async def test_a_location_is_followed_whatever_the_status(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["methods"] = Reply('{"result":1}', 200, ("Location: /elsewhere",))
        relay.replies["elsewhere"] = said({"result": ["moved"]})
        assert (await portal.call("methods")).result == ["moved"]
        assert names(relay) == ["methods", "elsewhere"]


async def test_the_status_does_not_count(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["methods"] = said({"result": ["m"]}, 500)
        assert (await portal.call("methods")).result == ["m"]


async def test_a_chunked_answer_is_read(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        body = '9\r\n{"result"\r\n3\r\n:1}\r\n0\r\n\r\n'
        relay.replies["methods"] = Reply(body, 200, ("Transfer-Encoding: chunked",))
        assert (await portal.call("methods")).result == 1


# Cron


async def test_from_cron_the_portal_does_not_know_its_address(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, cron=True) as (portal, relay):
        await portal.put_handler("ONCRMDEALADD", f"{APP}/ev", client_id=CLIENT_ID)
        await portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 1}})
        event = relay.asked("rest.event.call")[0]
        assert event["client_redirect_uri"] == "http://"
        assert event["QUERY[0][query][DOMAIN]"] == ""
        await portal.set_options(cron=False)
        await portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 2}})
        assert relay.asked("rest.event.call")[1]["client_redirect_uri"] == "http://127.0.0.1:18081"


async def test_standard_ports_are_left_out_of_the_address(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, public_url="https://portal.local:443") as (portal, relay):
        await portal.call("methods")
        assert relay.asked("methods")[0]["client_redirect_uri"] == "https://portal.local"


# Events


@pytest.mark.parametrize("reply", [NO_JSON, Reply(drop=True), said({"error": "no"}), said({"result": False})])
async def test_an_event_the_relay_did_not_take_is_lost_and_never_sent_again(reply: Reply, tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        await portal.put_handler("ONCRMDEALADD", f"{APP}/ev", client_id=CLIENT_ID)
        relay.replies["rest.event.call"] = reply
        await portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 1}})
        relay.replies["rest.event.call"] = said({"result": True})
        await portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 2}})
        sent = relay.asked("rest.event.call")
        assert [call["QUERY[0][query][QUERY_DATA][data][FIELDS][ID]"] for call in sent] == ["1", "2"]
        lost = await portal.lost_events()
        assert [row["items"][0]["query"]["QUERY_DATA"]["data"] for row in lost] == [{"FIELDS": {"ID": 1}}]


# Browser and app


async def test_the_code_page_sends_the_browser_on_with_all_fields(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        result = {"redirect_uri": f"{APP}/cb?a=1", "code": "c1", "state": "s&1", "domain": "relay.local"}
        relay.replies["rest.code"] = said({"result": result})
        page = await portal.page("/oauth/authorize/", {"client_id": CLIENT_ID, "state": "s&1"})
        assert page.status == 302
        assert page.headers["Location"].startswith(f"{APP}/cb?a=1&")
        fields = dict(parse_qsl(urlsplit(page.headers["Location"]).query))
        expected = {"code": "c1", "state": "s&1", "domain": "127.0.0.1", "server_domain": "relay.local"}
        assert fields == {"a": "1"} | expected
        relay.replies["rest.code"] = said({"result": {"code": "c2"}})
        assert "c2" in (await portal.page("/oauth/authorize/", {"client_id": CLIENT_ID})).body


async def test_the_token_page_passes_status_type_and_body_on(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["oauth/token"] = Reply('{"error":"x"}', 401, ("Content-Type: application/json",))
        page = await portal.page("/oauth/token", {"grant_type": "refresh_token"})
        assert (page.status, page.body) == (401, '{"error":"x"}')
        assert page.headers["Content-Type"] == "application/json"


async def test_an_opened_app_gets_the_authorization_posted(tmp_path: Path) -> None:
    async with ScriptedRelay.running() as app, portal_and_relay(tmp_path) as (portal, relay):
        given = {
            "access_token": "t",
            "refresh_token": "r",
            "expires": 1,
            "expires_in": 3600,
            "server_endpoint": "http://relay.local/rest/",
            "member_id": "m",
            "status": "L",
        }
        relay.replies["rest.authorize"] = said({"result": given})
        app.replies["cb"] = Reply("welcome")
        await portal.update_app(CLIENT_ID, url=f"{app.url}/cb")
        opened = await portal.open_app(CLIENT_ID, placement_options={"ID": 5})
        assert (opened.status, opened.body) == (200, "welcome")
        line, _, _ = app.requests[0].partition(b"\r\n")
        assert line.startswith(b"POST /cb?DOMAIN=127.0.0.1%3A18081&PROTOCOL=0&LANG=ru&APP_SID=")
        assert form_of(app.requests[0]) == {
            "AUTH_ID": "t",
            "AUTH_EXPIRES": "3600",
            "REFRESH_ID": "r",
            "SERVER_ENDPOINT": "http://relay.local/rest/",
            "member_id": "m",
            "status": "L",
            "PLACEMENT": "DEFAULT",
            "PLACEMENT_OPTIONS": '{"ID":5}',
        }
