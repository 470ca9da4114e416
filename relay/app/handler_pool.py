"""What a worker knows of each handler: its due time, what is claimed for it, how many calls it bears, its circuit.

Leans on the pure breaker. Decides who may be claimed and called next, giving every handler the same share; does no
I/O. A handler nobody knows yet is called gently, one that fails less and less, one that answers more and more.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.core.breaker import Breaker, Circuit, may_call, on_call, on_failure, on_no_call, on_success

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.core.model import Handler
    from relay.core.rules import DeliveryRules, RuleBook
    from relay.records import Leased

FIRST_WINDOW = 2
PREFETCH = 2


@dataclass(slots=True)
class HandlerState:
    """One handler in a worker's memory. window: calls at once it may have now. due_ms: when to claim for it."""

    handler: Handler
    rules: DeliveryRules
    due_ms: int | None = None
    busy: int = 0
    window: int = FIRST_WINDOW
    not_before_ms: int = 0
    breaker: Breaker = field(default_factory=Breaker)
    ready: deque[Leased] = field(default_factory=deque)
    claiming: bool = False

    def free(self) -> int:
        """How many calls more it may have now."""
        limit = min(self.window, self.rules.concurrency) if self.breaker.circuit is Circuit.CLOSED else 1
        return limit - self.busy

    def is_suspect(self) -> bool:
        """Whether its last call failed."""
        return self.breaker.failures > 0


class HandlerPool:
    """All handlers that have something due, claimed or under way."""

    def __init__(self, rules: RuleBook, concurrency: int) -> None:
        self._rules = rules
        self._concurrency = concurrency
        self._states: dict[int, HandlerState] = {}
        self.busy = 0
        self.ready = 0

    def due(self, handler: Handler, at_ms: int) -> None:
        """There is something to claim for this handler from then on."""
        state = self._states.get(handler.id)
        if state is None:
            state = self._states[handler.id] = HandlerState(handler, self._rules.of(handler.client_id))
        state.due_ms = at_ms if state.due_ms is None else min(at_ms, state.due_ms)

    def wanted(self, now_ms: int) -> dict[int, int]:
        """How many to claim for whom. Those handlers count as not due until `claimed` says more."""
        room = self._concurrency * PREFETCH - self.busy - self.ready
        waiting = self._in_reach([state for state in self._states.values() if self._may_claim(state, now_ms)])
        if room <= 0 or not waiting:
            return {}
        share = max(room // len(waiting), 1)
        chosen = waiting[:room]
        for state in chosen:
            state.due_ms = None
            state.claiming = True
            # To the end of the row: the next round begins with those that this one left out.
            del self._states[state.handler.id]
            self._states[state.handler.id] = state
        return {state.handler.id: min(share, self._room_of(state)) for state in chosen}

    def claimed(self, wanted: dict[int, int], found: list[Leased], now_ms: int) -> None:
        """What the claim brought; a handler that got all it wanted probably has more."""
        counts = dict.fromkeys(wanted, 0)
        for leased in found:
            handler_id = leased.delivery.handler_id
            counts[handler_id] += 1
            self._states[handler_id].ready.append(leased)
        self.ready += len(found)
        for handler_id, most in wanted.items():
            state = self._states[handler_id]
            state.claiming = False
            if counts[handler_id] == most:
                self.due(state.handler, now_ms)
            self._forget_if_idle(state)

    def not_claimed(self, wanted: dict[int, int], now_ms: int) -> None:
        """The claim failed: they are due as before."""
        for handler_id in wanted:
            self._states[handler_id].claiming = False
            self.due(self._states[handler_id].handler, now_ms)

    def startable(self, now_ms: int) -> Iterator[tuple[HandlerState, Leased]]:
        """What may be called now, one of each handler in turn; each counts as under way."""
        suspects = sum(state.busy for state in self._states.values() if state.is_suspect())
        progress = True
        while progress and self.busy < self._concurrency:
            progress = False
            for state in list(self._states.values()):
                if not state.ready or not self._may_start(state, now_ms):
                    continue
                if state.is_suspect() and suspects >= self._concurrency // 2:
                    continue
                suspects += state.is_suspect()
                progress = True
                yield state, self._start(state, now_ms)
                if self.busy >= self._concurrency:
                    break

    def next_of(self, state: HandlerState, now_ms: int) -> Leased | None:
        """The next call of a handler whose last one has just ended, if nobody else's turn comes first."""
        crowded = self.busy >= self._concurrency - self._concurrency // 8
        if crowded or state.is_suspect() or not state.ready or not self._may_start(state, now_ms):
            return None
        return self._start(state, now_ms)

    def succeeded(self, state: HandlerState) -> bool:
        """A call that the handler took; whether the one before it had failed: it is well again."""
        was_suspect = state.is_suspect()
        state.breaker = on_success(state.breaker)
        state.window = min(state.window + 1, state.rules.concurrency)
        return was_suspect

    def failed(self, state: HandlerState, now_ms: int, retry_after_ms: int) -> None:
        """A call that failed for the handler's fault; retry_after_ms: what it asked for, within bounds."""
        state.breaker = on_failure(state.breaker, state.rules.breaker, now_ms)
        state.window = max(state.window // 2, 1)
        if retry_after_ms:
            state.not_before_ms = max(state.not_before_ms, now_ms + retry_after_ms)

    def no_call(self, state: HandlerState, now_ms: int) -> None:
        """A call that said nothing of the handler: another's fault, or it was given up."""
        state.breaker = on_no_call(state.breaker, now_ms)

    def ended(self, state: HandlerState) -> None:
        """A call is over, however it went."""
        state.busy -= 1
        self.busy -= 1
        self._forget_if_idle(state)

    def unstarted(self) -> dict[int, set[int]]:
        """The deliveries that are claimed and not started, by handler."""
        return {
            handler_id: {leased.delivery.id for leased in state.ready}
            for handler_id, state in self._states.items()
            if state.ready
        }

    def take_ready(self, delivery_ids: set[int] | None = None) -> list[Leased]:
        """Take claimed deliveries out that were not started: those named, or all."""
        taken: list[Leased] = []
        for state in list(self._states.values()):
            kept: deque[Leased] = deque()
            for leased in state.ready:
                (taken if delivery_ids is None or leased.delivery.id in delivery_ids else kept).append(leased)
            state.ready = kept
            self._forget_if_idle(state)
        self.ready -= len(taken)
        return taken

    def next_ms(self, now_ms: int) -> int | None:
        """When something may next be claimed or called, as far as is known; None: not before something happens."""
        times = []
        suspects_have_room = self._suspect_room() > 0
        for state in self._states.values():
            if state.free() <= 0 or (state.is_suspect() and not suspects_have_room):
                continue
            at_ms = self._callable_from_ms(state)
            if state.ready and self.busy < self._concurrency:
                times.append(at_ms)
            elif state.due_ms is not None and self.busy + self.ready < self._concurrency * PREFETCH:
                times.append(max(at_ms, state.due_ms))
        return max(min(times), now_ms) if times else None

    def circuits(self) -> dict[int, tuple[Circuit, int]]:
        """Each known handler's circuit and how many calls it has under way."""
        return {handler_id: (state.breaker.circuit, state.busy) for handler_id, state in self._states.items()}

    def _suspect_room(self) -> int:
        """How many more may be in hand for handlers that fail: together they get half of the calls at most."""
        in_hand = sum(state.busy + len(state.ready) for state in self._states.values() if state.is_suspect())
        return self._concurrency // 2 - in_hand

    def _in_reach(self, waiting: list[HandlerState]) -> list[HandlerState]:
        """Without the failing handlers whose turn is not in sight: what is claimed for them would only take room."""
        room = self._suspect_room()
        suspects = [state for state in waiting if state.is_suspect()][: max(room, 0)]
        allowed = {state.handler.id for state in suspects}
        return [state for state in waiting if not state.is_suspect() or state.handler.id in allowed]

    def _may_claim(self, state: HandlerState, now_ms: int) -> bool:
        return (
            state.due_ms is not None
            and state.due_ms <= now_ms
            and self._room_of(state) > 0
            and (self._callable_from_ms(state) <= now_ms)
        )

    def _room_of(self, state: HandlerState) -> int:
        """How many may be claimed: what may be called now, and as many again to have at hand."""
        if state.breaker.circuit is not Circuit.CLOSED:
            return 1 - state.busy - len(state.ready)
        limit = min(state.window, state.rules.concurrency)
        return limit * PREFETCH - state.busy - len(state.ready)

    def _may_start(self, state: HandlerState, now_ms: int) -> bool:
        return state.free() > 0 and self._callable_from_ms(state) <= now_ms and may_call(state.breaker, now_ms)

    def _callable_from_ms(self, state: HandlerState) -> int:
        if state.breaker.circuit is Circuit.OPEN:
            return max(state.not_before_ms, state.breaker.probe_at_ms)
        return state.not_before_ms

    def _start(self, state: HandlerState, now_ms: int) -> Leased:
        state.breaker = on_call(state.breaker)
        state.busy += 1
        self.busy += 1
        self.ready -= 1
        if state.rules.rate > 0:
            state.not_before_ms = max(state.not_before_ms, now_ms) + round(1000 / state.rules.rate)
        return state.ready.popleft()

    def _forget_if_idle(self, state: HandlerState) -> None:
        idle = state.due_ms is None and not (state.busy or state.ready or state.claiming)
        if idle and not state.is_suspect() and state.not_before_ms == 0:
            self._states.pop(state.handler.id, None)
