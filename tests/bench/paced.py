"""Promises: events sent to a relay at a steady pace or as fast as it delivers, and when each was to be sent.

Leans on: the stage's numbers; only some connections are open, so that a relay that stalls is waited for and measured.
Must never: count an event before it has arrived at its sink, nor end before every accepted one has.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from itertools import cycle
from typing import TYPE_CHECKING

from tests.bench.connection import Connection, connections, form_post
from tests.bench.load import WARM_UP, Load, Meter
from tests.bench.sample import EventCall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.board import Board
    from tests.bench.relay_process import RelayUnderTest
    from tests.bench.stage import Stage

UNDER_WAY = 512
PACE = 200
DRAIN_S = 60.0
_TURN_S = 0.001
_PATH = "/rest/rest.event.call"


@dataclass(frozen=True, slots=True)
class Paced:
    """What was sent: the number of each call's first event, and when the call was due (monotonic clock)."""

    numbers: list[int] = field(default_factory=list)
    due_ns: list[int] = field(default_factory=list)

    def every(self, step: int, start: int) -> Paced:
        """Each `step`th call from the one at `start` on."""
        return Paced(self.numbers[start::step], self.due_ns[start::step])

    async def took_ms(self, board: Board) -> list[float]:
        """Milliseconds from when each was due to its arrival; waits until all have arrived."""
        await all_arrived(board, self.numbers)
        return [(board.arrived_ns(number) - due) / 1e6 for number, due in zip(self.numbers, self.due_ns, strict=True)]


def calls(relay: RelayUnderTest, handlers: Sequence[str], items: int = 1) -> list[EventCall]:
    """Calls whose items go to the handlers in turn."""
    count = len(handlers)
    return [event_call(relay, [handlers[(start + index) % count] for index in range(items)]) for start in range(count)]


def event_call(relay: RelayUnderTest, handlers: list[str]) -> EventCall:
    """A call with an item for each of the handlers."""
    return EventCall(relay.portal, relay.app.client_id, handlers)


async def paced(
    stage: Stage, relay: RelayUnderTest, bodies: Sequence[EventCall], over: Callable[[int], bool], pace: int = PACE
) -> Paced:
    """Send the calls in turn, `pace` of them a second, until `over` of the number already sent."""
    sent = Paced()
    async with connections(relay.port, stage.options.connections) as opened, asyncio.TaskGroup() as group:
        idle = asyncio.Queue[Connection]()
        for connection in opened:
            idle.put_nowait(connection)

        async def send(body: bytes) -> None:
            connection = await idle.get()
            await connection.exchange(form_post(_PATH, body))
            idle.put_nowait(connection)

        began_ns = time.monotonic_ns()
        while not over(index := len(sent.numbers)):
            call = bodies[index % len(bodies)]
            due_ns = began_ns + index * 1_000_000_000 // pace
            await asyncio.sleep(max(due_ns - time.monotonic_ns(), 0) / 1e9)
            sent.numbers.append(stage.next_event)
            sent.due_ns.append(due_ns)
            group.create_task(send(call.body(stage.next_event)))
            stage.next_event += call.items
    return sent


def for_seconds(seconds: float, pace: int = PACE) -> Callable[[int], bool]:
    """An `over` of that many seconds' calls."""
    return lambda sent: sent >= int(pace * seconds)


async def full_speed(
    stage: Stage, relay: RelayUnderTest, bodies: Sequence[EventCall], board: Board | None = None
) -> Load:
    """Keep the relay busy with at most UNDER_WAY events accepted and not delivered. board: another than the stage's."""
    board = board or stage.board
    turn = cycle(bodies)
    first, before = stage.next_event, board.count
    over = False

    async def drive(connection: Connection) -> None:
        while not over:
            if stage.next_event - first - (board.count - before) > UNDER_WAY:
                await asyncio.sleep(_TURN_S)
                continue
            call = next(turn)
            number, stage.next_event = stage.next_event, stage.next_event + call.items
            await connection.exchange(form_post(_PATH, call.body(number)))

    async with connections(relay.port, stage.options.connections) as opened, asyncio.TaskGroup() as group:
        for connection in opened:
            group.create_task(drive(connection))
        await asyncio.sleep(stage.options.seconds * WARM_UP)
        meter = Meter(relay.pid, lambda: board.count)
        await asyncio.sleep(stage.options.seconds)
        load = meter.stop()
        over = True
    await all_arrived(board, range(first, stage.next_event))
    return load


async def all_arrived(board: Board, numbers: Sequence[int], within_s: float = DRAIN_S) -> None:
    """Wait until the sink has every one of them. Raises RuntimeError naming how many are missing."""
    missing = numbers
    give_up = time.monotonic() + within_s
    while missing := [number for number in missing if not board.arrived_ns(number)]:
        if time.monotonic() > give_up:
            raise RuntimeError(f"{len(missing)} accepted events were not delivered within {within_s:.0f} s")
        await asyncio.sleep(0.01)
