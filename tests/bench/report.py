"""Promises: the figures of a run as a table for people or JSON for programs, each beside its baseline and aim.

Leans on: nothing but the figures.
Must never: judge: an aim missed is shown, not failed, because machines differ.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.load import Load

LOAD_LIMIT = 0.9


@dataclass(frozen=True, slots=True)
class Figure:
    """One line. aim: what the project wants of `ratio` (at least) or of `relay` (at most), as text.

    cpu_ratio: the ratio of what each did in a second of its own processor time, None for times. On a machine that
    others use too it is the figure to trust: what they take away it leaves out.
    """

    name: str
    unit: str
    relay: float
    baseline: float
    ratio: float
    cpu_ratio: float | None
    aim: str
    notes: str


def rate_figure(name: str, unit: str, pairs: Sequence[tuple[Load, Load]], aim: float) -> Figure:
    """The median of some turns of (baseline, relay); the ratio is the median of each turn's own."""
    relay = [ours.rate for _, ours in pairs]
    bare = [baseline.rate for baseline, _ in pairs]
    ratios = [ours.rate / baseline.rate for baseline, ours in pairs]
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    per_cpu = median(_per_cpu_second(ours) / _per_cpu_second(baseline) for baseline, ours in pairs)
    cpu = f"relay {median(ours.server_cpu for _, ours in pairs):.0%} of its core"
    busiest = max(max(load.load_cpu for load in pair) for pair in pairs)
    limit = f"load {busiest:.0%}" + (" (THE LOAD GENERATOR IS THE LIMIT)" if busiest > LOAD_LIMIT else "")
    notes = f"ratios {spread}; {cpu}; {limit}"
    return Figure(name, unit, median(relay), median(bare), median(ratios), per_cpu, f">= {aim}", notes)


def percentile_figure(
    name: str, percent: int, pairs: Sequence[tuple[Sequence[float], Sequence[float]]], aim: str, note: str
) -> Figure:
    """The median of some turns' percentiles of (baseline, relay), in ms; the ratio is the median of each turn's own."""
    ours = [_percentile(mine, percent) for _, mine in pairs]
    bare = [_percentile(theirs, percent) for theirs, _ in pairs]
    ratios = [mine / theirs for theirs, mine in zip(bare, ours, strict=True)]
    slowest = max(max(mine) for _, mine in pairs)
    notes = f"{note}; ratios {min(ratios):.2f}-{max(ratios):.2f}; slowest {slowest:.0f} ms"
    return Figure(f"{name}, p{percent}", "ms", median(ours), median(bare), median(ratios), None, aim, notes)


def _percentile(sample: Sequence[float], percent: int) -> float:
    return quantiles(sample, n=100, method="inclusive")[percent - 1] if len(sample) > 1 else sample[0]


def _per_cpu_second(load: Load) -> float:
    """What the rate would be on a core that nobody else uses; 0 processor time is not known or too little to tell."""
    return load.rate / (load.server_cpu or 1.0)


def table(figures: Sequence[Figure], heading: str) -> str:
    """The figures in columns."""
    lines = [heading, ""]
    lines.append(f"{'':<46} {'relay':>9} {'bare':>9} {'ratio':>6} {'by cpu':>6}  {'aim':<9} notes")
    for figure in figures:
        name = f"{figure.name}, {figure.unit}"
        numbers = f"{figure.relay:>9.1f} {figure.baseline:>9.1f} {figure.ratio:>6.2f}"
        by_cpu = "" if figure.cpu_ratio is None else f"{figure.cpu_ratio:.2f}"
        lines.append(f"{name:<46} {numbers} {by_cpu:>6}  {figure.aim:<9} {figure.notes}")
    return "\n".join(lines)


def document(figures: Sequence[Figure], heading: str) -> str:
    """The same as JSON."""
    return json.dumps({"setting": heading, "figures": [asdict(figure) for figure in figures]})
