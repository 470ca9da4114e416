"""Several nodes on one PostgreSQL and one RabbitMQ: what a role does, and what becomes of a node that is cut off.

Leans on real processes and servers. Must never see an event in two hands at one time.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from relay.roles import Role
from tests.integration.live_relay import make_home, until
from tests.integration.nodes import Cluster, running_cluster
from tests.integration.site import Site, open_site
from tests.integration.wire import get, post, send
from tests.servers.clock import SetClock, clock_library
from tests.servers.proxy import Network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.sink import Call, Sink
    from tests.servers.rabbitmq import RabbitServer

RARE_S = 60
"""A sweep that comes too late for any test: what arrives before was rung for."""
SOON_S = 20
SWEEP_S = 0.6


def with_sweep(sweep_s: float, **delivery: float) -> dict[str, Any]:
    """Settings."""
    return {"delivery": {"sweep_s": sweep_s, **delivery}}


@pytest.fixture
async def cluster(tmp_path: Path, postgres_url: str, rabbit_server: RabbitServer) -> AsyncIterator[Cluster]:
    """No node yet."""
    async with running_cluster(tmp_path / "home", {"store": postgres_url, "queue": rabbit_server.url}) as cluster:
        yield cluster


async def connected(*nodes: Any) -> None:
    """Wait until these nodes have their broker."""

    async def reached() -> bool:
        return all([await node.metric("relay_broker_connected") == 1 for node in nodes])

    await until(reached)


async def test_a_service_accepts_and_a_worker_that_is_rung_delivers(cluster: Cluster, sink: Sink) -> None:
    rare = {"RELAY_DELIVERY__SWEEP_S": str(RARE_S)}
    service, worker = await asyncio.gather(cluster.started(Role.SERVICE, **rare), cluster.started(Role.WORKER, **rare))
    await connected(service, worker)
    site = await open_site(cluster.live(service), sink)
    await site.fire()  # the first one: whoever delivers learns of the handler by it
    async with asyncio.timeout(SOON_S):
        await sink.wait_for(1)
    for count in range(2, 6):
        await site.fire()
        async with asyncio.timeout(SOON_S):
            await sink.wait_for(count)
    await site.settled(done=5)
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await send(worker.service, get("/healthz"))
    await worker.stop()
    await site.fire()
    await until_states(cluster, done=5, due=1)
    assert (await send(service.admin, get("/readyz"))).status == 200
    await worker.start()
    await site.settled(done=6)
    assert await service.stop() == await worker.stop() == 0


async def until_states(cluster: Cluster, **wanted: int) -> None:
    """Wait until the deliveries are in these states."""

    async def reached() -> bool:
        return await cluster.states() == wanted

    await until(reached)


async def test_failures_that_a_service_sees_are_written_down(cluster: Cluster) -> None:
    service = await cluster.started(Role.SERVICE, RELAY_HOUSEKEEPING__EVERY_S="0.2")
    for _ in range(3):
        await send(service.service, post("/rest/methods", b"client_id=portal.x&client_secret=wrong"))

    async def written() -> bool:
        return bool(await cluster.relay.store.list_audit(0, "", 10))

    await until(written)


async def test_nodes_that_start_at_once_on_an_empty_store_share_its_first_keys(cluster: Cluster) -> None:
    await asyncio.gather(*(cluster.started() for _ in range(3)))
    await cluster.relay.portals.announce("http://portal.test", window_s=60)
    directory = await cluster.relay.store.directory()
    assert len(directory.signing_keys) == 1


def test_a_role_needs_a_store_that_can_be_shared(tmp_path: Path) -> None:
    home = make_home(tmp_path)
    command = [sys.executable, "-m", "relay.cli", "serve", "--home", str(home), "--role", "worker"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert ended.returncode != 0
    assert "PostgreSQL" in ended.stderr.splitlines()[-1]


async def test_without_its_broker_a_node_stalls_no_longer_than_a_sweep_and_says_so_once(
    cluster: Cluster, sink: Sink, rabbit_server: RabbitServer
) -> None:
    rabbit_server.stop()
    try:
        sweeping = {"RELAY_DELIVERY__SWEEP_S": str(SWEEP_S)}
        service, worker = await asyncio.gather(
            cluster.started(Role.SERVICE, **sweeping), cluster.started(Role.WORKER, **sweeping)
        )
        site = await open_site(cluster.live(service), sink)
        absent = [await delay_s(site, count) for count in range(1, 3)]
        await asyncio.to_thread(rabbit_server.start)
        await connected(service, worker)
        present = [await delay_s(site, count) for count in range(3, 9)]
        await asyncio.to_thread(rabbit_server.stop)
        gone = [await delay_s(site, count) for count in range(9, 11)]
    finally:
        if not rabbit_server.is_running:
            await asyncio.to_thread(rabbit_server.start)
    await connected(service, worker)
    assert max(absent + gone) < SWEEP_S + 2
    assert sorted(present)[len(present) // 2] < SWEEP_S / 2
    await site.settled(done=10)
    for node in (service, worker):
        for purpose in ("publishing", "rings") if node is worker else ("publishing",):
            lines = [line for line in node.log.splitlines() if f"purpose={purpose}" in line]
            assert sum("broker.unreachable" in line for line in lines) == 2
            assert sum("broker.connected" in line for line in lines) == 2
        assert "aiormq" not in node.log
        assert "Traceback" not in node.log


async def delay_s(site: Site, count: int) -> float:
    """Fire the event number `count`; how long it took to arrive."""
    began = time.monotonic()
    await site.fire()
    await site.sink.wait_for(count)
    return time.monotonic() - began


async def test_a_node_whose_clock_is_wrong_takes_no_lease_before_its_end(
    tmp_path: Path, postgres_url: str, sink: Sink
) -> None:
    released = asyncio.Event()

    async def hang_at_first(_call: Call) -> web.StreamResponse:
        if len(sink.calls) == 1:
            await released.wait()
        return web.Response()

    settings = {"store": postgres_url} | with_sweep(0.1, lease_s=4)
    clock = set_clock(tmp_path, ahead_s=3600)
    async with running_cluster(tmp_path / "home", settings) as cluster:
        site = await open_site(cluster.live(await cluster.started()), sink)
        sink.behaviour = hang_at_first
        await site.fire()
        await sink.wait_for(1)
        wrong = await cluster.started(Role.ALL, **clock.variables)
        portal = replace(site.portal, live=cluster.live(wrong))
        for count in range(2, 6):
            await replace(site, live=portal.live, portal=portal).fire()
            await sink.wait_for(count)
        assert {call.attempt for call in sink.calls} == {1}
        released.set()
        await until_states(cluster, done=5)
        assert {call.attempt for call in sink.calls} == {1}
        assert wrong.log.count("clock.differs_from_the_database_s") == 1


def set_clock(folder: Path, ahead_s: float) -> SetClock:
    """A clock that is wrong by so much."""
    library = clock_library()
    if library is None:
        pytest.skip("libfaketime is not installed: apt-get install libfaketime")
    clock = SetClock(folder / "clock", library)
    clock.set(ahead_s)
    return clock


async def test_a_node_cut_off_from_the_store_lets_go_before_another_takes_over(
    tmp_path: Path, postgres_url: str, sink: Sink
) -> None:
    """Its calls are given up before their leases are over: no event is in two hands, whatever that node thinks."""
    hands: list[tuple[str, float]] = []

    async def hang(call: Call) -> web.StreamResponse:
        hands.append((f"{call.attempt} begins", time.monotonic()))
        try:
            await asyncio.Event().wait()
        finally:
            hands.append((f"{call.attempt} ends", time.monotonic()))
        raise AssertionError("unreachable")

    async def hang_once(call: Call) -> web.StreamResponse:
        if call.attempt == 1:
            return await hang(call)
        hands.append((f"{call.attempt} begins", time.monotonic()))
        return web.Response()

    server_port = int(postgres_url.rpartition(":")[2].partition("/")[0])
    settings = {"store": postgres_url} | with_sweep(0.2, lease_s=3)
    async with Network.before(server_port) as network, running_cluster(tmp_path / "home", settings) as cluster:
        through = postgres_url.replace(f":{server_port}/", f":{network.port}/")
        cut_off = await cluster.started(RELAY_STORE=through)
        site = await open_site(cluster.live(cut_off), sink)
        sink.behaviour = hang_once
        await site.fire()
        await sink.wait_for(1)
        other = await cluster.started()
        network.cut()
        await sink.wait_for(2)
        await until_states(cluster, done=1)
        assert [what for what, _ in hands] == ["1 begins", "1 ends", "2 begins"]
        portal = replace(site.portal, live=cluster.live(other))
        await replace(site, live=portal.live, portal=portal).fire()
        network.heal()
        await until_states(cluster, done=2)

        async def back() -> bool:
            return await cut_off.is_ready()

        await until(back)
        await site.fire()
        await until_states(cluster, done=3)
