"""Every call of a handler there ever was, and what must hold of them: one hand, no needless repeats, one event id.

Leans on what the network reports. A repeat is forgiven only if the call before it was in flight when its process
crashed, stalled or could not keep its lease, or if its answer was lost. Must never learn anything from the engine's
memory.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.core.delivery import ATTEMPT_HEADER, EVENT_ID_HEADER, REPLAY_HEADER
from relay.core.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.model import Outcome
    from relay.records import Message
    from tests.simulation.clocks import Clocks
    from tests.simulation.report import Report
    from tests.simulation.timeline import Process, Timeline

NOT_KEPT = "its lease could not be kept"
_MARKER = re.compile(rb"marker=(m\d+)")


@dataclass(eq=False, slots=True)
class Call:
    """One try as the network saw it. until: its time-out. round: how many replays there were before it."""

    process: Process
    event_id: str
    attempt: int
    url: str
    round: int
    until: float
    open: bool = True
    outcome: Outcome | None = None
    ended_ms: int = 0
    taken: bool = False
    settled: bool = False
    excuse: str = ""
    may_overlap: bool = False


@dataclass(slots=True)
class History:
    """The calls of one event."""

    marker: str
    calls: dict[int, Call] = field(default_factory=dict)
    round: int = 0
    taken: int = 0


class Ledger:
    """All calls of one history. grace_s: how long a worker may take to notice that it lost its leases."""

    def __init__(
        self,
        timeline: Timeline,
        grace_s: float,
        clocks: Clocks,
        crash: Callable[[Process, str], None],
        report: Report,
        *,
        alone: bool,
    ) -> None:
        self._timeline = timeline
        self._grace_s = grace_s
        self._clocks = clocks
        self._report = report
        self._alone = alone
        self._unsettled: list[Call] = []
        self._disturbed: dict[Process, float] = {}
        self._not_kept: dict[Process, float] = {}
        self._taken_away: set[tuple[str, int]] = set()
        self.crash = crash
        self.stopping: set[Process] = set()
        self.events: dict[str, History] = {}
        self.ids: dict[str, str] = {}

    def begin(self, process: Process, message: Message, until: float) -> Call:
        """A process calls a handler."""
        event_id = message.headers[EVENT_ID_HEADER]
        attempt = int(message.headers[ATTEMPT_HEADER])
        found = _MARKER.search(message.body)
        marker = found[1].decode() if found else "?"
        history = self.events.setdefault(event_id, History(marker))
        call = Call(process, event_id, attempt, message.url, history.round, until)
        self._report.calls += 1
        self._report.note(process.name, f"calls {message.url} for {marker}, try {attempt}")
        if self.ids.setdefault(marker, event_id) != event_id or history.marker != marker:
            self._report.violated("same event id", f"{marker} is called under two event ids")
        if attempt in history.calls:
            self._report.violated("try number", f"try {attempt} of {marker} is made twice")
        if (REPLAY_HEADER in message.headers) != (history.round > 0):
            self._report.violated("replay header", f"{marker} after {history.round} replays")
        if (event_id, attempt) in self._taken_away:
            self._excuse_clock(call)
        self._check_hands(call, history)
        if self._timeline.now < self._not_kept.get(process, float("-inf")) + 2 * self._grace_s:
            call.excuse = call.excuse or NOT_KEPT
        history.calls[attempt] = call
        self._unsettled.append(call)
        return call

    def end(self, call: Call, outcome: Outcome | None) -> None:
        """The caller has its answer (None: it gave the call up)."""
        call.open = False
        call.outcome = outcome
        call.ended_ms = self._clocks.now_ms(call.process)
        if outcome is None and call.process in self.stopping:
            call.excuse = call.excuse or "stopped"
        word = outcome.error or outcome.verdict if outcome else "given up"
        self._report.note(call.process.name, f"try {call.attempt} of {self.events[call.event_id].marker}: {word}")

    def taken(self, call: Call, *, told: bool) -> None:
        """A handler takes an event; told: whether its caller will hear of it in time, if all goes well."""
        history = self.events[call.event_id]
        before = [one for one in history.calls.values() if one.taken and one.round == call.round]
        if before:
            self._report.doubled += 1
            last = before[-1]
            heard = last.outcome is not None and last.outcome.verdict is Verdict.DELIVERED
            knows = self._alone and heard and last.process is call.process and last.excuse == NOT_KEPT
            if knows or not (last.excuse or self._disturbed_lately(call.process)):
                why = f"try {last.attempt} was taken, " + ("as it knows" if knows else "and nothing happened to it")
                self._report.violated("duplicate", f"{history.marker} is taken again by try {call.attempt}: {why}")
        call.taken = True
        history.taken += 1
        if not told:
            self.answer_lost(call)

    def answer_lost(self, call: Call) -> None:
        """Its caller does not learn how it ended."""
        call.excuse = call.excuse or "answer lost"

    def settled(self, event_id: str, attempt: int) -> Call | None:
        """How this try ended is on disk."""
        history = self.events.get(event_id)
        call = history.calls.get(attempt) if history else None
        if call is not None:
            call.settled = True
        return call

    def replayed(self, event_id: str, marker: str) -> None:
        """A person had it sent again: from now on it may be taken once more."""
        self.events.setdefault(event_id, History(marker)).round += 1

    def killed(self, process: Process) -> None:
        """What it had in flight is nobody's any more."""
        for call in self._of(process):
            call.open = False
            call.excuse = call.excuse or "crash"

    def disturbed(self, process: Process, reason: str, over_at: float) -> None:
        """It stood still, or its clock jumped: by the time over_at its leases may truly have ended."""
        self._disturbed[process] = max(over_at, self._disturbed.get(process, 0.0))
        for call in self._of(process):
            call.may_overlap = True
            call.excuse = call.excuse or reason

    def taken_away(self, event_id: str, attempt: int) -> None:
        """Its lease was released by one who asked for that before the clock was set back."""
        self._taken_away.add((event_id, attempt))
        if self.has_call(event_id, attempt):
            self._excuse_clock(self.events[event_id].calls[attempt])

    def _excuse_clock(self, call: Call) -> None:
        call.may_overlap = True
        call.excuse = call.excuse or "clock"

    def not_kept(self, process: Process) -> None:
        """It may have to give up what it has in hand, or cannot store how it ended."""
        self._not_kept[process] = self._timeline.now
        for call in self._of(process):
            call.excuse = call.excuse or NOT_KEPT

    def rounds(self, event_id: str) -> int:
        """How often it was replayed."""
        return self.events[event_id].round if event_id in self.events else 0

    def has_call(self, event_id: str, attempt: int) -> bool:
        """Whether that try was made."""
        return event_id in self.events and attempt in self.events[event_id].calls

    def delivered(self, event_id: str, round_: int) -> bool:
        """Whether a caller learned in that round that it was taken."""
        calls = self.events[event_id].calls.values() if event_id in self.events else ()
        return any(
            one.round >= round_ and one.outcome is not None and one.outcome.verdict is Verdict.DELIVERED
            for one in calls
        )

    def _of(self, process: Process) -> list[Call]:
        self._unsettled = [call for call in self._unsettled if not call.settled]
        return [call for call in self._unsettled if call.process is process]

    def _disturbed_lately(self, process: Process) -> bool:
        return self._timeline.now < self._disturbed.get(process, float("-inf")) + self._grace_s

    def _check_hands(self, call: Call, history: History) -> None:
        for other in history.calls.values():
            if not other.open:
                continue
            if not (other.may_overlap or call.may_overlap or self._disturbed_lately(call.process)):
                why = f"try {other.attempt} by {other.process.name} is under way"
                self._report.violated(
                    "one hand", f"{history.marker}: try {call.attempt} by {call.process.name} while {why}"
                )
            older = other if other.attempt < call.attempt else call
            self._timeline.call_later(self._grace_s, self._check_given_up, older, context=self._timeline.world)

    def _check_given_up(self, call: Call) -> None:
        """A try whose lease another has got must be given up soon."""
        if call.open and not self._disturbed_lately(call.process):
            self._report.violated(
                "one hand", f"try {call.attempt} of {call.event_id} goes on long after its lease was lost"
            )
