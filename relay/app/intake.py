"""Taking events: `rest.event.call` is answered once every item is on disk, or not at all.

Leans on the delivery store, which shares one commit between concurrent calls. Never refuses an item for what it
holds: a stock portal would lose it. What cannot be kept safely is refused whole, by the one answer after which a
portal's outbox tries again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relay.core.errors import Unavailable
from relay.core.lanes import lane_of
from relay.core.portal_rpc import parse_event_call
from relay.core.vault import NONCE_BYTES
from relay.records import NewDelivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.app.settings import IntakeSettings
    from relay.core.model import EventItem, Portal
    from relay.core.phpform import Form
    from relay.core.rules import RuleBook
    from relay.core.vault import Vault
    from relay.ports import Bell, Clock, Entropy, Store

EVENT_AUTH = "event-auth"
EVENT_FORM = "event-form"


class Intake:
    """Accepts events into the store and rings for them, after the commit."""

    def __init__(
        self,
        store: Store,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        settings: IntakeSettings,
        rules: RuleBook,
        bell: Bell,
        room: Callable[[], Awaitable[str | None]],
    ) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._rules = rules
        self._bell = bell
        self._room = room

    async def event_call(self, portal: Portal, form: Form) -> bool:
        """`rest.event.call` (protocol.md section 5). Raises InvalidRequest, RequestTooLarge, Unavailable."""
        refusal = await self._room()
        if refusal is not None:
            raise Unavailable(refusal)
        now_ms = self._clock.now_ms()
        items = parse_event_call(form, self._settings.max_items)
        deliveries = [self._new_delivery(portal, item, now_ms) for item in items]
        self._bell.ring(await self._store.accept(deliveries, now_ms))
        return True

    def _new_delivery(self, portal: Portal, item: EventItem, now_ms: int) -> NewDelivery:
        rules = self._rules.of(item.client_id)
        handler = f"{portal.id}\n{item.client_id}\n{item.handler_url}"
        form = item.form.encode("ascii")
        sealed = self._settings.encrypt_payloads
        return NewDelivery(
            event_id=new_event_id(now_ms, self._entropy),
            portal_id=portal.id,
            item=item,
            form=self._vault.seal(EVENT_FORM, form, self._entropy(NONCE_BYTES)) if sealed else form,
            form_is_sealed=sealed,
            auth_sealed=self._vault.seal(EVENT_AUTH, json.dumps(item.auth).encode(), self._entropy(NONCE_BYTES)),
            lane=lane_of(rules.order, handler, item.entity),
            collapse=rules.collapse,
        )


def new_event_id(now_ms: int, entropy: Callable[[int], bytes]) -> str:
    """32 hex characters that sort by time (the layout of UUID version 7, RFC 9562 section 5.7)."""
    raw = bytearray(now_ms.to_bytes(6, "big") + entropy(10))
    raw[6] = raw[6] & 0x0F | 0x70
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()
