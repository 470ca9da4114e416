"""Makes JWTs that a relay must refuse, and those it must not: real signatures, odd headers, claims left out.

Leans on PyJWT for what it will make and on plain base64 and HMAC for what it refuses to. Must never be lenient: each
forgery differs from a good token in the one thing it is named for.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.core.signing import SigningKey
    from tests.integration.site import Site


def part(value: Any) -> str:
    """One part of a compact JWS."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, unverified."""
    return jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})


async def signing_key(site: Site) -> SigningKey:
    """The relay's own signing key: what whoever stole it could sign with."""
    (key,) = (await site.live.relay.portals.current()).signing_keys
    return key


def signed(claims: dict[str, Any], key: SigningKey, **header: Any) -> str:
    """A token by the relay's own key; an empty `typ` is left out."""
    return jwt.encode(claims, key.private_key, "ES256", {"kid": key.kid, "typ": "at+jwt", **header})


def by_hmac(header: dict[str, Any], claims: dict[str, Any], secret: bytes) -> str:
    """HS256 by hand: PyJWT will not take a public key for a secret."""
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), hashlib.sha256))}"


def other_algorithms(token: str, key: SigningKey) -> Iterator[tuple[str, str]]:
    """The same claims under every algorithm but the one that is pinned to the key."""
    header, claims = parts(token)
    public = key.private_key.public_key()
    for name in ("none", "None", "NONE", "nOnE"):
        yield f"alg {name}", f"{part({**header, 'alg': name})}.{part(claims)}."
    yield "alg none with the old signature", f"{part({**header, 'alg': 'none'})}.{token.split('.', 1)[1]}"
    for label, secret in {
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "point": public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
        "JWK": json.dumps(key.public_jwk).encode(),
        "nothing": b"",
    }.items():
        yield f"HS256 keyed by the public {label}", by_hmac({**header, "alg": "HS256"}, claims, secret)
    rsa_key = rsa.generate_private_key(65537, 2048)
    headers = {"kid": key.kid, "typ": "at+jwt"}
    yield "RS256", jwt.encode(claims, rsa_key, "RS256", headers)
    yield "ES384", jwt.encode(claims, ec.generate_private_key(ec.SECP384R1()), "ES384", headers)
    yield "HS256 said of an ES256 signature", f"{part({**header, 'alg': 'HS256'})}.{token.split('.', 1)[1]}"


def callers_keys(token: str, key: SigningKey, url: str) -> Iterator[tuple[str, str]]:
    """Tokens by a key of the caller's own, which the header brings along or says where to fetch."""
    _, claims = parts(token)
    own = ec.generate_private_key(ec.SECP256R1())
    jwk = ECAlgorithm.to_jwk(own.public_key(), as_dict=True)
    hints: dict[str, dict[str, Any]] = {
        "no hint": {},
        "jwk": {"jwk": {**jwk, "kid": key.kid, "alg": "ES256"}},
        "jku": {"jku": f"{url}/jwks.json"},
        "x5u": {"x5u": f"{url}/chain.pem"},
        "x5c": {"x5c": [base64.b64encode(b"\x30\x00").decode()]},
    }
    for name, header in hints.items():
        for kid in (key.kid, "unknown", "../../etc/passwd", "' OR 1=1 --", ""):
            yield f"{name}, kid {kid!r}", jwt.encode(claims, own, "ES256", {"kid": kid, "typ": "at+jwt", **header})
        yield f"{name}, no kid", jwt.encode(claims, own, "ES256", {"typ": "at+jwt", **header})


def odd_shapes(token: str) -> Iterator[tuple[str, str]]:
    """The good token, bent."""
    head, body, signature = token.split(".")
    flipped = bytearray(base64.urlsafe_b64decode(signature + "=="))
    flipped[10] ^= 1
    yield "signature flipped", f"{head}.{body}.{part(bytes(flipped))}"
    yield "signature missing", f"{head}.{body}."
    yield "signature cut", f"{head}.{body}.{signature[:-4]}"
    yield "another body", f"{head}.{part({**parts(token)[1], 'sub': '1'})}.{signature}"
    yield "header is a list", f"{part([1])}.{body}.{signature}"
    yield "header is no JSON", f"{part(b'{')}.{body}.{signature}"
    yield "body is no JSON", f"{head}.{part(b'x')}.{signature}"
    yield "JWE shape", f"{head}.{body}.{signature}.{signature}.{signature}"
    yield "dots alone", ".."
    yield "nested deep", f"{part(b'[' * 3000)}.{body}.{signature}"
