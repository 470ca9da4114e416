"""Delivering events: claims what is due, calls the handlers, stores how it ended, without one delaying another.

Leans on the delivery store's leases and on the sender. Every try is claimed (and counted) in a commit before it
is made, so that a crash loses nothing and repeats at most what was in flight. Never holds more than
`concurrency` tries in hand, nor more than `handler_concurrency` of one handler.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from relay.app.intake import EVENT_AUTH
from relay.core.delivery import (
    ATTEMPT_HEADER,
    EVENT_ID_HEADER,
    EventToken,
    handler_body,
    settle,
    token_parameters,
    wants_token,
)
from relay.core.errors import Unavailable
from relay.core.model import DeliveryState, Outcome, Verdict
from relay.core.tokens import mint_access_token
from relay.core.urlpolicy import build_policy
from relay.ports import Finished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.app.settings import DeliverySettings, IssuerSettings
    from relay.app.tokens import Tokens
    from relay.core.directory import Directory
    from relay.core.model import App, Delivery, Portal
    from relay.core.urlpolicy import UrlPolicy
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Sender, Store

_log = structlog.get_logger(__name__)
_FORM_TYPE = "application/x-www-form-urlencoded"


class Dispatcher:
    """One worker that delivers; `run` until cancelled, `drain` to stop softly."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        tokens: Tokens,
        vault: Vault,
        clock: Clock,
        entropy: Entropy,
        issuer: IssuerSettings,
        settings: DeliverySettings,
        owner: str,
        on_outcome: Callable[[Delivery, Outcome, DeliveryState], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._sender = sender
        self._tokens = tokens
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer
        self._settings = settings
        self._owner = owner
        self._on_outcome = on_outcome
        self._due: dict[int, int] = {}
        self._busy: dict[int, int] = {}
        self._in_hand: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._finished: list[Finished] = []
        self._flush = asyncio.Event()
        self._policies: dict[int, tuple[tuple[str, ...], UrlPolicy]] = {}

    def notify(self, handler_ids: Iterable[int]) -> None:
        """Say that these handlers have work that is due now."""
        now_ms = self._clock.now_ms()
        for handler_id in handler_ids:
            self._due[handler_id] = min(now_ms, self._due.get(handler_id, now_ms))
        self._wake.set()

    @property
    def in_flight(self) -> int:
        """How many tries are under way."""
        return len(self._in_hand)

    async def run(self) -> None:
        """Deliver until `drain` is called. A passing failure of the store only delays."""
        writer = asyncio.create_task(self._write_outcomes())
        next_sweep_ms = 0
        try:
            while not self._stopping:
                self._wake.clear()
                try:
                    if self._clock.now_ms() >= next_sweep_ms:
                        await self._sweep()
                        next_sweep_ms = self._clock.now_ms() + round(self._settings.sweep_s * 1000)
                    await self._start_due()
                except Unavailable as error:
                    _log.warning("dispatch.store_unavailable", reason=error.description)
                    next_sweep_ms = 0
                    await self._pause()
                    continue
                await self._sleep_until(next_sweep_ms)
        finally:
            if self._in_hand:
                await asyncio.wait(self._in_hand, timeout=self._settings.drain_s)
            for task in list(self._in_hand):
                task.cancel()
            await asyncio.gather(*self._in_hand, return_exceptions=True)
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            await self._store_outcomes()

    def drain(self) -> None:
        """Claim nothing more; `run` ends when what is in hand has ended, or after `drain_s`."""
        self._stopping = True
        self._wake.set()
        self._stopped.set()

    async def _pause(self) -> None:
        """Leave a store that fails alone for a while, whatever is due; `drain` ends it."""
        try:
            async with asyncio.timeout(self._settings.sweep_s):
                await self._stopped.wait()
        except TimeoutError:
            pass

    async def _sleep_until(self, next_sweep_ms: int) -> None:
        now_ms = self._clock.now_ms()
        ready = [due for handler, due in self._due.items() if self._free_slots(handler) > 0]
        wake_ms = min([next_sweep_ms, *ready]) if self._free() > 0 else next_sweep_ms
        try:
            async with asyncio.timeout(max(wake_ms - now_ms, 1) / 1000):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _sweep(self) -> None:
        """Find what nobody announced: expired leases, and work that another process made due."""
        await self._store.release_leases(now_ms=self._clock.now_ms())
        found = await self._store.next_due()
        for handler_id, due_ms in found.items():
            self._due[handler_id] = min(due_ms, self._due.get(handler_id, due_ms))

    async def _start_due(self) -> None:
        """Claim a round: every handler that has due work gets the same share of what is free."""
        now_ms = self._clock.now_ms()
        waiting = [h for h, due in self._due.items() if due <= now_ms and self._free_slots(h) > 0]
        if not waiting or self._free() <= 0:
            return
        share = max(self._free() // len(waiting), 1)
        wanted = {h: min(share, self._free_slots(h)) for h in waiting[: self._free()]}
        for handler_id in wanted:
            # Taken out before the claim and put at the end after it: what is announced meanwhile is not lost,
            # and the next round starts with those that this one left out.
            del self._due[handler_id]
        lease_until_ms = now_ms + round(self._settings.lease_s * 1000)
        try:
            claimed = await self._store.claim(wanted, now_ms=now_ms, lease_until_ms=lease_until_ms, owner=self._owner)
            directory = await self._store.directory()
        except Unavailable:
            self.notify(wanted)
            raise
        counts = dict.fromkeys(wanted, 0)
        for delivery, auth_sealed in claimed:
            counts[delivery.handler_id] += 1
            self._start(delivery, auth_sealed, directory)
        full = [handler_id for handler_id, limit in wanted.items() if counts[handler_id] == limit]
        self.notify(full)

    def _start(self, delivery: Delivery, auth_sealed: bytes, directory: Directory) -> None:
        self._busy[delivery.handler_id] = self._busy.get(delivery.handler_id, 0) + 1
        task = asyncio.create_task(self._try(delivery, auth_sealed, directory))
        self._in_hand.add(task)
        task.add_done_callback(lambda done: self._ended(done, delivery.handler_id))

    def _ended(self, task: asyncio.Task[None], handler_id: int) -> None:
        self._in_hand.discard(task)
        self._busy[handler_id] -= 1
        if not self._busy[handler_id]:
            del self._busy[handler_id]
        if handler_id in self._due:
            self._wake.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("dispatch.try_failed", handler_id=handler_id, exc_info=error)

    async def _try(self, delivery: Delivery, auth_sealed: bytes, directory: Directory) -> None:
        """One try. An error of our own is stored like a failed try: the delivery is tried again later."""
        started_ms = self._clock.now_ms()
        try:
            outcome = await self._attempt(delivery, auth_sealed, directory)
        except Exception as error:
            _log.error("dispatch.internal_error", event_id=delivery.event_id, exc_info=error)
            outcome = Outcome(Verdict.RETRY, None, "internal_error", started_ms, self._clock.now_ms() - started_ms)
        now_ms = self._clock.now_ms()
        state, due_ms = settle(
            outcome,
            self._settings.retry,
            attempt=delivery.retry_number,
            since_ms=delivery.tries_since_ms,
            now_ms=now_ms,
            spread=int.from_bytes(self._entropy(4), "little") / 2**32,
        )
        self._finished.append(Finished(delivery.id, delivery.attempt, state, due_ms, outcome))
        self._flush.set()
        if state is DeliveryState.DUE:
            self._due[delivery.handler_id] = min(due_ms, self._due.get(delivery.handler_id, due_ms))
        self._on_outcome(delivery, outcome, state)

    async def _attempt(self, delivery: Delivery, auth_sealed: bytes, directory: Directory) -> Outcome:
        auth = json.loads(self._vault.open(EVENT_AUTH, auth_sealed))
        item = replace(delivery.item, auth=auth)
        portal = directory.portals[delivery.portal_id]
        app = directory.app(portal.id, item.client_id) if item.client_id else None
        token = await self._token(directory, app, replace(delivery, item=item))
        now = self._clock.now_ms() // 1000
        body = handler_body(item, portal, app, token, server_endpoint=self._issuer.server_endpoint, now=now)
        headers = {
            "Content-Type": _FORM_TYPE,
            EVENT_ID_HEADER: delivery.event_id,
            ATTEMPT_HEADER: str(delivery.attempt),
        }
        return await self._sender.send(portal.id, self._policy(portal), item.handler_url, body, headers)

    async def _token(self, directory: Directory, app: App | None, delivery: Delivery) -> EventToken | None:
        """A token minted for this try; with a grant of its own where a refresh token is wanted."""
        item = delivery.item
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

    async def _write_outcomes(self) -> None:
        """Store ended tries, as many at a time as have ended."""
        while True:
            await self._flush.wait()
            self._flush.clear()
            try:
                await self._store_outcomes()
            except Unavailable as error:
                _log.warning("dispatch.outcome_not_stored", reason=error.description)
                await asyncio.sleep(self._settings.sweep_s)
                self._flush.set()

    async def _store_outcomes(self) -> None:
        batch, self._finished = self._finished, []
        if not batch:
            return
        try:
            await self._store.finish(batch, self._owner)
        except Unavailable:
            self._finished = batch + self._finished
            raise
        if any(finished.state is DeliveryState.DUE for finished in batch):
            self._wake.set()

    def _free(self) -> int:
        return self._settings.concurrency - len(self._in_hand)

    def _free_slots(self, handler_id: int) -> int:
        return self._settings.handler_concurrency - self._busy.get(handler_id, 0)

    def _policy(self, portal: Portal) -> UrlPolicy:
        allow, policy = self._policies.get(portal.id, (None, None))
        if policy is None or allow != portal.allow:
            policy = build_policy(portal.allow)
            self._policies[portal.id] = (portal.allow, policy)
        return policy
