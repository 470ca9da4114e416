"""One relay on SQLite, killed, starved of disk, its clock set on and back, its handlers moody: nothing is lost.

Leans on the real command and on a clock and a disk of its own. Must never wait for a fault to be noticed.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.chaos.event_load import PORTAL_URL, LoadPortal
from tests.chaos.lane_load import LaneLoad
from tests.chaos.moody_handler import ALL_MOODS, MoodyHandler
from tests.chaos.relay_database import faults, states
from tests.chaos.runs import Run
from tests.e2e.relay_process import RelayProcess, delivery_rules
from tests.servers.clock import SetClock, clock_library
from tests.servers.disk import fill_disk, free_disk, largest_file

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from tests.chaos.runs import Rounds

LANES, HANDLERS = 16, 8
FAULTS = (*("kill",) * 5, "kill at start", "SIGTERM", *("full disk", "clock on", "clock back") * 2)
BETWEEN_S = (0.2, 1.2)
STEP_S = (1.0, 7200.0)
PATIENCE_S = 2.0
DRAIN_S = 120
RULES = {
    "timeout_s": PATIENCE_S,
    "retry_first_s": 0.1,
    "retry_cap_s": 0.5,
    "breaker_first_s": 0.1,
    "breaker_cap_s": 0.5,
}


@dataclass(slots=True)
class Mishaps:
    """What happens to the relay. in_flight: what was in hand each time that it ended."""

    relay: RelayProcess
    clock: SetClock
    chance: random.Random
    offset_s: float = 0.0
    in_flight: int = 0
    happened: Counter[str] = field(default_factory=Counter)

    async def happen(self, fault: str) -> None:
        """One fault, and its end."""
        self.happened[fault] += 1
        if fault == "kill":
            await self._ended(self.relay.kill())
        elif fault == "kill at start":
            await self._ended(self.relay.kill())
            starting = asyncio.create_task(self.relay.start())
            await asyncio.wait({starting}, timeout=self.chance.uniform(0, 0.6))
            starting.cancel()  # which kills the process, if it is not ready yet
            await asyncio.gather(starting, return_exceptions=True)
            if self.relay.is_running:
                await self._ended(self.relay.kill())
        elif fault == "SIGTERM":
            await self._ended(self.relay.stop())
        elif fault == "full disk":
            fill_disk(self.relay.pid, largest_file(self.relay.home))
            await asyncio.sleep(self.chance.uniform(*BETWEEN_S))
            free_disk(self.relay.pid)
        else:
            step_s = self.chance.uniform(*STEP_S)
            self.offset_s += step_s if fault == "clock on" else -step_s
            self.clock.set(self.offset_s)
        if not self.relay.is_running:
            await self.relay.start()

    async def _ended(self, end: Awaitable[object]) -> None:
        await end
        self.in_flight += states(self.relay.home).get("leased", 0)


@pytest.fixture
def library() -> Path:
    """What a clock of one's own needs."""
    found = clock_library()
    if found is None:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    return found


async def test_one_relay_and_moody_handlers(tmp_path: Path, rounds: Rounds, library: Path) -> None:
    for seed in rounds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        rounds.record(await run(folder, random.Random(seed), library))
        shutil.rmtree(folder)


async def run(folder: Path, chance: random.Random, library: Path) -> Run:
    clock = SetClock(folder / "clock", library)
    settings = {"RELAY_DELIVERY__DRAIN_S": "1", "RELAY_DELIVERY__SWEEP_S": "0.3", "RELAY_DELIVERY__LEASE_S": "6"}
    async with (
        MoodyHandler.running(chance, dict(ALL_MOODS), PATIENCE_S) as handler,
        RelayProcess.running(folder / "relay", **settings, **clock.variables, **delivery_rules(**RULES)) as relay,
    ):
        await relay.announce(PORTAL_URL)
        portal = await LoadPortal.register(relay.url)
        mishaps = Mishaps(relay, clock, chance)
        async with LaneLoad([portal], handler.urls(HANDLERS), chance, LANES).sending() as load:
            for fault in chance.sample(FAULTS, len(FAULTS)):
                await asyncio.sleep(chance.uniform(*BETWEEN_S))
                await mishaps.happen(fault)
            accepted = await load.stop()
            handler.calm()
            clock.set(0)
            async with asyncio.timeout(DRAIN_S):
                while not load.events() <= handler.taken.keys():
                    await asyncio.sleep(0.05)
        assert await relay.stop() == 0
        assert states(relay.home) == {"done": accepted}
        assert faults(relay.home) == []
        assert "Traceback" not in relay.log()
    handler.check_order()
    return Run(mishaps.happened, accepted, len(handler.taken), mishaps.in_flight, handler.duplicates)
