"""The validation bundle: what a portal's module needs to check access tokens while the relay is away.

Leans on sealed tokens and on JWS (RFC 7515) by PyJWT. Never holds a sealing key in the clear, and never
promises more than its `exp`: past it the module must ask the relay.

Contract
========

`POST /rest/relay.bundle` with the portal's credentials (as every `/rest/` call) and, if the caller has one,
`ETAG`. Answer `{"result": {"not_modified": true, "etag": E}}`, or
`{"result": {"not_modified": false, "etag": E, "bundle": JWS}}`. A bundle is renewed once half its life is over,
so a caller that asks every minute always holds at least half of it.

JWS, compact form: header `{"alg": "ES256", "kid": K, "typ": "relay-bundle+jwt"}`; K is found in
`/.well-known/jwks.json`. Refuse any other `alg` or `typ`, any `crit`, and ignore `jwk`, `jku`, `x5u`. Claims:

- `iss`  the relay's public URL; `aud` the portal's member_id; `iat`, `exp` unix seconds (default 24 h apart)
- `keys` the portal's sealing keys, a list of `{"id": 0-255, "nbf": s, "exp": s, "key": B}`:
  `exp` is when the last token made with it ends. B = base64url without padding of
  nonce (12 bytes) || AES-256-GCM ciphertext || tag (16 bytes), where
  key = HKDF-SHA256(ikm = client_secret as ASCII, salt = member_id as ASCII, info = "relay-bundle-keys-v1", 32 bytes)
  and the additional data is the ASCII text "relay-bundle-key:" followed by the decimal key id
- `apps` a list of `[number, client_id, scope, status, active]`: number as in the sealed token, scope a comma
  string, status one letter, active 1 or 0
- `revoked` a list of `[serial, expires]`: serial as 12 lower-case hex digits, most significant first
- `through` marks: `{"portal": s, "apps": {"NUMBER": s}, "users": {"USER_ID": s}}`, each optional: every token of
  that portal, app or user whose expiry is **at or before** the mark is revoked

A token is good when its key is listed and its seal verifies, its expiry is in the future and not after the
key's `exp`, its app is listed and active, and neither `revoked` nor a mark hits it. To be checked at the relay
(`rest.check`) are a token whose flag says "more parameters are stored", one whose key is not listed or does not
open, and a JWT (the bundle judges sealed tokens only).
Test vectors: tests/vectors/bundle.json.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from relay.core.vault import NONCE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.directory import Directory
    from relay.core.model import Portal, SealingKey

BUNDLE_TYPE = "relay-bundle+jwt"
_KEY_INFO = b"relay-bundle-keys-v1"
_NO_END = 0xFFFFFFFF


def bundle_content(directory: Directory, portal: Portal, now: int) -> dict[str, Any]:
    """What the bundle says apart from its keys' bytes and its times: the same content gives the same etag."""
    revocations = directory.revocations
    numbers = {app.number for app in directory.apps.values() if app.portal_id == portal.id}
    marks: dict[str, Any] = {
        "apps": {str(app): mark for app, mark in revocations.apps.items() if app in numbers and mark > now},
        "users": {
            str(user): mark for (owner, user), mark in revocations.users.items() if owner == portal.id and mark > now
        },
    }
    if revocations.portals.get(portal.id, 0) > now:
        marks["portal"] = revocations.portals[portal.id]
    return {
        "keys": [
            {"id": key.key_id, "nbf": key.active_from, "exp": key.good_until or _NO_END}
            for key in _live_keys(directory, portal, now)
        ],
        "apps": [
            [app.number, app.client_id, app.scope, app.status, int(app.usable)]
            for app in sorted(directory.apps_of(portal.id), key=lambda app: app.number)
        ],
        "revoked": sorted(
            [f"{serial:012x}", expires]
            for (app, serial), expires in revocations.tokens.items()
            if app in numbers and expires > now
        ),
        "through": {name: value for name, value in marks.items() if value},
    }


def content_etag(content: dict[str, Any]) -> str:
    """A short fingerprint of the content."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def seal_keys(
    content: dict[str, Any],
    directory: Directory,
    portal: Portal,
    client_secret: str,
    entropy: Callable[[int], bytes],
) -> list[dict[str, Any]]:
    """The content's key list with each key's bytes, readable only to who knows the portal's client secret."""
    cipher = AESGCM(_transport_key(client_secret, portal.member_id))
    keys = {key.key_id: key for key in directory.sealing_keys(portal.id)}
    sealed = []
    for entry in content["keys"]:
        nonce = entropy(NONCE_BYTES)
        box = nonce + cipher.encrypt(nonce, keys[entry["id"]].key, f"relay-bundle-key:{entry['id']}".encode())
        sealed.append({**entry, "key": base64.urlsafe_b64encode(box).rstrip(b"=").decode()})
    return sealed


def open_key(entry: dict[str, Any], client_secret: str, member_id: str) -> bytes:
    """The other end of `seal_keys`, for validators: the bytes of one key of a bundle."""
    box = base64.urlsafe_b64decode(entry["key"] + "=" * (-len(entry["key"]) % 4))
    associated = f"relay-bundle-key:{entry['id']}".encode()
    return AESGCM(_transport_key(client_secret, member_id)).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], associated)


def _live_keys(directory: Directory, portal: Portal, now: int) -> list[SealingKey]:
    return sorted(
        (key for key in directory.sealing_keys(portal.id) if key.good_until is None or key.good_until >= now),
        key=lambda key: key.key_id,
    )


def _transport_key(client_secret: str, member_id: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=member_id.encode(), info=_KEY_INFO).derive(client_secret.encode())
