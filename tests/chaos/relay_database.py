"""Promises: what the relay's SQLite file says at a moment when no relay runs, read from a copy of it.

Leans on: the file's name and the table `deliveries`; both files of a database in WAL mode.
Must never: open the relay's own file: after a crash the first to open it repairs it, and that must be the relay.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

DATABASE = "relay.db"


def states(home: Path) -> dict[str, int]:
    """How many deliveries are in each state: `leased` were in flight when the relay died."""
    return dict(_ask(home, "SELECT state, count(*) FROM deliveries GROUP BY state"))


def faults(home: Path) -> list[str]:
    """What SQLite finds wrong with the file; nothing in a sound one."""
    found = [str(row[0]) for row in _ask(home, "PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


def _ask(home: Path, query: str) -> list[Any]:
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("", "-wal"):
            source = home / f"{DATABASE}{suffix}"
            if source.exists():
                shutil.copyfile(source, Path(folder) / source.name)
        with closing(sqlite3.connect(Path(folder) / DATABASE)) as copy:
            return copy.execute(query).fetchall()
