"""The clocks of all processes: one virtual time, with jumps that all see and a small skew of each.

Leans on the timeline. Must never run by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulation.disk import EPOCH_S

if TYPE_CHECKING:
    from tests.simulation.timeline import Process, Timeline


class Clocks:
    """What each process's clock shows, in unix milliseconds. memory_s: how long a jump back is remembered."""

    def __init__(self, timeline: Timeline, memory_s: float) -> None:
        self._timeline = timeline
        self._memory_s = memory_s
        self._jumped_ms = 0
        self._back: list[tuple[float, int]] = []
        self._skews: dict[Process, int] = {}

    def add(self, process: Process, skew_ms: int) -> ProcessClock:
        """A process's clock, the relay's Clock port."""
        self._skews[process] = skew_ms
        return ProcessClock(self, process)

    def jump(self, ms: int) -> None:
        """All clocks are set on, or back."""
        self._jumped_ms += ms
        if ms < 0:
            self._back.append((self._timeline.now, -ms))

    def now_ms(self, process: Process) -> int:
        """What that process's clock shows."""
        return EPOCH_S * 1000 + round(self._timeline.now * 1000) + self._jumped_ms + self._skews[process]

    def latest_ms(self, process: Process) -> int:
        """The latest that it has shown of late: what was asked for then may be done only now."""
        since = self._timeline.now - self._memory_s
        return self.now_ms(process) + sum(ms for at, ms in self._back if at >= since)


class ProcessClock:
    """One process's clock."""

    def __init__(self, clocks: Clocks, process: Process) -> None:
        self._clocks = clocks
        self._process = process

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._clocks.now_ms(self._process)
