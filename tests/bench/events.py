"""Promises: events accepted and delivered a second, and how long one takes, beside a bare client at the same sink.

Leans on: the stage; a bounded number of events is under way, so that acceptance and delivery run together.
Must never: count an event before it has arrived at the sink, nor end before every accepted one has.
"""

from __future__ import annotations

import asyncio
import time
from itertools import cycle
from statistics import quantiles
from typing import TYPE_CHECKING

from tests.bench.connection import Connection, connections, form_post
from tests.bench.cores import cpu_seconds
from tests.bench.load import WARM_UP, Load, Meter
from tests.bench.report import Figure, rate_figure
from tests.bench.sample import EventCall

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.board import Board
    from tests.bench.stage import Stage

RATE_AIM = 0.3
HANDLERS = 8
BARE_CONCURRENCY = 64
UNDER_WAY = 512
PACE = 200
DRAIN_S = 60.0
_TURN_S = 0.001


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
        bare += await _bare_paced(stage)
        ours += await _relay_paced(stage)
    return [_percentile(50, bare, ours), _percentile(99, bare, ours)]


async def _rate(stage: Stage, items: int) -> Figure:
    url = stage.handler_urls(1)[0]
    pairs: list[tuple[Load, Load]] = []
    for _ in range(stage.options.rounds):
        bare = await _bare_full_speed(stage, url)
        pairs.append((bare, await _full_speed(stage, items)))
    return rate_figure(f"events, {items} a call", "per s", pairs, RATE_AIM)


async def _bare_full_speed(stage: Stage, url: str) -> Load:
    began, cpu, load = time.perf_counter(), cpu_seconds(stage.client.pid), time.process_time()
    answer = await stage.client.ask(f"{url} {BARE_CONCURRENCY} {stage.options.seconds}")
    seconds = time.perf_counter() - began
    used = cpu_seconds(stage.client.pid) - cpu
    return Load(float(answer), used / seconds, (time.process_time() - load) / seconds)


async def _full_speed(stage: Stage, items: int) -> Load:
    """Keep the relay busy with at most UNDER_WAY events accepted and not delivered."""
    calls = cycle(_calls(stage, items))
    first = stage.next_event
    before = stage.board.count
    over = False

    async def drive(connection: Connection) -> None:
        while not over:
            if stage.next_event - first - (stage.board.count - before) > UNDER_WAY:
                await asyncio.sleep(_TURN_S)
                continue
            number, stage.next_event = stage.next_event, stage.next_event + items
            await connection.exchange(form_post("/rest/rest.event.call", next(calls).body(number)))

    async with connections(stage.relay.port, stage.options.connections) as opened, asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(drive(connection))
        await asyncio.sleep(stage.options.seconds * WARM_UP)
        meter = Meter(stage.relay.pid, lambda: stage.board.count)
        await asyncio.sleep(stage.options.seconds)
        load = meter.stop()
        over = True
    await _all_arrived(stage.board, range(first, stage.next_event))
    return load


async def _relay_paced(stage: Stage) -> list[float]:
    """Milliseconds of each event through the relay."""
    calls = _calls(stage, 1)
    first, count = stage.next_event, int(PACE * stage.options.seconds)
    stage.next_event += count
    due_ns: list[int] = []
    async with connections(stage.relay.port, stage.options.connections) as opened, asyncio.TaskGroup() as group:
        idle = asyncio.Queue[Connection]()
        for connection in opened:
            idle.put_nowait(connection)

        async def send(number: int) -> None:
            connection = await idle.get()
            await connection.exchange(form_post("/rest/rest.event.call", calls[number % HANDLERS].body(number)))
            idle.put_nowait(connection)

        began_ns = time.monotonic_ns()
        for index in range(count):
            due_ns.append(began_ns + index * 1_000_000_000 // PACE)
            await asyncio.sleep(max(due_ns[index] - time.monotonic_ns(), 0) / 1e9)
            group.create_task(send(first + index))
    await _all_arrived(stage.board, range(first, first + count))
    return _took_ms(stage.board, first, due_ns)


async def _bare_paced(stage: Stage) -> list[float]:
    """Milliseconds of each event from a bare client."""
    first, seconds = stage.next_event, stage.options.seconds
    url = stage.handler_urls(1)[0]
    answer = await stage.client.ask(f"paced {url} {PACE} {seconds} {first}")
    due_ns = [int(word) for word in answer.split()]
    stage.next_event += len(due_ns)
    return _took_ms(stage.board, first, due_ns)


async def _all_arrived(board: Board, numbers: range) -> None:
    """Wait until the sink has every one of them. Raises RuntimeError naming how many are missing."""
    missing: Sequence[int] = numbers
    give_up = time.monotonic() + DRAIN_S
    while missing := [number for number in missing if not board.arrived_ns(number)]:
        if time.monotonic() > give_up:
            raise RuntimeError(f"{len(missing)} accepted events were not delivered within {DRAIN_S:.0f} s")
        await asyncio.sleep(0.01)


def _calls(stage: Stage, items: int) -> list[EventCall]:
    """Calls whose items go to the handlers in turn."""
    urls = stage.handler_urls(HANDLERS)
    return [
        EventCall(
            stage.relay.portal,
            stage.relay.app.client_id,
            [urls[(start + index) % HANDLERS] for index in range(items)],
        )
        for start in range(HANDLERS)
    ]


def _took_ms(board: Board, first: int, due_ns: Sequence[int]) -> list[float]:
    return [(board.arrived_ns(first + index) - due) / 1e6 for index, due in enumerate(due_ns)]


def _percentile(percent: int, bare: list[float], ours: list[float]) -> Figure:
    mine, theirs = (quantiles(sample, n=100, method="inclusive")[percent - 1] for sample in (ours, bare))
    notes = f"{len(ours)} events; slowest {max(ours):.1f} ms"
    name = f"sent to delivered at {PACE}/s, p{percent}"
    return Figure(name, "ms", mine, theirs, mine / theirs, None, "< 100" if percent == 99 else "", notes)
