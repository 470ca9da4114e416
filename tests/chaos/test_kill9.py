"""Promises: whatever moment `relay serve` is killed at, no accepted event is lost, and only what was in flight doubles.

Leans on: the real command, a load of events as a portal posts them, handlers over real HTTP, SIGKILL and SIGTERM.
Must never: give the relay a moment to prepare.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.delivery_record import DeliveryRecord
from tests.chaos.event_load import PORTAL_URL, EventLoad, LoadPortal
from tests.chaos.relay_database import faults, states
from tests.chaos.runs import Run
from tests.e2e.relay_process import RelayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chaos.runs import Rounds

KILLS = 30
STARTS_CUT_SHORT = 5
TERMINATIONS = 3
POSTERS = 4
BACKLOG = 600
LONGEST_RUN_S = 1.0
DRAIN_S = 120.0
# How long the handlers think: some answer at once, some keep deliveries in flight for a kill to meet.
DELAYS_S = [0.0, 0.0, 0.0, 0.005, 0.02, 0.02, 0.1, 0.3]


@dataclass(slots=True)
class Scene:
    """A relay under load."""

    relay: RelayProcess
    record: DeliveryRecord
    load: EventLoad
    chance: random.Random


@asynccontextmanager
async def scene(folder: Path, seed: int) -> AsyncIterator[Scene]:
    """Start everything and the load; the load is stopped by the test, or here if the test fails."""
    chance = random.Random(seed)
    async with DeliveryRecord.running(DELAYS_S) as record, RelayProcess.running(folder / "relay") as relay:
        await relay.announce(PORTAL_URL)
        portal = await LoadPortal.register(relay.url)

        def behind(accepted: int) -> bool:
            return accepted - len(record.tries) > BACKLOG

        load = EventLoad(portal, record.handlers, chance, behind)
        load.start(POSTERS)
        try:
            yield Scene(relay, record, load, chance)
        finally:
            await load.stop()


async def drained(scene: Scene) -> None:
    """Stop the load and wait until every accepted event has arrived, and the relay has nothing left to do."""
    await scene.load.stop()
    wanted = [number for call in scene.load.calls if call.accepted for number in call.numbers]
    async with asyncio.timeout(DRAIN_S):
        while not all(number in scene.record.tries for number in wanted):
            await scene.record.arrival()
    # SIGTERM lets what is in flight end; then the file must say that nothing else is open.
    assert await scene.relay.stop() == 0
    found = states(scene.relay.home)
    assert set(found) == {"done"}, found
    assert faults(scene.relay.home) == []


def check_calls(scene: Scene) -> int:
    """Every call arrived whole or not at all, an accepted one whole. How many events came of unanswered calls."""
    unanswered = 0
    for call in scene.load.calls:
        arrived = sum(number in scene.record.tries for number in call.numbers)
        assert arrived == len(call.numbers) if call.accepted else arrived in {0, len(call.numbers)}, call
        unanswered += 0 if call.accepted else arrived
    return unanswered


def check_ids(scene: Scene) -> None:
    """One id for all tries of an event, another for each event, and the tries counted upwards."""
    ids = set()
    for number, tries in scene.record.tries.items():
        assert len({one.event_id for one in tries}) == 1, (number, tries)
        attempts = [one.attempt for one in tries]
        assert attempts == sorted(set(attempts)), (number, tries)
        ids.add(tries[0].event_id)
    assert len(ids) == len(scene.record.tries)


async def test_relay_killed_under_load(tmp_path: Path, rounds: Rounds) -> None:
    for seed in rounds:
        rounds.record(await killed(tmp_path / str(seed), seed))
        shutil.rmtree(tmp_path / str(seed))


async def killed(folder: Path, seed: int) -> Run:
    folder.mkdir()
    in_flight = 0
    async with scene(folder, seed) as s:
        cut_short = set(s.chance.sample(range(1, KILLS), STARTS_CUT_SHORT))
        for kill in range(KILLS):
            moment_s = s.chance.uniform(0, LONGEST_RUN_S)
            if kill in cut_short:
                await cut_a_start_short(s.relay, moment_s)
            else:
                await asyncio.sleep(moment_s)
                await s.relay.kill()
            in_flight += states(s.relay.home).get("leased", 0)
            if kill + 1 not in cut_short:
                await s.relay.start()
        await drained(s)
    unanswered = check_calls(s)
    check_ids(s)
    # A run in which no kill met a delivery has shown nothing.
    assert in_flight > 0
    assert s.load.accepted > KILLS * 50
    happened = Counter({"kill": KILLS - STARTS_CUT_SHORT, "kill at start": STARTS_CUT_SHORT})
    delivered = len(s.record.tries) - unanswered
    return Run(happened, s.load.accepted, delivered, in_flight, s.record.duplicates)


async def cut_a_start_short(relay: RelayProcess, moment_s: float) -> None:
    """Start the relay and kill it `moment_s` after its process began, ready or not."""
    starting = asyncio.create_task(relay.start())
    done, _ = await asyncio.wait({starting}, timeout=moment_s)
    if done:
        await relay.kill()
        return
    starting.cancel()  # which kills the process
    await asyncio.gather(starting, return_exceptions=True)


async def test_relay_stopped_under_load(tmp_path: Path, rounds: Rounds) -> None:
    for seed in rounds:
        rounds.record(await stopped(tmp_path / str(seed), seed))
        shutil.rmtree(tmp_path / str(seed))


async def stopped(folder: Path, seed: int) -> Run:
    """A graceful end loses and doubles nothing."""
    folder.mkdir()
    async with scene(folder, seed) as s:
        for _ in range(TERMINATIONS):
            await asyncio.sleep(s.chance.uniform(0.2, LONGEST_RUN_S))
            assert await s.relay.stop() == 0
            assert "leased" not in states(s.relay.home)
            await s.relay.start()
        await drained(s)
    unanswered = check_calls(s)
    check_ids(s)
    delivered = len(s.record.tries) - unanswered
    return Run(Counter({"SIGTERM": TERMINATIONS}), s.load.accepted, delivered, 0, s.record.duplicates)
