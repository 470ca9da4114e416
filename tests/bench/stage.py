"""Promises: everything one run of the bench measures with: the relay, what it is compared with, and the sink.

Leans on: the processes of the bench, in a temporary folder.
Must never: compare figures of two runs: both sides are measured in turn, in the same one.
"""

from __future__ import annotations

import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.board import Board
from tests.bench.cores import Cores, pin, share_out
from tests.bench.processes import Process, python
from tests.bench.relay_process import RelayUnderTest, relay_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Options:
    """seconds: of one measurement of one side. rounds: how often both sides take turns.

    backlog: so many events wait for a dead handler meanwhile. outage: so many for one that was down for a while.
    """

    seconds: float = 3.0
    rounds: int = 3
    connections: int = 32
    backlog: int = 0
    outage: int = 20_000


@dataclass(slots=True)
class Stage:
    """The running processes. next_event: the first number no event has had yet."""

    options: Options
    cores: Cores
    folder: Path
    relay: RelayUnderTest
    baseline_port: int
    baseline_pid: int
    client: Process
    sink_port: int
    board: Board
    waiting: int
    next_event: int = 0

    def handler_urls(self, count: int) -> list[str]:
        """So many handlers, all at the sink."""
        return [f"http://127.0.0.1:{self.sink_port}/handler/{number}" for number in range(count)]


@asynccontextmanager
async def stage(options: Options, waiting: int) -> AsyncIterator[Stage]:
    """Start everything; stop it at the end. waiting: so many events wait for a dead handler of the relay."""
    cores = share_out()
    pin(0, cores.load)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        folder = Path(name)
        board = Board.create(folder / "board")
        async with (
            python("tests.bench.sink", str(folder / "board"), core=cores.sink) as sink,
            python("tests.bench.baseline_server", core=cores.server) as server,
            python("tests.bench.baseline_client", core=cores.server) as client,
            relay_process(folder, cores.server, options.connections, waiting) as relay,
        ):
            yield Stage(
                options=options,
                cores=cores,
                folder=folder,
                relay=relay,
                baseline_port=int(await server.read_line()),
                baseline_pid=server.pid,
                client=client,
                sink_port=int(await sink.read_line()),
                board=board,
                waiting=waiting,
            )
