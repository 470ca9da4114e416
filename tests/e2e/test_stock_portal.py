"""Promises: a stock portal whose only change is the option `oauth_server` has apps, tokens and REST by the relay.

Leans on: one site for the whole module, an app of its own for each test.
Must never: reach into the relay otherwise than a portal, an app, a browser or its operator does.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aiohttp
import pytest
import pytest_asyncio

from tests.e2e.portal_process import PortalRefusedError, StandInPortal
from tests.e2e.stock_site import StockSite, stock_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.e2e.portal_process import LocalApp

pytestmark = pytest.mark.asyncio(loop_scope="module")

WAIT_S = 20.0
TOKEN = re.compile(r"[0-9a-f]{70}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[StockSite]:
    async with stock_site(tmp_path_factory.mktemp("site")) as site:
        yield site


async def browse(url: str) -> tuple[int, str]:
    """Open a page and follow it to where it leads: the last status and address."""
    async with aiohttp.ClientSession() as browser, browser.get(url) as answer:
        await answer.read()
        return answer.status, str(answer.url)


async def open_code_page(site: StockSite, app: LocalApp, page: str, state: str) -> dict[str, str]:
    """Send a browser to an /oauth/authorize page; the fields it brings to the app."""
    path = urlsplit(app.url).path
    before = len(site.sink.at(path))
    query = f"client_id={app.client_id}&state={state}&response_type=code&redirect_uri=http://elsewhere.invalid/"
    status, _ = await browse(f"{page}?{query}")
    assert status == 200
    return (await site.sink.wait_for(path, before + 1))[-1].query


# Registration ----------------------------------------------------------------------------------------------


async def test_the_portal_registers_by_itself_with_its_first_call(site: StockSite) -> None:
    assert (await site.portal.call("application.list")).result == []
    options = await site.portal.options()
    assert options["registered"] is True
    assert len(await site.portal.exchanges("register")) == 1


async def test_the_same_portal_gets_the_same_credentials_again(site: StockSite) -> None:
    await site.portal.call("methods")
    before = await site.portal.options()
    assert (await site.portal.register()).error == ""
    # From the console the portal does not know its address, but it knows who it is.
    assert (await site.portal.register(cron=True)).error == ""
    after = await site.portal.options()
    names = ("service_client_id", "service_client_secret", "member_id")
    assert [after[name] for name in names] == [before[name] for name in names]


async def test_a_portal_that_lost_its_credentials_gets_them_back(site: StockSite) -> None:
    app = await site.add_app("/lost")
    before = await site.portal.options()
    await site.portal.set_options(service_client_id="", service_client_secret="")
    given = await site.authorize(app)
    assert (await site.portal.options())["member_id"] == before["member_id"] == given["member_id"]


async def test_a_portal_nobody_announced_stays_out(site: StockSite, tmp_path: Path) -> None:
    async with StandInPortal.running(tmp_path, oauth_server=site.relay.url) as stranger:
        answer = await stranger.call("application.list")
        assert answer.error != ""
        assert "relay portal add" in answer.body["error_description"]
        assert (await stranger.options())["registered"] is False


# Apps ------------------------------------------------------------------------------------------------------


async def test_an_added_app_gets_keys_of_the_usual_shape(site: StockSite) -> None:
    app = await site.add_app("/added")
    assert re.fullmatch(r"local\.[0-9a-f]{14}\.\d{8}", app.client_id)
    assert re.fullmatch(r"[\w.~-]{20,100}", app.client_secret)
    assert (app.status, app.active) == ("L", True)


async def test_what_the_relay_refuses_the_portal_shows_and_drops(site: StockSite) -> None:
    before = len(await site.portal.apps())
    with pytest.raises(PortalRefusedError, match="redirect URI"):
        await site.portal.add_app("Bad", "javascript:alert(1)", "crm")
    assert len(await site.portal.apps()) == before


async def test_an_update_changes_what_it_names_and_nothing_else(site: StockSite) -> None:
    app = await site.add_app("/updated", scope="crm,user")
    await site.portal.update_app(app.client_id, title="Имя 2", scope="crm,im")
    assert (await site.authorize(app))["scope"] == "crm,im"
    assert (await site.portal.code(app.client_id)).result["redirect_uri"] == app.url
    assert (await site.portal.call("application.update", {"CLIENT_ID": app.client_id})).result is True
    moved = await site.portal.update_app(app.client_id, url=f"{site.sink.url}/moved")
    assert (await site.portal.code(app.client_id)).result["redirect_uri"] == moved.url
    assert (await site.authorize(app))["scope"] == "crm,im"


async def test_a_deleted_app_is_gone_for_tokens_and_refreshes(site: StockSite) -> None:
    app = await site.add_app("/deleted")
    given = await site.authorize(app)
    assert (await site.portal.rest("profile", given["access_token"])).status == 200
    await site.portal.delete_app(app.client_id)
    assert (await site.portal.rest("profile", given["access_token"])).error == "APPLICATION_NOT_FOUND"
    check = await site.portal.call("rest.check", {"TOKEN": given["access_token"]})
    assert check.error == "APPLICATION_NOT_FOUND"
    refreshed = await site.token(app, refresh_token=given["refresh_token"])
    assert (refreshed.status, refreshed.error) == (401, "invalid_client")


async def test_the_list_of_apps_is_empty_and_usage_is_taken_note_of(site: StockSite) -> None:
    app = await site.add_app("/listed")
    assert (await site.portal.call("application.list")).body == {"result": []}
    usage = [{"ENTITY_ID": 1, "ENTITY_TYPE": "A", "ENTITY_CODE": app.client_id, "HOUR_TOTAL": 7}]
    assert (await site.portal.call("application.usage.add", {"USAGE": usage})).result is True


async def test_a_batch_gives_each_command_its_answer(site: StockSite) -> None:
    app = await site.add_app("/batch")
    token = (await site.authorize(app))["access_token"]
    commands: dict[str, str | tuple[str, dict[str, str]]] = {
        "m": "methods",
        "l": "application.list",
        "c": ("rest.check", {"TOKEN": token}),
        "bad": ("rest.check", {"TOKEN": "кириллица &="}),
        "none": "no.such.method",
    }
    answer = await site.portal.batch(commands)
    assert answer.result["l"] == []
    assert answer.result["c"]["client_id"] == app.client_id
    assert {"batch", "rest.event.call"} <= set(answer.result["m"])
    errors = {key: error["error"] for key, error in answer.body["result_error"].items()}
    assert errors == {"bad": "invalid_token", "none": "ERROR_METHOD_NOT_FOUND"}


# Tokens ----------------------------------------------------------------------------------------------------


async def test_an_authorization_has_all_fields_and_its_token_opens_the_portal(site: StockSite) -> None:
    app = await site.add_app("/authorized")
    given = await site.authorize(app, user_id=2)
    for name in ("access_token", "refresh_token"):
        assert TOKEN.fullmatch(given[name])
    expected = {
        "scope": "crm,user",
        "status": "L",
        "domain": "127.0.0.1",
        "server_endpoint": f"{site.relay.url}/rest/",
        "client_endpoint": f"{site.portal.url}/rest/",
        "member_id": (await site.portal.options())["member_id"],
    }
    assert {name: given[name] for name in expected} == expected
    assert isinstance(given["expires"], int)
    assert given["expires_in"] == 3600
    assert "date_finish" not in given
    assert (await site.portal.rest("user.current", given["access_token"])).result["ID"] == "2"
    assert (await site.portal.rest("app.info", given["access_token"])).result["CODE"] == app.client_id


async def test_the_portal_asks_about_a_token_it_does_not_know(site: StockSite) -> None:
    app = await site.add_app("/checked", scope="crm")
    given = await site.authorize(app, params={"EXTRA": "ж&=", "TZ_OFFSET": 3600})
    await site.portal.clear_cache()
    await site.portal.clear_exchanges()
    assert (await site.portal.rest("crm.deal.list", given["access_token"])).status == 200
    assert (await site.portal.rest("user.current", given["access_token"])).error == "insufficient_scope"
    assert len(await site.portal.exchanges("rest.check")) == 1
    known = (await site.portal.cache())[f"oauth_{given['access_token']}"]["value"]
    assert known["client_id"] == app.client_id
    assert known["parameters"]["EXTRA"] == "ж&="


async def test_an_expired_token_is_told_apart_from_a_forged_one(site: StockSite) -> None:
    app = await site.add_app("/expired")
    await site.relay.restart(RELAY_TOKENS__ACCESS_S="1")
    short = await site.authorize(app)
    await site.relay.restart()
    await site.portal.clear_cache()
    async with asyncio.timeout(WAIT_S):
        while (answer := await site.portal.rest("profile", short["access_token"])).status == 200:
            await site.portal.clear_cache()
    assert (answer.status, answer.error) == (401, "expired_token")
    assert (await site.portal.call("rest.check", {"TOKEN": short["access_token"]})).error == "expired_token"
    assert (await site.app_info(short["access_token"])).error == "expired_token"
    refreshed = await site.token(app, refresh_token=short["refresh_token"])
    assert (await site.portal.rest("profile", refreshed.body["access_token"])).status == 200
    forged = refreshed.body["access_token"][:-1] + ("0" if refreshed.body["access_token"][-1] != "0" else "1")
    answer = await site.portal.rest("profile", forged)
    assert (answer.status, answer.error) == (401, "invalid_token")


async def test_a_relay_that_is_down_is_no_verdict_on_a_token(site: StockSite) -> None:
    app = await site.add_app("/down")
    token = (await site.authorize(app))["access_token"]
    await site.portal.clear_cache()
    await site.relay.kill()
    assert (await site.portal.rest("profile", token)).error == "CONNECTION_ERROR"
    await site.relay.start()
    assert (await site.portal.rest("profile", token)).status == 200


async def test_app_info_of_the_relay_names_the_portal(site: StockSite) -> None:
    app = await site.add_app("/info")
    given = await site.authorize(app)
    answer = await site.app_info(given["access_token"])
    result = answer.body["result"]
    install = result.pop("install")
    assert result["client_id"] == app.client_id
    assert (result["scope"], result["user_id"], result["status"]) == ("crm,user", 1, "L")
    assert result["expires"].endswith("+00:00")
    assert install["installed"] is True
    assert (install["uri"], install["domain"]) == (site.portal.url, "127.0.0.1")
    assert install["client_endpoint"] == given["client_endpoint"]
    assert install["member_id"] == given["member_id"]


# Pages -----------------------------------------------------------------------------------------------------


async def test_an_opened_app_is_posted_a_pair_that_works_and_refreshes(site: StockSite) -> None:
    app = await site.add_app("/opened")
    opened = await site.portal.open_app(app.client_id, user_id=2, with_application_token=True)
    assert (opened.status, opened.body) == (200, "ok")
    posted = (await site.sink.wait_for("/opened"))[0]
    assert posted.query["PROTOCOL"] == "0"
    assert posted.query["DOMAIN"] == urlsplit(site.portal.url).netloc
    form = posted.form
    assert form["SERVER_ENDPOINT"] == f"{site.relay.url}/rest/"
    assert form["AUTH_EXPIRES"] == "3600"
    assert re.fullmatch(r"[0-9a-f]{32}", form["APPLICATION_TOKEN"])
    assert (await site.portal.rest("profile", form["AUTH_ID"])).result["ID"] == "2"
    refreshed = await site.token(app, refresh_token=form["REFRESH_ID"])
    assert refreshed.body["user_id"] == 2
    assert refreshed.body["member_id"] == form["member_id"]


@pytest.mark.parametrize("start_at", ["relay", "portal"])
async def test_the_code_flow_ends_with_tokens(start_at: str, site: StockSite) -> None:
    app = await site.add_app(f"/code-{start_at}")
    origin = site.relay.url if start_at == "relay" else site.portal.url
    fields = await open_code_page(site, app, f"{origin}/oauth/authorize/", "a%26b%3Dж")
    assert (fields["state"], fields["scope"]) == ("a&b=ж", "crm,user")
    assert (fields["domain"], fields["server_domain"]) == ("127.0.0.1", "127.0.0.1")
    exchanged = await site.token(app, code=fields["code"])
    assert exchanged.status == 200, exchanged.body
    assert (await site.portal.rest("profile", exchanged.body["access_token"])).result["ID"] == "1"
    again = await site.token(app, code=fields["code"])
    assert (again.status, again.error) == (400, "invalid_grant")


async def test_the_portals_own_token_page_passes_a_request_on(site: StockSite) -> None:
    app = await site.add_app("/proxied")
    refresh = (await site.authorize(app))["refresh_token"]
    query = {"grant_type": "refresh_token", "client_id": app.client_id, "refresh_token": refresh}
    page = await site.portal.page("/oauth/token/", query | {"client_secret": "wrong"})
    assert page.status == 401
    assert '"invalid_client"' in page.body
    page = await site.portal.page("/oauth/token/", query | {"client_secret": app.client_secret})
    assert (page.status, page.headers["Content-Type"].partition(";")[0]) == (200, "application/json")
    token = re.search(r'"access_token":"([0-9a-f]{70})"', page.body)
    assert token is not None
    assert (await site.portal.rest("profile", token[1])).status == 200


async def test_processes_of_one_app_that_refresh_at_once_get_one_pair(site: StockSite) -> None:
    app = await site.add_app("/at-once")
    refresh = (await site.authorize(app))["refresh_token"]
    answers = await asyncio.gather(*(site.token(app, refresh_token=refresh) for _ in range(10)))
    assert {answer.status for answer in answers} == {200}
    assert len({(a.body["access_token"], a.body["refresh_token"]) for a in answers}) == 1
    assert (await site.portal.rest("profile", answers[0].body["access_token"])).status == 200
