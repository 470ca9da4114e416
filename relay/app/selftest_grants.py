"""The self-test's checks of grants and clients: codes, PKCE, refresh tokens, client authentication.

Leans on the test bed. Each check is one promise with its source. Must never show a token or secret in what it says.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from relay.app.selftest_bed import FORM, STATE, Client, Refuted, expect
from relay.core.vault import hash_token

if TYPE_CHECKING:
    from relay.app.selftest_bed import Bed

MOST_CODE_S = 30
AT_ONCE = 20
MOST_FAILURES = 3000
_VERIFIER = "selftest-selftest-selftest-selftest-selftest"
_CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(_VERIFIER.encode()).digest()).rstrip(b"=").decode()
_REFRESH = {"grant_type": "refresh_token", "refresh_token": "x"}
_ENDPOINTS = {"/oauth/token/": _REFRESH, "/oauth/introspect": {"token": "x"}, "/oauth/revoke": {"token": "x"}}


async def redirect_uri_exact_match(bed: Bed) -> None:
    for asked in ("https://evil.invalid/", f"{bed.redirect_uri}/", f"{bed.redirect_uri}?x"):
        fields = {"client_id": bed.app.client_id, "state": STATE, "redirect_uri": asked}
        location = (await bed.get("/oauth/authorize/", **fields)).headers.get("location", "")
        expect("redirect_uri" in parse_qs(urlsplit(location).query), False)
    expect((await bed.code_answer(bed.app))["redirect_uri"] == bed.redirect_uri, True)


async def code_single_use(bed: Bed) -> None:
    code = await bed.code(bed.app)
    expect((await bed.redeem(bed.app, code)).verdict, "200")
    expect((await bed.redeem(bed.app, code)).verdict, "400 invalid_grant")


async def code_reuse_revokes(bed: Bed) -> None:
    for client in (bed.app, bed.jwt_app):
        code = await bed.code(client)
        given = (await bed.redeem(client, code)).document
        await bed.redeem(client, code)
        expect(await bed.verdict(client, given["access_token"]), "invalid_token")
        expect((await bed.refresh(client, given["refresh_token"])).verdict, "400 invalid_grant")


async def code_bound_to_client(bed: Bed) -> None:
    code = await bed.code(bed.app)
    expect((await bed.redeem(bed.other, code)).verdict, "400 invalid_grant")


async def code_lifetime(bed: Bed) -> None:
    code = await bed.code(bed.app)
    stored = await bed.store.find_code(hash_token(code))
    if stored is None or stored.expires - bed.now > MOST_CODE_S:
        raise Refuted(f"<= {MOST_CODE_S} s", stored and f"{stored.expires - bed.now} s")


async def pkce_s256(bed: Bed) -> None:
    for verifier, verdict in ((_VERIFIER, "200"), (_VERIFIER[::-1], "400 invalid_grant"), ("", "400 invalid_request")):
        state = f"{STATE}-{verdict[:3]}-{len(verifier)}"
        expect(await _authorize_with(bed, state, _CHALLENGE, "S256"), "302")
        code = await bed.code(bed.app, state)
        given = {"code_verifier": verifier} if verifier else {}
        expect((await bed.redeem(bed.app, code, **given)).verdict, verdict)


async def pkce_s256_only(bed: Bed) -> None:
    for challenge, method in ((_VERIFIER[:43], "plain"), (_VERIFIER[:43], ""), ("short", "S256")):
        expect(await _authorize_with(bed, STATE, challenge, method), "400 invalid_request")


async def verifier_without_challenge(bed: Bed) -> None:
    code = await bed.code(bed.app, f"{STATE}-none")
    expect((await bed.redeem(bed.app, code, code_verifier=_VERIFIER)).verdict, "400 invalid_request")


async def no_implicit_grant(bed: Bed) -> None:
    fields = {"client_id": bed.app.client_id, "state": STATE, "response_type": "token"}
    location = (await bed.get("/oauth/authorize/", **fields)).headers.get("location", "")
    expect(parse_qs(urlsplit(location).query).get("response_type"), ["code"])


async def no_password_grant(bed: Bed) -> None:
    for grant_type in ("password", "client_credentials"):
        reply = await bed.token(bed.app, grant_type=grant_type, username="admin", password="admin")  # noqa: S106
        expect(reply.verdict, "400 unsupported_grant_type")


async def issuer_in_response(bed: Bed) -> None:
    expect((await bed.code_answer(bed.app)).get("iss"), bed.issuer)


async def client_authenticated(bed: Bed) -> None:
    for endpoint, fields in _ENDPOINTS.items():
        for credentials in ({}, {"client_id": bed.app.client_id}, {**bed.app.fields, "client_secret": "wrong"}):
            expect((await bed.post(endpoint, {**fields, **credentials})).verdict, "401 invalid_client")


async def portal_authenticated(bed: Bed) -> None:
    for method in ("rest.check", "rest.authorize", "rest.code", "relay.bundle", "application.add"):
        reply = await bed.post(f"/rest/{method}", {**bed.portal, "client_secret": "wrong"})
        expect(reply.verdict, "401 invalid_client")


async def one_client_auth_method(bed: Bed) -> None:
    basic = base64.b64encode(":".join(bed.app).encode()).decode()
    for endpoint, fields in _ENDPOINTS.items():
        reply = await bed.post(endpoint, {**fields, **bed.app.fields}, Authorization=f"Basic {basic}")
        expect(reply.verdict, "400 invalid_request")


async def duplicate_parameters(bed: Bed) -> None:
    for endpoint, fields in _ENDPOINTS.items():
        for name in ("client_id", "client_secret", *fields):
            body = urlencode([*fields.items(), *bed.app.fields.items(), (name, "again")]).encode()
            reply = await bed.patiently("POST", endpoint, body=body, headers=FORM)
            expect(reply.verdict, "400 invalid_request")


async def uniform_client_errors(bed: Bed) -> None:
    strangers = (Client("local.00000000000000.00000000", "x"), Client(bed.app.client_id, "x"), Client("", ""))
    for endpoint, fields in _ENDPOINTS.items():
        replies = [await bed.post(endpoint, {**fields, **stranger.fields}) for stranger in strangers]
        expect(len({(reply.status, reply.body, reply.headers.get("www-authenticate")) for reply in replies}), 1)


async def guessing_is_slowed_down(bed: Bed) -> None:
    wrong = {**_REFRESH, "client_id": bed.app.client_id, "client_secret": "x"}
    for _ in range(MOST_FAILURES):
        reply = await bed.ask("POST", "/oauth/token/", body=urlencode(wrong).encode(), headers=FORM)
        if reply.status != 401:
            break
    expect(reply.verdict, "429 slow_down")
    expect("retry-after" in reply.headers, True)
    expect((await bed.rest("methods")).verdict, "200")
    expect((await bed.refresh(bed.app, (await bed.authorize(bed.app))["refresh_token"])).verdict, "200")


async def refresh_bound_to_client(bed: Bed) -> None:
    pair = await bed.authorize(bed.app)
    expect((await bed.refresh(bed.other, pair["refresh_token"])).verdict, "400 invalid_grant")
    expect((await bed.refresh(bed.app, pair["refresh_token"])).verdict, "200")


async def refresh_rotates(bed: Bed) -> None:
    first = (await bed.authorize(bed.app))["refresh_token"]
    replies = await asyncio.gather(*(bed.refresh(bed.app, first) for _ in range(AT_ONCE)))
    expect({reply.verdict for reply in replies}, {"200"})
    given = {reply.document["refresh_token"] for reply in replies}
    expect(len(given), 1)
    expect(first in given, False)


async def refresh_ends(bed: Bed) -> None:
    first = (await bed.authorize(bed.app))["refresh_token"]
    stored = await bed.store.find_refresh(hash_token(first))
    if stored is None or not bed.now < stored.expires <= bed.now + 366 * 86400:
        raise Refuted("<= 366 d", stored and f"{(stored.expires - bed.now) // 86400} d")


async def _authorize_with(bed: Bed, state: str, challenge: str, method: str) -> str:
    fields = {"client_id": bed.app.client_id, "state": state, "code_challenge": challenge}
    return (await bed.get("/oauth/authorize/", **fields, code_challenge_method=method)).verdict


GRANT_CHECKS = (
    (redirect_uri_exact_match, "RFC 9700 4.1.3"),
    (code_single_use, "RFC 6749 4.1.2"),
    (code_reuse_revokes, "RFC 6749 4.1.2"),
    (code_bound_to_client, "RFC 6749 4.1.3"),
    (code_lifetime, "RFC 6749 4.1.2"),
    (pkce_s256, "RFC 7636 4.6"),
    (pkce_s256_only, "RFC 9700 2.1.1"),
    (verifier_without_challenge, "RFC 9700 4.8.2"),
    (no_implicit_grant, "RFC 9700 2.1.2"),
    (no_password_grant, "RFC 9700 2.4"),
    (issuer_in_response, "RFC 9207 2"),
    (client_authenticated, "RFC 6749 3.2.1"),
    (portal_authenticated, "RFC 6749 2.3"),
    (one_client_auth_method, "RFC 6749 2.3"),
    (duplicate_parameters, "RFC 6749 3.2"),
    (uniform_client_errors, "RFC 6749 5.2"),
    (refresh_bound_to_client, "RFC 6749 6"),
    (refresh_rotates, "RFC 9700 4.14.2"),
    (refresh_ends, "RFC 9700 4.14.2"),
    (guessing_is_slowed_down, "RFC 6749 2.3.1"),
)
