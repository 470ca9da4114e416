"""Promises of client authentication: RFC 6749 sections 2.3, 3.2 and 5.2, on every endpoint that needs it.

Leans on a real relay over real HTTP. Each test is named by the source of its promise. Must never tell an unknown
client from a wrong secret.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.integration.wire import Answer, form, get, post
from tests.security.world import basic, stored_app

if TYPE_CHECKING:
    from tests.integration.site import Site

ENDPOINTS = {
    "/oauth/token": {"grant_type": "refresh_token", "refresh_token": "x"},
    "/oauth/token/": {"grant_type": "authorization_code", "code": "x"},
    "/rest//oauth/token/": {"grant_type": "refresh_token", "refresh_token": "x"},
    "/oauth/introspect": {"token": "x"},
    "/oauth/revoke": {"token": "x"},
}
REFUSED = {"error": "invalid_client", "error_description": "The client credentials are not valid."}


def _told(answer: Answer) -> tuple[int, str | None, bytes]:
    return answer.status, answer.headers.get("www-authenticate"), answer.body


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_rfc6749_3_2_1_client_authenticated_everywhere(site: Site, endpoint: str) -> None:
    fields = ENDPOINTS[endpoint]
    for credentials in (
        {},
        {"client_id": site.app.client_id},
        {"client_secret": site.app.client_secret},
        {"client_id": site.app.client_id, "client_secret": ""},
        {"client_id": site.app.client_id, "client_secret": site.app.client_secret + "x"},
        {"client_id": site.app.client_id, "client_secret": site.app.client_secret.upper()},
        {"client_id": site.portal.client_id, "client_secret": site.portal.client_secret},
    ):
        answer = await site.live.ask(post(endpoint, form({**fields, **credentials})))
        assert (answer.status, answer.json) == (401, REFUSED)


@pytest.mark.parametrize("method", ["rest.check", "rest.authorize", "rest.code", "relay.bundle", "batch", "methods"])
async def test_protocol_2_a_portal_is_authenticated_on_every_call(site: Site, method: str) -> None:
    for wrong in ({"client_secret": "wrong"}, {"client_secret": ""}, {"client_id": site.app.client_id}):
        answer = await site.live.ask(post(f"/rest/{method}", form({**site.portal.appended, **wrong})))
        assert (answer.status, answer.error) == (401, "invalid_client")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_rfc6749_2_3_one_client_auth_method_per_request(site: Site, endpoint: str) -> None:
    fields = ENDPOINTS[endpoint]
    both = post(
        endpoint,
        form(site.app.grant(**fields)),
        "application/x-www-form-urlencoded",
        basic(site.app.client_id, site.app.client_secret),
    )
    answer = await site.live.ask(both)
    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "refresh_token", "code", "code_verifier"])
async def test_rfc6749_3_2_duplicate_parameters_refused(site: Site, name: str) -> None:
    fields = [*site.app.grant(grant_type="refresh_token", refresh_token="x", code="x", code_verifier="x").items()]
    (value,) = [value for key, value in fields if key == name]
    for again in (value, "other", ""):
        answer = await site.live.ask(post("/oauth/token/", form([*fields, (name, again)])))
        assert (answer.status, answer.error) == (400, "invalid_request")
    split = await site.live.ask(post(f"/oauth/token/?{name}=other", form(fields)))
    assert split.error == "invalid_request"


@pytest.mark.parametrize("endpoint", ["/oauth/introspect", "/oauth/revoke"])
@pytest.mark.parametrize("name", ["token", "client_id", "client_secret", "token_type_hint"])
async def test_rfc7662_2_1_duplicate_parameters_refused(site: Site, endpoint: str, name: str) -> None:
    fields = [*site.app.grant(token="x", token_type_hint="access_token").items(), (name, "again")]
    answer = await site.live.ask(post(endpoint, form(fields)))
    assert (answer.status, answer.error) == (400, "invalid_request")


@pytest.mark.parametrize("endpoint", ENDPOINTS)
async def test_rfc6749_5_2_uniform_client_errors(site: Site, endpoint: str) -> None:
    """Unknown, wrong and missing are one answer to the byte: nobody learns which client ids there are."""
    told = set()
    for client_id, secret in (
        ("local.00000000000000.00000000", site.app.client_secret),
        (site.app.client_id, "wrong"),
        (site.app.client_id, ""),
        ("", ""),
        ("x" * 600, "y" * 600),
    ):
        fields = {**ENDPOINTS[endpoint], "client_id": client_id, "client_secret": secret}
        told.add(_told(await site.live.ask(post(endpoint, form(fields)))))
        told.add(
            _told(
                await site.live.ask(
                    post(
                        endpoint,
                        form(ENDPOINTS[endpoint]),
                        "application/x-www-form-urlencoded",
                        basic(client_id, secret),
                    )
                )
            )
        )
    assert len(told) == 1
    ((status, challenge, _),) = told
    assert (status, challenge) == (401, 'Basic realm="relay"')


async def test_rfc6749_5_2_a_client_that_may_have_no_tokens_is_told_the_same(site: Site) -> None:
    wrong = await site.live.ask(
        post("/oauth/token/", form({**site.app.grant(**ENDPOINTS["/oauth/token"]), "client_secret": "x"}))
    )
    app = await stored_app(site)
    await site.live.relay.applications.configure(app, active=False)
    assert _told(await site.app.refresh("x")) == _told(wrong)
    await site.portal.result("application.delete", {"CLIENT_ID": site.app.client_id})
    assert _told(await site.app.refresh("x")) == _told(wrong)


async def test_rfc6749_5_2_a_refusal_of_get_is_told_to_the_client_alone(site: Site) -> None:
    app = await stored_app(site)
    await site.live.relay.applications.configure(app, post_only=True)
    for secret, expected in ((site.app.client_secret, 405), ("wrong", 401)):
        query = form({**site.app.grant(**ENDPOINTS["/oauth/token"]), "client_secret": secret}).decode()
        assert (await site.live.ask(get(f"/oauth/token/?{query}"))).status == expected
    given = (await site.authorize())["refresh_token"]
    assert (await site.app.refresh(given)).status == 200


@pytest.mark.parametrize(
    "credentials",
    [
        "not base64!",
        "",
        "=",
        base64.b64encode(b"\xff\xfe:\xfd").decode(),
        base64.b64encode(b"no colon").decode(),
        base64.b64encode(b":").decode(),
        base64.b64encode(b"a\x00b:c").decode(),
        base64.b64encode(b'a"b:c\r\nd').decode(),
        base64.b64encode("кто:там".encode()).decode(),
        base64.b64encode(b"x" * 4000 + b":" + b"y" * 1000).decode(),
    ],
)
async def test_rfc7617_2_basic_header_oddities_are_one_clean_refusal(site: Site, credentials: str) -> None:
    for endpoint, fields in ENDPOINTS.items():
        header = ("Authorization", f"Basic {credentials}")
        answer = await site.live.ask(post(endpoint, form(fields), "application/x-www-form-urlencoded", header))
        assert (answer.status, answer.json) == (401, REFUSED)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_rfc6749_2_3_1_basic_credentials_are_taken_on_every_endpoint(site: Site, scheme: str) -> None:
    pair = await site.authorize()
    name, value = basic(site.app.client_id, site.app.client_secret)
    header = (name, value.replace("Basic", scheme))
    for endpoint, fields in {
        "/oauth/introspect": {"token": pair["access_token"]},
        "/oauth/token/": {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]},
        "/oauth/revoke": {"token": pair["access_token"]},
    }.items():
        answer = await site.live.ask(post(endpoint, form(fields), "application/x-www-form-urlencoded", header))
        assert answer.status == 200


async def test_rfc6749_2_3_1_secrets_in_a_query_authenticate_nobody_at_the_standard_endpoints(site: Site) -> None:
    """Old clients put them there at the token endpoint; elsewhere nobody needs it."""
    query = form(site.app.grant()).decode()
    for endpoint in ("/oauth/introspect", "/oauth/revoke"):
        answer = await site.live.ask(post(f"{endpoint}?{query}", form({"token": "x"})))
        assert answer.error == "invalid_client"
        assert (await site.live.ask(get(f"{endpoint}?{query}&token=x"))).status == 405


async def test_issue_3_4_two_secrets_are_good_while_a_rotation_overlaps(site: Site) -> None:
    former = site.app.client_secret
    site.app.client_secret = await site.live.relay.applications.rotate_secret(await stored_app(site), 3600)
    tokens = [(await site.authorize())["refresh_token"] for _ in range(4)]
    assert (await site.app.refresh(tokens[0])).status == 200
    newest, site.app.client_secret = site.app.client_secret, former
    assert (await site.app.refresh(tokens[1])).status == 200
    site.live.clock.advance(3600)
    assert (await site.app.refresh(tokens[2])).error == "invalid_client"
    site.app.client_secret = newest
    assert (await site.app.refresh(tokens[3])).status == 200


async def test_issue_3_4_a_secret_rotated_without_overlap_ends_at_once(site: Site) -> None:
    await site.live.relay.applications.rotate_secret(await stored_app(site), 0)
    assert (await site.app.refresh("x")).error == "invalid_client"
