"""Promises: a disk that is full for one process, and has room again.

Leans on prlimit(2): no file of that process may grow beyond a size. Must never touch the disk of anybody else.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NO_LIMIT = resource.RLIM_INFINITY


def largest_file(folder: Path) -> int:
    """Bytes of the largest file right in a folder."""
    return max(path.stat().st_size for path in folder.iterdir())


def fill_disk(pid: int, size: int) -> None:
    """From now on no file of that process can grow beyond so many bytes."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, _NO_LIMIT))


def free_disk(pid: int) -> None:
    """Take the limit away."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (_NO_LIMIT, _NO_LIMIT))
