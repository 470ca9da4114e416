"""Every shape of event that a portal sends reaches its handler as protocol.md section 5 says, nothing lost or retyped.

Leans on requests that the real portal module sent and on a real HTTP handler. Must never compare a body with anything
but the text the portal sent.
"""

from __future__ import annotations

from hashlib import md5
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pytest

from tests.factories import captured_body, captured_names
from tests.integration.live_relay import PUBLIC_URL
from tests.integration.site import PORTAL_URL
from tests.integration.wire import form, post

if TYPE_CHECKING:
    from tests.integration.conftest import OpenSite
    from tests.integration.sink import Call
    from tests.integration.site import Site

EVENTS = [name for name in captured_names() if name.startswith("rest.event.call")]
TOKEN_FIELDS = {"access_token", "expires", "expires_in", "scope", "status", "user_id"}
ALWAYS = {"domain", "client_endpoint", "server_endpoint", "member_id"}


def sent_data(name: str, index: int = 0) -> str:
    """An item's QUERY_DATA as the portal sent it, its names made top-level by cutting text."""
    prefix = f"QUERY%5B{index}%5D%5Bquery%5D%5BQUERY_DATA%5D%5B"
    fields = [field.removeprefix(prefix) for field in captured_body(name).split("&") if field.startswith(prefix)]
    return "&".join(field.replace("%5D", "", 1) for field in fields)


def auth_of(call: Call) -> dict[str, str]:
    """The `auth` block of a delivery."""
    fields = dict(parse_qsl(call.body, keep_blank_values=True))
    return {name[5:-1]: value for name, value in fields.items() if name.startswith("auth[")}


async def delivered(site: Site, name: str) -> Call:
    """Send a captured event and wait for its delivery."""
    answer = await site.replay(name)
    assert answer.status == 200
    assert answer.json["result"]
    (call,) = await site.sink.wait_for(1)
    return call


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "rest.event.call-3-items"])
async def test_a_handler_gets_the_events_data_byte_for_byte_and_then_auth(site: Site, name: str) -> None:
    call = await delivered(site, name)
    data, tail = call.body[: len(sent_data(name))], call.body[len(sent_data(name)) :]
    assert data == sent_data(name)
    assert tail.startswith("&auth%5B")
    assert all(field.startswith("auth%5B") for field in tail[1:].split("&"))
    assert call.headers["content-type"] == "application/x-www-form-urlencoded"


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "rest.event.call-3-items"])
async def test_auth_always_says_where_the_event_comes_from(site: Site, name: str) -> None:
    auth = auth_of(await delivered(site, name))
    assert set(auth) >= ALWAYS
    assert auth["domain"] == "portal.test"
    assert auth["client_endpoint"] == f"{PORTAL_URL}/rest/"
    assert auth["server_endpoint"] == f"{PUBLIC_URL}/rest/"
    assert auth["member_id"] == md5(site.portal.client_id.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "token", "refresh"),
    [
        ("rest.event.call-rich-data", True, False),
        ("rest.event.call-no-data", True, False),
        ("rest.event.call-from-cron", True, False),
        ("rest.event.call-sms", True, False),
        ("rest.event.call-event-test", True, True),
        ("rest.event.call-onappinstall", True, True),
        ("rest.event.call-robot", True, True),
        ("rest.event.call-no-auth-wanted", False, False),
        ("rest.event.call-no-user", False, False),
        ("rest.event.call-onappuninstall", False, False),
        ("rest.event.call-sms-without-author", False, False),
    ],
)
async def test_all_of_a_token_is_sent_or_none_of_it(site: Site, name: str, token: bool, refresh: bool) -> None:
    auth = auth_of(await delivered(site, name))
    expected = ALWAYS | (TOKEN_FIELDS if token else set()) | ({"refresh_token"} if refresh else set())
    if name != "rest.event.call-sms-without-author":
        expected |= {"application_token"}
        assert auth["application_token"] == "47ee90ad1637f2f2378c9adcf19ad54e"
    assert set(auth) == expected
    if token:
        assert (auth["user_id"], auth["status"], auth["scope"]) == ("1", "L", "crm,user,placement")
        assert 3590 <= int(auth["expires_in"]) <= 3600
        assert abs(int(auth["expires"]) - site.live.now - 3600) <= 5
        assert (await site.check(auth["access_token"])).status == 200
    if refresh:
        assert (await site.app.refresh(auth["refresh_token"])).status == 200


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("rest.event.call-rich-data", {"LOCAL_USER": "1", "EVENT_SESSION": "7"}),
        ("rest.event.call-event-test", {"LOCAL_USER": "1", "EVENT_SESSION": "6"}),
        (
            "rest.event.call-robot",
            {"LOCAL_USER": "1", "WORKFLOW_ID": "5f1.1", "ACTIVITY_NAME": "A1", "CODE": "robo"},
        ),
        ("rest.event.call-sms", {"LOCAL_USER": "1", "EVENT_SESSION": "7", "CODE": "prov"}),
    ],
)
async def test_an_events_token_gives_back_what_came_with_the_event(
    site: Site, name: str, parameters: dict[str, str]
) -> None:
    """EVENT_SESSION stops event loops."""
    auth = auth_of(await delivered(site, name))
    assert (await site.check(auth["access_token"])).json["result"]["parameters"] == parameters


async def test_three_items_of_one_call_are_three_deliveries(site: Site) -> None:
    assert (await site.replay("rest.event.call-3-items")).json["result"]
    calls = await site.sink.wait_for(3)
    expected = {sent_data("rest.event.call-3-items", index) for index in range(3)}
    assert {call.body.partition("&auth%5B")[0] for call in calls} == expected
    assert len({call.event_id for call in calls}) == 3
    users = sorted(auth_of(call).get("user_id", "") for call in calls)
    assert users == ["", "1", "2"]
    await site.settled(done=3)


async def test_the_last_event_of_a_deleted_application_is_still_delivered(site: Site) -> None:
    """ONAPPUNINSTALL comes after application.delete."""
    assert (await site.replay("application.delete")).json["result"]
    call = await delivered(site, "rest.event.call-onappuninstall")
    assert call.path == "/un"
    assert auth_of(call)["application_token"] == "47ee90ad1637f2f2378c9adcf19ad54e"
    assert "access_token" not in auth_of(call)


async def test_an_event_already_accepted_goes_out_without_a_token_once_its_application_is_deleted(site: Site) -> None:
    await site.replay("application.delete")
    call = await delivered(site, "rest.event.call-rich-data")
    assert not TOKEN_FIELDS & set(auth_of(call))


async def test_an_events_token_works_for_its_application_only_until_it_ends(site: Site) -> None:
    auth = auth_of(await delivered(site, "rest.event.call-rich-data"))
    assert (await site.app.info(auth["access_token"])).json["result"]["user_id"] == 1
    site.live.clock.advance(3601)
    assert (await site.check(auth["access_token"])).error == "expired_token"


async def test_five_hundred_events_with_seven_thousand_fields_are_taken_in_one_call(site: Site) -> None:
    await site.fire(count=500, **{f"data][FIELDS][F{n}": "значение" for n in range(3)})
    await site.settled(done=500)
    assert len({call.event_id for call in site.sink.calls}) == 500


async def test_more_than_the_bound_is_a_clear_error_and_nothing_of_it_is_stored(open_site_with: OpenSite) -> None:
    site = await open_site_with({"limits": {"items": 3, "portal_fields": 60, "portal_body_bytes": 9000}})
    item = {"QUERY[{}][query][QUERY_URL]": f"{site.sink.url}/ev", "QUERY[{}][client_id]": "x"}
    too_many = {name.format(n): value for n in range(4) for name, value in item.items()}
    answer = await site.portal.ask("rest.event.call", too_many)
    assert (answer.status, answer.error) == (413, "request_too_large")
    fields = await site.portal.ask("rest.event.call", {f"QUERY[0][query][QUERY_DATA][{n}]": 1 for n in range(61)})
    assert (fields.status, fields.error) == (413, "request_too_large")
    size = await site.portal.ask("rest.event.call", {"QUERY[0][query][QUERY_DATA][a]": "x" * 9000})
    assert (size.status, size.error) == (413, "request_too_large")
    assert await site.deliveries() == []


async def test_a_call_without_items_is_an_error(site: Site) -> None:
    assert (await site.portal.ask("rest.event.call")).error == "invalid_request"


async def test_bytes_that_are_no_utf8_reach_the_handler_as_they_came(site: Site) -> None:
    item = "QUERY%5B0%5D%5Bquery%5D"
    body = f"{item}%5BQUERY_URL%5D={site.sink.url}/ev&{item}%5BQUERY_DATA%5D%5Bevent%5D=%FF%C3&".encode()
    body += f"{item}%5BQUERY_DATA%5D%5B%80%5D=%FE%00&".encode() + form(site.portal.appended)
    assert (await site.live.ask(post("/rest/rest.event.call", body))).json["result"]
    (call,) = await site.sink.wait_for(1)
    assert call.body.startswith("event=%FF%C3&%80=%FE%00&ts=")


async def test_the_modules_own_items_are_taken_once_and_their_finished_auth_goes_on_as_it_is(site: Site) -> None:
    fields = {
        "QUERY[0][relay_item_id]": "0a" * 16,
        "QUERY[0][relay_auth]": "given",
        "QUERY[0][client_id]": site.app.client_id,
        "QUERY[0][additional][sendAuth]": 1,
        "QUERY[0][auth][access_token]": "made by the portal",
        "QUERY[0][auth][LOCAL_USER]": 1,
        "QUERY[0][query][QUERY_URL]": f"{site.sink.url}/ev",
        "QUERY[0][query][QUERY_DATA][event]": "ONX",
        "QUERY[0][query][QUERY_DATA][ts]": 5,
    }
    for _ in range(3):
        assert await site.portal.result("rest.event.call", fields)
    await site.settled(done=1)
    (call,) = site.sink.calls
    assert call.body == "event=ONX&ts=5&auth%5Baccess_token%5D=made+by+the+portal&auth%5BLOCAL_USER%5D=1"


async def test_events_of_a_batch_are_delivered_too(site: Site) -> None:
    query = form(
        {"QUERY[0][query][QUERY_URL]": f"{site.sink.url}/ev", "QUERY[0][query][QUERY_DATA][event]": "ONBATCH"}
    ).decode()
    answer = await site.portal.ask("batch", {"cmd[e]": f"rest.event.call?{query}"})
    assert answer.json["result"] == {"e": True}
    (call,) = await site.sink.wait_for(1)
    assert call.body.startswith("event=ONBATCH&ts=")
