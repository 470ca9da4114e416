"""What a portal calls below /rest/: every row of protocol.md section 3, and the wire of section 2.

Leans on requests that the real portal module sent, with live credentials put in. Must never find a Location header
in an answer.
"""

from __future__ import annotations

import re
from hashlib import md5
from typing import TYPE_CHECKING

import pytest

from tests.integration.live_relay import PUBLIC_URL
from tests.integration.wire import captured, form, post, with_values

if TYPE_CHECKING:
    from tests.integration.site import Site

METHODS = [
    "application.add",
    "application.delete",
    "application.install",
    "application.install.subscription",
    "application.list",
    "application.uninstall",
    "application.update",
    "application.usage.add",
    "batch",
    "methods",
    "rest.authorize",
    "rest.check",
    "rest.code",
    "rest.event.call",
]
CAPTURED = [
    "application.add",
    "application.delete",
    "application.list",
    "application.update",
    "application.usage.add",
    "methods",
    "methods-with-request-id",
    "rest.authorize",
    "rest.authorize-empty-scope",
    "rest.code",
]


@pytest.mark.parametrize("name", CAPTURED)
async def test_the_real_modules_calls_are_answered_with_a_result(site: Site, name: str) -> None:
    answer = await site.replay(name)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert set(answer.json) == {"result"}
    assert "location" not in answer.headers


async def test_application_add_gives_an_id_and_a_secret_that_fit_the_portals_columns(site: Site) -> None:
    answer = await site.replay("application.add")
    result = answer.json["result"]
    assert re.fullmatch(r"local\.[0-9a-f]{14}\.[0-9]{8}", result["client_id"])
    assert 0 < len(result["client_secret"]) <= 100
    assert result["client_secret"].isalnum()
    added = (await site.live.relay.store.directory()).apps_by_client(result["client_id"])[0]
    assert (added.title, added.redirect_uri, added.scope) == ("Тест & App", f"{site.sink.url}/cb", "crm,user,placement")


async def test_two_applications_of_one_title_are_two(site: Site) -> None:
    first, second = await site.replay("application.add"), await site.replay("application.add")
    assert first.json["result"]["client_id"] != second.json["result"]["client_id"]


async def test_an_application_that_cannot_be_added_is_an_error_with_words_to_show(site: Site) -> None:
    answer = await site.portal.ask(
        "application.add", {"TITLE": "x", "REDIRECT_URI": "javascript:alert(1)", "SCOPE": ""}
    )
    assert answer.error == "invalid_request"
    assert answer.json["error_description"]
    too_long = await site.portal.ask("application.add", {"TITLE": "x" * 501, "REDIRECT_URI": "", "SCOPE": ""})
    assert too_long.error == "invalid_request"


async def test_application_update_changes_what_is_sent_and_nothing_else(site: Site) -> None:
    async def stored() -> tuple[str, str, str]:
        (app,) = (await site.live.relay.store.directory()).apps_by_client(site.app.client_id)
        return app.title, app.redirect_uri, app.scope

    before = await stored()
    assert await site.portal.result("application.update", {"CLIENT_ID": site.app.client_id})
    assert await stored() == before
    assert await site.portal.result("application.update", {"CLIENT_ID": site.app.client_id, "SCOPE": "crm"})
    assert await stored() == (*before[:2], "crm")
    assert (await site.replay("application.update")).json["result"]
    assert await stored() == ("Имя 2", f"{site.sink.url}/cb2", "crm,im")


async def test_a_wider_scope_counts_from_the_next_token_on(site: Site) -> None:
    await site.portal.result("application.update", {"CLIENT_ID": site.app.client_id, "SCOPE": "crm,im,disk"})
    assert (await site.authorize())["scope"] == "crm,im,disk"


async def test_a_deleted_application_is_gone(site: Site) -> None:
    assert (await site.replay("application.delete")).json["result"]
    for method in ("application.update", "application.delete", "application.uninstall", "rest.authorize", "rest.code"):
        answer = await site.portal.ask(method, {"CLIENT_ID": site.app.client_id, "PARAMS[LOCAL_USER]": "1"})
        assert answer.error == "APPLICATION_NOT_FOUND"


async def test_local_applications_are_never_listed(site: Site) -> None:
    """The portal would add them again."""
    assert await site.portal.result("application.list") == []


async def test_usage_is_answered_with_exactly_true(site: Site) -> None:
    """Anything else is repeated every hour."""
    assert (await site.replay("application.usage.add")).json["result"] is True


async def test_methods_lists_every_method_that_is_served(site: Site) -> None:
    listed = await site.portal.result("methods")
    assert set(METHODS) <= set(listed)
    for method in listed:
        assert (await site.portal.ask(method)).error != "ERROR_METHOD_NOT_FOUND"


async def test_an_unknown_method_is_said_to_be_unknown(site: Site) -> None:
    answer = await site.portal.ask("user.current")
    assert answer.error == "ERROR_METHOD_NOT_FOUND"
    assert answer.json["error_description"]


async def test_a_marketplace_application_is_installed_and_uninstalled(site: Site) -> None:
    (portal,) = (await site.live.relay.store.directory()).portals.values()
    client_id, _ = await site.live.relay.applications.add(
        portal, title="M", redirect_uri="", scope="crm,im", client_id="app.market", client_secret="w" * 50, status="F"
    )
    asked = {"CLIENT_ID": client_id, "PARAMS[LOCAL_USER]": "1"}
    refused = await site.portal.ask("rest.authorize", asked)
    assert (refused.error, refused.json["error_description"]) == ("ERROR_OAUTH", "Application not installed")
    for method in ("application.install", "application.install.subscription"):
        result = await site.portal.result(method, {"CLIENT_ID": client_id, "VERSION": "3", "CHECK_HASH": "x"})
        assert result == {"client_id": client_id, "version": 3, "status": "F", "scope": ["crm", "im"]}
    assert (await site.portal.result("rest.authorize", asked))["status"] == "F"
    assert await site.portal.result("application.uninstall", {"CLIENT_ID": client_id})
    assert (await site.portal.ask("rest.authorize", asked)).error == "ERROR_OAUTH"


async def test_an_application_nobody_gave_cannot_be_installed(site: Site) -> None:
    answer = await site.portal.ask("application.install", {"CLIENT_ID": "app.market", "VERSION": "1"})
    assert answer.error == "APPLICATION_NOT_FOUND"


async def test_uninstalling_a_local_application_deletes_it(site: Site) -> None:
    assert await site.portal.result("application.uninstall", {"CLIENT_ID": site.app.client_id})
    assert (await site.portal.ask("application.update", {"CLIENT_ID": site.app.client_id})).error is not None


async def test_rest_code_gives_what_the_browser_is_sent_on_with(site: Site) -> None:
    result = (await site.replay("rest.code")).json["result"]
    assert re.fullmatch(r"[0-9a-f]{32}", result["code"])
    assert result["redirect_uri"] == f"{site.sink.url}/cb"
    assert result["state"] == "a&b=ж"
    assert result["domain"] == "relay.test"
    assert result["member_id"] == md5(site.portal.client_id.encode()).hexdigest()
    assert result["scope"] == "crm,user,placement"


async def test_a_code_for_an_application_without_redirect_uri_is_shown_on_the_page(site: Site) -> None:
    added = await site.portal.result("application.add", {"TITLE": "T", "REDIRECT_URI": "", "SCOPE": "crm"})
    asked = {"CLIENT_ID": added["client_id"], "STATE": "", "PARAMS[LOCAL_USER]": "1"}
    assert "redirect_uri" not in await site.portal.result("rest.code", asked)


async def test_a_state_that_is_no_utf8_does_not_break_the_portals_json(site: Site) -> None:
    body = form({"CLIENT_ID": site.app.client_id, "PARAMS[LOCAL_USER]": "1", **site.portal.appended}) + b"&STATE=%FFa"
    answer = await site.live.ask(post("/rest/rest.code", body))
    assert answer.json["result"]["state"] == "�a"
    assert b"\\udc" not in answer.body


async def test_a_batch_answers_each_command_under_its_key(site: Site) -> None:
    answer = await site.replay("batch")
    assert set(METHODS) <= set(answer.json["result"]["a"])
    assert answer.json["result"]["b"] == []
    assert answer.json["result_error"]["c"]["error"] == "invalid_token"


async def test_a_failing_command_of_a_batch_does_not_stop_the_others(site: Site) -> None:
    answer = await site.portal.ask(
        "batch",
        {
            "cmd[bad]": "application.update?CLIENT_ID=nobody",
            "cmd[none]": "no.such.method",
            "cmd[inner]": "batch?cmd[a]=methods",
            "cmd[add]": "application.add?TITLE=Сделка&REDIRECT_URI=&SCOPE=crm",
            "cmd[list]": "application.list",
        },
    )
    assert set(answer.json["result"]) == {"add", "list"}
    errors = {key: error["error"] for key, error in answer.json["result_error"].items()}
    assert errors == {"bad": "APPLICATION_NOT_FOUND", "none": "ERROR_METHOD_NOT_FOUND", "inner": "invalid_request"}
    added = answer.json["result"]["add"]["client_id"]
    assert (await site.live.relay.store.directory()).apps_by_client(added)[0].title == "Сделка"


async def test_a_batch_sees_what_its_own_earlier_commands_did(site: Site) -> None:
    answer = await site.portal.ask(
        "batch",
        {
            "cmd[a]": f"application.delete?CLIENT_ID={site.app.client_id}",
            "cmd[b]": f"rest.authorize?CLIENT_ID={site.app.client_id}&PARAMS[LOCAL_USER]=1",
        },
    )
    assert answer.json["result"] == {"a": True}
    assert answer.json["result_error"]["b"]["error"] == "APPLICATION_NOT_FOUND"


@pytest.mark.parametrize(
    "target",
    [
        "/rest/methods",
        "/rest/methods/",
        "/rest/methods/?bx24_request_id=abc%2B1",
        "/rest/methods.json",
        "/rest/methods.json/",
        "//rest//methods//",
        "/rest//methods?x=y&z",
    ],
)
async def test_a_method_is_found_however_its_path_is_written(site: Site, target: str) -> None:
    answer = await site.live.ask(post(target, form(site.portal.appended)))
    assert answer.status == 200
    assert "location" not in answer.headers


async def test_portal_and_application_are_told_apart_by_the_case_of_the_name(site: Site) -> None:
    swapped = {"client_id": site.app.client_id, "CLIENT_ID": site.portal.client_id}
    answer = await site.portal.live.ask(post("/rest/methods", form({**site.portal.appended, **swapped})))
    assert answer.error == "invalid_client"


async def test_a_wrong_portal_secret_and_an_unknown_portal_get_the_same_answer(site: Site) -> None:
    good = site.portal.appended
    answers = [
        await site.live.ask(post("/rest/methods", form({**good, **change})))
        for change in (
            {"client_secret": "wrong"},
            {"client_id": "portal.unknown"},
            {"client_secret": ""},
            {"client_id": ""},
        )
    ]
    assert {answer.error for answer in answers} == {"invalid_client"}
    assert len({answer.body for answer in answers}) == 1


async def test_one_portal_cannot_reach_another_portals_application(site: Site) -> None:
    from tests.integration.site import PortalSide  # noqa: PLC0415 - the one test that needs a second portal

    other = PortalSide(site.live, url="http://other.test")
    await other.register()
    for method in ("application.update", "application.delete", "rest.authorize", "rest.code"):
        answer = await other.ask(method, {"CLIENT_ID": site.app.client_id, "PARAMS[LOCAL_USER]": "1"})
        assert answer.error == "APPLICATION_NOT_FOUND"


@pytest.mark.parametrize("method", ["GET", "PUT", "HEAD", "DELETE"])
async def test_a_portals_call_is_a_post(site: Site, method: str) -> None:
    request = with_values(captured("methods"), site.values)
    raw = request.to_bytes().replace(b"POST", method.encode(), 1)
    assert (await site.live.ask(raw)).status == 405


@pytest.mark.parametrize("host", ["oauth.bitrix.info:443", "", "evil.example", "[::1]:x", "a b"])
async def test_the_host_header_changes_nothing(site: Site, host: str) -> None:
    request = with_values(captured("rest.authorize"), site.values).to_bytes()
    answer = await site.live.ask(request.replace(b"Host: 127.0.0.1", b"Host: " + host.encode()))
    assert answer.json["result"]["server_endpoint"] == f"{PUBLIC_URL}/rest/"
    assert answer.json["result"]["domain"] == "relay.test"
