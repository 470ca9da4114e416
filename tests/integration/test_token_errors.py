"""What the token endpoint refuses, with which code and status, and in which words (protocol.md section 6).

Leans on the wire. Must never tell an unknown client from a wrong secret, nor use a word that a library misreads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.site import AppSide, as_json
from tests.integration.wire import Answer, form, get, post

if TYPE_CHECKING:
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site

FORBIDDEN_WORDS = ("portal", "domain", "not found")


def refused(answer: Answer, code: str, status: int) -> None:
    """A refusal as libraries need it."""
    assert (answer.error, answer.status) == (code, status)
    assert set(answer.json) == {"error", "error_description"}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.headers["cache-control"] == "no-store"
    assert "location" not in answer.headers
    assert code == code.lower()
    text = answer.json["error_description"].lower()
    assert text
    assert not [word for word in FORBIDDEN_WORDS if word in text]


async def test_a_wrong_secret_and_an_unknown_client_get_the_very_same_answer(site: Site) -> None:
    refresh = (await site.authorize())["refresh_token"]
    wrong = await AppSide(site.live, site.app.client_id, "wrong").refresh(refresh)
    unknown = await AppSide(site.live, "local.unknown", site.app.client_secret).refresh(refresh)
    refused(wrong, "invalid_client", 401)
    refused(unknown, "invalid_client", 401)
    assert wrong.body == unknown.body


@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
@pytest.mark.parametrize("grant", ["refresh_token", "authorization_code"])
async def test_missing_credentials_are_invalid_client(site: Site, missing: str, grant: str) -> None:
    fields = site.app.grant(grant_type=grant, refresh_token="x", code="y")
    del fields[missing]
    refused(await site.live.ask(post("/oauth/token/", form(fields))), "invalid_client", 401)


async def test_a_portals_credentials_are_no_applications(site: Site) -> None:
    portal = AppSide(site.live, site.portal.client_id, site.portal.client_secret)
    refused(await portal.refresh("x" * 70), "invalid_client", 401)


async def test_an_applications_credentials_are_no_portals(site: Site) -> None:
    body = form({"client_id": site.app.client_id, "client_secret": site.app.client_secret})
    assert (await site.live.ask(post("/rest/methods", body))).error == "invalid_client"


@pytest.mark.parametrize("token", ["x", "0" * 70, "ff" * 35, "a'b", 'a"b', "a\\b", "%00", "../..", "<script>"])
async def test_an_unknown_refresh_token_or_code_is_invalid_grant(site: Site, token: str) -> None:
    refused(await site.app.refresh(token), "invalid_grant", 400)
    refused(await site.app.redeem(token), "invalid_grant", 400)


async def test_an_access_token_is_no_refresh_token_and_a_refresh_token_no_code(site: Site) -> None:
    given = await site.authorize()
    refused(await site.app.refresh(given["access_token"]), "invalid_grant", 400)
    refused(await site.app.redeem(given["refresh_token"]), "invalid_grant", 400)
    refused(await site.app.refresh(await site.code()), "invalid_grant", 400)


async def test_another_applications_refresh_token_or_code_is_invalid_grant_and_stays_good(site: Site) -> None:
    added = await site.portal.result("application.add", {"TITLE": "T", "REDIRECT_URI": "", "SCOPE": "crm"})
    other = AppSide(site.live, added["client_id"], added["client_secret"])
    refresh, code = (await site.authorize())["refresh_token"], await site.code()
    refused(await other.refresh(refresh), "invalid_grant", 400)
    refused(await other.redeem(code), "invalid_grant", 400)
    assert (await site.app.refresh(refresh)).status == 200
    assert (await site.app.redeem(code)).status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"grant_type": ""},
        {"grant_type": "refresh_token"},
        {"grant_type": "refresh_token", "refresh_token": ""},
        {"grant_type": "authorization_code"},
        {"grant_type": "authorization_code", "refresh_token": "x"},
    ],
)
async def test_a_missing_parameter_is_invalid_request(site: Site, fields: dict[str, str]) -> None:
    refused(await site.app.ask_token(**fields), "invalid_request", 400)


@pytest.mark.parametrize("grant", ["password", "client_credentials", "implicit", "REFRESH_TOKEN", "x" * 500])
async def test_another_grant_is_unsupported_grant_type(site: Site, grant: str) -> None:
    refused(await site.app.ask_token(grant_type=grant), "unsupported_grant_type", 400)


async def test_a_request_without_anything_is_a_clean_refusal(site: Site) -> None:
    refused(await site.live.ask(get("/oauth/token/")), "invalid_request", 400)
    refused(await site.live.ask(post("/oauth/token/", b"")), "invalid_request", 400)


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "refresh_token", "code"])
async def test_a_parameter_given_twice_is_invalid_request(site: Site, name: str) -> None:
    fields = list(site.app.grant(grant_type="refresh_token", refresh_token="x", code="y").items())
    twice = [*fields, (name, dict(fields)[name])]
    refused(await site.live.ask(post("/oauth/token/", form(twice))), "invalid_request", 400)
    refused(await site.live.ask(get(f"/oauth/token/?{form(twice).decode()}")), "invalid_request", 400)
    as_text = ",".join(f'"{key}": "{value}"' for key, value in twice)
    refused(
        await site.live.ask(post("/oauth/token/", f"{{{as_text}}}".encode(), "application/json")),
        "invalid_request",
        400,
    )
    contradicting = form([(name, "other")]).decode()
    refused(await site.live.ask(post(f"/oauth/token/?{contradicting}", form(fields))), "invalid_request", 400)


@pytest.mark.parametrize("value", ["кот", "é", "a\x00b", "a\nb", "\x7f", "x" * 513])
async def test_parameters_that_are_not_printable_ascii_are_clean_refusals(site: Site, value: str) -> None:
    refused(await site.app.refresh(value), "invalid_request", 400)
    refused(await site.app.redeem(value), "invalid_request", 400)
    refused(await site.app.ask_token(grant_type=value), "invalid_request", 400)
    refused(await AppSide(site.live, value, "x").refresh("y"), "invalid_client", 401)
    refused(await AppSide(site.live, site.app.client_id, value).refresh("y"), "invalid_client", 401)


@pytest.mark.parametrize("raw", [b"client_id=%FF%FE", b"client_id=\xff\xfe", b"client_secret=%ED%A0%80"])
async def test_credentials_that_are_no_utf8_are_invalid_client(site: Site, raw: bytes) -> None:
    body = raw + b"&grant_type=refresh_token&refresh_token=x"
    refused(await site.live.ask(post("/oauth/token/", body)), "invalid_client", 401)


@pytest.mark.parametrize("surrogate", ["\\ud800", "\\udcff", "\\udfff\\ud800"])
async def test_half_a_character_in_json_is_a_clean_refusal(site: Site, surrogate: str) -> None:
    for name, code, status in (("client_id", "invalid_client", 401), ("refresh_token", "invalid_request", 400)):
        body = f'{{"grant_type":"refresh_token","{name}":"{surrogate}"}}'.encode()
        refused(await site.live.ask(post("/oauth/token/", body, "application/json")), code, status)


@pytest.mark.parametrize(
    "header",
    [
        b"Basic \xff\xfe\xfd",
        b"Basic /////w==",
        b"Basic 0L/RgNC40LLQtdGCOtC80LjRgA==",
        b"Basic ====",
        b"Basic Og==",
        b"Basic",
    ],
)
async def test_a_basic_header_that_is_not_utf8_or_empty_is_invalid_client(site: Site, header: bytes) -> None:
    raw = post("/oauth/token/", b"grant_type=refresh_token&refresh_token=x").to_bytes()
    answer = await site.live.ask(raw.replace(b"Accept: */*", b"Authorization: " + header))
    refused(answer, "invalid_client", 401)


async def test_a_basic_header_beside_a_secret_is_invalid_request(site: Site) -> None:
    raw = post("/oauth/token/", form(site.app.grant(grant_type="refresh_token", refresh_token="x"))).to_bytes()
    answer = await site.live.ask(raw.replace(b"Accept: */*", b"Authorization: Basic YTpi"))
    refused(answer, "invalid_request", 400)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]x",
        b"nonsense",
        b'"text"',
        b"5",
        b'[["a","b"]]',
        b"\xff\xfe{",
        b"[" * 30_000,
        b'{"a":' * 9000,
        b"1" * 5000,
    ],
)
async def test_json_that_is_none_or_no_object_is_invalid_request(site: Site, body: bytes) -> None:
    refused(await site.live.ask(post("/oauth/token/", body, "application/json")), "invalid_request", 400)


async def test_a_multipart_body_is_a_clean_refusal(site: Site) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="grant_type"\r\n\r\nrefresh_token\r\n--b--\r\n'
    refused(await site.live.ask(post("/oauth/token/", body, "multipart/form-data; boundary=b")), "invalid_request", 400)


async def test_a_body_or_a_field_count_over_the_limit_is_a_clean_refusal(site: Site) -> None:
    refused(await site.live.ask(post("/oauth/token/", b"a" * 70_000)), "request_too_large", 413)
    refused(await site.live.ask(post("/oauth/token/", b"a&" * 300)), "request_too_large", 413)
    refused(await site.live.ask(post("/oauth/token/", b"a%5B" * 64 + b"=1")), "request_too_large", 413)


SHORT_TEMPERED = {"throttle": {"capacity": 100, "rate": 0.5, "failure_cost": 20}}


async def test_a_tight_loop_of_failures_is_slowed_down_and_a_good_client_is_not(open_site_with: OpenSite) -> None:
    site = await open_site_with(SHORT_TEMPERED)
    refresh = (await site.authorize())["refresh_token"]
    wrong = AppSide(site.live, "local.unknown", "wrong")
    answers = [await wrong.refresh("x") for _ in range(8)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 3
    slowed = [answer for answer in answers if answer.status == 429]
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in slowed)
    assert {answer.error for answer in slowed} == {"slow_down"}
    assert (await site.app.refresh(refresh)).status == 200


async def test_a_portal_with_a_wrong_secret_is_slowed_down_without_json(open_site_with: OpenSite) -> None:
    """A portal keeps every JSON error for an hour."""
    site = await open_site_with(SHORT_TEMPERED)
    good, site.portal.client_secret = site.portal.client_secret, "wrong"
    answers = [await site.check("x") for _ in range(8)]
    assert [answer.status for answer in answers] == [401] * 5 + [503] * 3
    assert all(answer.is_json == (answer.status == 401) for answer in answers)
    site.portal.client_secret = good
    assert (await site.check("x")).error == "invalid_token"


async def test_refusals_of_json_and_form_requests_are_alike(site: Site) -> None:
    fields = site.app.grant(grant_type="refresh_token", refresh_token="x")
    by_form = await site.live.ask(post("/oauth/token/", form(fields)))
    by_json = await site.live.ask(post("/oauth/token/", as_json(fields), "application/json"))
    assert by_form.body == by_json.body
