"""The validation bundle and the public keys, for whoever checks tokens without asking (core/bundle.py: the contract).

Leans on the directory snapshot; reads nothing else and writes nothing. Never sends a sealing key in the clear.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.core.bundle import BUNDLE_TYPE, bundle_content, content_etag, seal_keys
from relay.core.errors import Unavailable
from relay.core.keyring import active_key
from relay.core.signing import sign

if TYPE_CHECKING:
    from relay.app.settings import IssuerSettings
    from relay.core.directory import Directory
    from relay.core.model import Portal
    from relay.core.phpform import Form
    from relay.ports import Clock, Entropy, Store


class Bundles:
    """Answers `relay.bundle` and `/.well-known/jwks.json`."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, settings: IssuerSettings) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def bundle(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """`relay.bundle`: the bundle, or that the caller's copy is still the newest and has half its life left."""
        now = self._clock.now_ms() // 1000
        content = bundle_content(directory, portal, now)
        fingerprint = content_etag(content)
        life_s = self._settings.bundle_life_s
        if self._is_fresh(form.get("ETAG"), fingerprint, now, life_s):
            return {"not_modified": True, "etag": form.get("ETAG")}
        key = active_key(directory.signing_keys, now)
        if key is None:
            raise Unavailable("No signing key is active.")
        keys = seal_keys(content, directory, portal, form.get("client_secret"), self._entropy)
        claims = {
            **content,
            "keys": keys,
            "iss": self._settings.public_url,
            "aud": portal.member_id,
            "iat": now,
            "exp": now + life_s,
        }
        return {
            "not_modified": False,
            "etag": f"{fingerprint}.{now}",
            "bundle": sign(claims, key, BUNDLE_TYPE),
        }

    async def jwks(self) -> dict[str, Any]:
        """RFC 7517: the public halves of all signing keys, published, active and retired."""
        directory = await self._store.directory()
        return {"keys": [key.public_jwk for key in directory.signing_keys]}

    def _is_fresh(self, etag: str, fingerprint: str, now: int, life_s: int) -> bool:
        known, _, issued = etag.partition(".")
        if known != fingerprint or not (issued.isascii() and issued.isdigit() and len(issued) <= 12):
            return False
        return now - life_s // 2 < int(issued) <= now
