"""Ways in which an issuer may fall short, played by tampering with requests and answers between self-test and relay.

Leans on the self-test's own way of asking. Must never be milder than the real fault: each makes one promise untrue.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from relay.app.selftest_bed import Reply

if TYPE_CHECKING:
    from collections.abc import Mapping

Send = Callable[[str, str, bytes, "Mapping[str, str]"], Awaitable[Reply]]
Sabotage = Callable[[Send, str, str, bytes, "Mapping[str, str]"], Awaitable[Reply]]


def answering(status: int, document: object, *paths: str) -> Sabotage:
    """Whatever is asked at these paths (everywhere, if none is named), this is the answer."""

    async def tamper(send: Send, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        if paths and not target.startswith(paths):
            return await send(method, target, body, headers)
        return Reply(status, {"cache-control": "no-store"}, json.dumps(document).encode())

    return tamper


def refusing_is_accepting(*paths: str) -> Sabotage:
    """An error at these paths becomes a 200."""

    async def tamper(send: Send, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        reply = await send(method, target, body, headers)
        if reply.status < 400 or (paths and not target.startswith(paths)):
            return reply
        return replace(reply, status=200, body=b'{"result":{}}')

    return tamper


def with_header(name: str, value: str | None) -> Sabotage:
    """Every answer has this header, or has it not."""

    async def tamper(send: Send, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        reply = await send(method, target, body, headers)
        kept = {key: kept for key, kept in reply.headers.items() if key != name}
        return replace(reply, headers=kept if value is None else {**kept, name: value})

    return tamper


def with_field(path: str, name: str, value: object) -> Sabotage:
    """The JSON answer of this path says something else in one field, on top or in its result."""

    async def tamper(send: Send, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        reply = await send(method, target, body, headers)
        if not target.startswith(path):
            return reply
        document = reply.document
        inner = document["result"] if isinstance(document.get("result"), dict) else document
        inner[name] = value
        return replace(reply, body=json.dumps(document).encode())

    return tamper


def without_fields(*names: str, path: str = "/") -> Sabotage:
    """The relay does not look at these fields: they are taken out, or the first of two is kept."""

    async def tamper(send: Send, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        if target.startswith(path) and body:
            kept: dict[str, str] = {}
            for key, value in parse_qsl(body.decode(), keep_blank_values=True):
                if key not in names:
                    kept.setdefault(key, value)
            body = urlencode(kept).encode()
        return await send(method, target, body, headers)

    return tamper


def unrevoking() -> Sabotage:
    """Revocations are answered 200 and forgotten."""
    return answering(200, {}, "/oauth/revoke")


def numbering_answers() -> Sabotage:
    """No two answers are alike."""
    count = 0

    async def tamper(send: Send, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        nonlocal count
        count += 1
        number = count
        reply = await send(method, target, body, headers)
        document = {**reply.document, "refresh_token": f"{number:070x}", "n": number}
        return replace(reply, body=json.dumps(document).encode())

    return tamper


PASSES = refusing_is_accepting()
# Each check of the self-test, and a fault that it must find.
FAULTS: dict[str, Sabotage] = {
    "redirect_uri_exact_match": with_field("/rest/rest.code", "redirect_uri", "https://evil.invalid/"),
    "code_single_use": PASSES,
    "code_reuse_revokes": PASSES,
    "code_bound_to_client": PASSES,
    "code_lifetime": with_field("/rest/rest.code", "code", "0" * 32),
    "pkce_s256": without_fields("code_verifier", path="/oauth/token"),
    "pkce_s256_only": PASSES,
    "verifier_without_challenge": without_fields("code_verifier", path="/oauth/token"),
    "no_implicit_grant": with_header("location", "https://portal.invalid/?response_type=token"),
    "no_password_grant": PASSES,
    "issuer_in_response": with_field("/rest/rest.code", "iss", "https://evil.invalid"),
    "client_authenticated": PASSES,
    "portal_authenticated": refusing_is_accepting("/rest/"),
    "one_client_auth_method": without_fields("client_secret"),
    "duplicate_parameters": without_fields(),
    "uniform_client_errors": numbering_answers(),
    "guessing_is_slowed_down": answering(401, {"error": "invalid_client"}, "/oauth/token"),
    "refresh_bound_to_client": PASSES,
    "refresh_rotates": numbering_answers(),
    "refresh_ends": with_field("/rest/rest.authorize", "refresh_token", "0" * 70),
    "revoke_unknown": answering(400, {"error": "invalid_request"}, "/oauth/revoke"),
    "revoke_refuses_foreign": unrevoking(),
    "revoked_at_once": unrevoking(),
    "introspection_of_foreign": answering(200, {"active": True}, "/oauth/introspect"),
    "sealed_token_unforgeable": refusing_is_accepting("/rest/rest.check"),
    "no_store": with_header("cache-control", "max-age=60"),
    "never_307": with_header("location", "https://evil.invalid/"),
    "metadata": with_field("/.well-known/oauth", "issuer", "https://evil.invalid"),
    "jwt_by_key_set": answering(200, {"keys": []}, "/.well-known/jwks.json"),
    "jwt_algorithm_pinned": refusing_is_accepting("/rest/", "/oauth/"),
    "jwt_brings_no_key": refusing_is_accepting("/rest/"),
    "jwt_type_required": refusing_is_accepting("/rest/"),
    "jwt_unknown_crit": refusing_is_accepting("/rest/"),
    "jwt_claims_required": refusing_is_accepting("/rest/"),
    "bundle_verifies": unrevoking(),
}
