"""Promises: the stand-in's REST has the shapes that client libraries rely on: pages, batches, handlers.

Leans on: one long-lived token that the scripted relay vouches for.
Must never: test what only a real portal could tell.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.e2e.portal_peers import APP, CLIENT_ID, Reply, portal_and_relay, said

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = "a" * 70


def vouched() -> Reply:
    parameters = {"LOCAL_USER": 1, "EVENT_SESSION": 7}
    known = {"access_token": TOKEN, "client_id": CLIENT_ID, "expires": int(time.time()) + 3600}
    return said({"result": known | {"scope": "crm,user", "parameters": parameters}})


WAYS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "query": ("GET", f"/rest/user.current?auth={TOKEN}", {}),
    "query, .json": ("GET", f"/rest/user.current.json?auth={TOKEN}", {}),
    "doubled slash": ("GET", f"/rest//user.current/?auth={TOKEN}", {}),
    "form": ("POST", "/rest/user.current", {"data": {"auth": TOKEN}}),
    "JSON": ("POST", "/rest/user.current.json", {"json": {"auth": TOKEN}}),
    "Bearer": ("POST", "/rest/USER.current", {"headers": {"Authorization": f"Bearer {TOKEN}"}}),
}


@pytest.mark.parametrize(("verb", "path", "how"), WAYS.values(), ids=WAYS)
async def test_the_token_may_come_in_any_way(verb: str, path: str, how: dict[str, Any], tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay), aiohttp.ClientSession() as client:
        relay.replies["rest.check"] = vouched()
        async with client.request(verb, portal.url + path, **how) as answer:
            document = await answer.json()
        assert document["result"]["ID"] == "1"
        assert set(document["time"]) == {
            "start", "finish", "duration", "processing", "date_start", "date_finish", "operating_reset_at",
            "operating",
        }  # fmt: skip


async def test_no_token_is_no_auth_found(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        answer = await portal.rest("user.current", "")
        assert (answer.status, answer.error) == (401, "NO_AUTH_FOUND")
        assert relay.requests == []


async def test_a_list_is_paged_by_fifty(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        await portal.fill_deals(120)
        start: int | None = 0
        seen: list[str] = []
        while start is not None:
            answer = await portal.rest("crm.deal.list", TOKEN, {"start": start, "select": ["ID"]})
            assert answer.body["total"] == 120
            seen += [deal["ID"] for deal in answer.result]
            start = answer.body.get("next")
        assert seen == [str(number) for number in range(1, 121)]


async def test_a_list_is_filtered_sorted_and_cut_by_id(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        await portal.fill_deals(120)
        query = {"filter": {">ID": 60, "<=ID": "115"}, "order": {"ID": "DESC"}, "start": -1}
        answer = await portal.rest("crm.deal.list", TOKEN, query)
        assert [deal["ID"] for deal in answer.result] == [str(number) for number in range(115, 65, -1)]
        assert answer.body.keys() == {"result", "time"}
        query = {"FILTER": {"@ID": [3, 5], "%TITLE": "deal"}}
        assert [deal["ID"] for deal in (await portal.rest("crm.deal.list", TOKEN, query)).result] == [
            "3",
            "5",
        ]


async def test_a_batch_gives_each_part_its_place_and_sends_its_events_in_one_call(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        bound = {"event": "onCrmDealAdd", "handler": f"{APP}/ev"}
        assert (await portal.rest("event.bind", TOKEN, bound)).result is True
        commands = {
            "one": "crm.deal.add?fields[TITLE]=One",
            "two": "crm.deal.add?fields[TITLE]=Two",
            "read": "crm.deal.get?id=$result[two]",
            "list": "crm.deal.list",
            "bad": "crm.nothing",
        }
        parts = (await portal.rest("batch", TOKEN, {"halt": 0, "cmd": commands})).result
        assert parts["result"]["read"]["TITLE"] == "Two"
        assert parts["result_total"] == {"list": 2}
        assert parts["result_next"] == []
        assert parts["result_error"]["bad"]["error"] == "ERROR_METHOD_NOT_FOUND"
        assert set(parts["result_time"]) == {"one", "two", "read", "list"}
        calls = await relay.wait_for("rest.event.call")
        ids = [calls[0][f"QUERY[{i}][query][QUERY_DATA][data][FIELDS][ID]"] for i in (0, 1)]
        assert (len(calls), ids) == (1, ["1", "2"])


async def test_a_deal_can_be_changed_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        await portal.put_handler("ONCRMDEALUPDATE", f"{APP}/ev", client_id=CLIENT_ID)
        await portal.rest("crm.deal.add", TOKEN, {"fields": {"TITLE": "a", "COMMENTS": "c"}})
        assert (await portal.rest("crm.deal.update", TOKEN, {"id": 1, "fields": {"TITLE": "b"}})).result is True
        deal = (await portal.rest("crm.deal.get", TOKEN, {"id": 1})).result
        assert (deal["TITLE"], deal["COMMENTS"]) == ("b", "c")
        assert (await portal.rest("crm.deal.get", TOKEN, {"id": 2})).status == 400
        event = (await relay.wait_for("rest.event.call"))[0]
        assert event["QUERY[0][query][QUERY_DATA][event]"] == "ONCRMDEALUPDATE"


async def test_handlers_are_bound_read_and_unbound(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        bound = {"event": "ONCRMDEALADD", "handler": f"{APP}/ev"}
        await portal.rest("event.bind", TOKEN, bound | {"auth_type": 2})
        expected = {"event": "ONCRMDEALADD", "handler": f"{APP}/ev", "auth_type": "2", "offline": "0"}
        assert (await portal.rest("event.get", TOKEN)).result == [expected]
        assert (await portal.rest("event.bind", TOKEN, bound | {"auth_type": 2})).status == 400
        assert (await portal.rest("event.unbind", TOKEN, bound)).result == {"count": 1}
        assert (await portal.rest("event.bind", TOKEN, bound | {"event": "ONNOTHING"})).error == (
            "ERROR_EVENT_NOT_FOUND"
        )


async def test_the_answer_does_not_wait_for_the_events(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        relay.replies["rest.event.call"] = Reply(hang=True)
        await portal.put_handler("ONCRMDEALADD", f"{APP}/ev", client_id=CLIENT_ID)
        answer = await portal.rest("crm.deal.add", TOKEN, {"fields": {"TITLE": "t"}})
        assert answer.result == 1
        await relay.wait_for("rest.event.call")


@pytest.mark.parametrize(
    ("method", "key"),
    [("app.info", "CODE"), ("profile", "ADMIN"), ("user.current", "EMAIL")],
)
async def test_methods_that_tell_of_app_and_user(method: str, key: str, tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        assert key in (await portal.rest(method, TOKEN)).result


async def test_methods_that_list_what_there_is(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path) as (portal, relay):
        relay.replies["rest.check"] = vouched()
        assert (await portal.rest("scope", TOKEN)).result == ["crm", "user"]
        assert "crm.deal.list" in (await portal.rest("methods", TOKEN)).result
        assert "ONCRMDEALADD" in (await portal.rest("events", TOKEN)).result
