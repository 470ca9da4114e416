"""Every bench runs to its end and prints its figures; how quick they are is nobody's promise.

Leans on the bench as people start it. Must never assert a time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.postgres import postgres_programs
from tests.servers.rabbitmq import rabbitmq_program

ROOT = Path(__file__).parents[2]
FIGURES = {
    "refresh": ["refresh grants"],
    "check": ["rest.check"],
    "events": ["events, 1 a call"],
    "batches": ["events, 10 a call"],
    "latency": ["sent to delivered at 200/s, p50", "sent to delivered at 200/s, p99"],
}
LONG = {
    "isolation": [f"10 healthy beside 2 bad at 200/s, p{percent}" for percent in (50, 99, 50, 99)],
    "backlog": [
        "events with 300 waiting",
        "at 200/s with 300 waiting, p50",
        "at 200/s with 300 waiting, p99",
        "resident memory",
        "kill -9 to ready",
        "kill -9 to first delivery",
    ],
    "drain": [
        "drain of 300",
        *(
            f"new of {whose} handler meanwhile, p{percent}"
            for whose in ("the drained", "another")
            for percent in (50, 99)
        ),
    ],
    "cluster": [
        "events, SQLite",
        "events, PostgreSQL+RabbitMQ",
        *(f"at 200/s, {kind}, p{percent}" for kind in ("SQLite", "PostgreSQL+RabbitMQ") for percent in (50, 99)),
    ],
}


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the bench for a moment."""
    command = [sys.executable, "-m", "tests.bench", *arguments, "--rounds", "1", "--connections", "4"]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def check_figures(ran: subprocess.CompletedProcess[str], names: list[str]) -> None:
    """They are all there, each beside what it is compared with."""
    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert [figure["name"] for figure in document["figures"]] == names
    for figure in document["figures"]:
        assert figure["relay"] > 0, figure
        assert figure["baseline"] > 0, figure
        assert figure["ratio"] == pytest.approx(figure["relay"] / figure["baseline"])


def test_every_bench_gives_its_figures_beside_a_baseline() -> None:
    ran = bench("--seconds", "0.3", "--backlog", "100", "--json")
    check_figures(ran, [name for names in FIGURES.values() for name in names])


@pytest.mark.parametrize("name", LONG)
def test_a_long_bench_does_the_same_in_a_moment_with_small_numbers(name: str) -> None:
    if name == "cluster" and (postgres_programs() is None or rabbitmq_program() is None):
        pytest.skip("PostgreSQL and RabbitMQ are not installed: apt-get install postgresql rabbitmq-server")
    check_figures(bench(name, "--seconds", "0.4", "--backlog", "300", "--outage", "300", "--json"), LONG[name])


def test_one_bench_alone_prints_a_table_for_people() -> None:
    ran = bench("latency", "--seconds", "0.3")
    assert ran.returncode == 0, ran.stderr
    for name in FIGURES["latency"]:
        assert f"\n{name}, ms" in ran.stdout
    assert "0 events delivered twice" in ran.stdout


def test_a_bench_that_is_not_there_is_refused() -> None:
    assert bench("nothing").returncode == 2
