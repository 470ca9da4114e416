"""One seed, one history: the storm, then calm, and the promise that everything comes to its end.

Leans on the world and its oracle. The same seed gives the same history in every process. Must never let one history
leave anything behind for the next.
"""

from __future__ import annotations

from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

from structlog.testing import capture_logs

from relay.app import replay
from tests.simulation.people import People
from tests.simulation.plan import draw_plan
from tests.simulation.report import Report
from tests.simulation.timeline import Timeline
from tests.simulation.world import Parts, World

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine, Iterator, MutableMapping
    from typing import Any

    from tests.simulation.disk import Disk
    from tests.simulation.timeline import Process


REPLAY_IDLE_S = 10.0


def run_history(seed: int, disk: Disk, *, parts: Parts | None = None, trace: bool = False) -> Report:
    """Run the history of a seed; what it showed."""
    disk.renew()
    rng = Random(seed)
    plan = draw_plan(rng, seed)
    timeline = Timeline()
    report = Report(seed, timeline, [] if trace else None)
    world = World(plan, rng, disk, timeline, report, parts or Parts())
    try:
        with capture_logs() as logs, _paced():
            _History(world, timeline, report).run()
        _check_logs(report, logs)
    finally:
        with capture_logs():
            timeline.dispose()
    report.virtual_s = timeline.now
    return report


@contextmanager
def _paced() -> Iterator[None]:
    """The engine's fixed pause, shortened as its settings are: a history takes minutes, not days."""
    with patch.object(replay, "IDLE_S", REPLAY_IDLE_S):
        yield


class _History:
    def __init__(self, world: World, timeline: Timeline, report: Report) -> None:
        self._world = world
        self._timeline = timeline
        self._report = report
        self._people = People(world)

    def run(self) -> None:
        world, plan, timeline = self._world, self._world.plan, self._timeline
        asked = [self._start(world.post(post)) for post in plan.posts]
        asked += [self._start(self._people.act(at, what), world.person) for at, what in plan.acts]
        for at, what in plan.mishaps:
            self._start(self._people.befall(at, what))
        timeline.call_later(0.0, world.begin, context=timeline.world)
        timeline.run(lambda: False, plan.storm_s)
        if timeline.failure is None:
            self._calm(lambda: all(task.done() for task in asked))
        if timeline.failure is not None and not self._report.invariant:
            self._report.violated("rest" if timeline.failure.startswith("spins") else "alive", timeline.failure)

    def _start(self, work: Coroutine[Any, Any, None], process: Process | None = None) -> asyncio.Task[None]:
        """Run what is no part of the relay; an error in it is an error of the simulation or of what it called."""
        timeline = self._timeline
        context = timeline.world.copy()
        task = timeline.start(process, work) if process else timeline.create_task(work, context=context)

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()):
                self._report.violated("alive", f"{error!r}")

        task.add_done_callback(ended, context=context)
        return task

    def _calm(self, answered: Callable[[], bool]) -> None:
        """Nothing goes wrong any more: all that is due is delivered, and what people hold, once they let go of it."""
        world, timeline, report = self._world, self._timeline, self._report
        report.note("world", "calm")
        world.weather.calm()
        world.handlers.well = True
        self._start(self._people.put_right(), world.person)
        # People's last commands may be under way still.
        timeline.run(lambda: False, timeline.now + 5.0)
        if not self._drains(world.oracle.is_idle):
            return
        self._start(self._people.retry_all(), world.person)
        # What was refused for want of room is posted only now.
        if self._drains(lambda: answered() and world.oracle.is_over()):
            self._check_end()

    def _drains(self, idle: Callable[[], bool]) -> bool:
        timeline = self._timeline
        until = timeline.now + self._world.plan.drain_s
        checked = -1.0

        def changed() -> bool:
            nonlocal checked
            if checked == timeline.now:
                return False
            checked = timeline.now
            return idle()

        if timeline.run(changed, until):
            return True
        if timeline.failure is None:
            self._report.violated("drained", f"after {self._world.plan.drain_s:.0f} s: {self._world.oracle.waiting()}")
        return False

    def _check_end(self) -> None:
        """Every accepted item was delivered, collapsed or dropped; every replay sent what it was to send."""
        world, report, ledger = self._world, self._report, self._world.ledger
        rows = world.oracle.rows.values()
        for marker in sorted(world.accepted):
            row = world.oracle.by_marker[marker]
            row = world.oracle.rows[row.id]
            if not (row.state == "dropped" or row.collapsed_into or ledger.delivered(row.event_id, 0)):
                report.lost += 1
                report.violated("nothing lost", f"{marker} ends as {row.state} and was never delivered")
        dropped = {row.event_id for row in rows if row.state == "dropped"}
        for asked in world.oracle.replays:
            for event_id, before in asked.rounds.items():
                if event_id not in dropped and not ledger.delivered(event_id, before + 1):
                    report.violated("replayed", f"replay {asked.replay_id} did not send {event_id}")


def _check_logs(report: Report, logs: list[MutableMapping[str, Any]]) -> None:
    """An error of the engine's own, which it has survived."""
    for entry in logs:
        error = entry.get("exc_info")
        if isinstance(error, BaseException):
            report.note("log", f"{entry['event']}: {error!r}")
            report.violated("no internal error", f"{entry['event']}: {error!r}")
