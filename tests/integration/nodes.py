"""A relay of several nodes: processes of the real command on one PostgreSQL and one RabbitMQ, killed at will.

Leans on the command line, on `/readyz`, and on the operator's own view of the store. Must never leave a process behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from relay.config import load_config
from relay.core.errors import Unavailable
from relay.opened import open_relay
from relay.roles import Role
from relay.store import schema as s
from tests.e2e.relay_process import free_ports
from tests.integration.live_relay import LiveRelay, make_home
from tests.integration.wire import get, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from relay.opened import Relay

READY_S = 60.0
STOP_S = 30.0
POLL_S = 0.02


@dataclass(slots=True)
class Node:
    """One process. service, admin: `host:port` of its listeners, the same at every start."""

    home: Path
    role: Role
    number: int
    service: str
    admin: str
    settings: dict[str, str]
    _process: asyncio.subprocess.Process | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped or killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process's id."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What all its runs have written."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    async def start(self) -> None:
        """Start it and wait until it is ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        environment |= {"RELAY_LISTEN": self.service, "RELAY_ADMIN_LISTEN": self.admin, **self.settings}
        command = (sys.executable, "-m", "relay.cli", "serve", "--home", str(self.home), "--role", self.role)
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, env=environment)
        async with asyncio.timeout(READY_S):
            while not await self.is_ready():
                assert self._process.returncode is None, self.log[-3000:]
                await asyncio.sleep(POLL_S)

    async def is_ready(self) -> bool:
        """Whether its admin listener says so."""
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            return (await send(self.admin, get("/readyz"))).status == 200
        return False

    async def kill(self) -> None:
        """SIGKILL: it gets no chance to do anything."""
        assert self._process is not None
        process, self._process = self._process, None
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    async def stop(self) -> int:
        """SIGTERM, which drains; the exit status."""
        assert self._process is not None
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(STOP_S):
            return await process.wait()

    async def metric(self, name: str) -> float | None:
        """A number of its /metrics."""
        text = (await send(self.admin, get("/metrics"))).body.decode()
        lines = [line.split() for line in text.splitlines() if line.startswith(name)]
        return float(lines[0][1]) if lines else None

    @property
    def _log_path(self) -> Path:
        return self.home / f"node{self.number}.log"


@dataclass(slots=True)
class Cluster:
    """The nodes, and the operator's hands on their store."""

    home: Path
    relay: Relay
    nodes: list[Node] = field(default_factory=list)

    def node(self, role: Role = Role.ALL, **settings: str) -> Node:
        """One more node, not started yet. settings: variables of its own."""
        service, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
        self.nodes.append(Node(self.home, role, len(self.nodes), service, admin, settings))
        return self.nodes[-1]

    async def started(self, role: Role = Role.ALL, **settings: str) -> Node:
        """One more node, running."""
        node = self.node(role, **settings)
        await node.start()
        return node

    def live(self, node: Node) -> LiveRelay:
        """A node as the other tests know a relay."""
        return LiveRelay(self.relay, node.service, node.admin)

    async def states(self) -> dict[str, int]:
        """How many deliveries are in each state, once the store answers."""
        while True:
            with contextlib.suppress(Unavailable):
                return {state: count for state, count in (await self.relay.store.counts()).items() if count}
            await asyncio.sleep(POLL_S)

    async def in_flight(self, pid: int | None = None) -> int:
        """How many deliveries are leased, by the node with that process id if it is given."""
        d = s.deliveries.c
        query = select(func.count()).where(d.state == "leased")
        if pid is not None:
            query = query.where(d.lease_owner.contains(f":{pid}:"))
        while True:
            with contextlib.suppress(Unavailable):
                return await self.relay.store._database.read(lambda c: int(c.execute(query).scalar_one()))
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def running_cluster(home: Path, settings: Mapping[str, Any]) -> AsyncIterator[Cluster]:
    """A relay's home for all nodes of it; whatever node runs at the end is killed."""
    config = load_config(make_home(home, settings))
    cluster = Cluster(home, open_relay(config))
    try:
        yield cluster
    finally:
        for node in cluster.nodes:
            if node.running:
                await node.kill()
        await cluster.relay.store.close()
