"""Promises: events of a stock portal reach the apps' handlers whole, and their tokens work on the portal.

Leans on: one site for the whole module, handlers of its own for each test.
Must never: take a delivered body apart more loosely than PHP does.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.e2e.relay_process import delivery_rules
from tests.e2e.stock_site import StockSite, stock_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.e2e.event_sink import Arrived

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENT_ID = re.compile(r"[0-9a-f]{32}")
ALWAYS = {"domain", "client_endpoint", "server_endpoint", "member_id", "application_token"}
WITH_TOKEN = {"access_token", "expires", "expires_in", "scope", "status", "user_id"}
RICH: dict[str, Any] = {
    "ID": 5,
    "TITLE": 'Сделка & Ко "x"=1+2 %25',
    **{"T": True, "F": False, "N": None, "E": [], "ES": "", "Z": 0, "FL": 1.5},
    "L": ["a", "b", {"c": {"d": "é"}}],
    "k[]": "br",
    "a b": "sp",
    "lines": "a\r\nb\tc",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StockSite]:
    async with stock_site(tmp_path_factory.mktemp("site"), **delivery_rules(retry_first_s=0.1)) as site:
        yield site


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def no_handlers_of_others(site: StockSite) -> None:
    await site.portal.clear_handlers()


def data_of(one: Arrived) -> list[tuple[str, str]]:
    """Everything in the delivered form but the auth block."""
    return [(name, value) for name, value in one.pairs if not name.startswith("auth[")]


async def assert_the_token_works(site: StockSite, auth: dict[str, str], user_id: int = 1) -> None:
    """The token opens the portal (profile, app.info) for that user, and the relay's app.info."""
    token = auth["access_token"]
    profile = await site.portal.rest("profile", token)
    assert (profile.status, profile.result["ID"]) == (200, str(user_id)), profile.body
    assert (await site.portal.rest("app.info", token)).result["STATUS"] == "L"
    info = await site.app_info(token)
    assert info.body["result"]["user_id"] == user_id
    assert info.body["result"]["install"]["client_endpoint"] == auth["client_endpoint"]


async def test_an_event_arrives_with_a_token_that_works(site: StockSite) -> None:
    app = await site.add_app("/cb-deal")
    token = (await site.authorize(app))["access_token"]
    bound = {"event": "onCrmDealAdd", "handler": f"{site.sink.url}/deal"}
    assert (await site.portal.rest("event.bind", token, bound)).result is True
    deal = (await site.portal.rest("crm.deal.add", token, {"fields": {"TITLE": "t"}})).result
    one = (await site.sink.wait_for("/deal"))[0]
    assert one.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert EVENT_ID.fullmatch(one.event_id)
    assert one.attempt == 1
    assert data_of(one) == await site.sent_data()
    assert (one.form["event"], one.form["data[FIELDS][ID]"]) == ("ONCRMDEALADD", str(deal))
    auth = one.auth()
    assert set(auth) == ALWAYS | WITH_TOKEN
    assert auth["domain"] == "127.0.0.1"
    assert auth["client_endpoint"] == f"{site.portal.url}/rest/"
    assert auth["server_endpoint"] == f"{site.relay.url}/rest/"
    assert auth["application_token"] == await site.portal.application_token(app.client_id)
    await assert_the_token_works(site, auth)


async def test_nothing_in_the_data_is_lost_or_retyped(site: StockSite) -> None:
    app = await site.add_app("/cb-rich")
    await site.portal.put_handler("ONCRMDEALADD", f"{site.sink.url}/rich", client_id=app.client_id)
    await site.portal.fire("ONCRMDEALADD", {"FIELDS": RICH})
    one = (await site.sink.wait_for("/rich"))[0]
    assert data_of(one) == await site.sent_data()
    assert one.form["data[FIELDS][TITLE]"] == RICH["TITLE"]
    assert one.form["data[FIELDS][L][2][c][d]"] == "é"
    assert "data[FIELDS][N]" not in one.form


async def test_each_handler_of_one_event_gets_its_own_delivery(site: StockSite) -> None:
    app = await site.add_app("/cb-three")
    for number in range(3):
        how = {"client_id": app.client_id, "user_id": 2} if number == 1 else {"client_id": app.client_id}
        await site.portal.put_handler("ONCRMDEALUPDATE", f"{site.sink.url}/three/{number}", **how)
    await site.portal.fire("ONCRMDEALUPDATE", {"FIELDS": {"ID": 7}})
    got = [(await site.sink.wait_for(f"/three/{number}"))[0] for number in range(3)]
    assert len({one.event_id for one in got}) == 3
    await assert_the_token_works(site, got[0].auth())
    await assert_the_token_works(site, got[1].auth(), user_id=2)


async def test_a_handler_that_fails_is_tried_again_with_a_new_token_and_the_same_id(site: StockSite) -> None:
    app = await site.add_app("/cb-retry")
    await site.portal.put_handler("ONCRMDEALADD", f"{site.sink.url}/retry", client_id=app.client_id)

    async def twice_no(one: Arrived) -> int:
        return 200 if one.attempt > 2 else 500

    site.sink.replies["/retry"] = twice_no
    await site.portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 1}})
    tries = await site.sink.wait_for("/retry", 3)
    assert [one.attempt for one in tries] == [1, 2, 3]
    assert len({one.event_id for one in tries}) == 1
    assert len({one.auth()["access_token"] for one in tries}) == 3
    assert data_of(tries[0]) == data_of(tries[1]) == data_of(tries[2])
    await assert_the_token_works(site, tries[2].auth())


async def test_the_install_event_brings_a_refresh_token_that_refreshes(site: StockSite) -> None:
    app = await site.add_app("/cb-install", install_path="/install")
    one = (await site.sink.wait_for("/install"))[0]
    assert (one.form["event"], one.form["data[INSTALLED]"]) == ("ONAPPINSTALL", "Y")
    auth = one.auth()
    assert set(auth) == ALWAYS | WITH_TOKEN | {"refresh_token"}
    refreshed = await site.token(app, refresh_token=auth["refresh_token"])
    assert refreshed.status == 200, refreshed.body
    assert refreshed.body["member_id"] == auth["member_id"]
    await assert_the_token_works(site, auth | {"access_token": refreshed.body["access_token"]})


@pytest.mark.parametrize("clean", [True, False])
async def test_the_farewell_of_a_deleted_app_still_arrives(clean: bool, site: StockSite) -> None:
    app = await site.add_app("/cb-farewell")
    path = f"/farewell-{clean}"
    await site.portal.put_handler("ONAPPUNINSTALL", site.sink.url + path, client_id=app.client_id)
    application_token = await site.portal.application_token(app.client_id)
    answer = await site.portal.delete_app(app.client_id, clean=clean)
    assert answer is not None
    assert answer.result is True
    one = (await site.sink.wait_for(path))[0]
    assert one.form["event"] == "ONAPPUNINSTALL"
    assert one.form["data[CLEAN]"] == str(int(clean))
    assert set(one.auth()) == ALWAYS
    assert one.auth()["application_token"] == application_token


async def test_events_of_an_app_deleted_meanwhile_arrive_without_a_token(site: StockSite) -> None:
    app = await site.add_app("/cb-meanwhile")
    await site.portal.put_handler("ONCRMDEALADD", f"{site.sink.url}/meanwhile", client_id=app.client_id)
    gone = asyncio.Event()

    async def until_gone(one: Arrived) -> int:
        await gone.wait()
        return 200 if one.attempt > 1 else 503

    site.sink.replies["/meanwhile"] = until_gone
    await site.portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 3}})
    await site.sink.wait_for("/meanwhile")
    await site.portal.delete_app(app.client_id)
    gone.set()
    first, second = await site.sink.wait_for("/meanwhile", 2)
    assert set(first.auth()) == ALWAYS | WITH_TOKEN
    assert set(second.auth()) == ALWAYS
    assert data_of(first) == data_of(second)


async def test_a_robot_gets_its_own_fields_and_a_token(site: StockSite) -> None:
    app = await site.add_app("/cb-robot")
    data = {
        "workflow_id": "5f1.1",
        "code": "robo",
        "document_id": ["crm", "CCrmDocumentDeal", "DEAL_5"],
        "event_token": "5f1.1|A1|key|sig",
        "properties": {"a": "", "l": [1, 2]},
        "use_subscription": "N",
        "timeout_duration": 0,
    }
    place = {"WORKFLOW_ID": "5f1.1", "ACTIVITY_NAME": "A1", "CODE": "robo"}
    await site.portal.robot(app.client_id, f"{site.sink.url}/robot", place=place, data=data, user_id=2)
    one = (await site.sink.wait_for("/robot"))[0]
    assert data_of(one) == await site.sent_data()
    assert "event" not in one.form
    assert one.form["document_id[2]"] == "DEAL_5"
    await assert_the_token_works(site, one.auth(), user_id=2)
    refreshed = await site.token(app, refresh_token=one.auth()["refresh_token"])
    assert refreshed.body["user_id"] == 2


@pytest.mark.parametrize("author_id", [1, None])
async def test_an_sms_goes_out_with_a_token_if_it_has_an_author(author_id: int | None, site: StockSite) -> None:
    app = await site.add_app("/cb-sms")
    path = f"/sms-{author_id}"
    data = {"message_id": "f6", "message_to": "+79990000000", "message_body": "Привет", "properties": {"a": "b"}}
    await site.portal.sms(app.client_id, site.sink.url + path, "prov", data, author_id=author_id)
    one = (await site.sink.wait_for(path))[0]
    assert data_of(one) == await site.sent_data()
    if author_id is None:
        assert set(one.auth()) == ALWAYS - {"application_token"}
    else:
        await assert_the_token_works(site, one.auth())


async def test_an_outgoing_webhook_has_its_own_proof_and_no_token(site: StockSite) -> None:
    own = "0123456789abcdef0123456789abcdef"
    await site.portal.put_handler("ONCRMDEALADD", f"{site.sink.url}/webhook?a=1&b=%20x", application_token=own)
    await site.portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 9}})
    one = (await site.sink.wait_for("/webhook"))[0]
    assert one.query == {"a": "1", "b": " x"}
    assert set(one.auth()) == ALWAYS
    assert one.auth()["application_token"] == own
    assert data_of(one) == await site.sent_data()


@pytest.mark.parametrize("how", [{"user_id": 0}, {"options": {"sendAuth": False}}], ids=["no user", "no auth wanted"])
async def test_an_event_without_a_user_or_without_auth_has_no_token(how: dict[str, Any], site: StockSite) -> None:
    app = await site.add_app("/cb-plain")
    path = f"/plain-{next(iter(how))}"
    await site.portal.put_handler("ONUSERADD", site.sink.url + path, client_id=app.client_id)
    await site.portal.fire("ONUSERADD", None, **how)
    one = (await site.sink.wait_for(path))[0]
    assert set(one.auth()) == ALWAYS
    assert [name for name, _ in data_of(one)] == ["event", "event_handler_id", "ts"]


async def test_an_event_from_cron_knows_the_portals_address(site: StockSite) -> None:
    app = await site.add_app("/cb-cron")
    await site.portal.put_handler("ONCRMDEALADD", f"{site.sink.url}/cron", client_id=app.client_id)
    await site.portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 5}}, cron=True)
    auth = (await site.sink.wait_for("/cron"))[0].auth()
    assert (auth["domain"], auth["client_endpoint"]) == ("127.0.0.1", f"{site.portal.url}/rest/")
    await assert_the_token_works(site, auth)
    # What the console does not know has not spoilt what the relay knows.
    assert (await site.authorize(app))["client_endpoint"] == f"{site.portal.url}/rest/"


async def test_a_loop_of_events_ends_after_seven_hops(site: StockSite) -> None:
    app = await site.add_app("/cb-loop")
    await site.portal.put_handler("ONCRMDEALADD", f"{site.sink.url}/loop", client_id=app.client_id)

    async def add_another(one: Arrived) -> int:
        await site.portal.rest("crm.deal.add", one.auth()["access_token"], {"fields": {"TITLE": "again"}})
        return 200

    site.sink.replies["/loop"] = add_another
    await site.portal.clear_exchanges()
    await site.portal.fire("ONCRMDEALADD", {"FIELDS": {"ID": 1}})
    hops = await site.sink.wait_for("/loop", 7)
    # The seventh handler's own call has been answered when its delivery counts as done.
    still_open = ("--event", "ONCRMDEALADD", "--handler", "/loop", "--state", "due,leased")
    async with asyncio.timeout(30):
        while await site.relay.command("event", "list", *still_open):
            pass
    calls = await site.portal.exchanges("rest.event.call")
    sessions = [re.search(rb"EVENT_SESSION%5D=(\d+)", call.request) for call in calls]
    assert [int(found[1]) for found in sessions if found] == [7, 6, 5, 4, 3, 2, 1]
    assert len(site.sink.at("/loop")) == len(hops) == 7


async def test_500_items_of_one_call_all_arrive_once(site: StockSite) -> None:
    app = await site.add_app("/cb-bulk")
    url = f"{site.sink.url}/bulk"
    items = [
        {
            "client_id": app.client_id,
            "additional": {"category": "crm", "sendAuth": True, "sendRefreshToken": False},
            "auth": {"EVENT_SESSION": 7, "LOCAL_USER": 1, "application_token": "t" * 32},
            "query": {
                "DOMAIN": "127.0.0.1",
                "QUERY_URL": url,
                "QUERY_DATA": {"event": "ONCRMDEALADD", "event_handler_id": 1, "data": {"N": number}, "ts": 1},
            },
        }
        for number in range(500)
    ]
    assert (await site.portal.send_items(items)).result is True
    got = await site.sink.wait_for("/bulk", 500)
    assert sorted(int(one.form["data[N]"]) for one in got) == list(range(500))
    assert len({one.event_id for one in got}) == 500
