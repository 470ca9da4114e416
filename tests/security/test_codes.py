"""Promises of the authorization code grant: RFC 6749 section 4.1, PKCE (RFC 7636), RFC 9207, RFC 9700.

Leans on a real relay over real HTTP. Each test is named by the source of its promise. Must never sleep: the clock is
moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from relay.config import ConfigError, load_config
from tests.integration.live_relay import make_home
from tests.integration.wire import form, get, post
from tests.security.world import VERIFIER, Verdicts, another_app, begin_pkce

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.site import Site


@pytest.mark.parametrize(
    "asked",
    [
        "{registered}/",
        "{registered}/../evil",
        "{registered}?x=1",
        "{registered}#x",
        "{upper}",
        "https://evil.test/cb",
        "//evil.test/cb",
        "http://registered@evil.test/cb",
        "javascript:alert(1)",
    ],
)
async def test_rfc9700_4_1_3_redirect_uri_exact_match(site: Site, asked: str) -> None:
    """The only address a code is ever sent to is the registered one, character for character."""
    registered = f"{site.sink.url}/cb"
    uri = asked.format(registered=registered, upper=registered.upper())
    query = urlencode({"client_id": site.app.client_id, "state": "s", "response_type": "code", "redirect_uri": uri})
    answer = await site.live.ask(get(f"/oauth/authorize/?{query}"))
    assert answer.status == 302
    assert answer.headers["location"].startswith(f"{site.portal.url}/oauth/authorize/?")
    assert "redirect_uri" not in answer.headers["location"]
    fields = {"CLIENT_ID": site.app.client_id, "STATE": "s", "PARAMS[LOCAL_USER]": "67", "REDIRECT_URI": uri}
    assert (await site.portal.result("rest.code", fields))["redirect_uri"] == registered


async def test_rfc6749_4_1_2_code_single_use(site: Site) -> None:
    code = await site.code()
    assert (await site.app.redeem(code)).status == 200
    second = await site.app.redeem(code)
    assert (second.status, second.error) == (400, "invalid_grant")


async def test_rfc6749_4_1_2_second_use_of_a_code_revokes_what_it_gave(issuing: Site) -> None:
    code = await issuing.code()
    given = (await issuing.app.redeem(code)).json
    refreshed = (await issuing.app.refresh(given["refresh_token"])).json
    assert await Verdicts(issuing).of(given["access_token"]) == "good"
    await issuing.app.redeem(code)
    assert await Verdicts(issuing).of(given["access_token"]) == "invalid_token"
    assert await Verdicts(issuing).of(refreshed["access_token"]) == "invalid_token"
    assert (await issuing.app.refresh(refreshed["refresh_token"])).error == "invalid_grant"


async def test_rfc6749_4_1_3_code_bound_to_client(site: Site) -> None:
    other = await another_app(site)
    code = await site.code()
    refused = await other.redeem(code)
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert (await site.app.redeem(code)).status == 200


@pytest.mark.parametrize(("age_s", "good"), [(20, True), (30, False), (3600, False)])
async def test_rfc6749_4_1_2_code_lives_thirty_seconds(site: Site, age_s: int, good: bool) -> None:
    code = await site.code()
    site.live.clock.advance(age_s)
    assert ((await site.app.redeem(code)).status == 200) is good


def test_rfc6749_4_1_2_no_setting_makes_a_code_live_longer(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        load_config(make_home(tmp_path / "home", {"tokens": {"code_s": 31}}), {})


async def test_rfc7636_4_6_the_right_s256_verifier_is_taken(site: Site) -> None:
    assert (await begin_pkce(site, "pkce")).status == 302
    code = await site.code(STATE="pkce")
    answer = await site.app.ask_token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)
    assert answer.status == 200


@pytest.mark.parametrize(
    ("verifier", "error"),
    [("x" * 43, "invalid_grant"), (VERIFIER[:-1] + "l", "invalid_grant"), ("", "invalid_request")],
)
async def test_rfc7636_4_6_a_wrong_or_missing_verifier_is_refused(site: Site, verifier: str, error: str) -> None:
    await begin_pkce(site, "pkce")
    code = await site.code(STATE="pkce")
    answer = await site.app.ask_token(grant_type="authorization_code", code=code, code_verifier=verifier)
    assert (answer.status, answer.error) == (400, error)


async def test_rfc9700_4_8_2_verifier_without_challenge_refused(site: Site) -> None:
    """A downgrade: somebody took the challenge out of the authorization request."""
    code = await site.code(STATE="plain")
    answer = await site.app.ask_token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)
    assert (answer.status, answer.error) == (400, "invalid_request")


async def test_rfc9700_4_8_2_a_challenge_belongs_to_one_state(site: Site) -> None:
    await begin_pkce(site, "mine")
    code = await site.code(STATE="another")
    answer = await site.app.ask_token(grant_type="authorization_code", code=code, code_verifier=VERIFIER)
    assert answer.error == "invalid_request"


@pytest.mark.parametrize(
    ("challenge", "method"),
    [
        (VERIFIER, "plain"),
        (VERIFIER, ""),
        ("short", "S256"),
        ("x" * 44, "S256"),
        ("", "S256"),
        (VERIFIER + "=", "S256"),
    ],
)
async def test_rfc9700_2_1_1_pkce_by_s256_only(site: Site, challenge: str, method: str) -> None:
    answer = await begin_pkce(site, "pkce", challenge, method)
    assert (answer.status, answer.error) == (400, "invalid_request")
    assert "location" not in answer.headers


async def test_rfc7636_4_4_1_a_challenge_without_state_is_refused(site: Site) -> None:
    """The state is what ties a challenge to its code: the portal passes nothing else on."""
    assert (await begin_pkce(site, "")).error == "invalid_request"


async def test_rfc9207_2_iss_in_the_authorization_response(site: Site) -> None:
    fields = {"CLIENT_ID": site.app.client_id, "STATE": "s", "PARAMS[LOCAL_USER]": "67"}
    metadata = (await site.live.ask(get("/.well-known/oauth-authorization-server"))).json
    assert metadata["authorization_response_iss_parameter_supported"] is True
    assert (await site.portal.result("rest.code", fields))["iss"] == metadata["issuer"]


@pytest.mark.parametrize("response_type", ["token", "id_token", "code token", "none", "code id_token token"])
async def test_rfc9700_2_1_2_no_implicit_grant(site: Site, response_type: str) -> None:
    query = urlencode({"client_id": site.app.client_id, "state": "s", "response_type": response_type})
    answer = await site.live.ask(get(f"/oauth/authorize/?{query}"))
    assert parse_qs(urlsplit(answer.headers["location"]).query)["response_type"] == ["code"]
    assert "token" not in answer.headers["location"]


@pytest.mark.parametrize(
    "grant_type",
    [
        "password",
        "client_credentials",
        "implicit",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:device_code",
    ],
)
async def test_rfc9700_2_4_no_password_grant_nor_any_but_two(site: Site, grant_type: str) -> None:
    answer = await site.app.ask_token(grant_type=grant_type, username="admin", password="admin")
    assert (answer.status, answer.error) == (400, "unsupported_grant_type")
    metadata = (await site.live.ask(get("/.well-known/oauth-authorization-server"))).json
    assert metadata["grant_types_supported"] == ["authorization_code", "refresh_token"]


async def test_rfc6749_4_1_3_only_an_installed_application_redeems(site: Site) -> None:
    code = await site.code()
    await site.portal.result("application.uninstall", {"CLIENT_ID": site.app.client_id})
    answer = await site.live.ask(
        post("/oauth/token/", form(site.app.grant(grant_type="authorization_code", code=code)))
    )
    assert (answer.status, answer.error) == (401, "invalid_client")
