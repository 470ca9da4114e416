"""The store's database as a process sees it: the same calls as `relay.store.database.Database`, and all that can fail.

Leans on the simulated disk and timeline. A unit runs at one moment, in one transaction; before, after and instead of
it may come a refusal, a delay, a lost acknowledgement or the end of the process. Must never run half a unit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError

from relay.core.errors import Conflict, Unavailable
from relay.store.database import unavailable

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection
    from random import Random

    from sqlalchemy import Connection

    from tests.simulation.disk import Disk
    from tests.simulation.timeline import Process, Timeline

A = TypeVar("A")
T = TypeVar("T")


class Fate(StrEnum):
    """What becomes of one commit or read."""

    WELL = "well"
    REFUSED = "refused"
    LOST = "done, but the answer is lost"
    CRASH_BEFORE = "crash before"
    CRASH_AFTER = "crash after"
    SLOW = "slow"


@dataclass(slots=True)
class Weather:
    """How likely mishaps are now. outage, slow: until when the store is away, or slow by up to slow_s, for whom.

    None stands for every process.
    """

    rng: Random
    store: float = 0.0
    network: float = 0.0
    crash: float = 0.0
    slow_s: float = 0.0
    outage: dict[Process | None, float] = field(default_factory=dict)
    slow: dict[Process | None, float] = field(default_factory=dict)

    def calm(self) -> None:
        """From now on nothing goes wrong."""
        self.store = self.network = self.crash = 0.0
        self.outage.clear()
        self.slow.clear()

    def fate(self, now: float, process: Process) -> Fate:
        """What becomes of what a process asks of the store now."""
        if _lasts(self.outage, process, now):
            return self.rng.choice((Fate.REFUSED, Fate.REFUSED, Fate.REFUSED, Fate.LOST))
        if self.crash and self.rng.random() < self.crash:
            return self.rng.choice((Fate.CRASH_BEFORE, Fate.CRASH_AFTER))
        if self.store and self.rng.random() < self.store:
            return self.rng.choice((Fate.REFUSED, Fate.LOST, Fate.SLOW))
        return Fate.SLOW if _lasts(self.slow, process, now) else Fate.WELL

    def delay_s(self, fate: Fate, now: float, process: Process) -> float:
        """How long the store takes."""
        most = self.slow_s if _lasts(self.slow, process, now) else 2.0
        return self.rng.random() * (most if fate is Fate.SLOW else 0.004)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the history is told. committed: after each commit; failed: of a call that its caller sees fail or hang."""

    committed: Callable[[Process, str], None]
    failed: Callable[[Process, str, Fate], None]
    crash: Callable[[Process, str], None]
    note: Callable[[str, str], None]


@dataclass(eq=False, slots=True)
class Waiting:
    """A unit that waits to be run, and who waits for it."""

    joint: Callable[[Connection, list[Any]], list[Any]]
    argument: Any
    future: asyncio.Future[Any]
    name: str


class SimulatedDatabase:
    """One process's way to the disk. What is written while a commit is under way shares the next one."""

    def __init__(self, disk: Disk, timeline: Timeline, process: Process, weather: Weather, hooks: Hooks) -> None:
        self._disk = disk
        self._timeline = timeline
        self._process = process
        self._weather = weather
        self._hooks = hooks
        self._queue: list[Waiting] = []
        self._writing = self._slow = False

    async def write(self, unit: Callable[[Connection], T], *, locks: Collection[int] = ()) -> T:
        """As the real one."""
        answer: T = await self._write(Waiting(_joint(unit), None, self._timeline.create_future(), operation(unit)))
        return answer

    async def write_jointly(
        self, joint: Callable[[Connection, list[A]], list[T]], argument: A, *, locks: Collection[int] = ()
    ) -> T:
        """As the real one."""
        answer: T = await self._write(Waiting(joint, argument, self._timeline.create_future(), operation(joint)))
        return answer

    async def write_alone(self, unit: Callable[[Connection], T]) -> T:
        """As the real one, but never failing."""
        return self._disk.alone(unit)

    async def read(self, unit: Callable[[Connection], T]) -> T:
        """As the real one."""
        return await self.read_jointly(_joint(unit), None)

    async def read_jointly(self, joint: Callable[[Connection, list[A]], list[T]], argument: A) -> T:
        """As the real one, for one caller at a time."""
        one = Waiting(joint, argument, self._timeline.create_future(), operation(joint))
        self._begin([one], self._read)
        answer: T = await one.future
        return answer

    async def close(self) -> None:
        """As the real one."""

    async def _write(self, one: Waiting) -> Any:
        self._queue.append(one)
        if self._slow:
            self._hooks.failed(self._process, one.name, Fate.SLOW)
        if not self._writing:
            self._writing = True
            self._begin(self._queue, self._commit)
        return await one.future

    def _begin(self, batch: list[Waiting], run: Callable[[list[Waiting]], list[Any]]) -> None:
        now = self._timeline.now
        fate = self._weather.fate(now, self._process)
        if fate is Fate.SLOW:
            for one in batch:
                self._hooks.failed(self._process, one.name, fate)
            self._slow = self._slow or run == self._commit
        self._timeline.call_later(self._weather.delay_s(fate, now, self._process), self._run, batch, run, fate)

    def _run(self, batch: list[Waiting], run: Callable[[list[Waiting]], list[Any]], fate: Fate) -> None:
        names = ", ".join(one.name for one in batch)
        batch = list(batch)
        if fate is not Fate.WELL:
            self._hooks.note(self._process.name, f"store {names}: {fate}")
            for one in batch:
                self._hooks.failed(self._process, one.name, fate)
        results: list[Any] = [Unavailable("refused")] * len(batch)
        if fate not in {Fate.REFUSED, Fate.CRASH_BEFORE}:
            results = run(batch)
        elif run == self._commit:
            self._disk.roll_back(lambda connection: [_together(connection, [one]) for one in batch])
        if fate in {Fate.CRASH_BEFORE, Fate.CRASH_AFTER}:
            self._hooks.crash(self._process, f"{fate} {names}")
        if self._process.dead:
            return
        if fate in {Fate.LOST, Fate.CRASH_BEFORE, Fate.CRASH_AFTER}:
            results = [Unavailable("the answer is lost") for _ in batch]
        self._timeline.call_later(self._weather.rng.random() * 0.002, self._tell, batch, results)
        if run == self._commit:
            del self._queue[: len(batch)]
            self._writing, self._slow = bool(self._queue), False
            if self._queue:
                self._begin(self._queue, self._commit)

    def _read(self, batch: list[Waiting]) -> list[Any]:
        return _caught(lambda: self._disk.read(lambda connection: _together(connection, batch)), 1)

    def _commit(self, batch: list[Waiting]) -> list[Any]:
        """Each joint unit once, with all its arguments, and its work looked at before the next one runs."""
        groups: dict[Any, list[Waiting]] = {}
        for one in batch:
            groups.setdefault(one.joint, []).append(one)
        results: dict[Waiting, Any] = {}
        for group in groups.values():
            results |= zip(group, self._commit_group(group), strict=True)
        return [results[one] for one in batch]

    def _commit_group(self, group: list[Waiting]) -> list[Any]:
        """All in one transaction; if it fails, each in one of its own."""
        results = _caught(lambda: self._disk.commit(lambda connection: _together(connection, group)), len(group))
        if len(group) > 1 and isinstance(results[0], Exception):
            return [result for one in group for result in self._commit_group([one])]
        self._hooks.committed(self._process, group[0].name)
        return results

    def _tell(self, batch: list[Waiting], results: list[Any]) -> None:
        for one, result in zip(batch, results, strict=True):
            if one.future.done():
                continue
            if isinstance(result, Exception):
                one.future.set_exception(result)
            else:
                one.future.set_result(result)


class SimulatedChanges:
    """The store's change signal, read from the disk as SQLite's is."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    async def version(self, name: str) -> int:
        """The number of that name."""
        row = self._disk.raw.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Nothing to let go of."""


def operation(unit: Callable[..., Any]) -> str:
    """`SqlDeliveryStore.claim.<locals>.unit` → `claim`, `_accept` → `accept`."""
    parts = unit.__qualname__.split(".")
    return (parts[parts.index("<locals>") - 1] if "<locals>" in parts else parts[-1]).lstrip("_")


def _lasts(until: dict[Process | None, float], process: Process, now: float) -> bool:
    return now < max(until.get(None, 0.0), until.get(process, 0.0)) if until else False


def _joint(unit: Callable[[Connection], T]) -> Callable[[Connection, list[Any]], list[T]]:
    def joint(connection: Connection, _: list[Any]) -> list[T]:
        return [unit(connection)]

    joint.__qualname__ = unit.__qualname__
    return joint


def _together(connection: Connection, group: list[Waiting]) -> list[Any]:
    return group[0].joint(connection, [one.argument for one in group])


def _caught(run: Callable[[], list[Any]], count: int) -> list[Any]:
    """The answers, or as many copies of the error, translated as the real database does."""
    try:
        return run()
    except IntegrityError:
        return [Conflict("That exists already.") for _ in range(count)]
    except DBAPIError as error:
        return [unavailable(error) for _ in range(count)]
    except Exception as error:
        return [error] * count
