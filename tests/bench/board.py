"""Promises: a table in shared memory where the sink notes when each event arrived, read without asking the sink.

Leans on: a mapped file and the monotonic clock that all processes of one machine share.
Must never: be written by anyone but the sink.
"""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 1 << 21
_SLOT = 8
_COUNT, _REPEATS, _FIRST = 0, 1, 2


class Board:
    """Arrival times by event number, a count of events and one of repeats."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._slots = memoryview(mmap.mmap(file.fileno(), 0)).cast("q")

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new board; its file is sparse."""
        with path.open("wb") as file:
            file.truncate((EVENTS + _FIRST) * _SLOT)
        return cls(path)

    @property
    def count(self) -> int:
        """How many events have arrived."""
        return self._slots[_COUNT]

    @property
    def repeats(self) -> int:
        """How many arrived again."""
        return self._slots[_REPEATS]

    def arrived_ns(self, event: int) -> int:
        """When this event arrived first (monotonic clock), 0 if it has not."""
        return self._slots[_FIRST + event]

    def note(self, event: int, now_ns: int) -> None:
        """An event has arrived."""
        if self._slots[_FIRST + event]:
            self._slots[_REPEATS] += 1
            return
        self._slots[_FIRST + event] = now_ns
        self._slots[_COUNT] += 1
