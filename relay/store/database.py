"""One database: a single writer thread with group commit, a few readers, errors told apart.

Leans on SQLAlchemy's synchronous engine, kept off the event loop in threads. A unit of work is a plain function
of a connection; units that arrive together are committed together, and a unit is answered only after its commit.
Never leaves half a unit behind, and never lets one unit's failure touch another's.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from relay.core.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

T = TypeVar("T")
Unit = Callable[[Connection], T]

BUSY_TIMEOUT_S = 10.0
READERS = 2
MAX_UNITS_PER_COMMIT = 256
_CLOSE = None


@dataclass(slots=True)
class _Pending:
    unit: Unit[Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Database:
    """A started database; `write` and `read` run units of work."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._pending: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="relay-reader")
        self._writer = threading.Thread(target=self._write_loop, name="relay-writer", daemon=True)
        self._writer.start()
        self._closed = False

    async def write(self, unit: Unit[T]) -> T:
        """Run the unit in a transaction; returns once it is on disk. Raises what the unit raises, or Unavailable."""
        if self._closed:
            raise Unavailable("The store is closed.")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._pending.put(_Pending(unit, loop, future))
        return await future

    async def read(self, unit: Unit[T]) -> T:
        """Run the unit on a snapshot, beside the writer. Raises Unavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, unit)

    async def close(self) -> None:
        """Commit what is pending and stop."""
        if self._closed:
            return
        self._closed = True
        self._pending.put(_CLOSE)
        await asyncio.to_thread(self._writer.join)
        self._readers.shutdown()
        self.engine.dispose()

    def _read(self, unit: Unit[T]) -> T:
        try:
            with self.engine.connect() as connection:
                return unit(connection)
        except DBAPIError as error:
            raise unavailable(error) from error

    def _write_loop(self) -> None:
        while True:
            batch, closing = self._next_batch()
            if batch:
                self._commit(batch)
            if closing:
                return

    def _next_batch(self) -> tuple[list[_Pending], bool]:
        first = self._pending.get()
        if first is _CLOSE:
            return [], True
        batch = [first]
        while len(batch) < MAX_UNITS_PER_COMMIT:
            try:
                following = self._pending.get_nowait()
            except queue.Empty:
                break
            if following is _CLOSE:
                return batch, True
            batch.append(following)
        return batch, False

    def _commit(self, batch: list[_Pending]) -> None:
        """All in one transaction; if any fails, each in one of its own, so that only the culprit fails."""
        try:
            with self.engine.begin() as connection:
                results = [pending.unit(connection) for pending in batch]
        except Exception as error:
            if len(batch) == 1:
                _tell(batch[0], None, _translate(error))
                return
            for pending in batch:
                self._commit([pending])
            return
        for pending, result in zip(batch, results, strict=True):
            _tell(pending, result, None)


def _tell(pending: _Pending, result: object, error: Exception | None) -> None:
    def tell() -> None:
        if pending.future.done():
            return
        if error is not None:
            pending.future.set_exception(error)
        else:
            pending.future.set_result(result)

    try:
        pending.loop.call_soon_threadsafe(tell)
    except RuntimeError:  # the loop is gone, and with it whoever waited
        return


def _translate(error: Exception) -> Exception:
    if isinstance(error, IntegrityError):
        return Conflict("That exists already.")
    return unavailable(error) if isinstance(error, DBAPIError) else error


def unavailable(error: DBAPIError) -> Unavailable:
    """A database error as a passing failure; the driver's own words, which hold no values, are kept for the log."""
    return Unavailable(f"The store did not answer: {error.orig}")


def open_sqlite(path: Path) -> Engine:
    """An engine over one SQLite file: WAL, every commit on disk (synchronous=FULL), foreign keys on."""
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def _connect(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None  # transactions are begun by us, below
        for pragma in (
            "auto_vacuum = INCREMENTAL",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "journal_size_limit = 67108864",
        ):
            raw.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A writer takes the lock at once: a transaction that begins as a reader cannot wait for it later.
        writing = threading.current_thread().name == "relay-writer"
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


class ChangeSignal:
    """Says cheaply whether another connection has committed to a SQLite file since the last question."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, timeout=0)
        self._seen = -1

    def changed(self) -> bool:
        """A few microseconds, no disk access; True the first time."""
        seen: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        changed = seen != self._seen
        self._seen = seen
        return changed

    def value(self, name: str) -> int:
        """One number of the `meta` table, 0 if it is not there."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()
