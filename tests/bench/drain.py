"""Promises: how fast what came during a handler's outage is delivered when the handler is well again, and what new
events of it and of another handler wait meanwhile, beside the steady state of the same relay.

Leans on: a handler whose port nobody listens on until the relay has met it dead; its own sink and board.
Must never: leave out the relay's hesitation after the outage: the rate counts from the first delivery on.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.bench.backlog_fill import fill
from tests.bench.board import Board
from tests.bench.load import Meter
from tests.bench.paced import all_arrived, calls, for_seconds, full_speed, paced
from tests.bench.processes import python
from tests.bench.relay_process import free_port, prepare, serving
from tests.bench.report import percentile_figure, rate_figure

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.bench.load import Load
    from tests.bench.relay_process import RelayUnderTest
    from tests.bench.report import Figure
    from tests.bench.stage import Stage

AIM = 0.8
NEW_PACE = 100
RETURNS_WITHIN_S = 60.0
SLOWEST_RATE = 20
_DOWN_S = 1.0
# Those that the outage had made fail come back by their own retry times; they say nothing of the rate.
_COUNTED = 0.99


@dataclass(frozen=True, slots=True)
class _Outage:
    """The handler that was down, the board of its sink and the numbers of what waits for it."""

    relay: RelayUnderTest
    handler: str
    board: Board
    waiting: range


async def drain(stage: Stage) -> list[Figure]:
    """The outage, the drain with new events meanwhile, then the same relay at its steady rate."""
    waiting = range(stage.next_event, stage.next_event + stage.options.outage)
    stage.next_event = waiting.stop
    path, port = stage.folder / "drain-board", free_port()
    board, handler = Board.create(path), f"http://127.0.0.1:{port}/handler"
    prepared = await prepare(stage.folder / "drain")
    await fill(prepared, handler, waiting.start, len(waiting))
    async with serving(prepared, stage.cores.server) as relay:
        await asyncio.sleep(_DOWN_S)
        outage = _Outage(relay, handler, board, waiting)
        async with python("tests.bench.sink", str(path), str(port), core=stage.cores.sink) as sink:
            await sink.read_line()
            drained, meanwhile = await _drained(stage, outage)
            steady = [
                await full_speed(stage, relay, calls(relay, [handler]), board) for _ in range(stage.options.rounds)
            ]
            afterwards = await _new_events(stage, outage, for_seconds(stage.options.seconds, NEW_PACE))
    return [
        _rate_figure(len(waiting), drained, steady),
        *(
            percentile_figure(f"new of {whose} handler meanwhile", percent, [(bare, ours)], "", "bare: after the drain")
            for whose, bare, ours in zip(("the drained", "another"), afterwards, meanwhile, strict=True)
            for percent in (50, 99)
        ),
    ]


async def _drained(stage: Stage, outage: _Outage) -> tuple[Load, list[list[float]]]:
    """Backlog events a second, and the milliseconds of new events meanwhile."""
    relay, board, count = outage.relay, outage.board, len(outage.waiting)
    give_up = time.monotonic() + RETURNS_WITHIN_S
    while not board.count:
        if time.monotonic() > give_up:
            raise RuntimeError(f"nothing was delivered {RETURNS_WITHIN_S:.0f} s after the outage")
        await asyncio.sleep(0.01)
    meter = Meter(relay.pid, lambda: board.count)
    meanwhile = await _new_events(stage, outage, lambda sent: sent > 2 and board.count >= count * _COUNTED)
    used = meter.stop()
    await all_arrived(board, outage.waiting, RETURNS_WITHIN_S + count / SLOWEST_RATE)
    arrived = sorted(board.arrived_ns(number) for number in outage.waiting)[: max(int(count * _COUNTED), 2)]
    rate = (len(arrived) - 1) / ((arrived[-1] - arrived[0]) / 1e9)
    return replace(used, rate=rate), meanwhile


async def _new_events(stage: Stage, outage: _Outage, over: Callable[[int], bool]) -> list[list[float]]:
    """Milliseconds of new events, in turn of the handler that was down and of another, each half of the pace."""
    bodies = calls(outage.relay, [outage.handler, *stage.handler_urls(1)])
    sent = await paced(stage, outage.relay, bodies, over, NEW_PACE)
    return [await sent.every(2, start).took_ms(board) for start, board in enumerate((outage.board, stage.board))]


def _rate_figure(count: int, drained: Load, steady: list[Load]) -> Figure:
    figure = rate_figure(f"drain of {count:,}", "per s", [(load, drained) for load in steady], AIM)
    about = f"bare: steady rate of that handler, accepting too; {NEW_PACE} new events/s come meanwhile"
    return replace(figure, notes=f"{about}; {figure.notes}")
