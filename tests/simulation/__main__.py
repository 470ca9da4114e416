"""`python -m tests.simulation --seed N [--trace]`, `--seeds A:B`, `--forever`: histories by hand.

Leans on `history.py`. Exit status 1 at the first broken promise, whose seed is printed. Must never write a file.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import sys
import time
import zlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from tests.simulation.disk import Disk
from tests.simulation.history import run_history
from tests.simulation.report import Tally

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
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON document")
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
    disk, tally, began = Disk(), Tally(), time.perf_counter()
    gc.freeze()
    gc.disable()
    for seed in seeds:
        report = run_history(seed, disk, trace=options.trace or options.digest)
        tally.add(report)
        if options.trace:
            print("\n".join(report.trace or []))
        if options.digest:
            print(seed, f"{zlib.crc32(chr(10).join(report.trace or []).encode()):08x}")
        if report.invariant:
            print(f"seed {seed}: {report.invariant}: {report.words}", file=sys.stderr, flush=True)
            if not options.keep_going:
                break
        if tally.seeds % 100 == 0:
            gc.collect()
        if tally.seeds % 1000 == 0:
            print(tally.line(time.perf_counter() - began), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps(asdict(tally)))
    elif not options.digest:
        print(tally.line(time.perf_counter() - began))
    return 1 if tally.broken else 0


if __name__ == "__main__":
    sys.exit(main())
