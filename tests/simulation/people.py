"""What people do to deliveries, and what befalls processes and clocks, when the plan says so.

Leans on the desk of the real store and on the world. Must never do what the plan did not draw.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.core.errors import RelayError
from relay.core.model import DeliveryState
from relay.records import AuditEntry, DeliveryFilter
from tests.simulation.oracle import OVER

if TYPE_CHECKING:
    from tests.simulation.timeline import Process
    from tests.simulation.world import World

_ENTRY = AuditEntry("simulation", 0)


class People:
    """Acts and mishaps of one history."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def act(self, at: float, what: str) -> None:
        """One command, given once, whatever comes of it."""
        await asyncio.sleep(max(at - self._world.timeline.now, 0.0))
        try:
            await self._do(what)
        except RelayError as error:
            self._world.report.note("person", f"{what}: {error.description}")

    async def put_right(self) -> None:
        """Every handler goes on, every application is on."""
        desk = self._world.desk
        for row in await desk.list_handlers():
            await desk.pause_handler(row.handler.id, paused=False)
        for number in (1, 2):
            await desk.update_app(number, {"active": True})

    async def retry_all(self) -> None:
        """Whatever is held is tried again."""
        await self._world.desk.retry(DeliveryFilter(), self._now_ms())

    async def _do(self, what: str) -> None:
        world, rng, desk = self._world, self._world.rng, self._world.desk
        handler = rng.choice(("", *(plan.url for plan in world.plan.handlers)))
        rows = [row for _, row in sorted(world.oracle.rows.items())]
        waiting = [row for row in rows if row.state not in OVER]
        heads = [row for row in waiting if row.state in {"due", "held"} and row.lane is not None]
        one = rng.choice(waiting) if waiting else None
        head = rng.choice(heads) if heads else None
        replayed = rng.choice(((), (DeliveryState.DONE,)))
        rate = rng.choice((1, 20))
        number = rng.choice((1, 2))
        world.report.note("person", f"{what} {handler}")
        if what == "retry":
            await desk.retry(DeliveryFilter(handler=handler), self._now_ms())
        elif what == "skip" and head is not None:
            await desk.skip(head.event_id, _ENTRY)
        elif what == "drop" and one is not None:
            await desk.drop(DeliveryFilter(event_id=one.event_id), "simulated", self._now_ms(), _ENTRY)
        elif what == "replay":
            wanted = DeliveryFilter(states=replayed, handler=handler)
            await desk.begin_replay(wanted, rate, self._now_ms() // 1000, _ENTRY)
        elif what in {"pause", "resume"} and rows:
            await desk.pause_handler(rng.choice(rows).handler_id, paused=what == "pause")
        elif what in {"off", "on"}:
            await desk.update_app(number, {"active": what == "on"})

    def _now_ms(self) -> int:
        return self._world.clocks.now_ms(self._world.person)

    async def befall(self, at: float, what: str) -> None:
        """One mishap."""
        await asyncio.sleep(max(at - self._world.timeline.now, 0.0))
        world, rng, now = self._world, self._world.rng, self._world.timeline.now
        lease_s = world.plan.settings.lease_s
        living = world.living()
        node = rng.choice(living) if living else None
        part = rng.random()
        world.report.note("world", what)
        if what == "outage":
            world.weather.outage[None] = now + (0.1 + 2 * part) * lease_s
        elif what == "slow_store":
            world.weather.slow[rng.choice((None, node.process if node else None))] = now + (0.3 + 2 * part) * lease_s
            world.weather.slow_s = rng.choice((0.1, 0.5, 1.5)) * lease_s
        elif what in {"small_jump", "jump_on", "jump_back"}:
            self._jump(what, part, lease_s)
        elif node is None:
            return
        elif what == "kill":
            world.crash(node.process, "killed")
        elif what == "cut_off":
            world.weather.outage[node.process] = now + (0.5 + 2 * part) * lease_s
        elif what == "stop":
            world.stop(node)
        else:
            self._stall(what, part, lease_s, node.process)

    def _jump(self, what: str, part: float, lease_s: float) -> None:
        world = self._world
        world.report.jumps += 1
        factor = {"small_jump": 0.12 * part - 0.06, "jump_on": 1.1 + 3 * part, "jump_back": -0.2 - 3 * part}[what]
        world.clocks.jump(round(factor * lease_s * 1000))
        if what == "jump_on" and not world.plan.alone:  # nobody else would take what such a node has in hand
            world.disturb([node.process for node in world.living()], "clock", world.timeline.now)

    def _stall(self, what: str, part: float, lease_s: float, process: Process) -> None:
        world = self._world
        seconds = lease_s * (0.05 * part if what == "short_stall" else 1.05 + part)
        world.report.stalls += 1
        world.timeline.stall(process, seconds)
        if what == "long_stall":
            world.disturb([process], "stall", world.timeline.now + seconds)
