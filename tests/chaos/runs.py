"""Runs of the chaos suite: each has a seed that repeats it, and what it counted goes into one table at the end.

Leans on `--long HOURS` and CHAOS_SEED. Must never let a run pass for want of anything having happened in it.
"""

from __future__ import annotations

import io
import os
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

COLUMNS = ("suite", "runs", "first seed", "faults", "accepted", "delivered", "in flight", "duplicates", "lost", "s")
WIDTH = 150


@dataclass(frozen=True, slots=True)
class Run:
    """One run. faults: what happened, and how often. in_flight: deliveries in hand, over all faults."""

    faults: Counter[str]
    accepted: int
    delivered: int
    in_flight: int
    duplicates: int

    @property
    def lost(self) -> int:
        """Events that were accepted and never arrived."""
        return self.accepted - self.delivered


@dataclass(slots=True)
class Suite:
    """All runs of one test."""

    name: str
    first_seed: int
    runs: list[Run] = field(default_factory=list)
    seconds: float = 0.0

    def cells(self) -> tuple[str, ...]:
        """A line of the table."""
        faults: Counter[str] = sum((run.faults for run in self.runs), Counter())
        numbers = [
            sum(getattr(run, name) for run in self.runs)
            for name in ("accepted", "delivered", "in_flight", "duplicates", "lost")
        ]
        said = ", ".join(f"{count} {fault}" for fault, count in sorted(faults.items()))
        start = (self.name, str(len(self.runs)), str(self.first_seed), said)
        return *start, *map(str, numbers), f"{self.seconds:.0f}"


class Chaos:
    """What the whole suite did. hours: how long it goes on, 0 for one run of each test. tests: how many share it."""

    def __init__(self, hours: float) -> None:
        self.hours = hours
        self.tests = 1
        self._suites: list[Suite] = []

    def rounds(self, name: str) -> Rounds:
        """The rounds of one test."""
        suite = Suite(name, int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9)))
        self._suites.append(suite)
        return Rounds(suite, self.hours * 3600 / self.tests)

    def table(self) -> str:
        """The figures of all runs that ended well, a line a test; empty if there was none."""
        suites = [suite for suite in self._suites if suite.runs]
        if not suites:
            return ""
        table = Table(*COLUMNS, title="chaos: what was done to the relay, and what came of it", title_justify="left")
        for column in table.columns[4:]:
            column.justify = "right"
        for suite in suites:
            table.add_row(*suite.cells())
        console = Console(file=io.StringIO(), width=WIDTH)
        console.print(table)
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()


class Rounds:
    """The seeds of a test's rounds, one after the other; after each its run is recorded. CHAOS_SEED repeats one."""

    def __init__(self, suite: Suite, seconds: float) -> None:
        self._suite = suite
        self._seconds = seconds

    @property
    def is_long(self) -> bool:
        """Whether there is time for what takes minutes."""
        return self._seconds > 0

    def __iter__(self) -> Iterator[int]:
        """At least one."""
        began, seed = time.monotonic(), self._suite.first_seed
        while True:
            print(f"CHAOS_SEED={seed}")  # shown if the round fails
            started = time.monotonic()
            yield seed
            self._suite.seconds += time.monotonic() - started
            seed += 1
            if time.monotonic() - began >= self._seconds:
                return

    def record(self, run: Run) -> None:
        """Count a run, and hold it to what is promised of each."""
        self._suite.runs.append(run)
        assert run.lost == 0, run
        assert run.duplicates <= run.in_flight, run
        assert run.accepted > 0, run
