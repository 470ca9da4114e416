"""One database: a writer thread (or a few) with group commit, a few readers, errors told apart.

Leans on SQLAlchemy's synchronous engine, kept off the event loop in threads. A unit of work is a plain function
of a connection; units that arrive together are committed together, and a unit is answered only after its commit.
Never leaves half a unit behind, and never lets one unit's failure touch another's.

Work that is cheaper in bulk is given as a joint unit: a function of a connection and of the arguments of all that
call it at one time. Under load they share the cost of a statement, and the threads change hands less often.

Where several nodes share a database a unit may meet another node's: it names the locks it needs, which are taken
before any unit of its commit runs, and what the database refuses for the other node's sake is run again. There a node
may have several writers as well: each waits for its own round trips only.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from relay.core.errors import Conflict, Unavailable
from relay.store.locks import take_locks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from sqlalchemy import Engine

A = TypeVar("A")
T = TypeVar("T")
Unit = Callable[[Connection], T]
Joint = Callable[[Connection, list[A]], list[T]]
Transaction = Callable[[], AbstractContextManager[Connection]]

WRITER_THREAD = "relay-writer"
READERS = 2
MAX_UNITS_PER_COMMIT = 256
MAX_RUNS = 5
PAUSE_S = 0.01
_CLOSE = None
# What PostgreSQL says to one of two transactions that waited for each other, of which one overtook the other, or that
# both inserted the same row.
_COME_AGAIN = frozenset({"40P01", "40001", "23505"})


class _NotReached(Unavailable):
    """No transaction could be begun."""


@dataclass(slots=True)
class _Pending:
    joint: Joint[Any, Any]
    argument: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    locks: Collection[int] = ()
    alone: bool = False


class Database:
    """A started database; `write` and `read` run units of work, their `_jointly` twins joint ones.

    reading: the engine for reads, where a transaction must be told to see one moment only. looking_up: the one for
    joint reads, where a single statement is cheaper without a transaction. writers: transactions at one time; more than
    one only where the database tells them apart.
    """

    def __init__(
        self, engine: Engine, reading: Engine | None = None, looking_up: Engine | None = None, writers: int = 1
    ) -> None:
        self.engine = engine
        self._reading = reading or engine
        self._looking_up = looking_up or engine
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="relay-reader")
        self._writer = _Workers(WRITER_THREAD, self._write_batch, writers)
        self._joint_reader = _Workers("relay-joint-reader", self._read_batch)
        self._closed = False

    async def write(self, unit: Unit[T], *, locks: Collection[int] = ()) -> T:
        """Run the unit in a transaction; returns once it is on disk. Raises what the unit raises, or Unavailable.

        locks: those of locks.py that it needs. It may be run more than once, of which one run counts.
        """
        return await self.write_jointly(_joint(unit), None, locks=locks)

    async def write_jointly(self, joint: Joint[A, T], argument: A, *, locks: Collection[int] = ()) -> T:
        """As `write`, in one call of `joint` for all that wait for it; it answers in the order of its arguments."""
        self._check_open()
        return await self._writer.run(joint, argument, locks=locks)

    async def write_alone(self, unit: Unit[T]) -> T:
        """Run the unit by itself and outside of a transaction, for what cannot be part of one."""
        self._check_open()
        return await self._writer.run(_joint(unit), None, alone=True)

    async def read(self, unit: Unit[T]) -> T:
        """Run the unit on a snapshot, beside the writer. Raises Unavailable."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, unit)

    async def read_jointly(self, joint: Joint[A, T], argument: A) -> T:
        """In one call of `joint` for all that wait for it: for look-ups that are many, quick and one statement each."""
        self._check_open()
        return await self._joint_reader.run(joint, argument)

    async def close(self) -> None:
        """Commit what is pending and stop."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.stop)
        await asyncio.to_thread(self._joint_reader.stop)
        self._readers.shutdown()
        self.engine.dispose()

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("The store is closed.")

    def _read(self, unit: Unit[T]) -> T:
        try:
            with self._reading.connect() as connection:
                return unit(connection)
        except (DBAPIError, PoolTimeoutError) as error:
            raise unavailable(error) from error

    def _read_batch(self, batch: list[_Pending]) -> None:
        self._run(batch, self._looking_up.connect)

    def _write_batch(self, batch: list[_Pending]) -> None:
        self._run([pending for pending in batch if not pending.alone], self.engine.begin)
        for pending in batch:
            if pending.alone:
                self._run([pending], self._outside_transaction)

    @contextmanager
    def _outside_transaction(self) -> Iterator[Connection]:
        with self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    def _run(self, batch: list[_Pending], transaction: Transaction) -> None:
        """All in one transaction; if any fails, each in one of its own, so that only the culprit fails.

        Units are plain functions of the connection, so running one again after a rollback is the same as running it.
        """
        if not batch:
            return
        try:
            answers = _run_again(batch, transaction)
        except Exception as error:
            # After a broken connection nobody knows whether the commit was made: nothing is run a second time.
            broken = isinstance(error, _NotReached) or getattr(error, "connection_invalidated", False)
            if broken or len(batch) == 1:
                _tell([(pending, None, _translate(error)) for pending in batch])
                return
            for pending in batch:
                self._run([pending], transaction)
            return
        _tell(answers)


class _Workers:
    """Threads that take what is waiting, as much at a time as waits."""

    def __init__(self, name: str, take: Callable[[list[_Pending]], None], count: int = 1) -> None:
        self._take = take
        self._waiting: queue.SimpleQueue[_Pending | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._loop, name=name, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    async def run(self, joint: Joint[A, T], argument: A, *, locks: Collection[int] = (), alone: bool = False) -> T:
        """Have it done; what it answers."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.put(_Pending(joint, argument, loop, future, locks, alone))
        return await future

    def stop(self) -> None:
        """Do what is waiting, then end."""
        for _ in self._threads:
            self._waiting.put(_CLOSE)
        for thread in self._threads:
            thread.join()

    def _loop(self) -> None:
        closing = False
        while not closing:
            batch, closing = self._next_batch()
            self._take(batch)

    def _next_batch(self) -> tuple[list[_Pending], bool]:
        first = self._waiting.get()
        if first is _CLOSE:
            return [], True
        batch = [first]
        while len(batch) < MAX_UNITS_PER_COMMIT:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is _CLOSE:
                return batch, True
            batch.append(following)
        return batch, False


_Answer = tuple[_Pending, Any, Exception | None]


def _joint(unit: Unit[T]) -> Joint[None, T]:
    return lambda connection, _: [unit(connection)]


def _run_again(batch: list[_Pending], transaction: Transaction) -> list[_Answer]:
    """Run a batch in one transaction, and again as long as another node's transaction is in its way.

    So is a row that another node inserted first: in the next run it is there to be seen.
    """
    runs = 0
    while True:
        runs += 1
        try:
            with _reached(transaction) as connection:
                return _answers(connection, batch)
        except DBAPIError as error:
            if runs == MAX_RUNS or getattr(error.orig, "sqlstate", None) not in _COME_AGAIN:
                raise
        time.sleep(PAUSE_S * runs)  # for the other one to go ahead, or the two would meet again


@contextmanager
def _reached(transaction: Transaction) -> Iterator[Connection]:
    """The transaction, begun. Raises _NotReached if it cannot be: that is no fault of what was to run in it."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(transaction())
        except (DBAPIError, PoolTimeoutError) as error:
            raise _NotReached(unavailable(error).description) from error
        yield connection


def _answers(connection: Connection, batch: list[_Pending]) -> list[_Answer]:
    """Run each joint unit once, with all its arguments."""
    take_locks(connection, (lock for pending in batch for lock in pending.locks))
    groups: dict[Joint[Any, Any], list[_Pending]] = {}
    for pending in batch:
        groups.setdefault(pending.joint, []).append(pending)
    answers: list[_Answer] = []
    for joint, group in groups.items():
        results = joint(connection, [pending.argument for pending in group])
        answers += [(pending, result, None) for pending, result in zip(group, results, strict=True)]
    return answers


def _tell(answers: list[_Answer]) -> None:
    """Wake those who wait, with one call into their event loop (in tests there may be several)."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Answer]] = {}
    for answer in answers:
        by_loop.setdefault(answer[0].loop, []).append(answer)
    for loop, those in by_loop.items():
        with suppress(RuntimeError):  # the loop is gone, and with it whoever waited
            loop.call_soon_threadsafe(_wake, those)


def _wake(answers: list[_Answer]) -> None:
    for pending, result, error in answers:
        if pending.future.done():
            continue
        if error is not None:
            pending.future.set_exception(error)
        else:
            pending.future.set_result(result)


def _translate(error: Exception) -> Exception:
    if isinstance(error, _NotReached):
        return Unavailable(error.description)  # one for each who waits
    if isinstance(error, IntegrityError):
        return Conflict("That exists already.")
    return unavailable(error) if isinstance(error, DBAPIError | PoolTimeoutError) else error


def unavailable(error: DBAPIError | PoolTimeoutError) -> Unavailable:
    """A database error as a passing failure; of the driver's words the first line, which holds no values."""
    words = str(getattr(error, "orig", error)).strip().partition("\n")[0]
    return Unavailable(f"The store did not answer: {words}")
