"""Promises: the simulation finds each bug that was put into the engine on purpose, by the promise that it breaks.

Leans on: `mutants.py` and the same histories as without them. Must never: let a mutant pass because it broke something
else only.
"""

from __future__ import annotations

import gc

import pytest

from tests.simulation.disk import Disk
from tests.simulation.history import run_history
from tests.simulation.mutants import MUTANTS, Mutant

MOST_SEEDS = 5000


@pytest.fixture(scope="module")
def disk() -> Disk:
    """One database for all."""
    return Disk()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_found(mutant: Mutant, disk: Disk) -> None:
    others: set[str] = set()
    with mutant.at_work() as parts:
        for seed in range(MOST_SEEDS):
            broken = run_history(seed, disk, parts=parts).invariant
            if broken in mutant.caught_by:
                return
            others |= {broken} - {""}
            if seed % 100 == 99:
                gc.collect()
    pytest.fail(f"not found by {mutant.caught_by} in {MOST_SEEDS} seeds; others: {sorted(others)}")
