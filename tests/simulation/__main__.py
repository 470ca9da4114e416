"""`python -m tests.simulation --seed N [--trace]`, `--seeds A:B`, `--forever`: histories by hand.

Leans on `history.py`. Exit status 1 at the first broken promise, whose seed is printed. Must never write a file.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys
import time
import zlib
from typing import TYPE_CHECKING

from tests.simulation.disk import Disk
from tests.simulation.history import run_history

if TYPE_CHECKING:
    from collections.abc import Iterable


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Deterministic simulation.")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int)
    which.add_argument("--seeds", metavar="A:B", help="from A up to, not including, B")
    which.add_argument("--forever", action="store_true", help="from a seed that the clock gives")
    parser.add_argument("--trace", action="store_true", help="print every step of the history")
    parser.add_argument("--digest", action="store_true", help="print a checksum of each history's trace")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at a broken promise")
    options = parser.parse_args()
    seeds: Iterable[int]
    if options.forever:
        seeds = itertools.count(int(time.time()) * 1000)
    elif options.seeds:
        first, _, last = options.seeds.partition(":")
        seeds = range(int(first), int(last))
    else:
        seeds = [options.seed]
    return _run(seeds, options)


def _run(seeds: Iterable[int], options: argparse.Namespace) -> int:
    disk = Disk()
    gc.freeze()
    began, count, broken = time.perf_counter(), 0, 0
    events = crashes = calls = lost = 0
    for seed in seeds:
        report = run_history(seed, disk, trace=options.trace or options.digest)
        count += 1
        events, crashes = events + report.events, crashes + report.crashes
        calls, lost = calls + report.calls, lost + report.lost
        if options.trace and report.trace is not None:
            print("\n".join(report.trace))
        if options.digest:
            print(seed, f"{zlib.crc32(chr(10).join(report.trace or []).encode()):08x}")
        if report.invariant:
            broken += 1
            print(f"seed {seed}: {report.invariant}: {report.words}", file=sys.stderr)
            if not options.keep_going:
                break
        elif count % 1000 == 0:
            print(f"{count} seeds, {count / (time.perf_counter() - began):.0f} a second", file=sys.stderr)
    spent = time.perf_counter() - began
    print(
        f"{count} seeds, {events} events, {calls} calls, {crashes} crashes, lost={lost}, broken={broken}, "
        f"{spent:.1f} s, {1000 * spent / count:.1f} ms a seed"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
