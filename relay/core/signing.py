"""Signed documents (JWS, RFC 7515) by ES256, checked as RFC 8725 asks: one algorithm, a required type, no surprises.

Leans on PyJWT for the format and on cryptography for the keys. Time is an argument: PyJWT's own clock is not used.
Never follows a key that comes with a document (`jwk`, `jku`, `x5u`), never takes an unknown `crit`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

ALGORITHM = "ES256"
_COORDINATE_BYTES = 32
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class BadSignature(Exception):
    """The document is not signed as required, by a key of ours, for this use, at this time."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One ES256 key. kid: its RFC 7638 thumbprint."""

    key_id: int
    private_key: ec.EllipticCurvePrivateKey
    kid: str
    active_from: int
    good_until: int | None = None

    @property
    def public_jwk(self) -> dict[str, str]:
        """The public half as RFC 7517 writes it."""
        return {**_public_members(self.private_key), "kid": self.kid, "use": "sig", "alg": ALGORITHM}


def new_private_key(entropy: Callable[[int], bytes]) -> bytes:
    """A fresh P-256 private key, DER (PKCS 8)."""
    # 320 random bits reduced modulo the order: a bias below 2**-64 (FIPS 186-5, A.2.1).
    secret = int.from_bytes(entropy(40), "big") % (_ORDER - 1) + 1
    key = ec.derive_private_key(secret, ec.SECP256R1())
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())


def load_signing_key(key_id: int, der: bytes, active_from: int, good_until: int | None) -> SigningKey:
    """Read a stored key."""
    key = load_der_private_key(der, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise TypeError("not an elliptic curve key")
    return SigningKey(key_id, key, _thumbprint(_public_members(key)), active_from, good_until)


def sign(claims: Mapping[str, Any], key: SigningKey, typ: str) -> str:
    """The compact form of a signed document of that type."""
    return jwt.encode(dict(claims), key.private_key, algorithm=ALGORITHM, headers={"kid": key.kid, "typ": typ})


def verify(
    document: str,
    keys: Iterable[SigningKey],
    *,
    typ: str,
    issuer: str,
    now: int | None,
    required: Iterable[str] = ("iss", "exp", "iat"),
    audience: str | None = None,
) -> dict[str, Any]:
    """The claims of a document of ours. Raises BadSignature for anything else (RFC 8725 section 3).

    An expired document is refused too; with `now` None the caller looks at its times.
    """
    try:
        header = jwt.get_unverified_header(document)
        key = next((key for key in keys if key.kid == header.get("kid")), None)
        if header.get("alg") != ALGORITHM or header.get("typ") != typ or "crit" in header or key is None:
            raise BadSignature("header")
        claims: dict[str, Any] = jwt.decode(
            document,
            key.private_key.public_key(),
            algorithms=[ALGORITHM],
            issuer=issuer,
            audience=audience,
            options={
                "require": list(required),
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "verify_aud": audience is not None,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise BadSignature(type(error).__name__) from error
    expires, issued = claims.get("exp"), claims.get("iat")
    if not isinstance(expires, int) or not isinstance(issued, int):
        raise BadSignature("time")
    if now is not None and (expires <= now or issued > now + 60):
        raise BadSignature("time")
    return claims


def _public_members(key: ec.EllipticCurvePrivateKey) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    return {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}


def _coordinate(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes(_COORDINATE_BYTES, "big")).rstrip(b"=").decode()


def _thumbprint(members: Mapping[str, str]) -> str:
    """RFC 7638: SHA-256 of the required members in lexical order."""
    canonical = json.dumps(dict(sorted(members.items())), separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
