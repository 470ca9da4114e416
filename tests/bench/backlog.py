"""Promises: what very many events that wait for a dead handler cost the others, in memory, and after a kill -9.

Leans on: two relays asked in turn, one of them with the backlog; both are killed at the end and started again.
Must never: compare with a relay that has less to do than the same without the backlog.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.bench.backlog_fill import fill
from tests.bench.connection import BadAnswerError
from tests.bench.cores import memory_mb
from tests.bench.events import relay_full_speed, relay_paced
from tests.bench.home import DEAD_HANDLER
from tests.bench.paced import PACE, calls, for_seconds, paced
from tests.bench.relay_process import prepare, serving
from tests.bench.report import Figure, percentile_figure, rate_figure

if TYPE_CHECKING:
    from tests.bench.load import Load
    from tests.bench.relay_process import Prepared
    from tests.bench.stage import Stage

WAITING = 100_000
_NOTE = "bare: the same relay without the backlog"


@dataclass(slots=True)
class _Side:
    """What was measured of one of the two relays."""

    prepared: Prepared
    loads: list[Load] = field(default_factory=list)
    took_ms: list[list[float]] = field(default_factory=list)
    memory: float = 0.0
    ready_s: float = 0.0
    delivered_s: float = 0.0


async def backlog(stage: Stage) -> list[Figure]:
    """Rates, times, memory and recovery with the backlog, beside the same without."""
    waiting = stage.options.backlog or WAITING
    without = _Side(await prepare(stage.folder / "without"))
    full = _Side(await prepare(stage.folder / "full"))
    fill_s = await fill(full.prepared, DEAD_HANDLER, 0, waiting)
    await _measure(stage, [without, full])
    for side in (without, full):
        await _recover(stage, side)
    loads = list(zip(without.loads, full.loads, strict=True))
    took = list(zip(without.took_ms, full.took_ms, strict=True))
    return [
        rate_figure(f"events with {waiting:,} waiting", "per s", loads, 0.9),
        percentile_figure(f"at {PACE}/s with {waiting:,} waiting", 50, took, "<= 1.1", _NOTE),
        percentile_figure(f"at {PACE}/s with {waiting:,} waiting", 99, took, "<= 1.1", _NOTE),
        _beside("resident memory", "MB", full.memory, without.memory, "< 200", f"filled in {fill_s:.0f} s"),
        _beside("kill -9 to ready", "s", full.ready_s, without.ready_s, "< 5", "killed under load"),
        _beside("kill -9 to first delivery", "s", full.delivered_s, without.delivered_s, "< 5", "killed under load"),
    ]


async def _measure(stage: Stage, sides: list[_Side]) -> None:
    """Both relays in turn, then both killed while events come."""
    core = stage.cores.server
    without, full = sides
    async with serving(without.prepared, core) as bare, serving(full.prepared, core) as ours:
        relays = list(zip(sides, (bare, ours), strict=True))
        for _ in range(stage.options.rounds):
            for side, relay in relays:
                side.loads.append(await relay_full_speed(stage, relay))
            for side, relay in relays:
                side.took_ms.append(await relay_paced(stage, relay))
        for side, relay in relays:
            side.memory = memory_mb(relay.pid)
            bodies = calls(relay, stage.handler_urls(1))
            sending = asyncio.create_task(paced(stage, relay, bodies, for_seconds(stage.options.seconds)))
            await asyncio.sleep(stage.options.seconds / 2)
            await relay.process.kill()
            with suppress(ExceptionGroup, BadAnswerError, OSError):
                await sending


async def _recover(stage: Stage, side: _Side) -> None:
    """Start again after the kill; until ready, and until an event accepted from then on is delivered."""
    began = time.perf_counter()
    async with serving(side.prepared, stage.cores.server) as relay:
        side.ready_s = time.perf_counter() - began
        sent = await paced(stage, relay, calls(relay, stage.handler_urls(1)), lambda sent: sent > 0)
        await sent.took_ms(stage.board)
        side.delivered_s = time.perf_counter() - began


def _beside(name: str, unit: str, ours: float, bare: float, aim: str, note: str) -> Figure:
    ratio = ours / bare if bare else 0.0
    return Figure(name, unit, ours, bare, ratio, None, aim, f"{note}; {_NOTE}")
