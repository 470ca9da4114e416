"""What a history showed: the first broken promise, and how much happened.

Leans on nothing but the timeline's `now`. A history is over at its first violation. Must never keep more than counts
unless a trace was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.timeline import Timeline


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
