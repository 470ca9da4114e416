"""Promises: a clock that a process takes for the machine's, and that can be set while it runs.

Leans on Debian's `libfaketime`, preloaded into the process, and on a file that it reads every second.
Must never: change the clock that measures how long something takes; no machine's steps.
"""

from __future__ import annotations

from pathlib import Path


def clock_library() -> Path | None:
    """The library, or None if it is not installed."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


class SetClock:
    """A clock in a file. variables: what a process needs in its environment to go by it."""

    def __init__(self, path: Path, library: Path) -> None:
        self._path = path
        self.variables = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        self.set(0)

    def set(self, offset_s: float) -> None:
        """From now on it is so many seconds before (-) or behind (+) the machine's."""
        new = self._path.with_suffix(".new")
        new.write_text(f"{offset_s:+.3f}\n", encoding="ascii")
        new.replace(self._path)
