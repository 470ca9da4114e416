"""Promises: `python -m tests.bench [NAME]... [--seconds S] [--json]`: the figures beside their baselines, in one run.

Leans on: the stage and the benches.
Must never: fail for being slow; a wrong answer or a lost event is what fails it.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from typing import TYPE_CHECKING

from tests.bench.backlog import WAITING, backlog
from tests.bench.cluster import cluster
from tests.bench.cores import memory_mb
from tests.bench.drain import drain
from tests.bench.events import batches, events, latency
from tests.bench.isolation import isolation
from tests.bench.loop import run
from tests.bench.report import Figure, document, table
from tests.bench.stage import Options, stage
from tests.bench.tokens import check, refresh

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tests.bench.stage import Stage

BENCHES: dict[str, Callable[[Stage], Awaitable[list[Figure]]]] = {
    "refresh": refresh,
    "check": check,
    "events": events,
    "batches": batches,
    "latency": latency,
}
# With relays of their own, which take minutes; only what is named of these is run.
LONG: dict[str, Callable[[Stage], Awaitable[list[Figure]]]] = {
    "isolation": isolation,
    "backlog": backlog,
    "drain": drain,
    "cluster": cluster,
}


async def _measure(names: Sequence[str], options: Options) -> tuple[list[Figure], str]:
    figures: list[Figure] = []
    async with stage(options, 0 if LONG.keys() & set(names) else options.backlog) as running:
        for name in names:
            figures += await (BENCHES | LONG)[name](running)
        heading = _heading(running)
    return figures, heading


def _heading(running: Stage) -> str:
    """What the figures were got with, and what else there is to say of the relay."""
    options, relay = running.options, running.relay
    return (
        f"{os.cpu_count()} cores, Python {platform.python_version()}; {running.cores}; "
        f"{options.connections} connections, {options.rounds} turns of {options.seconds} s; "
        f"one fsync {_fsync_ms():.2f} ms; load average {os.getloadavg()[0]:.1f}\n"
        f"relay: ready after {relay.ready_s:.1f} s, {memory_mb(relay.pid):.0f} MB resident, "
        f"{running.waiting} events waiting for a dead handler, {running.board.repeats} events delivered twice"
    )


def _fsync_ms(tries: int = 100) -> float:
    """What putting a page on this disk costs: the floor of every durable answer."""
    with tempfile.TemporaryFile(prefix="relay-bench-") as file:
        began = time.perf_counter()
        for _ in range(tries):
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - began) / tries * 1000


def _names() -> str:
    return f"of: {', '.join(BENCHES)} (default: all these); {', '.join(LONG)}"


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=_names())
    parser.add_argument("--seconds", type=float, default=3.0, help="of one measurement of one side")
    parser.add_argument("--rounds", type=int, default=3, help="turns of baseline and relay")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--backlog", type=int, default=0, help=f"events that wait meanwhile (`backlog`: {WAITING:,})")
    parser.add_argument("--outage", type=int, default=20_000, help="events that wait at the start of `drain`")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args()
    if unknown := set(given.names) - set(BENCHES | LONG):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}")
    options = Options(given.seconds, given.rounds, given.connections, given.backlog, given.outage)
    figures, heading = run(_measure(given.names or list(BENCHES), options))
    print((document if given.json else table)(figures, heading))


if __name__ == "__main__":
    main()
