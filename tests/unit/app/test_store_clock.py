"""The store's time on a node whose own clock is wrong, is set, or cannot ask the store.

Leans on clocks that are numbers. Must never look at a real one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import pytest
from structlog.testing import capture_logs

from relay.app.store_clock import SLOWEST_ANSWER_MS, WORTH_SAYING_MS, StoreClock

if TYPE_CHECKING:
    from relay.ports import DeliveryStore

STORED_MS = 1_800_000_000_000


@dataclass
class World:
    """The three clocks. answer_ms: how long the store takes to answer, half of it before it looks at its clock."""

    stored_ms: int | None = STORED_MS
    own_ms: int = STORED_MS
    monotonic_s: float = 100.0
    answer_ms: int = 0

    def now_ms(self) -> int:
        return self.own_ms

    async def clock_ms(self) -> int | None:
        self.pass_ms(self.answer_ms // 2)
        seen = self.stored_ms
        self.pass_ms(self.answer_ms // 2)
        return seen

    def pass_ms(self, passed_ms: int) -> None:
        """Time goes on by every clock."""
        self.own_ms += passed_ms
        self.monotonic_s += passed_ms / 1000
        if self.stored_ms is not None:
            self.stored_ms += passed_ms

    def clock(self) -> StoreClock:
        return StoreClock(cast("DeliveryStore", self), self, lambda: self.monotonic_s)


async def test_before_the_store_was_asked_and_where_it_has_no_clock_the_machine_s_counts() -> None:
    world = World(stored_ms=None, own_ms=5)
    clock = world.clock()
    assert clock.now_ms() == 5
    await clock.set()
    world.own_ms = 7
    assert clock.now_ms() == 7


async def test_once_asked_the_store_s_time_goes_on_whatever_becomes_of_the_machine_s() -> None:
    world = World(own_ms=STORED_MS - 3_600_000, answer_ms=40)
    clock = world.clock()
    await clock.set()
    assert clock.now_ms() == world.stored_ms
    world.pass_ms(1234)
    world.own_ms = 0
    assert clock.now_ms() == world.stored_ms


async def test_an_answer_that_took_long_is_not_taken_but_for_the_first() -> None:
    world = World(answer_ms=SLOWEST_ANSWER_MS * 2)
    clock = world.clock()
    await clock.set()
    assert clock.now_ms() == world.stored_ms
    assert world.stored_ms is not None
    right = world.stored_ms
    world.stored_ms += 60_000
    await clock.set()
    assert clock.now_ms() == right + world.answer_ms
    world.answer_ms = SLOWEST_ANSWER_MS
    await clock.set()
    assert clock.now_ms() == world.stored_ms


@pytest.mark.parametrize("ahead_ms", [WORTH_SAYING_MS, -WORTH_SAYING_MS])
async def test_a_clock_that_differs_is_told_of_once_and_so_is_its_repair(ahead_ms: int) -> None:
    world = World(own_ms=STORED_MS + ahead_ms)
    clock = world.clock()
    with capture_logs() as logs:
        await clock.set()
        await clock.set()
        assert world.stored_ms is not None
        world.own_ms = world.stored_ms
        await clock.set()
        await clock.set()
    assert [log["event"] for log in logs] == ["clock.differs_from_the_database_s", "clock.agrees_with_the_database_s"]
    assert logs[0]["ahead_s"] == ahead_ms / 1000
