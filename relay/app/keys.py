"""The rotation of sealing and signing keys: by itself on schedule, or by a person's wish.

Leans on the pure plan of core/keyring.py. A live token is never broken: a key is published before it is used and
kept until its last token has ended.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from relay.app.portals import SEALING_KEY
from relay.core.errors import Conflict
from relay.core.keyring import KeyPolicy, forgotten, next_key
from relay.core.sealed import KEY_BYTES
from relay.core.signing import new_private_key
from relay.core.vault import NONCE_BYTES
from relay.records import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.app.settings import IssuerSettings
    from relay.core.keyring import Key, NextKey
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store

RELAY = 0
_MARGIN_S = 300


class Keys:
    """Makes, rotates and forgets keys. Owner 0 is the relay (signing keys), any other a portal (sealing keys)."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, entropy: Entropy, settings: IssuerSettings) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def tend(self) -> int:
        """Make the keys that are due and forget those that are over; how many were made."""
        return await self._each(force=False, at_once=False)

    async def rotate(self, *, at_once: bool) -> int:
        """Make a new key of every owner; with `at_once` it is used now, else once it has been published."""
        return await self._each(force=True, at_once=at_once)

    async def _each(self, *, force: bool, at_once: bool) -> int:
        directory = await self._store.directory()
        now = self._clock.now_ms() // 1000
        longest_s = await self._store.longest_access_s(self._settings.lifetimes.access_s)
        policy = KeyPolicy(
            self._settings.key_rotate_s,
            self._settings.bundle_life_s,
            max(longest_s, self._settings.bundle_life_s) + _MARGIN_S,
        )
        owners: list[tuple[int, Sequence[Key]]] = [(RELAY, directory.signing_keys)]
        owners += [(portal_id, directory.sealing_keys(portal_id)) for portal_id in directory.portals]
        made = 0
        for owner, keys in owners:
            if over := forgotten(keys, now):
                await self._store.forget_keys(owner, over)
            following = next_key(keys, now, policy, force=force, at_once=at_once)
            if following is not None:
                await self._make(owner, following, now)
                made += 1
        return made

    async def _make(self, owner: int, key: NextKey, now: int) -> None:
        material = new_private_key(self._entropy) if owner == RELAY else self._entropy(KEY_BYTES)
        sealed = self._vault.seal(SEALING_KEY, material, self._entropy(NONCE_BYTES))
        details = {"key_id": key.key_id, "active_from": key.active_from}
        entry = AuditEntry("key.made", now, owner or None, None, details)
        with suppress(Conflict):  # another node made it in the same moment
            await self._store.add_key(owner, key, sealed, entry)
