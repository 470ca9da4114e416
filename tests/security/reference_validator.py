"""Checks access tokens with the relay away: from one validation bundle and one key set, and nothing else.

Leans on PyJWT, cryptography and hmac; follows the contract in the docstring of relay/core/bundle.py to the letter.
Must never import the relay: it is the second opinion on what the relay issues.
"""

from __future__ import annotations

import base64
import hmac
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TYPE = "relay-bundle+jwt"
CLAIMS = ("iss", "aud", "iat", "exp", "keys", "apps", "revoked", "through")
COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]{86}")
SKEW_S = 60
HEX = frozenset("0123456789abcdef")


class BundleRefusedError(Exception):
    """The document is no bundle for this portal by this relay that counts now."""


@dataclass(frozen=True, slots=True)
class Key:
    """A sealing key: from when it is used, and when the last token made with it ends."""

    secret: bytes
    begins: int
    ends: int


@dataclass(frozen=True, slots=True)
class Token:
    """What the first 21 bytes of a token say (layout: relay/core/sealed.py)."""

    expires: int
    key_id: int
    has_more: bool
    user_id: int
    app_number: int
    serial: str
    head: bytes
    seal: bytes

    @classmethod
    def read(cls, text: str) -> Token | None:
        """None for what has not the shape of a token."""
        if len(text) != 70 or not HEX.issuperset(text):
            return None
        raw = bytes.fromhex(text)
        if raw[5] & 0x80:
            return None
        return cls(
            expires=int.from_bytes(raw[0:4], "little"),
            key_id=raw[4],
            has_more=bool(raw[5] & 0x40),
            user_id=int.from_bytes(raw[12:16], "little"),
            app_number=int.from_bytes(raw[16:19], "little"),
            serial=(raw[8:12] + raw[19:21])[::-1].hex(),
            head=raw[:21],
            seal=raw[21:],
        )

    def is_sealed_with(self, key: Key) -> bool:
        """Whether the key made it."""
        mac = hmac.digest(key.secret, b"relay-access-token-v1\x00" + self.head, "sha256")[:14]
        return hmac.compare_digest(mac, self.seal)


class ReferenceValidator:
    """One portal's bundle, opened."""

    def __init__(
        self,
        bundle: str,
        jwks: Mapping[str, Any],
        *,
        issuer: str,
        member_id: str,
        client_secret: str,
        now: int,
    ) -> None:
        """Raises BundleRefusedError."""
        claims = _open_bundle(bundle, jwks, issuer, member_id, now)
        self.valid_until = int(claims["exp"])
        self._keys = _open_keys(claims["keys"], client_secret, member_id)
        self._apps = {number: bool(active) for number, _, _, _, active in claims["apps"]}
        self._revoked = {serial for serial, _ in claims["revoked"]}
        self._through = claims["through"]

    def verdict(self, text: str, now: int) -> str:
        """`good expired revoked forged no_key incomplete`, or `stale` once the bundle itself is over.

        `no_key` and `incomplete` mean: ask the relay.
        """
        if now >= self.valid_until:
            return "stale"
        token = Token.read(text)
        if token is None:
            return "forged"
        key = self._keys.get(token.key_id)
        if key is None:
            return "no_key"
        return self._judge(token, key, now) if token.is_sealed_with(key) else "forged"

    def _judge(self, token: Token, key: Key, now: int) -> str:
        if token.expires <= now:
            return "expired"
        if token.expires > key.ends or not self._apps.get(token.app_number) or self._is_revoked(token):
            return "revoked"
        return "incomplete" if token.has_more else "good"

    def _is_revoked(self, token: Token) -> bool:
        marks = (
            self._through.get("portal", 0),
            self._through.get("apps", {}).get(str(token.app_number), 0),
            self._through.get("users", {}).get(str(token.user_id), 0),
        )
        return token.serial in self._revoked or token.expires <= max(marks)


def _open_bundle(bundle: str, jwks: Mapping[str, Any], issuer: str, member_id: str, now: int) -> dict[str, Any]:
    if not COMPACT.fullmatch(bundle):
        raise BundleRefusedError("shape")
    try:
        header = jwt.get_unverified_header(bundle)
        if header.get("alg") != "ES256" or header.get("typ") != TYPE or "crit" in header:
            raise BundleRefusedError("header")
        (key,) = [key for key in _keys_of(jwks) if key["kid"] == header.get("kid")]
        claims: dict[str, Any] = jwt.decode(
            bundle,
            jwt.PyJWK(dict(key), "ES256").key,
            algorithms=["ES256"],
            issuer=issuer,
            audience=member_id,
            options={"require": list(CLAIMS), "verify_exp": False, "verify_iat": False, "verify_nbf": False},
        )
        if not claims["exp"] > now >= claims["iat"] - SKEW_S:
            raise BundleRefusedError("time")
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise BundleRefusedError(type(error).__name__) from error
    return claims


def _keys_of(jwks: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [key for key in jwks["keys"] if (key["kty"], key["crv"], key["use"]) == ("EC", "P-256", "sig")]


def _open_keys(entries: Sequence[Mapping[str, Any]], client_secret: str, member_id: str) -> dict[int, Key]:
    info = b"relay-bundle-keys-v1"
    cipher = AESGCM(HKDF(SHA256(), 32, member_id.encode("ascii"), info).derive(client_secret.encode("ascii")))
    keys = {}
    for entry in entries:
        box = base64.urlsafe_b64decode(entry["key"] + "=" * (-len(entry["key"]) % 4))
        with suppress(InvalidTag):  # a key that does not open counts as not listed
            secret = cipher.decrypt(box[:12], box[12:], f"relay-bundle-key:{entry['id']}".encode("ascii"))
            keys[entry["id"]] = Key(secret, entry["nbf"], entry["exp"])
    return keys


def from_vectors(vectors: Mapping[str, Any], bundle: str) -> ReferenceValidator:
    """A validator as tests/vectors/bundle.json describes it."""
    return ReferenceValidator(
        bundle,
        vectors["jwks"],
        issuer=vectors["issuer"],
        member_id=vectors["member_id"],
        client_secret=vectors["client_secret"],
        now=vectors["now"],
    )
