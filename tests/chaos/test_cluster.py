"""Nodes killed, the broker stopped and hung, PostgreSQL restarted and crashed, all under load: nothing is lost.

Leans on real processes and servers, and on a handler that sometimes fails. Must never give a node a moment to prepare.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from relay.roles import Role
from tests.chaos.event_load import PORTAL_URL, LoadPortal
from tests.chaos.lane_load import LaneLoad
from tests.chaos.moody_handler import MILD_MOODS, MoodyHandler
from tests.chaos.runs import Run
from tests.integration.nodes import Cluster, Node, running_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.chaos.runs import Rounds
    from tests.servers.postgres import PostgresServer
    from tests.servers.rabbitmq import RabbitServer

FAULTS = (*("kill",) * 3, "broker kill", "broker hang", "database restart", "database crash")
BETWEEN_S = (0.4, 1.0)
DRAIN_S = 90
HANDLERS = 3
SWEEP_S = 0.5
SETTINGS = {"delivery": {"sweep_s": SWEEP_S, "lease_s": 4, "drain_s": 2, "min_free_bytes": 0}}
ABSENT_S = 3
GONE_S, LONG_GONE_S = 5, 600
SLACK_S = 5
"""What a machine with two cores may take for other things."""


@dataclass(slots=True)
class Mishaps:
    """What happens to the nodes and servers. in_flight: deliveries that were in hand at each fault."""

    cluster: Cluster
    postgres: PostgresServer
    rabbit: RabbitServer
    chance: random.Random
    in_flight: int = 0
    happened: Counter[str] = field(default_factory=Counter)

    async def happen(self, fault: str) -> None:
        """One fault, and its end."""
        self.happened[fault] += 1
        if fault == "kill":
            await self._kill(self.chance.choice(self.cluster.nodes))
        elif fault == "broker kill":
            await asyncio.to_thread(self.rabbit.kill)
            await asyncio.to_thread(self.rabbit.start)
        elif fault == "broker hang":
            self.rabbit.pause()
            await asyncio.sleep(self.chance.uniform(0.5, 1.5))
            self.rabbit.resume()
        else:
            self.in_flight += await self.cluster.in_flight()
            await asyncio.to_thread(self.postgres.crash if fault == "database crash" else self.postgres.stop)
            await asyncio.to_thread(self.postgres.start)

    async def _kill(self, node: Node) -> None:
        pid = node.pid
        await node.kill()
        self.in_flight += await self.cluster.in_flight(pid)
        await node.start()


@dataclass(slots=True)
class Scene:
    """Nodes under load."""

    cluster: Cluster
    load: LaneLoad
    handler: MoodyHandler

    async def drained(self) -> int:
        """Stop the load and wait until all that was accepted is done; how much it was."""
        accepted = await self.load.stop()
        async with asyncio.timeout(DRAIN_S):
            while await self.cluster.states() != {"done": accepted}:
                await asyncio.sleep(0.05)
        assert sum(node.log.count("Traceback") for node in self.cluster.nodes) == 0
        self.handler.check_order()
        assert self.load.events() == self.handler.taken.keys()
        return accepted


@asynccontextmanager
async def scene(
    folder: Path,
    settings: dict[str, object],
    roles: tuple[Role, ...],
    chance: random.Random,
    moods: dict[str, float],
) -> AsyncIterator[Scene]:
    """Start the nodes and the load; each node that serves is a door for it."""
    async with running_cluster(folder, settings | SETTINGS) as cluster, MoodyHandler.running(chance, moods) as handler:
        nodes = [cluster.node(role) for role in roles]
        await asyncio.gather(*(node.start() for node in nodes))
        await cluster.relay.portals.announce(PORTAL_URL, window_s=600, allow=["127.0.0.0/8"])
        portal = await LoadPortal.register(f"http://{nodes[0].service}")
        ports = [int(node.service.rpartition(":")[2]) for node in nodes if node.role.serves]
        doors = [replace(portal, port=port) for port in ports]
        async with LaneLoad(doors, handler.urls(HANDLERS), chance).sending() as load:
            yield Scene(cluster, load, handler)


async def test_nodes_broker_and_database_fail(
    tmp_path: Path, rounds: Rounds, postgres_server: PostgresServer, rabbit_server: RabbitServer
) -> None:
    for seed in rounds:
        chance, folder = random.Random(seed), tmp_path / str(seed)
        with postgres_server.database() as url:
            settings: dict[str, object] = {"store": url, "queue": rabbit_server.url}
            roles = (Role.ALL, Role.ALL, Role.WORKER)
            async with scene(folder, settings, roles, chance, dict(MILD_MOODS)) as s:
                mishaps = Mishaps(s.cluster, postgres_server, rabbit_server, chance)
                for fault in chance.sample(FAULTS, len(FAULTS)):
                    await asyncio.sleep(chance.uniform(*BETWEEN_S))
                    await mishaps.happen(fault)
                accepted = await s.drained()
        taken = s.handler.taken
        rounds.record(Run(mishaps.happened, accepted, len(taken), mishaps.in_flight, s.handler.duplicates))
        shutil.rmtree(folder)


async def test_broker_is_absent_and_later_gone(
    tmp_path: Path, rounds: Rounds, postgres_server: PostgresServer, rabbit_server: RabbitServer
) -> None:
    """Gone for ten minutes, if there is time: an event then waits for the next sweep and no longer."""
    for seed in rounds:
        folder = tmp_path / str(seed)
        try:
            with postgres_server.database() as url:
                settings: dict[str, object] = {"store": url, "queue": rabbit_server.url}
                rounds.record(await outage(folder, settings, rabbit_server, LONG_GONE_S if rounds.is_long else GONE_S))
        finally:
            if not rabbit_server.is_running:
                await asyncio.to_thread(rabbit_server.start)
        shutil.rmtree(folder)


async def outage(folder: Path, settings: dict[str, object], rabbit: RabbitServer, gone_s: int) -> Run:
    await asyncio.to_thread(rabbit.stop)
    async with scene(folder, settings, (Role.SERVICE, Role.WORKER), random.Random(), {"well": 1}) as s:
        await asyncio.sleep(ABSENT_S)
        await asyncio.to_thread(rabbit.start)
        await asyncio.sleep(ABSENT_S)
        await asyncio.to_thread(rabbit.stop)
        await asyncio.sleep(gone_s)
        await asyncio.to_thread(rabbit.start)
        await asyncio.sleep(ABSENT_S)
        accepted = await s.drained()
    longest_s = max(s.handler.arrived_at[event] - since for event, since in s.load.accepted_at.items())
    assert longest_s < SWEEP_S + SLACK_S
    happened = Counter({"s absent": ABSENT_S, "s gone": gone_s, "ms waited at most": round(longest_s * 1000)})
    return Run(happened, accepted, len(s.handler.taken), 0, s.handler.duplicates)
