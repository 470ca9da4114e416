"""The time of a process that delivers alone, when the machine's clock is set on and back, and over a restart.

Leans on clocks that are numbers. Must never look at a real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from structlog.testing import capture_logs

from relay.app.steady_clock import FURTHEST_MS, PACE, SteadyClock

if TYPE_CHECKING:
    from relay.ports import DeliveryStore

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


@dataclass
class World:
    """The machine's clock, the one that never jumps, and what the store knows."""

    own_ms: int = NOW_MS
    monotonic_s: float = 100.0
    latest: int = 0
    noted: list[int] = field(default_factory=list)

    def now_ms(self) -> int:
        return self.own_ms

    async def latest_ms(self) -> int:
        return self.latest

    async def note_clock(self, now_ms: int) -> None:
        self.noted.append(now_ms)

    def pass_s(self, seconds: float) -> None:
        self.own_ms += round(seconds * 1000)
        self.monotonic_s += seconds

    def clock(self) -> SteadyClock:
        return SteadyClock(cast("DeliveryStore", self), self, lambda: self.monotonic_s)


def test_it_is_the_machine_s_and_follows_it_when_it_is_set_on() -> None:
    world = World()
    clock = world.clock()
    for seconds in (0.0, 0.001, 5.0, 86400.0):
        world.pass_s(seconds)
        assert clock.now_ms() == world.own_ms
    world.own_ms += HOUR_MS
    assert clock.now_ms() == world.own_ms


def test_set_back_it_goes_on_a_little_slower_until_the_machine_s_has_caught_up() -> None:
    world = World()
    clock = world.clock()
    before = clock.now_ms()
    world.own_ms -= HOUR_MS
    assert clock.now_ms() == before
    world.pass_s(10)
    assert clock.now_ms() == before + 10_000 * PACE
    world.pass_s(HOUR_MS / 1000 / (1 - PACE) - 10 - 1)
    assert clock.now_ms() > world.own_ms
    world.pass_s(2)
    assert clock.now_ms() == world.own_ms


def test_a_clock_that_never_jumps_but_did_does_no_harm() -> None:
    world = World()
    clock = world.clock()
    before = clock.now_ms()
    world.own_ms -= HOUR_MS
    world.monotonic_s -= 3600
    assert clock.now_ms() == before
    world.pass_s(1)
    assert clock.now_ms() == before + 1000 * PACE


async def test_a_process_goes_on_from_where_the_one_before_it_was() -> None:
    world = World(latest=NOW_MS + HOUR_MS)
    clock = world.clock()
    await clock.begin()
    assert clock.now_ms() == NOW_MS + HOUR_MS
    world = World(latest=NOW_MS - HOUR_MS)
    clock = world.clock()
    await clock.begin()
    assert clock.now_ms() == NOW_MS


async def test_events_of_a_clock_that_was_plainly_wrong_are_told_of_and_not_followed() -> None:
    world = World(latest=NOW_MS + FURTHEST_MS + 1)
    clock = world.clock()
    with capture_logs() as logs:
        await clock.begin()
    assert [log["event"] for log in logs] == ["clock.events_are_from_the_future"]
    assert clock.now_ms() == NOW_MS


async def test_the_time_is_noted_only_while_it_is_ahead_and_said_once() -> None:
    world = World()
    clock = world.clock()
    with capture_logs() as logs:
        await clock.note()
        world.own_ms -= HOUR_MS
        await clock.note()
        world.pass_s(1)
        await clock.note()
        world.own_ms += 2 * HOUR_MS
        await clock.note()
    assert world.noted == [NOW_MS, NOW_MS + 900]
    assert [(log["event"], log["by_s"]) for log in logs] == [("clock.was_set_back", 3600.0)]
