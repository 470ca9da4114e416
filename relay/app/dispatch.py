"""Delivering events: claims what is due, calls the handlers, stores how it ended, without one delaying another.

Leans on the delivery store's leases, on the handler pool for whose turn it is, and on `Attempts` for the call. Every
try is claimed (and counted) in a commit before it is made, so that a crash loses nothing and repeats at most what was
in flight. A try whose lease cannot be kept is given up before another hand may have it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from relay.app.handler_pool import HandlerPool
from relay.core.delivery import is_handlers_fault, settle
from relay.core.errors import Unavailable
from relay.core.model import DeliveryState, Outcome, Verdict
from relay.records import Finished

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from relay.app.attempt import Attempts
    from relay.app.handler_pool import HandlerState
    from relay.app.settings import DeliverySettings
    from relay.core.breaker import Circuit
    from relay.core.model import Delivery, Handler
    from relay.core.rules import RuleBook
    from relay.ports import Clock, Entropy, Store
    from relay.records import Leased

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Lease:
    """What is in hand: which try, until when by the store's clock, and until when by one that never jumps."""

    attempt: int
    until_ms: int
    until: float


@dataclass(slots=True)
class _Ended:
    """A try that ended and is to be stored. well_again: the handler took it after it had failed."""

    finished: Finished
    delivery: Delivery
    handler: Handler
    well_again: bool


class Dispatcher:
    """One worker that delivers; `run` until cancelled, `drain` to stop softly."""

    def __init__(
        self,
        store: Store,
        attempts: Attempts,
        clock: Clock,
        entropy: Entropy,
        rules: RuleBook,
        settings: DeliverySettings,
        owner: str,
        on_outcome: Callable[[Delivery, Outcome, DeliveryState], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._attempts = attempts
        self._clock = clock
        self._entropy = entropy
        self._settings = settings
        self._owner = owner
        self._on_outcome = on_outcome
        self._pool = HandlerPool(rules, settings.concurrency)
        self._leases: dict[int, _Lease] = {}
        self._tries: dict[int, asyncio.Task[None]] = {}
        self._ended: list[_Ended] = []
        self._to_store = asyncio.Event()
        self._storing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._stopped = asyncio.Event()

    def ring(self, handlers: Iterable[Handler]) -> None:
        """These handlers have work that is due now (the Bell port)."""
        now_ms = self._clock.now_ms()
        for handler in handlers:
            if not handler.paused:
                self._pool.due(handler, now_ms)
        self._wake.set()

    @property
    def in_flight(self) -> int:
        """How many tries are under way."""
        return self._pool.busy

    def circuits(self) -> dict[int, tuple[Circuit, int]]:
        """Each known handler's circuit and calls under way."""
        return self._pool.circuits()

    def drain(self) -> None:
        """Claim nothing more; `run` ends when what is in hand has ended, or after `drain_s`."""
        self._stopped.set()
        self._wake.set()

    async def run(self) -> None:
        """Deliver until `drain` is called. A passing failure of the store only delays."""
        helping = (self._keep_leases(), self._give_up_late(), self._store_as_they_end())
        helpers = [asyncio.create_task(work) for work in helping]
        next_sweep_ms, sweep_ms = 0, self._ms(self._settings.sweep_s)
        try:
            while not self._stopped.is_set():
                self._wake.clear()
                try:
                    if not 0 < next_sweep_ms - self._clock.now_ms() <= sweep_ms:  # the clock may have been set back
                        await self._sweep()
                        next_sweep_ms = self._clock.now_ms() + sweep_ms
                    await self._claim()
                except Unavailable as error:
                    _log.warning("dispatch.store_unavailable", reason=error.description)
                    next_sweep_ms = 0
                    await self._wait(self._stopped, sweep_ms)
                    continue
                self._start_ready()
                now_ms = self._clock.now_ms()
                next_ms = self._pool.next_ms(now_ms)
                wake_ms = next_sweep_ms if next_ms is None else min(next_ms, next_sweep_ms)
                await self._wait(self._wake, min(max(wake_ms - now_ms, 1), sweep_ms))
        finally:
            await self._end(helpers)

    async def _end(self, helpers: list[asyncio.Task[None]]) -> None:
        """Give back what was not started, wait for what is under way, store how it ended."""
        unstarted = self._pool.take_ready()
        if self._tries:
            await asyncio.wait(self._tries.values(), timeout=self._settings.drain_s)
        for task in [*self._tries.values(), *helpers]:
            task.cancel()
        await asyncio.gather(*self._tries.values(), *helpers, return_exceptions=True)
        try:
            await self._store_ended()
            await self._give_back(unstarted)
        except Unavailable as error:
            _log.warning("dispatch.end_not_stored", reason=error.description)

    async def _sweep(self) -> None:
        """Find what nobody rang for: expired leases, held ones to probe, work that another process made due."""
        await self._store_ended()  # what is known here must not be tried again only because its lease ran out
        now_ms = self._clock.now_ms()
        if any(map(self._is_over, self._leases.values())):
            await self._prolong()  # after a jump of the clock what is in hand here is not over for that
        await self._store.release_leases(now_ms=now_ms)
        await self._store.probe_held(now_ms, self._ms(self._settings.probe_s))
        await self._let_rest()
        for handler, due_ms in await self._store.next_due():
            self._pool.due(handler, due_ms)

    async def _let_rest(self) -> None:
        """Give back what is not begun of handlers that somebody has paused since, or switched off."""
        unstarted = self._pool.unstarted()
        if unstarted:
            resting = await self._store.find_resting(unstarted)
            await self._give_back(self._pool.take_ready({id_ for handler in resting for id_ in unstarted[handler]}))

    async def _give_back(self, unstarted: list[Leased]) -> None:
        """What was claimed for nothing is due as before; if that cannot be stored, once its lease is over."""
        for leased in unstarted:
            self._let_go(leased.delivery.id, leased.delivery.attempt)
        if unstarted:
            await self._store.give_back([leased.delivery.id for leased in unstarted], owner=self._owner)

    async def _claim(self) -> None:
        """Claim a round; every handler that has due work gets the same share of what is free."""
        now_ms = self._clock.now_ms()
        wanted = self._pool.wanted(now_ms)
        if not wanted:
            return
        until_ms, until = self._lease_end(now_ms)
        try:
            found = await self._store.claim(wanted, now_ms=now_ms, lease_until_ms=until_ms, owner=self._owner)
        except BaseException:
            self._pool.not_claimed(wanted, now_ms)
            raise
        self._give_up({leased.delivery.id for leased in found})  # an older try of these has lost its lease
        for leased in found:
            self._leases[leased.delivery.id] = _Lease(leased.delivery.attempt, until_ms, until)
        self._pool.claimed(wanted, found, self._clock.now_ms())

    def _start_ready(self) -> None:
        """Start every try that may start now."""
        now_ms = self._clock.now_ms()
        for state, leased in self._pool.startable(now_ms):
            self._start(state, leased)

    def _start(self, state: HandlerState, leased: Leased) -> None:
        delivery_id = leased.delivery.id
        task = asyncio.create_task(self._try(state, leased))
        self._tries[delivery_id] = task
        task.add_done_callback(lambda task: self._try_is_over(state, delivery_id, task))

    def _try_is_over(self, state: HandlerState, delivery_id: int, task: asyncio.Task[None]) -> None:
        if self._tries.get(delivery_id) is task:
            del self._tries[delivery_id]
        if task.cancelled():  # perhaps before its first step
            self._pool.no_call(state, self._clock.now_ms())
        self._pool.ended(state)
        if self._stopped.is_set():
            return
        following = self._pool.next_of(state, self._clock.now_ms())
        if following is not None:
            self._start(state, following)
        elif self._pool.ready:
            self._start_ready()
        if state.due_ms is not None:
            self._wake.set()

    async def _try(self, state: HandlerState, leased: Leased) -> None:
        """One try; an error of our own counts like a failed one, and the delivery is tried again later."""
        delivery, well_again = leased.delivery, False
        started_ms = self._clock.now_ms()
        lease = self._leases.get(delivery.id)
        if lease is None or lease.attempt != delivery.attempt or self._is_late(lease) or self._is_over(lease):
            self._pool.no_call(state, started_ms)
            self._let_go(delivery.id, delivery.attempt)
            return
        try:
            outcome = await self._attempts.make(leased, state.rules)
        except Exception as error:
            if not isinstance(error, Unavailable):
                _log.error("dispatch.internal_error", event_id=delivery.event_id, exc_info=error)
            outcome = Outcome(Verdict.RETRY, None, "internal_error", started_ms, self._clock.now_ms() - started_ms)
            self._pool.no_call(state, self._clock.now_ms())
        else:
            if outcome is None:
                await self._forgo(state, leased)
                return
            well_again = self._judge(state, outcome)
        self._settle(state, delivery, outcome, well_again)

    async def _forgo(self, state: HandlerState, leased: Leased) -> None:
        """There was no try."""
        self._pool.no_call(state, self._clock.now_ms())
        with suppress(Unavailable):
            await self._give_back([leased])

    def _judge(self, state: HandlerState, outcome: Outcome) -> bool:
        """What the try says of the handler as a whole; whether it is well again."""
        now_ms = self._clock.now_ms()
        if outcome.verdict is Verdict.DELIVERED:
            return self._pool.succeeded(state)
        if is_handlers_fault(outcome):
            asked_s = min(outcome.retry_after_s or 0.0, state.rules.retry_after_cap_s)
            self._pool.failed(state, now_ms, self._ms(asked_s))
        else:
            self._pool.no_call(state, now_ms)
        return False

    def _settle(self, state: HandlerState, delivery: Delivery, outcome: Outcome, well_again: bool) -> None:
        settled = settle(
            outcome,
            state.rules,
            tries=delivery.retry_number,
            since_ms=delivery.tries_since_ms,
            now_ms=self._clock.now_ms(),
            spread=self._spread() if outcome.verdict is Verdict.RETRY else 0.0,
        )
        finished = Finished(
            delivery.id,
            delivery.attempt,
            settled.state,
            settled.due_at_ms,
            outcome,
            settled.hold_reason,
            delivery.lane,
            settled.blocks,
        )
        self._ended.append(_Ended(finished, delivery, state.handler, well_again))
        self._to_store.set()
        self._on_outcome(delivery, outcome, settled.state)

    def _spread(self) -> float:
        return int.from_bytes(self._entropy(4), "little") / 2**32

    async def _store_as_they_end(self) -> None:
        """Store ended tries, as many at a time as have ended."""
        while True:
            await self._to_store.wait()
            self._to_store.clear()
            try:
                await self._store_ended()
            except Exception as error:
                reason = error.description if isinstance(error, Unavailable) else None
                _log.warning("dispatch.outcome_not_stored", reason=reason, exc_info=None if reason else error)
                await asyncio.sleep(self._settings.sweep_s)
                self._to_store.set()

    async def _store_ended(self) -> None:
        async with self._storing:
            batch, self._ended = self._ended, []
            if not batch:
                return
            try:
                await self._store.finish([ended.finished for ended in batch], self._owner)
            except BaseException:
                self._ended = batch + self._ended
                raise
        for ended in batch:
            self._let_go(ended.finished.delivery_id, ended.finished.attempt)
            await self._go_on(ended)
        self._wake.set()

    async def _go_on(self, ended: _Ended) -> None:
        """What a stored outcome makes due: its own next try, the next of its lane, or what was held with it."""
        now_ms = self._clock.now_ms()
        finished = ended.finished
        if finished.state is DeliveryState.DUE:
            self._pool.due(ended.handler, finished.due_at_ms)
        elif finished.lane is not None and not finished.blocks:
            self._pool.due(ended.handler, now_ms)
        if finished.state is DeliveryState.DONE and (ended.delivery.was_held or ended.well_again):
            while await self._store.release_held(ended.handler.id, now_ms):
                self._pool.due(ended.handler, now_ms)

    async def _keep_leases(self) -> None:
        """Prolong what is in hand, over and over."""
        while True:
            await asyncio.sleep(self._settings.lease_s / 3)
            await self._prolong()

    async def _prolong(self) -> None:
        """Prolong what is in hand, and let go of what is in another's."""
        held = dict(self._leases)
        if not held:
            return
        until_ms, until = self._lease_end(self._clock.now_ms())
        try:
            async with asyncio.timeout(self._settings.lease_s / 3):
                ours = await self._store.extend_leases(held, owner=self._owner, lease_until_ms=until_ms)
        except (Unavailable, TimeoutError) as error:
            _log.warning("dispatch.leases_not_kept", reason=getattr(error, "description", "no answer"))
            # The clock may have jumped past their end; whose they are then is not known.
            self._give_up({id_ for id_, lease in held.items() if self._is_over(self._leases.get(id_))})
            return
        # Meanwhile a try may have ended, or its delivery been claimed anew.
        held = {id_: lease for id_, lease in held.items() if self._leases.get(id_) is lease}
        stored = {ended.finished.delivery_id for ended in self._ended}
        for delivery_id, lease in held.items():
            if delivery_id in ours:
                self._leases[delivery_id] = _Lease(lease.attempt, until_ms, until)
        self._give_up({id_ for id_ in held if id_ not in ours and id_ not in stored})

    async def _give_up_late(self) -> None:
        """Let go of what could not be prolonged in time, before its lease is over, even while the store hangs."""
        lease_s = self._settings.lease_s
        while True:
            self._give_up({id_ for id_, lease in self._leases.items() if self._is_late(lease)})
            now = asyncio.get_running_loop().time()
            first = min((lease.until for lease in self._leases.values()), default=now + lease_s)
            await asyncio.sleep(max(first - now - lease_s / 10, lease_s / 20))

    def _lease_end(self, now_ms: int) -> tuple[int, float]:
        """When a lease that is asked for now will be over, by the store's clock and by the loop's."""
        return now_ms + self._ms(self._settings.lease_s), asyncio.get_running_loop().time() + self._settings.lease_s

    def _is_late(self, lease: _Lease) -> bool:
        """A lease counts as over a little before its end."""
        return lease.until <= asyncio.get_running_loop().time() + self._settings.lease_s / 10

    def _is_over(self, lease: _Lease | None) -> bool:
        """By the store's clock another may have it."""
        return lease is not None and lease.until_ms <= self._clock.now_ms()

    def _let_go(self, delivery_id: int, attempt: int) -> None:
        """That try is over; a newer one of the same delivery stays in hand."""
        lease = self._leases.get(delivery_id)
        if lease is not None and lease.attempt == attempt:
            del self._leases[delivery_id]

    def _give_up(self, delivery_ids: set[int]) -> None:
        """Let go of deliveries whose lease is lost, or soon will be."""
        self._pool.take_ready(delivery_ids)
        for delivery_id in sorted(delivery_ids):
            self._leases.pop(delivery_id, None)
            if delivery_id in self._tries:
                self._tries[delivery_id].cancel()

    async def _wait(self, event: asyncio.Event, most_ms: int) -> None:
        try:
            async with asyncio.timeout(most_ms / 1000):
                await event.wait()
        except TimeoutError:
            pass

    @staticmethod
    def _ms(seconds: float) -> int:
        return round(seconds * 1000)
