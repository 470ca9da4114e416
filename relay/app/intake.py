"""Taking events: `rest.event.call` is answered once every item is on disk, or not at all.

Leans on the delivery store, which shares one commit between concurrent calls. Never refuses an item for what it
holds: a stock portal would lose it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relay.core.portal_rpc import parse_event_call
from relay.core.vault import NONCE_BYTES
from relay.ports import NewDelivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.app.settings import IntakeSettings
    from relay.core.model import Portal
    from relay.core.phpform import Form
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store

EVENT_AUTH = "event-auth"


class Intake:
    """Accepts events into the store; `on_accepted` is told the handlers concerned, after the commit."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        settings: IntakeSettings,
        on_accepted: Callable[[Iterable[int]], None],
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._on_accepted = on_accepted

    async def event_call(self, portal: Portal, form: Form) -> bool:
        """`rest.event.call` (protocol.md section 5). Raises InvalidRequest, RequestTooLarge, Unavailable."""
        now_ms = self._clock.now_ms()
        deliveries = [
            NewDelivery(
                event_id=new_event_id(now_ms, self._entropy),
                portal_id=portal.id,
                item=item,
                auth_sealed=self._vault.seal(EVENT_AUTH, json.dumps(item.auth).encode(), self._entropy(NONCE_BYTES)),
            )
            for item in parse_event_call(form, self._settings.max_items)
        ]
        self._on_accepted(await self._store.accept(deliveries, now_ms))
        return True


def new_event_id(now_ms: int, entropy: Callable[[int], bytes]) -> str:
    """32 hex characters that sort by time (the layout of UUID version 7, RFC 9562 section 5.7)."""
    raw = bytearray(now_ms.to_bytes(6, "big") + entropy(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()
