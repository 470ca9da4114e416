"""Promises: the stand-in treats an app's token as protocol §4 says, its one-hour cache included.

Leans on: a scripted relay; the portal's own REST, asked as an app asks it.
Must never: look into the portal's tables where what the app sees tells enough.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.portal_peers import APP, CLIENT_ID, NO_JSON, Reply, portal_and_relay, said
from tests.e2e.portal_process import StandInPortal

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "a" * 70


def good(**changes: Any) -> dict[str, Any]:
    """A good answer to rest.check; a change to None leaves the field out."""
    result = {
        "access_token": TOKEN,
        "client_id": CLIENT_ID,
        "expires": int(time.time()) + 3600,
        "scope": "crm,user",
        "status": "L",
        "parameters": {"LOCAL_USER": 1, "TZ_OFFSET": 0, "EVENT_SESSION": 7},
    } | changes
    return {"result": {name: value for name, value in result.items() if value is not None}}


LOST = ("CONNECTION_ERROR", 401)

TABLE = {
    "an error": (said({"error": "invalid_token", "error_description": "x"}), ("invalid_token", 401), True),
    "an error with status 503": (said({"error": "any", "error_description": "x"}, 503), ("any", 401), True),
    "no JSON": (NO_JSON, LOST, False),
    "no JSON with status 200": (Reply("ok"), LOST, False),
    "an empty body": (Reply("", 503), LOST, False),
    "a cut connection": (Reply(drop=True), LOST, False),
    "silence": (Reply(hang=True), LOST, False),
    "an empty list": (said([]), LOST, True),
    "a null result": (said({"result": None}), LOST, True),
    "a result without client_id": (said(good(client_id=None)), LOST, True),
    "a good answer": (said(good()), (None, 200), True),
    "a good answer with status 500": (said(good(), 500), (None, 200), True),
}


@pytest.mark.parametrize(("reply", "seen", "cached"), TABLE.values(), ids=TABLE)
async def test_what_the_app_sees_and_what_is_kept(
    reply: Reply, seen: tuple[str | None, int], cached: bool, tmp_path: Path
) -> None:
    patience = 0.3 if reply.hang else 15.0
    async with portal_and_relay(tmp_path, read_timeout_s=patience) as (portal, relay):
        relay.replies["rest.check"] = reply
        for _ in range(2):
            answer = await portal.rest("server.time", TOKEN)
            assert (answer.error, answer.status) == seen
        assert len(relay.asked("rest.check")) == (1 if cached else 2)
        assert relay.asked("rest.check")[0]["TOKEN"] == TOKEN


async def test_a_refused_connection_is_not_kept(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        await portal.set_options(oauth_server="http://127.0.0.1:1")
        answer = await portal.rest("server.time", TOKEN)
        assert (answer.error, answer.status) == LOST
        relay.replies["rest.check"] = said(good())
        await portal.set_options(oauth_server=relay.url)
        assert (await portal.rest("server.time", TOKEN)).status == 200


@pytest.mark.parametrize("reply", [said(good()), said({"error": "invalid_token"})], ids=["good", "error"])
async def test_the_kept_word_is_good_for_one_hour_and_no_longer(reply: Reply, tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = reply
        await portal.rest("server.time", TOKEN)
        await portal.set_options(clock_shift_s=3590)
        await portal.rest("server.time", TOKEN)
        assert len(relay.asked("rest.check")) == 1
        await portal.set_options(clock_shift_s=3610)
        await portal.rest("server.time", TOKEN)
        assert len(relay.asked("rest.check")) == 2


async def test_a_good_word_is_kept_under_the_token_the_relay_names(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good(access_token="b" * 70))
        await portal.rest("server.time", TOKEN)
        assert set(await portal.cache()) == {"oauth_" + "b" * 70}


async def test_a_revoked_token_lives_on_until_the_cache_is_cleared(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good())
        await portal.rest("server.time", TOKEN)
        relay.replies["rest.check"] = said({"error": "invalid_token"})
        assert (await portal.rest("server.time", TOKEN)).status == 200
        await portal.clear_cache()
        assert (await portal.rest("server.time", TOKEN)).error == "invalid_token"


async def test_an_authorization_is_kept_at_once_with_the_parameters_sent(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        given = {"access_token": TOKEN, "expires": int(time.time()) + 3600, "scope": "user"}
        relay.replies["rest.authorize"] = said({"result": given})
        await portal.authorize(CLIENT_ID, user_id=2, params={"auth_connector": "x"})
        answer = await portal.rest("user.current", TOKEN)
        assert answer.result["ID"] == "2"
        assert relay.asked("rest.check") == []
        kept = (await portal.cache())[f"oauth_{TOKEN}"]["value"]
        assert kept["parameters"] == {
            "LOCAL_USER": 2,
            "TZ_OFFSET": 0,
            "EVENT_SESSION": 7,
            "auth_connector": "x",
        }


REFUSALS: dict[str, tuple[dict[str, Any], str, str, int]] = {
    "expired": ({"expires": int(time.time()) - 1}, "server.time", "expired_token", 401),
    "no expires": ({"expires": None}, "server.time", "expired_token", 401),
    "another app": ({"client_id": "local.other"}, "server.time", "APPLICATION_NOT_FOUND", 401),
    "scope": ({"scope": "user"}, "crm.deal.list", "insufficient_scope", 403),
    "no user": ({"parameters": {}}, "server.time", "authorization_error", 401),
    "unknown user": ({"parameters": {"LOCAL_USER": 99}}, "server.time", "authorization_error", 401),
    "unknown method": ({}, "crm.nothing", "ERROR_METHOD_NOT_FOUND", 404),
}


@pytest.mark.parametrize(("changes", "method", "error", "status"), REFUSALS.values(), ids=REFUSALS)
async def test_a_token_that_is_good_at_the_relay_may_open_nothing_here(
    changes: dict[str, Any], method: str, error: str, status: int, tmp_path: Path
) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good(**changes))
        answer = await portal.rest(method, TOKEN)
        assert (answer.error, answer.status) == (error, status)


async def test_without_a_scope_in_the_answer_none_is_checked(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good(scope=None))
        assert (await portal.rest("crm.deal.list", TOKEN)).result == []


async def test_an_inactive_app_or_user_is_refused_though_the_token_is_kept(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good())
        assert (await portal.rest("server.time", TOKEN)).status == 200
        await portal.put_user(1, active=False)
        assert (await portal.rest("server.time", TOKEN)).error == "authorization_error"
        await portal.put_user(1)
        await portal.put_app(CLIENT_ID, "s", active=0)
        assert (await portal.rest("server.time", TOKEN)).error == "APPLICATION_NOT_FOUND"


async def test_another_status_rewrites_the_row_of_the_app(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good(status="F"))
        await portal.rest("server.time", TOKEN)
        assert [app.status for app in await portal.apps()] == ["F"]


@pytest.mark.parametrize(("session", "sent"), [(7, "6"), (2, "1"), (1, None), (0, None)])
async def test_the_session_counts_down_and_ends_the_chain(session: int, sent: str | None, tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, workers=1) as (portal, relay):
        relay.replies["rest.check"] = said(good(parameters={"LOCAL_USER": 1, "EVENT_SESSION": session}))
        await portal.put_handler("ONCRMDEALADD", f"{APP}/ev", client_id=CLIENT_ID)
        assert (await portal.rest("crm.deal.add", TOKEN, {"fields": {"TITLE": "t"}})).result == 1
        # The only worker answers this when it has sent all events of the hit before.
        await portal.options()
        calls = relay.asked("rest.event.call")
        assert [call["QUERY[0][auth][EVENT_SESSION]"] for call in calls] == ([sent] if sent else [])


async def test_a_request_is_served_while_others_wait_for_the_relay(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, read_timeout_s=60, workers=4) as (portal, relay):
        relay.replies["rest.check"] = Reply(hang=True)
        waiting = [asyncio.create_task(portal.rest("server.time", TOKEN)) for _ in range(3)]
        await relay.wait_for("rest.check", 3)
        async with asyncio.timeout(10):
            await asyncio.gather(*(portal.options() for _ in range(20)))
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_portal_started_again_in_its_folder_is_the_same_portal(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = said(good())
        await portal.rest("server.time", TOKEN)
    async with StandInPortal.running(tmp_path) as portal:
        assert (await portal.options())["registered"] is True
        assert (await portal.rest("server.time", TOKEN)).status == 200
