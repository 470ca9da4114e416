"""Promises: a server under full load from some connections for a while, and how many answers a second came.

Leans on: connections; one coroutine each, which makes its next request from its last answer.
Must never: hide that the load generator was the limit: its share of its core goes with every figure.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.connection import Connection, connections
from tests.bench.cores import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    Script = Generator[bytes, bytes, None]

WARM_UP = 0.15


@dataclass(frozen=True, slots=True)
class Load:
    """Answers a second, and what part of a core each side used."""

    rate: float
    server_cpu: float
    load_cpu: float


class Meter:
    """Counts between `start` and `stop`, with both sides' processor time."""

    def __init__(self, server_pid: int, count: Callable[[], int]) -> None:
        self._server_pid = server_pid
        self._count = count
        self._began = self._read()

    def start(self) -> None:
        """Count from here."""
        self._began = self._read()

    def stop(self) -> Load:
        """What came since."""
        now = self._read()
        seconds, count, server, load = (after - before for after, before in zip(now, self._began, strict=True))
        return Load(count / seconds, server / seconds, load / seconds)

    def _read(self) -> tuple[float, float, float, float]:
        return time.perf_counter(), self._count(), cpu_seconds(self._server_pid), time.process_time()


async def full_load(port: int, pid: int, scripts: Sequence[Script], seconds: float) -> Load:
    """Run each script on a connection of its own. Raises BadAnswerError as soon as one answer is not 200."""
    answered = 0
    over = False

    async def drive(connection: Connection, script: Script) -> None:
        nonlocal answered
        request = next(script)
        while not over:
            answer = await connection.exchange(request)
            answered += 1
            request = script.send(answer)

    async with connections(port, len(scripts)) as opened, asyncio.TaskGroup() as group:
        for connection, script in zip(opened, scripts, strict=True):
            group.create_task(drive(connection, script))
        await asyncio.sleep(seconds * WARM_UP)
        meter = Meter(pid, lambda: answered)
        await asyncio.sleep(seconds)
        load = meter.stop()
        over = True
    return load
