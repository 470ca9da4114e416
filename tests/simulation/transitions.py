"""What may become of one delivery in one commit, by whose hand, and why.

Leans on the oracle's rows and the ledger's calls. Each pair of states has one method here; a pair without one must
never happen. Must never forgive what it cannot explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.lanes import Order
from relay.core.model import Verdict
from tests.simulation.oracle import HEADS, OVER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.clocks import Clocks
    from tests.simulation.ledger import Call, Ledger
    from tests.simulation.oracle import Oracle, Row
    from tests.simulation.report import Report
    from tests.simulation.timeline import Process

SLACK_MS = 2


@dataclass(frozen=True, slots=True)
class Change:
    """One delivery before and after a commit. person: whether a person's command made it.

    now_ms: what the process's clock shows; latest_ms: what it may have shown when the commit was asked for.
    """

    process: Process
    name: str
    old: Row
    new: Row
    now_ms: int
    latest_ms: int
    person: bool

    @property
    def tries(self) -> int:
        """How many tries there have been in the running budget."""
        return self.old.attempts - self.old.retry_base


class Transitions:
    """Judges changes. is_alive: whether a lease's owner still runs."""

    def __init__(
        self,
        oracle: Oracle,
        ledger: Ledger,
        report: Report,
        clocks: Clocks,
        is_alive: Callable[[str], bool],
        alone: bool,
    ) -> None:
        self._oracle = oracle
        self._ledger = ledger
        self._report = report
        self._clocks = clocks
        self._is_alive = is_alive
        self._alone = alone
        self._claimed_ms: dict[tuple[str, int], int] = {}
        self._passed: set[int] = set()
        self._lane_names: dict[int, tuple[str, str, str]] = {}
        self._known = {
            ("due", "leased"): self._claimed,
            ("leased", "leased"): self._prolonged,
            ("leased", "due"): self._returned,
            ("leased", "done"): self._finished,
            ("leased", "held"): self._held,
            ("due", "due"): self._retried,
            ("held", "due"): self._released,
            ("due", "held"): self._skipped,
            ("held", "held"): self._skipped,
            ("accepted", "due"): self._promoted,
            ("accepted", "done"): self._collapsed,
            ("accepted", "dropped"): self._dropped,
            ("due", "dropped"): self._dropped,
            ("held", "dropped"): self._dropped,
        }

    def look_at(self, process: Process, name: str, old: Row | None, new: Row, *, replaying: bool) -> None:
        """Judge one delivery's change."""
        if old is None:
            self._stored(new)
        if old is None and not new.collapsed_into:
            return
        old = old or new._replace(state="accepted")
        now_ms, latest_ms = self._clocks.now_ms(process), self._clocks.latest_ms(process)
        change = Change(process, name, old, new, now_ms, latest_ms, process.name == "person")
        if replaying and old.state in {"done", "dropped", "held"} and new.state in {"accepted", "due"}:
            self._ledger.replayed(new.event_id, new.marker)
            self._expect("replayed", change, new.replay and new.blocks and not change.person)
            return
        judge = self._known.get((old.state, new.state))
        if judge is None:
            self._report.violated("legal states", f"{name}: {new.marker} {old.state} → {new.state}")
        else:
            judge(change)

    def _stored(self, new: Row) -> None:
        item = self._oracle.items.get(new.marker)
        rules = self._oracle.rules(new)
        if item is not None:
            kind = item.event[:9] if rules.order is Order.LANE else ""
            entity = item.entity if rules.order is Order.LANE else ""
            laned = rules.order is Order.HANDLER or (rules.order is Order.LANE and bool(item.entity))
            name = (item.handler.url, kind, entity)
            if laned != (new.lane is not None) or (new.lane and self._lane_names.setdefault(new.lane, name) != name):
                self._report.violated("lane order", f"{new.marker} is in a lane that is not its own")
        if new.state == "due":
            self._check_first(new)
        elif new.state != "accepted" and not new.collapsed_into:
            self._report.violated("legal states", f"{new.marker} begins as {new.state}")

    def _claimed(self, change: Change) -> None:
        old, new = change.old, change.new
        handler = self._oracle.handlers[new.handler_id]
        self._expect("schedule", change, old.due_ms <= change.latest_ms, "before it is due")
        self._expect("try number", change, new.attempts == old.attempts + 1)
        self._expect("lease", change, new.owner == change.process.name, f"for {new.owner}")
        self._expect("paused", change, not handler.paused, f"of {handler.url}, which is paused")
        self._expect("paused", change, not handler.off, f"of {handler.url}, whose application is off")
        self._claimed_ms[new.event_id, new.attempts] = change.now_ms
        if new.attempts == 1 and not new.replay and new.lane is not None:
            for id_ in self._oracle.lanes[new.lane]:
                earlier = self._oracle.rows[id_]
                if id_ < new.id and not (earlier.state in OVER or earlier.replay or id_ in self._passed):
                    self._expect("lane order", change, False, f"before {earlier.marker}, which is {earlier.state}")

    def _prolonged(self, change: Change) -> None:
        same = change.new.attempts == change.old.attempts and change.new.owner == change.old.owner
        self._expect("lease", change, same and change.new.owner == change.process.name, "by another hand")

    def _returned(self, change: Change) -> None:
        old, new = change.old, change.new
        if new.attempts != old.attempts:
            given_back = new.attempts == old.attempts - 1 and self._is_owner(change)
            self._expect("lease", change, given_back, f"of {old.owner}")
            self._expect("try number", change, not self._ledger.has_call(old.event_id, old.attempts), "after its call")
        elif new.due_ms == old.due_ms:
            over = (old.until_ms or 0) <= change.latest_ms
            gone = self._alone and not self._is_alive(old.owner or "")
            self._expect("lease", change, over or gone, f"of {old.owner}, which is not over")
            if (old.until_ms or 0) > change.now_ms:
                self._ledger.taken_away(old.event_id, old.attempts)
        else:
            self._expect("lease", change, self._is_owner(change), f"of {old.owner}")
            self._check_schedule(change)

    def _check_schedule(self, change: Change) -> None:
        """Tried again no sooner and no later than the application's rules say, within the budget."""
        old, new = change.old, change.new
        rules = self._oracle.rules(new)
        call = self._ledger.settled(old.event_id, old.attempts)
        low_ms, high_ms = self._delays_ms(change)
        if call is None or call.outcome is None:
            ended_ms = self._claimed_ms[old.event_id, old.attempts] - (change.latest_ms - change.now_ms)
            self._expect("schedule", change, new.due_ms >= ended_ms + low_ms - SLACK_MS, "too soon")
            return
        self._expect("nothing lost", change, call.outcome.verdict is Verdict.RETRY, f"{call.outcome.verdict}")
        asked_ms = min(call.outcome.retry_after_s or 0.0, rules.retry_after_cap_s) * 1000
        wait_ms = new.due_ms - call.ended_ms
        fits = max(low_ms, asked_ms) - SLACK_MS <= wait_ms <= max(high_ms, asked_ms) + SLACK_MS
        self._expect("schedule", change, fits, f"after {wait_ms} ms, not {low_ms:.0f} to {high_ms:.0f}")
        since_ms = old.since_ms if old.since_ms is not None else call.ended_ms
        within = call.ended_ms + low_ms - since_ms <= rules.retry.budget_s * 1000 + SLACK_MS
        self._expect("schedule", change, within, "past its budget")
        self._expect("schedule", change, not self._may_pass(change), "past the tries after which its lane goes on")

    def _finished(self, change: Change) -> None:
        call = self._settled(change)
        delivered = call is not None and call.outcome is not None and call.outcome.verdict is Verdict.DELIVERED
        self._expect("nothing lost", change, delivered, "although no handler said that it took it")

    def _held(self, change: Change) -> None:
        new = change.new
        call = self._settled(change)
        if not new.blocks:
            self._expect("lane order", change, self._may_pass(change), "and its lane goes on")
            self._passed.add(new.id)
        if call is None or call.outcome is None:
            return
        if new.hold_reason != "budget":
            self._expect("nothing lost", change, call.outcome.verdict is Verdict.HOLD, f"for {new.hold_reason}")
            return
        _, high_ms = self._delays_ms(change)
        spent_ms = call.ended_ms + high_ms - (change.old.since_ms or call.ended_ms)
        spent = spent_ms + SLACK_MS > self._oracle.rules(new).retry.budget_s * 1000
        self._expect("schedule", change, spent or self._may_pass(change), "before its budget is used up")

    def _retried(self, change: Change) -> None:
        self._expect("legal states", change, change.person, "by no person")

    def _released(self, change: Change) -> None:
        """A person's retry, a probe, or what was held with a probe that went well."""
        probed = change.new.hold_reason is not None and change.old.due_ms <= change.latest_ms
        well = change.new.hold_reason is None and change.new.retry_base == change.new.attempts
        by_itself = change.old.hold_reason == "budget" and (probed or well)
        self._expect("legal states", change, change.person or by_itself, f"from {change.old.hold_reason}")

    def _skipped(self, change: Change) -> None:
        self._expect("legal states", change, change.person, "by no person")
        if not change.new.blocks:
            self._passed.add(change.new.id)

    def _promoted(self, change: Change) -> None:
        self._check_first(change.new)

    def _collapsed(self, change: Change) -> None:
        old, new = change.old, change.new
        item = self._oracle.items[new.marker]
        into = [row for row in self._oracle.rows.values() if row.event_id == new.collapsed_into]
        same = [self._oracle.items[row.marker] for row in into if row.handler_id == old.handler_id and row.id > old.id]
        fits = bool(same) and same[0].event == item.event and same[0].entity == item.entity
        allowed = self._oracle.rules(new).collapse and old.attempts == 0 and not old.replay
        self._expect("nothing lost", change, fits and allowed, "collapsed into what is not its like")

    def _dropped(self, change: Change) -> None:
        self._expect("nothing lost", change, change.person, "by no person")

    def _check_first(self, new: Row) -> None:
        """Nothing that is due has another head in its lane."""
        for id_ in self._oracle.lanes[new.lane] if new.lane is not None else ():
            other = self._oracle.rows[id_]
            heads = other.blocks and other.state in HEADS and not other.replay and id_ not in self._passed
            if heads and id_ != new.id and not new.replay and new.blocks:
                self._report.violated("lane order", f"{new.marker} is due while {other.marker} is {other.state}")

    def _settled(self, change: Change) -> Call | None:
        self._expect("lease", change, self._is_owner(change), f"of {change.old.owner}")
        return self._ledger.settled(change.old.event_id, change.old.attempts)

    def _is_owner(self, change: Change) -> bool:
        return change.old.owner == change.process.name

    def _may_pass(self, change: Change) -> bool:
        skip_after = self._oracle.rules(change.new).skip_after
        return bool(skip_after) and change.tries >= skip_after

    def _delays_ms(self, change: Change) -> tuple[float, float]:
        policy = self._oracle.rules(change.new).retry
        delay_ms = min(policy.first_s * policy.factor ** (change.tries - 1), policy.cap_s) * 1000
        return delay_ms * (1 - policy.jitter), delay_ms * (1 + policy.jitter)

    def _expect(self, invariant: str, change: Change, holds: object, words: str = "") -> None:
        if not holds:
            was = f"{change.new.marker} {change.old.state} → {change.new.state}"
            self._report.violated(invariant, f"{change.process.name} {change.name}: {was} {words}".rstrip())
