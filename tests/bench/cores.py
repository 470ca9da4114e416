"""Promises: who runs on which core, and how much of a core a process used.

Leans on: Linux's scheduler calls and /proc; elsewhere nothing is pinned and the table says so.
Must never: put the relay (or the server it is compared with) on the core of what loads it, where there are two.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cores:
    """A core for each part, None where processes cannot be pinned."""

    load: int | None
    sink: int | None
    server: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "not pinned: this system cannot"
        return f"load on core {self.load}, sink on {self.sink}, relay and baseline on {self.server}"


def share_out() -> Cores:
    """The cores this process may use, shared out: the server's own first, then the sink's."""
    if sys.platform != "linux":
        return Cores(None, None, None)
    cores = sorted(os.sched_getaffinity(0))
    return Cores(load=cores[0], sink=cores[1] if len(cores) > 2 else cores[0], server=cores[-1])


def pin(pid: int, core: int | None) -> None:
    """Keep a process (0: this one) on one core."""
    if sys.platform == "linux" and core is not None:
        os.sched_setaffinity(pid, {core})


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far, all its threads; 0.0 where that cannot be known."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    user, system = stat.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process; 0.0 where that cannot be known."""
    try:
        statm = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
