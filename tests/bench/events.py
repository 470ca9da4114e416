"""Promises: events accepted and delivered a second, and how long one takes, beside a bare client at the same sink.

Leans on: the stage; a bounded number of events is under way, so that acceptance and delivery run together.
Must never: count an event before it has arrived at the sink, nor end before every accepted one has.
"""

from __future__ import annotations

import time
from statistics import quantiles
from typing import TYPE_CHECKING

from tests.bench.cores import cpu_seconds
from tests.bench.load import Load
from tests.bench.paced import PACE, Paced, calls, for_seconds, full_speed, paced
from tests.bench.report import Figure, rate_figure

if TYPE_CHECKING:
    from tests.bench.relay_process import RelayUnderTest
    from tests.bench.stage import Stage

RATE_AIM = 0.3
HANDLERS = 8
BARE_CONCURRENCY = 64


async def events(stage: Stage) -> list[Figure]:
    """One item a call, as a portal sends after a hit that changed one thing."""
    return [await _rate(stage, 1)]


async def batches(stage: Stage) -> list[Figure]:
    """Ten items a call, as a portal sends after a hit that changed ten."""
    return [await _rate(stage, 10)]


async def latency(stage: Stage) -> list[Figure]:
    """From the moment an event is due to be sent to its arrival at the handler, at a steady pace."""
    bare: list[float] = []
    ours: list[float] = []
    for _ in range(stage.options.rounds):
        bare += await bare_paced(stage)
        ours += await relay_paced(stage, stage.relay)
    return [_percentile(50, bare, ours), _percentile(99, bare, ours)]


async def _rate(stage: Stage, items: int) -> Figure:
    pairs: list[tuple[Load, Load]] = []
    for _ in range(stage.options.rounds):
        bare = await bare_full_speed(stage)
        pairs.append((bare, await relay_full_speed(stage, stage.relay, items)))
    return rate_figure(f"events, {items} a call", "per s", pairs, RATE_AIM)


async def bare_full_speed(stage: Stage) -> Load:
    """What a bare client on the relay's core posts a second."""
    began, cpu, load = time.perf_counter(), cpu_seconds(stage.client.pid), time.process_time()
    answer = await stage.client.ask(f"{stage.handler_urls(1)[0]} {BARE_CONCURRENCY} {stage.options.seconds}")
    seconds = time.perf_counter() - began
    used = cpu_seconds(stage.client.pid) - cpu
    return Load(float(answer), used / seconds, (time.process_time() - load) / seconds)


async def relay_full_speed(stage: Stage, relay: RelayUnderTest, items: int = 1) -> Load:
    """What a relay accepts and delivers a second to some healthy handlers."""
    return await full_speed(stage, relay, calls(relay, stage.handler_urls(HANDLERS), items))


async def relay_paced(stage: Stage, relay: RelayUnderTest) -> list[float]:
    """Milliseconds of each event through a relay to some healthy handlers."""
    bodies = calls(relay, stage.handler_urls(HANDLERS))
    sent = await paced(stage, relay, bodies, for_seconds(stage.options.seconds))
    return await sent.took_ms(stage.board)


async def bare_paced(stage: Stage) -> list[float]:
    """Milliseconds of each event from a bare client."""
    first, seconds = stage.next_event, stage.options.seconds
    answer = await stage.client.ask(f"paced {stage.handler_urls(1)[0]} {PACE} {seconds} {first}")
    due_ns = [int(word) for word in answer.split()]
    stage.next_event += len(due_ns)
    return await Paced(list(range(first, stage.next_event)), due_ns).took_ms(stage.board)


def _percentile(percent: int, bare: list[float], ours: list[float]) -> Figure:
    mine, theirs = (quantiles(sample, n=100, method="inclusive")[percent - 1] for sample in (ours, bare))
    notes = f"{len(ours)} events; slowest {max(ours):.1f} ms"
    name = f"sent to delivered at {PACE}/s, p{percent}"
    return Figure(name, "ms", mine, theirs, mine / theirs, None, "< 100" if percent == 99 else "", notes)
