"""Promises: events through one node on PostgreSQL and RabbitMQ, beside SQLite and a bare client, in one run.

Leans on: real servers of both kinds, started for the run on the same cores, durable as they come.
Must never: use a server that it did not start.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench.events import RATE_AIM, bare_full_speed, bare_paced, relay_full_speed, relay_paced
from tests.bench.paced import PACE
from tests.bench.relay_process import prepare, serving
from tests.bench.report import Figure, percentile_figure, rate_figure
from tests.servers.postgres import PostgresServer, postgres_programs
from tests.servers.rabbitmq import RabbitServer, rabbitmq_program

if TYPE_CHECKING:
    from tests.bench.load import Load
    from tests.bench.relay_process import RelayUnderTest
    from tests.bench.stage import Stage

_LABELS = ("SQLite", "PostgreSQL+RabbitMQ")


async def cluster(stage: Stage) -> list[Figure]:
    """The rate of single events and the times at a steady pace, of both relays beside the bare client."""
    programs, program = postgres_programs(), rabbitmq_program()
    if programs is None or program is None:
        raise RuntimeError("this bench needs PostgreSQL and RabbitMQ: apt-get install postgresql rabbitmq-server")
    with ExitStack() as servers:
        postgres = await asyncio.to_thread(servers.enter_context, PostgresServer.running(programs))
        rabbit = await asyncio.to_thread(servers.enter_context, RabbitServer.running(program))
        url = servers.enter_context(postgres.database())
        more = f'store = "{url}"\nqueue = "{rabbit.url}"\n'
        async with serving(await prepare(stage.folder / "cluster", more=more), stage.cores.server) as node:
            return await _compare(stage, [stage.relay, node])


async def _compare(stage: Stage, relays: list[RelayUnderTest]) -> list[Figure]:
    loads: list[list[tuple[Load, Load]]] = [[] for _ in relays]
    took: list[list[tuple[list[float], list[float]]]] = [[] for _ in relays]
    for _ in range(stage.options.rounds):
        bare_load = await bare_full_speed(stage)
        for found, relay in zip(loads, relays, strict=True):
            found.append((bare_load, await relay_full_speed(stage, relay)))
        bare_ms = await bare_paced(stage)
        for times, relay in zip(took, relays, strict=True):
            times.append((bare_ms, await relay_paced(stage, relay)))
    figures = [
        rate_figure(f"events, {label}", "per s", found, RATE_AIM) for label, found in zip(_LABELS, loads, strict=True)
    ]
    for label, times in zip(_LABELS, took, strict=True):
        for percent in (50, 99):
            aim = "< 50" if percent == 99 else ""
            figures.append(percentile_figure(f"at {PACE}/s, {label}", percent, times, aim, "bare: the client alone"))
    return figures
