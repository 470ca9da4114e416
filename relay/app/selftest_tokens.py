"""The self-test's checks of tokens and answers: revocation, introspection, signatures, metadata, the bundle.

Leans on the test bed; signs with the relay's own key what an attacker without it could not even try. Each check is one
promise with its source. Must never show a token or key in what it says.
"""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from relay.app.selftest_bed import Refuted, expect
from relay.core.bundle import BUNDLE_TYPE, open_key
from relay.core.jwt_tokens import ACCESS_TOKEN_TYPE
from relay.core.keyring import active_key
from relay.core.sealed import peek, verify
from relay.core.signing import ALGORITHM, load_signing_key, new_private_key, sign

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relay.app.selftest_bed import Bed
    from relay.core.signing import SigningKey

_REQUIRED = ("iss", "aud", "exp", "iat", "sub", "jti")
_PLACES = ("/oauth/token/", "/rest//oauth/token/", "/oauth/introspect", "/oauth/revoke", "/rest/app.info", "/")


async def revoke_unknown(bed: Bed) -> None:
    for token in ("x", "0" * 70, "a.b.c"):
        expect((await bed.revoke(bed.app, token)).verdict, "200")


async def revoke_refuses_foreign(bed: Bed) -> None:
    pair = await bed.authorize(bed.app)
    for token in (pair["access_token"], pair["refresh_token"]):
        expect((await bed.revoke(bed.other, token)).verdict, "400 unauthorized_client")
    expect(await bed.verdict(bed.app, pair["access_token"]), "good")


async def revoked_at_once(bed: Bed) -> None:
    for client in (bed.app, bed.jwt_app):
        alone, family = await bed.authorize(client), await bed.authorize(client)
        expect((await bed.revoke(client, alone["access_token"])).verdict, "200")
        expect((await bed.revoke(client, family["refresh_token"])).verdict, "200")
        for pair in (alone, family):
            expect(await bed.verdict(client, pair["access_token"]), "invalid_token")
        expect((await bed.refresh(client, family["refresh_token"])).verdict, "400 invalid_grant")
        expect(await bed.verdict(client, (await bed.authorize(client))["access_token"]), "good")


async def introspection_of_foreign(bed: Bed) -> None:
    pair = await bed.authorize(bed.app)
    for client, token in ((bed.other, pair["access_token"]), (bed.app, pair["refresh_token"]), (bed.app, "x")):
        expect(await bed.introspect(client, token), {"active": False})
    expect((await bed.introspect(bed.app, pair["access_token"])).get("active"), True)


async def sealed_token_unforgeable(bed: Bed) -> None:
    token = (await bed.authorize(bed.app))["access_token"]
    expect((await bed.rest("rest.check", TOKEN=token)).verdict, "200")
    for byte in range(len(token) // 2):
        raw = bytearray.fromhex(token)
        raw[byte] ^= 1 << byte % 8
        for text in (raw.hex(), token.upper()):
            expect((await bed.rest("rest.check", TOKEN=text)).verdict, "401 invalid_token")


async def no_store(bed: Bed) -> None:
    pair, code = await bed.authorize(bed.app), await bed.code(bed.app)
    replies = [
        await bed.redeem(bed.app, code),
        await bed.redeem(bed.app, code),
        await bed.refresh(bed.app, pair["refresh_token"]),
        await bed.rest("rest.check", TOKEN=pair["access_token"]),
        await bed.post("/oauth/introspect", {**bed.app.fields, "token": pair["access_token"]}),
        await bed.revoke(bed.app, pair["access_token"]),
        await bed.rest("relay.bundle"),
    ]
    expect({reply.headers.get("cache-control") for reply in replies}, {"no-store"})


async def never_307(bed: Bed) -> None:
    for place in _PLACES:
        for path in (place, f"/{place}", place.rstrip("/") or "/"):
            for reply in (await bed.post(path, bed.app.fields), await bed.get(path, state="x")):
                expect(300 <= reply.status < 400 or "location" in reply.headers, False)
    browser = await bed.get("/oauth/authorize/", client_id=bed.app.client_id, state="x")
    expect(browser.status, 302)


async def metadata(bed: Bed) -> None:
    said = (await bed.get("/.well-known/oauth-authorization-server")).document
    expect(said.get("issuer"), bed.issuer)
    expect(said.get("code_challenge_methods_supported"), ["S256"])
    expect(said.get("response_types_supported"), ["code"])
    expect(said.get("authorization_response_iss_parameter_supported"), True)
    for name in ("token_endpoint", "introspection_endpoint", "revocation_endpoint", "jwks_uri"):
        path = str(said.get(name, "")).removeprefix(bed.issuer)
        expect((name, (await bed.get(path)).status != 404), (name, True))


async def jwt_by_key_set(bed: Bed) -> None:
    token = (await bed.authorize(bed.jwt_app))["access_token"]
    keys = jwt.PyJWKSet.from_dict((await bed.get("/.well-known/jwks.json")).document)
    header = jwt.get_unverified_header(token)
    expect(header.get("typ"), ACCESS_TOKEN_TYPE)
    audience = _claims(token)["aud"][0]
    try:
        jwt.decode(
            token,
            keys[header["kid"]].key,
            algorithms=[ALGORITHM],
            issuer=bed.issuer,
            audience=audience,
            options={"require": [*_REQUIRED, "client_id"]},
        )
    except (jwt.PyJWTError, KeyError) as error:
        raise Refuted("200", type(error).__name__) from error
    expect(await bed.verdict(bed.jwt_app, token), "good")


async def jwt_algorithm_pinned(bed: Bed) -> None:
    token, key = await _jwt(bed)
    for forged in _other_algorithms(token, key):
        expect(await bed.verdict(bed.jwt_app, forged), "invalid_token")


async def jwt_brings_no_key(bed: Bed) -> None:
    token, key = await _jwt(bed)
    own = load_signing_key(0, new_private_key(bed.entropy), 0, None)
    hints: tuple[dict[str, Any], ...] = (
        {},
        {"jwk": own.public_jwk},
        {"jku": f"{bed.redirect_uri}/jwks.json"},
        {"x5u": f"{bed.redirect_uri}/chain.pem"},
    )
    for hint in hints:
        for kid in (key.kid, "other"):
            headers = {"typ": ACCESS_TOKEN_TYPE, "kid": kid, **hint}
            forged = jwt.encode(_claims(token), own.private_key, ALGORITHM, headers)
            expect(await bed.verdict(bed.jwt_app, forged), "invalid_token")


async def jwt_type_required(bed: Bed) -> None:
    token, key = await _jwt(bed)
    for typ in ("JWT", BUNDLE_TYPE, "id_token+jwt"):
        expect(await bed.verdict(bed.jwt_app, sign(_claims(token), key, typ)), "invalid_token")
    bundle = (await bed.rest("relay.bundle")).document["result"]["bundle"]
    expect(await bed.verdict(bed.jwt_app, bundle), "invalid_token")


async def jwt_unknown_crit(bed: Bed) -> None:
    token, key = await _jwt(bed)
    headers = {"typ": ACCESS_TOKEN_TYPE, "kid": key.kid, "crit": ["exp"]}
    forged = jwt.encode(_claims(token), key.private_key, ALGORITHM, headers)
    expect(await bed.verdict(bed.jwt_app, forged), "invalid_token")


async def jwt_claims_required(bed: Bed) -> None:
    token, key = await _jwt(bed)
    claims = _claims(token)
    expect(await bed.verdict(bed.jwt_app, sign(claims, key, ACCESS_TOKEN_TYPE)), "good")
    for missing in _REQUIRED:
        less = {name: value for name, value in claims.items() if name != missing}
        expect(await bed.verdict(bed.jwt_app, sign(less, key, ACCESS_TOKEN_TYPE)), "invalid_token")
    elsewhere = {**claims, "iss": "https://evil.invalid"}
    expect(await bed.verdict(bed.jwt_app, sign(elsewhere, key, ACCESS_TOKEN_TYPE)), "invalid_token")


async def bundle_verifies(bed: Bed) -> None:
    token = (await bed.authorize(bed.app))["access_token"]
    await bed.revoke(bed.app, token)
    result = (await bed.rest("relay.bundle")).document["result"]
    keys = jwt.PyJWKSet.from_dict((await bed.get("/.well-known/jwks.json")).document)
    header = jwt.get_unverified_header(result["bundle"])
    expect((header.get("alg"), header.get("typ")), (ALGORITHM, BUNDLE_TYPE))
    member_id = (await bed.directory()).portals[bed.portal_id].member_id
    signed = jwt.decode(
        result["bundle"], keys[header["kid"]].key, algorithms=[ALGORITHM], issuer=bed.issuer, audience=member_id
    )
    claims = peek(token)
    if claims is None:
        raise Refuted("sealed", "?")
    (entry,) = [entry for entry in signed["keys"] if entry["id"] == claims.key_id]
    expect(verify(token, open_key(entry, bed.portal["client_secret"], member_id)), True)
    expect(f"{claims.serial:012x}" in {serial for serial, _ in signed["revoked"]}, True)
    again = (await bed.rest("relay.bundle", ETAG=result["etag"])).document["result"]
    expect(again.get("not_modified"), True)


async def _jwt(bed: Bed) -> tuple[str, SigningKey]:
    """A good JWT of the temporary application, and the key that signed it."""
    token = (await bed.authorize(bed.jwt_app))["access_token"]
    key = active_key((await bed.directory()).signing_keys, bed.now)
    if key is None:
        raise Refuted("key", "-")
    return token, key


def _other_algorithms(token: str, key: SigningKey) -> Iterator[str]:
    header, claims = jwt.get_unverified_header(token), _claims(token)
    _, body, signature = token.split(".")
    for name in ("none", "NONE"):
        yield f"{_part({**header, 'alg': name})}.{body}."
        yield f"{_part({**header, 'alg': name})}.{body}.{signature}"
    public = key.private_key.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(key.public_jwk).encode(),
        b"",
    ):
        text = f"{_part({**header, 'alg': 'HS256'})}.{_part(claims)}"
        yield f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def _claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def _part(value: Mapping[str, Any]) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


TOKEN_CHECKS = (
    (revoke_unknown, "RFC 7009 2.2"),
    (revoke_refuses_foreign, "RFC 7009 2.1"),
    (revoked_at_once, "RFC 7009 2"),
    (introspection_of_foreign, "RFC 7662 2.2"),
    (sealed_token_unforgeable, "RFC 6749 10.10"),
    (no_store, "RFC 6749 5.1"),
    (never_307, "RFC 9700 4.12"),
    (metadata, "RFC 8414 3"),
    (jwt_by_key_set, "RFC 9068 4"),
    (jwt_algorithm_pinned, "RFC 8725 3.1"),
    (jwt_brings_no_key, "RFC 8725 3.10"),
    (jwt_type_required, "RFC 8725 3.11"),
    (jwt_unknown_crit, "RFC 7515 4.1.11"),
    (jwt_claims_required, "RFC 8725 3.8"),
    (bundle_verifies, "RFC 7515 5.2"),
)
