"""The keys an application's deliveries are signed with (Standard Webhooks), sealed at rest, two while rotating."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

from relay.core.vault import NONCE_BYTES
from relay.core.webhook_signature import SIGNING_KEY_BYTES, show_key
from relay.records import AuditEntry

if TYPE_CHECKING:
    from relay.core.model import App
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store

WEBHOOK_KEYS = "webhook-keys"
MAX_KEYS = 2


class WebhookKeys:
    """Makes and rotates signing keys."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy

    async def rotate(self, app: App) -> str:
        """A new key for the application, shown once; the one before it signs too until the next rotation."""
        key = self._entropy(SIGNING_KEY_BYTES)
        keys = [key, *self._keys(app)][:MAX_KEYS]
        await self._save(app, keys, "app.signing_key_made")
        return show_key(key)

    async def retire_old(self, app: App) -> int:
        """Sign with the newest key only; how many are left."""
        keys = self._keys(app)[:1]
        await self._save(app, keys, "app.signing_key_retired")
        return len(keys)

    def _keys(self, app: App) -> list[bytes]:
        return open_signing_keys(self._vault, app.signing_keys_sealed) if app.signing_keys_sealed else []

    async def _save(self, app: App, keys: list[bytes], kind: str) -> None:
        plain = json.dumps([base64.b64encode(key).decode() for key in keys]).encode()
        sealed = self._vault.seal(WEBHOOK_KEYS, plain, self._entropy(NONCE_BYTES)) if keys else None
        await self._store.update_app(app.number, {"signing_keys_sealed": sealed})
        now = self._clock.now_ms() // 1000
        await self._store.add_audit([AuditEntry(kind, now, app.portal_id, app.number)])


def open_signing_keys(vault: Vault, sealed: bytes) -> list[bytes]:
    """The keys, newest first."""
    return [base64.b64decode(key) for key in json.loads(vault.open(WEBHOOK_KEYS, sealed))]
