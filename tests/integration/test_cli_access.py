"""Promises that what an operator says about portals and applications takes effect at once, beside a running relay.

Leans on a real relay, a real portal side and the real command. Touches only a test's own folder.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.commands import Ran, command, given, is_one_sentence, relay
from tests.integration.live_relay import make_home
from tests.integration.site import AppSide, PortalSide
from tests.integration.wire import form, get, post

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.live_relay import LiveRelay
    from tests.integration.site import Site

PORTAL = "https://portal.example.com"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIUQ0FmaWxl\n-----END CERTIFICATE-----"
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49Nobody\n-----END PRIVATE KEY-----"
CLOUD = {
    "url": PORTAL,
    "client_id": "local.5f3a1b2c3d4e5f.11111111",
    "client_secret": "portalsecretportalsecretportalsecretportalsecret00",
    "apps": [
        {
            "client_id": "local.6f3a1b2c3d4e5f.22222222",
            "client_secret": "appsecretappsecretappsecretappsecretappsecretapp00",
            "title": "Заказы",
            "redirect_uri": "https://orders.example.com/oauth",
            "scope": "crm,user",
        }
    ],
}


@pytest.fixture
def home(tmp_path: Path, template: Path) -> Path:
    """A home of a relay that nobody serves."""
    return make_home(tmp_path / "quiet", template=template)


def home_of(live: LiveRelay) -> Path:
    """The home of a running relay."""
    return live.relay.config.home


async def told(site: Site, *arguments: object) -> Any:
    """A command on the site's home, as JSON."""
    return (await command(*arguments, "--home", home_of(site.live), "--json")).document


def decoded(connect: str) -> dict[str, Any]:
    """What a connection code says."""
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(connect + "=" * (-len(connect) % 4)))
    return document


# The connection code -----------------------------------------------------------------------------------------


def test_a_connection_code_says_where_the_relay_is_and_each_one_is_new(home: Path) -> None:
    first = relay("portal", "add", PORTAL, "--home", home, "--json").document
    code = decoded(first["connection_code"])
    assert (code["v"], code["url"]) == (1, first["oauth_url"])
    assert len(code["code"]) == 32
    assert "ca" not in code
    shown = relay("portal", "add", PORTAL, "--home", home).out.splitlines()
    (again,) = [decoded(line) for line in shown if line.startswith("eyJ")]
    assert again["code"] != code["code"]


def test_a_connection_code_carries_the_authority_and_never_a_private_key(home: Path) -> None:
    (home / "ca.pem").write_text(f"a remark\n{PRIVATE_KEY}\n{CERTIFICATE}\n{CERTIFICATE}\n")
    told = relay("portal", "add", PORTAL, "--home", home, "--json", RELAY_CA_FILE="ca.pem").document
    assert decoded(told["connection_code"])["ca"] == f"{CERTIFICATE}\n{CERTIFICATE}\n"


@pytest.mark.parametrize("content", [None, "", PRIVATE_KEY, CERTIFICATE + "x" * 40_000])
def test_a_file_that_is_no_authority_is_refused_before_anything_is_announced(home: Path, content: str | None) -> None:
    if content is not None:
        (home / "ca.pem").write_text(content)
    ran = relay("portal", "add", PORTAL, "--home", home, RELAY_CA_FILE=str(home / "ca.pem"))
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert str(home / "ca.pem") in ran.err
    assert relay("portal", "list", "--home", home, "--json").document == []


async def test_a_portal_hands_itself_over_with_its_code_once(live: LiveRelay) -> None:
    added = (await command("portal", "add", PORTAL, "--home", home_of(live), "--json")).document
    fields = form({"CODE": decoded(added["connection_code"])["code"], "PORTAL": json.dumps(CLOUD)})
    answer = await live.ask(post("/rest/relay.adopt", fields))
    assert (answer.json["result"]["adopted"], answer.json["result"]["known"]) == (1, 0)
    assert (await live.ask(post("/rest/relay.adopt", fields))).status == 401


# relay portal adopt ------------------------------------------------------------------------------------------


async def test_a_portal_from_the_cloud_is_taken_over_with_what_it_had(live: LiveRelay, tmp_path: Path) -> None:
    file = tmp_path / "portal.json"
    file.write_text(json.dumps(CLOUD), encoding="utf-8-sig")
    home = home_of(live)
    early = await command("portal", "adopt", file, "--home", home)
    assert (early.status, is_one_sentence(early.err)) == (1, True)
    assert f"relay portal add {PORTAL}" in early.err
    await command("portal", "add", PORTAL, "--home", home)
    first = (await command("portal", "adopt", file, "--home", home, "--json")).document
    again = await command("portal", "adopt", file, "--home", home)
    assert (first["adopted"], first["known"]) == (1, 0)
    assert "known already: 1" in again.out
    assert "holds secrets" in again.out
    assert str(CLOUD["client_secret"]) not in again.out + again.err
    portal = PortalSide(live, PORTAL, str(CLOUD["client_id"]), str(CLOUD["client_secret"]))
    (adopted,) = CLOUD["apps"]
    assert isinstance(adopted, dict)
    granted = await portal.result("rest.authorize", {"CLIENT_ID": adopted["client_id"], "PARAMS[LOCAL_USER]": 1})
    app = AppSide(live, adopted["client_id"], adopted["client_secret"])
    assert (await app.refresh(granted["refresh_token"])).json["member_id"] == first["member_id"]


def test_a_portal_is_taken_over_from_standard_input(home: Path) -> None:
    relay("portal", "add", PORTAL, "--home", home)
    ran = given(json.dumps(CLOUD).encode(), "portal", "adopt", "-", "--home", home, "--json")
    assert ran.document["adopted"] == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "What is handed over has faults"),
        (b'{"url": "https://portal.example.com"}', "client_secret"),
        (b"\xff\xfe", "What is handed over has faults"),
        (json.dumps({**CLOUD, "url": "ftp://x"}).encode(), "A portal's URL is its address"),
    ],
)
def test_what_is_no_portal_is_refused_in_one_sentence(home: Path, text: bytes, says: str) -> None:
    relay("portal", "add", PORTAL, "--home", home)
    ran = given(text, "portal", "adopt", "-", "--home", home, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert says in ran.err
    assert str(CLOUD["client_secret"]) not in ran.err


# relay portal show -------------------------------------------------------------------------------------------


async def test_a_portal_is_shown_with_what_its_module_said_and_when(site: Site) -> None:
    assert (await told(site, "portal", "show", 1))["facts"] is None
    facts = {"methods": ["crm.deal.list", "user.get"], "events": ["ONCRMDEALADD"], "modules": {"crm": "24.100.0"}}
    await site.portal.result("relay.facts", {"FACTS": json.dumps({**facts, "php": "8.2.7", "sm_version": "24.0.0"})})
    shown = (await told(site, "portal", "show", 1))["facts"]
    assert (shown["methods"], shown["events"], shown["modules"]) == (2, 1, {"crm": "24.100.0"})
    assert 0 <= shown["age_s"] < 60
    text = (await command("portal", "show", 1, "--home", home_of(site.live))).out
    assert "2 methods, 1 events, 0 scopes, 1 modules, main 24.0.0, PHP 8.2.7" in text


# relay portal revoke, relay app revoke -----------------------------------------------------------------------


async def test_one_users_tokens_are_revoked_and_nobody_elses(site: Site) -> None:
    theirs, others = await site.authorize(), await site.authorize(**{"PARAMS[LOCAL_USER]": "68"})
    assert (await told(site, "portal", "revoke", 1, "--user", 67, "--yes"))["user_id"] == 67
    assert (await site.check(theirs["access_token"])).error == "invalid_token"
    assert (await site.app.refresh(theirs["refresh_token"])).error == "invalid_grant"
    assert (await site.check(others["access_token"])).status == 200
    shown = (await told(site, "portal", "show", 1))["revocations"]
    assert (shown["users"], shown["portal_at"]) == (1, None)


async def test_all_tokens_of_a_portal_are_revoked_and_that_is_shown(site: Site) -> None:
    granted, code = await site.authorize(), await site.code()
    await told(site, "portal", "revoke", site.portal.url, "--yes")
    assert (await site.check(granted["access_token"])).error == "invalid_token"
    assert (await site.app.redeem(code)).error == "invalid_grant"
    assert (await site.check((await site.authorize())["access_token"])).status == 200
    shown = (await told(site, "portal", "show", 1))["revocations"]
    assert shown["portal_at"] is not None
    text = (await command("portal", "show", 1, "--home", home_of(site.live))).out
    assert "everything granted until" in text


async def test_an_applications_tokens_are_revoked(site: Site) -> None:
    granted = await site.authorize()
    assert (await told(site, "app", "revoke", site.app.client_id, "--yes"))["revoked"] is True
    assert (await site.check(granted["access_token"])).error == "invalid_token"
    assert (await site.app.refresh(granted["refresh_token"])).error == "invalid_grant"
    assert (await told(site, "portal", "show", 1))["revocations"]["apps"] == 1


@pytest.mark.parametrize("arguments", [["portal", "revoke", "1"], ["app", "revoke"]])
async def test_nothing_is_revoked_that_was_not_confirmed(site: Site, arguments: list[str]) -> None:
    granted = await site.authorize()
    whole = [*arguments, site.app.client_id] if arguments[0] == "app" else arguments
    for more in ([], ["--json"]):
        ran = await command(*whole, *more, "--home", home_of(site.live))
        assert (ran.status, ran.out, is_one_sentence(ran.err)) == (2, "", True)
    assert (await site.check(granted["access_token"])).status == 200


# relay app rotate-secret, set, signing-key -------------------------------------------------------------------


async def test_both_secrets_are_good_while_they_overlap(site: Site) -> None:
    rotated = await told(site, "app", "rotate-secret", site.app.client_id, "--overlap", "1h")
    assert rotated["old_secret_until"] is not None
    renewed = AppSide(site.live, site.app.client_id, rotated["client_secret"])
    for app in (site.app, renewed):
        assert (await app.refresh((await site.authorize())["refresh_token"])).status == 200
    site.live.clock.advance(3601)
    granted = await site.authorize()
    assert (await site.app.refresh(granted["refresh_token"])).error == "invalid_client"
    assert (await renewed.refresh(granted["refresh_token"])).status == 200


async def test_without_overlap_the_old_secret_is_of_no_use_at_once(site: Site) -> None:
    home = home_of(site.live)
    ran = await command("app", "rotate-secret", site.app.client_id, "--overlap", "0", "--home", home)
    assert "The old secret is of no use any more." in ran.out
    refused = await site.app.refresh((await site.authorize())["refresh_token"])
    assert refused.error == "invalid_client"


async def test_an_application_is_told_what_tokens_it_gets_and_how_it_asks(site: Site) -> None:
    client = site.app.client_id
    jwt = ("--token-format", "jwt", "--audience", " https://a.example  b ", "--post-only")
    changed = await told(site, "app", "set", client, *jwt)
    assert (changed["token_format"], changed["audience"], changed["post_only"]) == ("jwt", "https://a.example b", True)
    granted = await site.authorize()
    assert granted["access_token"].count(".") == 2
    asked = site.app.grant(grant_type="refresh_token", refresh_token=granted["refresh_token"])
    assert (await site.live.ask(get(f"/oauth/token/?{form(asked).decode()}"))).status != 200
    sealed = ("--token-format", "sealed", "--any-method", "--audience", "")
    back = await told(site, "app", "set", client, *sealed)
    assert (back["token_format"], back["audience"], back["post_only"]) == ("sealed", "", False)
    assert len((await site.authorize())["access_token"]) == 70
    (listed,) = await told(site, "app", "list")
    assert listed.items() >= {"token_format": "sealed", "post_only": False, "active": True}.items()


async def test_an_inactive_applications_events_wait_until_it_is_active(site: Site) -> None:
    await told(site, "app", "set", site.app.client_id, "--inactive")
    assert (await site.portal.ask("rest.authorize", {"CLIENT_ID": site.app.client_id})).status != 200
    await site.fire(count=3)
    await told(site, "event", "retry", "--state", "due")
    await site.settled(due=3)
    assert site.sink.calls == []
    await told(site, "app", "set", site.app.client_id, "--active")
    await site.settled(done=3)
    assert len(site.sink.calls) == 3


async def test_events_are_signed_with_the_key_that_was_shown_and_the_one_before(site: Site) -> None:
    keys = [(await told(site, "app", "signing-key", site.app.client_id))["signing_key"] for _ in range(2)]
    await site.fire()
    (call,) = await site.sink.wait_for(1)
    assert call.headers["webhook-signature"] == " ".join(signature(call, key) for key in reversed(keys))
    assert await told(site, "app", "signing-key", site.app.client_id, "--retire-old") == {
        "client_id": site.app.client_id,
        "signing_key": None,
    }
    await site.fire()
    _, last = await site.sink.wait_for(2)
    assert last.headers["webhook-signature"] == signature(last, keys[1])


def signature(call: Any, key: str) -> str:
    """What Standard Webhooks asks for."""
    secret = base64.b64decode(key.removeprefix("whsec_"))
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.{call.body}".encode()
    return "v1," + base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()


@pytest.fixture(scope="module")
def peopled_home(tmp_path_factory: pytest.TempPathFactory, template: Path) -> tuple[Path, str]:
    """A home with two portals, which share one application, and the client id of one that the first has alone."""
    home = make_home(tmp_path_factory.mktemp("peopled") / "home", template=template)

    def add(portal: int, *more: str) -> Ran:
        common = ("--title", "T", "--redirect-uri", "https://a.example/", "--scope", "crm")
        return relay("app", "add", "--portal", portal, *common, *more, "--home", home, "--json")

    for url in (PORTAL, "https://other.example.com"):
        relay("portal", "add", url, "--home", home)
    for portal in (1, 2):
        add(portal, "--client-id", "shared", "--client-secret", "s" * 50)
    return home, add(1).document["client_id"]


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["rotate-secret", "nobody"], 1, "There is no application nobody"),
        (["set", "nobody", "--active"], 1, "There is no application nobody"),
        (["set", "CLIENT"], 2, "Say what to set"),
        (["set", "CLIENT", "--token-format", "paper"], 1, "The token format must be sealed or jwt"),
        (["set", "CLIENT", "--audience", "x" * 3000], 1, "The audience is longer"),
        (["signing-key", "CLIENT", "--retire-old"], 1, "has no signing key yet"),
        (["rotate-secret", "CLIENT", "--overlap", "soon"], 1, "is not a length of time"),
        (["revoke", "CLIENT", "--portal", "9", "--yes"], 1, "No portal 9 is announced here"),
        (["revoke", "CLIENT", "--portal", "2", "--yes"], 1, "There is no application"),
        (["revoke", "shared", "--yes"], 1, "name one with --portal, 1, 2"),
    ],
)
def test_what_cannot_be_done_with_an_application_is_said(
    peopled_home: tuple[Path, str], arguments: list[str], status: int, says: str
) -> None:
    home, client = peopled_home
    typed = [client if one == "CLIENT" else one for one in arguments]
    ran = relay("app", *typed, "--home", home, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (status, "", True)
    assert says in ran.err
