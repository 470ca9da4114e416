"""What a history showed: the first broken promise, and how much happened.

Leans on nothing but the timeline's `now`. A history is over at its first violation. Must never keep more than counts
unless a trace was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.timeline import Timeline


COUNTED = ("events", "calls", "doubled", "commits", "faults", "crashes", "stalls", "jumps", "lost")


@dataclass(slots=True)
class Report:
    """invariant: the promise that was broken, or empty. trace: a line an occurrence, where it was asked for."""

    seed: int
    timeline: Timeline
    trace: list[str] | None = None
    invariant: str = ""
    words: str = ""
    events: int = 0
    commits: int = 0
    crashes: int = 0
    stalls: int = 0
    jumps: int = 0
    faults: int = 0
    calls: int = 0
    doubled: int = 0
    lost: int = 0
    virtual_s: float = 0.0

    def note(self, who: str, what: str) -> None:
        """Something happened."""
        if self.trace is not None:
            self.trace.append(f"{self.timeline.now:12.4f} {who:<8} {what}")

    def violated(self, invariant: str, words: str) -> None:
        """A promise is broken; the first one counts."""
        if not self.invariant:
            self.invariant, self.words = invariant, words
            self.note("oracle", f"VIOLATED {invariant}: {words}")
            self.timeline.failure = self.timeline.failure or invariant


@dataclass(slots=True)
class Tally:
    """Many histories together. broken: the seeds whose history broke a promise, and which promise."""

    seeds: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTED, 0))
    virtual_s: float = 0.0
    broken: dict[int, str] = field(default_factory=dict)

    def add(self, report: Report) -> None:
        """One more history."""
        self.seeds += 1
        self.virtual_s += report.virtual_s
        for name in COUNTED:
            self.counts[name] += getattr(report, name)
        if report.invariant:
            self.broken[report.seed] = f"{report.invariant}: {report.words}"

    def merge(self, other: Tally) -> None:
        """All of another's."""
        self.seeds += other.seeds
        self.virtual_s += other.virtual_s
        self.broken |= other.broken
        for name in COUNTED:
            self.counts[name] += other.counts[name]

    def line(self, spent_s: float) -> str:
        """All of it in one line."""
        counts = ", ".join(f"{name}={self.counts[name]}" for name in COUNTED)
        pace = f"{self.seeds / spent_s:.0f} seeds a second, {self.virtual_s / 86400:.0f} days lived through"
        return f"seeds={self.seeds}, {counts}, broken={len(self.broken)} ({pace})"
