"""One try of one delivery: the token minted for it, the body, the headers, the call.

Leans on the core for what is sent and on the sender for sending it. Never keeps a token or a payload beyond the call.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from relay.app.intake import EVENT_AUTH, EVENT_FORM
from relay.app.webhook_keys import open_signing_keys
from relay.core.delivery import (
    ATTEMPT_HEADER,
    EVENT_ID_HEADER,
    REPLAY_HEADER,
    EventToken,
    handler_body,
    token_parameters,
    wants_token,
)
from relay.core.tokens import mint_access_token
from relay.core.urlpolicy import build_policy
from relay.core.webhook_signature import signature_headers
from relay.records import Message

if TYPE_CHECKING:
    from relay.app.settings import IssuerSettings
    from relay.app.tokens import Tokens
    from relay.core.directory import Directory
    from relay.core.model import App, Delivery, EventItem, Outcome, Portal
    from relay.core.rules import DeliveryRules
    from relay.core.urlpolicy import UrlPolicy
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Sender, Store
    from relay.records import Leased

_FORM_TYPE = "application/x-www-form-urlencoded"


class Attempts:
    """Makes tries."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        tokens: Tokens,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        issuer: IssuerSettings,
    ) -> None:
        self._store = store
        self._sender = sender
        self._tokens = tokens
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._policies: dict[int, tuple[tuple[str, ...], UrlPolicy]] = {}

    async def make(self, leased: Leased, rules: DeliveryRules) -> Outcome | None:
        """Call the handler once; None, and no call, if its application has been switched off since it was claimed.

        Raises Unavailable if a token that must be stored first cannot be.
        """
        directory = await self._store.directory()
        delivery = leased.delivery
        item = self._open(leased)
        portal = directory.portals[delivery.portal_id]
        app = directory.app(portal.id, item.client_id) if item.client_id else None
        if app is not None and app.switched_off:
            return None
        token = await self._token(directory, app, item)
        now = self._clock.now_ms() // 1000
        body = handler_body(item, portal, app, token, server_endpoint=self._issuer.server_endpoint, now=now)
        url = rules.amqp.get(item.handler_url, item.handler_url)
        headers = dict(rules.transport.headers) | self._headers(delivery, app, now, body)
        message = Message(portal.id, url, body, headers)
        return await self._sender.send(message, self._policy(portal), rules)

    def _open(self, leased: Leased) -> EventItem:
        auth = json.loads(self._vault.open(EVENT_AUTH, leased.auth_sealed))
        form = self._vault.open(EVENT_FORM, leased.form) if leased.form_is_sealed else leased.form
        return replace(leased.delivery.item, auth=auth, form=form.decode("ascii"))

    def _headers(self, delivery: Delivery, app: App | None, now: int, body: bytes) -> dict[str, str]:
        headers = {
            "Content-Type": _FORM_TYPE,
            EVENT_ID_HEADER: delivery.event_id,
            ATTEMPT_HEADER: str(delivery.attempt),
        }
        if delivery.replay:
            headers[REPLAY_HEADER] = "1"
        if app is not None and app.signing_keys_sealed is not None:
            keys = open_signing_keys(self._vault, app.signing_keys_sealed)
            headers |= signature_headers(delivery.event_id, now, body, keys)
        return headers

    async def _token(self, directory: Directory, app: App | None, item: EventItem) -> EventToken | None:
        """A token minted for this try; with a grant of its own where a refresh token is wanted."""
        if app is None or not wants_token(item, app):
            return None
        parameters = token_parameters(item)
        if item.send_refresh_token:
            pair = await self._tokens.open_grant(directory, app, item.user_id, parameters)
            return EventToken(pair.access_token, pair.expires, pair.refresh_token)
        access = mint_access_token(
            directory,
            app,
            item.user_id,
            parameters=parameters,
            scope=None,
            now=self._clock.now_ms() // 1000,
            issuer=self._issuer.public_url,
            lifetimes=self._issuer.lifetimes,
            entropy=self._entropy,
        )
        if access.stored is not None:
            await self._store.save_parameters(access)
        return EventToken(access.text, access.expires)

    def _policy(self, portal: Portal) -> UrlPolicy:
        allow, policy = self._policies.get(portal.id, (None, None))
        if policy is None or allow != portal.allow:
            policy = build_policy(portal.allow)
            self._policies[portal.id] = (portal.allow, policy)
        return policy
