"""SQLite as the store: one file, WAL, every commit on disk, and a cheap way to learn that it changed.

Leans on the standard library's sqlite3 through SQLAlchemy. Only the writer thread ever takes the write lock.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, event

from relay.core.errors import Unavailable
from relay.store.database import WRITER_THREAD

if TYPE_CHECKING:
    from pathlib import Path

BUSY_TIMEOUT_S = 10.0
_PRAGMAS = (
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "journal_size_limit = 67108864",
)


def open_sqlite(path: Path) -> Engine:
    """An engine over one SQLite file: WAL, every commit on disk (synchronous=FULL), foreign keys on."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # transactions are begun by us, below
        for pragma in _PRAGMAS:
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            return
        # A writer takes the lock at once: a transaction that begins as a reader cannot wait for it later.
        writing = threading.current_thread().name == WRITER_THREAD
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


class SqliteChanges:
    """The Changes protocol over a SQLite file: some microseconds and no disk access while nothing changed.

    The file is asked once a turn of the event loop: whoever asks in that turn was heard of before it began.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, timeout=0)
        self._seen = -1
        self._asked_in: asyncio.AbstractEventLoop | None = None
        self._versions: dict[str, int] = {}

    async def version(self, name: str) -> int:
        """The number of that name in `meta`, looked up only after another connection committed. Raises Unavailable."""
        try:
            loop = asyncio.get_running_loop()
            if self._asked_in is not loop:
                self._ask()
                self._asked_in = loop
                loop.call_soon(self._turn_is_over)
            if name not in self._versions:
                row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
                self._versions[name] = int(row[0]) if row else 0
        except sqlite3.Error as error:
            self._seen = -1
            raise Unavailable(f"The store did not answer: {error}") from error
        return self._versions[name]

    def _ask(self) -> None:
        seen: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if seen != self._seen:
            self._versions.clear()
            self._seen = seen

    def _turn_is_over(self) -> None:
        self._asked_in = None

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
