"""Nodes killed, the broker stopped and hung, PostgreSQL restarted and crashed, all under load: nothing is lost.

Leans on real processes and servers, and on a handler that sometimes fails. A run is repeated with CHAOS_SEED set to the
seed it has printed, and longer with CHAOS_ROUNDS. Must never give a node a moment to prepare.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from relay.roles import Role
from tests.integration.nodes import Cluster, Node, running_cluster
from tests.integration.site import Site, open_site
from tests.integration.wire import form, post, send

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.integration.sink import Call, Sink
    from tests.servers.postgres import PostgresServer
    from tests.servers.rabbitmq import RabbitServer

LANES = 10
FAULTS = ("kill", "kill", "kill", "broker kill", "broker hang", "database restart", "database crash")
BETWEEN_S = (0.4, 1.0)
DRAIN_S = 90
SETTINGS = {"delivery": {"sweep_s": 0.5, "lease_s": 4, "drain_s": 2, "min_free_bytes": 0}}
_FIELDS = re.compile(r"data%5BFIELDS%5D%5BID%5D=(\d+).*?&number=(\d+)")


@dataclass(slots=True)
class Load:
    """A portal that sends each entity's events one after the other, each again until it is taken, to any node.

    arrived: the numbers of each lane's events in the order in which the handler got them.
    """

    site: Site
    doors: list[Node]
    chance: random.Random
    accepted: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    refused: int = 0
    arrived: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    stopping: bool = False

    async def run(self) -> None:
        """Send until told to stop."""
        await asyncio.gather(*(self._send_lane(lane) for lane in range(LANES)))

    async def take(self, call: Call) -> web.StreamResponse:
        """The handler: slow now and then, and failing now and then."""
        found = _FIELDS.search(call.body)
        assert found is not None, call.body
        lane, number = map(int, found.groups())
        await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.02, 0.1)))
        if self.chance.random() < 0.05:
            return web.Response(status=500)
        self.arrived[lane].append(number)
        return web.Response()

    async def _send_lane(self, lane: int) -> None:
        while not self.stopping:
            number = self.accepted[lane]
            fields = self._event(lane, number)
            while not await self._send(fields):
                self.refused += 1
                await asyncio.sleep(0.05)
            self.accepted[lane] += 1
            await asyncio.sleep(0.1)

    async def _send(self, fields: dict[str, str]) -> bool:
        door = self.chance.choice(self.doors)
        try:
            async with asyncio.timeout(10):
                answer = await send(door.service, post("/rest/rest.event.call", form(fields)))
            return answer.is_json and answer.json.get("result") is True
        except (OSError, EOFError, TimeoutError):
            return False

    def _event(self, lane: int, number: int) -> dict[str, str]:
        item, data = "QUERY[0]", "QUERY[0][query][QUERY_DATA]"
        return {
            f"{item}[relay_item_id]": f"{lane:08x}{number:024x}",
            f"{item}[client_id]": self.site.app.client_id,
            f"{item}[additional][sendAuth]": "1",
            f"{item}[auth][LOCAL_USER]": "67",
            f"{item}[query][QUERY_URL]": f"{self.site.sink.url}/{lane % 3}",
            f"{data}[event]": "ONCRMDEALUPDATE",
            f"{data}[data][FIELDS][ID]": str(lane),
            f"{data}[number]": str(number),
            **self.site.portal.appended,
        }


@dataclass(slots=True)
class Chaos:
    """What happens to the nodes and servers. in_flight: deliveries that were in hand at each fault."""

    cluster: Cluster
    postgres: PostgresServer
    rabbit: RabbitServer
    chance: random.Random
    in_flight: list[int] = field(default_factory=list)

    async def happen(self, fault: str) -> None:
        """One fault, and its end."""
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
            self.in_flight.append(await self.cluster.in_flight())
            await asyncio.to_thread(self.postgres.crash if fault == "database crash" else self.postgres.stop)
            await asyncio.to_thread(self.postgres.start)

    async def _kill(self, node: Node) -> None:
        pid = node.pid
        await node.kill()
        self.in_flight.append(await self.cluster.in_flight(pid))
        await node.start()


async def test_whatever_fails_under_load_nothing_is_lost_and_every_lane_keeps_its_order(
    tmp_path: Path,
    postgres_url: str,
    postgres_server: PostgresServer,
    rabbit_server: RabbitServer,
    sink: Sink,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**9))
    rounds = int(os.environ.get("CHAOS_ROUNDS") or 1)
    chance, began = random.Random(seed), time.monotonic()
    settings = {"store": postgres_url, "queue": rabbit_server.url, **SETTINGS}
    async with running_cluster(tmp_path / "home", settings) as cluster:
        nodes = [cluster.node(), cluster.node(), cluster.node(Role.WORKER)]
        await asyncio.gather(*(node.start() for node in nodes))
        load = Load(await open_site(cluster.live(nodes[0]), sink), nodes[:2], chance)
        sink.behaviour = load.take
        sending = asyncio.create_task(load.run())
        chaos = Chaos(cluster, postgres_server, rabbit_server, chance)
        for fault in [fault for _ in range(rounds) for fault in chance.sample(FAULTS, len(FAULTS))]:
            await asyncio.sleep(chance.uniform(*BETWEEN_S))
            await chaos.happen(fault)
        load.stopping = True
        await sending
        accepted = sum(load.accepted.values())
        async with asyncio.timeout(DRAIN_S):
            while await cluster.states() != {"done": accepted}:
                await asyncio.sleep(0.05)
        tracebacks = sum(node.log.count("Traceback") for node in nodes)
    delivered = sum(len(set(numbers)) for numbers in load.arrived.values())
    duplicates = sum(len(numbers) for numbers in load.arrived.values()) - delivered
    rows = {
        "seed": seed,
        "faults": ", ".join(f"{rounds * FAULTS.count(fault)} {fault}" for fault in dict.fromkeys(FAULTS)),
        "accepted (calls refused)": f"{accepted} ({load.refused})",
        "delivered": delivered,
        "lost": accepted - delivered,
        "in flight at the faults": f"{sum(chaos.in_flight)} (at most {max(chaos.in_flight)})",
        "duplicates": duplicates,
        "seconds": round(time.monotonic() - began, 1),
    }
    with capsys.disabled():
        print("\nnodes, broker and database failing under load")
        print("\n".join(f"  {name:<26}{value}" for name, value in rows.items()))
    for lane, count in load.accepted.items():
        assert sorted(set(load.arrived[lane])) == list(range(count)), lane
        assert load.arrived[lane] == sorted(load.arrived[lane]), lane
    assert duplicates <= sum(chaos.in_flight)
    assert accepted > 20 * LANES
    assert tracebacks == 0
