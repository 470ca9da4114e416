"""Promises: the stand-in writes, byte for byte, every request that the real ``rest`` module was seen to send.

Leans on: the captures in ``tests/wire``; the stand-in started with the ids, secrets and clock they show.
Must never: compare anything looser than bytes, but for BX_HASH, whose key the captures do not tell.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.portal_peers import APP, CLIENT_ID, CLIENT_SECRET, form_of, portal_and_relay, said

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.e2e.portal_process import StandInPortal

    Action = Callable[[StandInPortal], Awaitable[Any]]

WIRE = Path(__file__).parents[1] / "wire"
LICENCE = "4ce29a77f93e4421cabc0a234d078e82"
TOKEN = "efdbc02a7ba82cb3295a0259865d97fa77b5c4ad"
DEAL = {"FIELDS": {"ID": 5}}


def capture(name: str) -> bytes:
    return (WIRE / f"{name}.http").read_bytes()


async def application_list(portal: StandInPortal) -> None:
    await portal.call("application.list")


async def application_add(portal: StandInPortal) -> None:
    await portal.add_app("Тест & App", f"{APP}/cb", "crm,user,placement")


async def application_update(portal: StandInPortal) -> None:
    await portal.update_app(CLIENT_ID, title="Имя 2", url=f"{APP}/cb2", scope="crm,im")


async def application_delete(portal: StandInPortal) -> None:
    await portal.delete_app(CLIENT_ID)


async def usage_add(portal: StandInPortal) -> None:
    day = {"STAT_DATE": "2026-11-23"}
    method = {"SUB_ENTITY_TYPE": "M", "SUB_ENTITY_NAME": "crm.deal.list", **day, "HOUR_TOTAL": 7}
    event = {"SUB_ENTITY_TYPE": "E", "SUB_ENTITY_NAME": "ONCRMDEALADD", **day, "HOUR_TOTAL": 1}
    usage = [
        {"ENTITY_ID": 1, "ENTITY_TYPE": "A", "ENTITY_CODE": "local.abc", **method},
        {"ENTITY_ID": 2, "ENTITY_TYPE": "W", "ENTITY_CODE": None, **event},
    ]
    await portal.call("application.usage.add", {"USAGE": usage})


async def batch(portal: StandInPortal) -> None:
    check = ("rest.check", {"TOKEN": "кириллица &="})
    await portal.batch({"a": "methods", "b": ("application.list", {}), "c": check})


async def methods(portal: StandInPortal) -> None:
    await portal.call("methods")


async def methods_with_request_id(portal: StandInPortal) -> None:
    await portal.call("methods", request_id="abc+1")


async def authorize(portal: StandInPortal) -> None:
    await portal.authorize(CLIENT_ID)


async def authorize_empty_scope(portal: StandInPortal) -> None:
    await portal.authorize(CLIENT_ID, scope="")


async def check(portal: StandInPortal) -> None:
    await portal.rest("server.time", TOKEN)


async def code(portal: StandInPortal) -> None:
    await portal.page("/oauth/authorize/", {"client_id": CLIENT_ID, "state": "a&b=ж"})


async def token_proxied(portal: StandInPortal) -> None:
    query = {"grant_type": "refresh_token", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    await portal.page("/oauth/token/", query | {"refresh_token": "52563120e104c8ccb54f1b89e2626d97a4f94262"})


def deal_event(data: dict[str, Any] | None, **how: Any) -> Action:
    async def act(portal: StandInPortal) -> None:
        await portal.put_handler("ONCRMDEALADD", f"{APP}/ev", client_id=CLIENT_ID, id=11)
        await portal.fire("ONCRMDEALADD", data, **how)

    return act


async def three_handlers(portal: StandInPortal) -> None:
    url = f"{APP}/ev"
    await portal.put_handler("ONCRMDEALADD", url, client_id=CLIENT_ID, id=11)
    await portal.put_handler("ONCRMDEALADD", url, client_id=CLIENT_ID, id=12, user_id=2)
    await portal.put_handler("ONCRMDEALADD", url, id=13, application_token="outhooktoken")
    await portal.fire("ONCRMDEALADD", DEAL)


RICH: dict[str, Any] = {
    "ID": 5,
    "TITLE": 'Сделка & Ко "x"=1+2',
    **{"T": True, "F": False, "N": None, "E": [], "ES": "", "Z": 0, "FL": 1.5},
    "L": ["a", "b", {"c": {"d": "é"}}],
    "k[]": "br",
    "a b": "sp",
}


async def installed(portal: StandInPortal) -> None:
    await portal.put_handler("ONAPPINSTALL", f"{APP}/inst", client_id=CLIENT_ID, id=2)
    await portal.install_app(CLIENT_ID)


async def robot(portal: StandInPortal) -> None:
    data = {
        "workflow_id": "5f1.1",
        "code": "robo",
        "document_id": ["crm", "CCrmDocumentDeal", "DEAL_5"],
        "document_type": ["crm", "CCrmDocumentDeal", "DEAL"],
        "event_token": "5f1.1|A1|key|sig",
        "properties": {"a": "", "l": [1, 2]},
        "use_subscription": "N",
        "timeout_duration": 0,
    }
    place = {"WORKFLOW_ID": "5f1.1", "ACTIVITY_NAME": "A1", "CODE": "robo"}
    await portal.robot(CLIENT_ID, f"{APP}/ev", place=place, data=data)


def sms(message_id: str, author_id: int | None) -> Action:
    data = {
        "module_id": "crm",
        "bindings": [{"OWNER_TYPE_ID": 1}],
        "properties": {"phone_number": "+79991234567", "message_text": "Привет"},
        "type": "SMS",
        "code": "prov",
        "message_id": message_id,
        "message_to": "+79991234567",
        "message_body": "Привет",
    }

    async def act(portal: StandInPortal) -> None:
        await portal.sms(CLIENT_ID, f"{APP}/ev", "prov", data, author_id=author_id)

    return act


ACTIONS: dict[str, Action] = {
    "application.add": application_add,
    "application.delete": application_delete,
    "application.list": application_list,
    "application.update": application_update,
    "application.usage.add": usage_add,
    "batch": batch,
    "methods": methods,
    "methods-with-request-id": methods_with_request_id,
    "oauth-token-proxied-by-portal": token_proxied,
    "rest.authorize": authorize,
    "rest.authorize-empty-scope": authorize_empty_scope,
    "rest.check": check,
    "rest.code": code,
    "rest.event.call-3-items": three_handlers,
    "rest.event.call-from-cron": deal_event(DEAL, cron=True),
    "rest.event.call-no-auth-wanted": deal_event(DEAL, options={"sendAuth": False}),
    "rest.event.call-no-data": deal_event(None),
    "rest.event.call-no-user": deal_event(DEAL, user_id=0),
    "rest.event.call-onappinstall": installed,
    "rest.event.call-rich-data": deal_event({"FIELDS": RICH}),
    "rest.event.call-robot": robot,
    "rest.event.call-sms": sms("f6910082b70ae1a075bf91d875e5df9c", 1),
    "rest.event.call-sms-without-author": sms("b3e0ae39db7a407d5122003ff7947717", None),
}
# Those that take more than one request, each with a test of its own below.
APART = {
    "oauth-register-again",
    "oauth-register-first",
    "rest.event.call-event-test",
    "rest.event.call-onappuninstall",
}


def test_every_capture_is_checked() -> None:
    assert {path.stem for path in WIRE.glob("*.http")} == ACTIONS.keys() | APART


def clock_of(name: str) -> dict[str, int]:
    """The capture's own `ts`, for the portal's clock."""
    stamp = re.search(rb"%5Bts%5D=(\d+)", capture(name))
    return {"now_s": int(stamp[1])} if stamp else {}


@pytest.mark.parametrize("name", ACTIONS)
async def test_the_request_is_byte_for_byte_the_captured_one(name: str, tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, **clock_of(name)) as (portal, relay):
        relay.replies["application.add"] = said({"result": {"client_id": "local.new", "client_secret": "s"}})
        await ACTIONS[name](portal)
        assert relay.requests == [capture(name)]


async def test_event_test_in_a_hit_with_session_7_carries_session_6(tmp_path: Path) -> None:
    name = "rest.event.call-event-test"
    async with portal_and_relay(tmp_path, **clock_of(name)) as (portal, relay):
        given = {"access_token": TOKEN, "expires": 1795488331 + 3600, "scope": "crm"}
        relay.replies["rest.authorize"] = said({"result": given})
        await portal.authorize(CLIENT_ID)
        await portal.put_handler("ONAPPTEST", f"{APP}/h1", client_id=CLIENT_ID, id=1)
        await portal.rest("event.test", TOKEN, {"foo": "бар & <x>"})
        await relay.wait_for("rest.event.call")
        assert relay.requests[1:] == [capture(name)]


async def test_onappuninstall_follows_application_delete(tmp_path: Path) -> None:
    name = "rest.event.call-onappuninstall"
    async with portal_and_relay(tmp_path, **clock_of(name)) as (portal, relay):
        await portal.put_handler("ONAPPUNINSTALL", f"{APP}/un", client_id=CLIENT_ID, id=3)
        await portal.delete_app(CLIENT_ID)
        assert relay.requests == [capture("application.delete"), capture(name)]
        assert await portal.apps() == []


def without_hash(request: bytes) -> bytes:
    masked, count = re.subn(rb"(BX_HASH=)[0-9a-f]{32}\Z", rb"\1*", request)
    assert count == 1
    return masked


async def first_registration(tmp_path: Path, **options: Any) -> list[bytes]:
    nobody = {"service_client_id": "", "service_client_secret": ""}
    async with portal_and_relay(tmp_path, **nobody | options) as (portal, relay):
        keys = form_of(capture("methods"))
        relay.replies["oauth/register"] = said({name: keys[name] for name in ("client_id", "client_secret")})
        await portal.register()
        return relay.requests


async def test_the_first_registration_and_the_question_for_apps_after_it(tmp_path: Path) -> None:
    requests = await first_registration(tmp_path, licence_code=LICENCE)
    assert without_hash(requests[0]) == without_hash(capture("oauth-register-first"))
    assert requests[1:] == [capture("application.list")]


async def test_a_registered_portal_names_its_member_id(tmp_path: Path) -> None:
    async with portal_and_relay(tmp_path, licence_code=LICENCE) as (portal, relay):
        relay.replies["oauth/register"] = said({"error": "no"})
        await portal.register()
        assert [without_hash(r) for r in relay.requests] == [without_hash(capture("oauth-register-again"))]


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


@pytest.mark.parametrize(("intranet", "kind"), [(True, "CP"), (False, "BSM")])
async def test_bx_hash_is_made_of_all_values_and_the_key(tmp_path: Path, intranet: bool, kind: str) -> None:
    requests = await first_registration(tmp_path, licence_key="KEY-1", intranet=intranet)
    fields = form_of(requests[0])
    licence = md5("BITRIXKEY-1LICENCE")
    values = f"http://127.0.0.1:18081|B|{kind}|{licence}"
    assert fields["BX_TYPE"] == kind
    assert fields["BX_LICENCE"] == licence
    assert fields["BX_HASH"] == md5(md5(values) + md5("KEY-1"))
