"""Promises: in no history that chance makes up is an event lost, doubled without cause, out of order or left waiting.

Leans on: the engine as it is, over simulated time, network, store and mishaps; two processes, one a core. Must never:
sleep, or let a seed mean another history in another process. By hand: `python -m tests.simulation --seed N --trace`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.disk import Disk
from tests.simulation.history import run_history
from tests.simulation.report import Tally

if TYPE_CHECKING:
    import pytest

SEEDS = 2000
PROCESSES = 2
SAME = 25
ROOT = Path(__file__).parents[2]


def _started(*arguments: str, hash_seed: str = "0") -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=pipe, stderr=pipe, text=True)


def _ended(process: subprocess.Popen[str]) -> str:
    with process:
        output, errors = process.communicate()
    assert output, errors
    return output


def test_no_history_breaks_a_promise(capsys: pytest.CaptureFixture[str]) -> None:
    began, share = time.perf_counter(), SEEDS // PROCESSES
    ranges = [f"{number * share}:{(number + 1) * share}" for number in range(PROCESSES)]
    running = [_started("--seeds", one, "--json", "--keep-going") for one in ranges]
    tally = Tally()
    for process in running:
        found = json.loads(_ended(process))
        tally.merge(Tally(found["seeds"], found["counts"], found["virtual_s"], found["broken"]))
    with capsys.disabled():
        print("\nsimulation:", tally.line(time.perf_counter() - began))
    assert tally.broken == {}
    assert tally.counts["lost"] == 0
    assert tally.seeds == SEEDS
    # That little happened would be no comfort.
    assert (
        min(tally.counts[name] for name in ("events", "calls", "doubled", "faults", "crashes", "stalls", "jumps")) > 500
    )


def test_a_seed_is_the_same_history_in_every_process() -> None:
    arguments = ("--seeds", f"0:{SAME}", "--digest")
    first, second = (_started(*arguments, hash_seed=hash_seed) for hash_seed in ("1", "2"))
    digests = _ended(first)
    assert digests == _ended(second)
    assert len(digests.splitlines()) == SAME


def test_a_seed_is_the_same_history_after_any_other() -> None:
    disk = Disk()
    alone = run_history(7, disk, trace=True).trace
    run_history(8, disk)
    assert run_history(7, disk, trace=True).trace == alone
    assert alone
