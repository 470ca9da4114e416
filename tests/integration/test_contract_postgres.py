"""What only PostgreSQL can do to a store: deadlocks, lost connections, restarts, hangs, nodes that migrate at one time.

Leans on a real server. Must never run a unit a second time that may have been committed, nor wait without an end.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, event, select, text, update

from relay.core.errors import Unavailable
from relay.store import schema as s
from relay.store.database import Database
from relay.store.locks import take_locks
from relay.store.migrations import migrate
from relay.store.postgres import open_postgres
from relay.store.sql_store import open_postgres_store
from tests.factories import NOW, NOW_MS
from tests.integration.adapters import open_key
from tests.integration.stored import claim, ended, new_app, new_delivery, states, with_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from relay.store.sql_store import SqlStore
    from tests.servers.postgres import PostgresServer

PATIENCE_S = 30


@pytest.fixture
async def nodes(postgres_url: str) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Two nodes over a store with a portal and an application."""
    opened = [open_postgres_store(postgres_url, open_key, upgrade=False) for _ in range(2)]
    await with_app(opened[0])
    yield opened[0], opened[1]
    for store in opened:
        await store.close()


def titling(first: int, second: int, title: str, both_hold_one: threading.Barrier) -> Callable[[Connection], int]:
    """A unit that changes two applications one after the other, and the first time waits in between."""
    runs = 0

    def unit(connection: Connection) -> int:
        nonlocal runs
        runs += 1
        connection.execute(update(s.apps).where(s.apps.c.number == first).values(title=title))
        if runs == 1:
            both_hold_one.wait(PATIENCE_S)
        connection.execute(update(s.apps).where(s.apps.c.number == second).values(title=title))
        return runs

    return unit


async def test_of_two_units_that_wait_for_each_other_one_is_run_again(nodes: tuple[SqlStore, SqlStore]) -> None:
    one, other = nodes
    second = await one.add_app(new_app(client_id="another"), NOW)
    barrier = threading.Barrier(2)
    async with asyncio.timeout(PATIENCE_S):
        runs = await asyncio.gather(
            one._database.write(titling(1, second, "mine", barrier)),
            other._database.write(titling(second, 1, "yours", barrier)),
        )
    assert max(runs) > 1
    titles = await one._database.read(lambda c: list(c.execute(select(s.apps.c.title)).scalars()))
    assert len(set(titles)) == 1


async def test_a_unit_whose_connection_breaks_is_not_run_again_and_its_fellows_fail_at_once(
    nodes: tuple[SqlStore, SqlStore],
) -> None:
    one, _ = nodes
    runs: list[str] = []

    def break_off(connection: Connection) -> None:
        runs.append("broken")
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    def fellow(_: Connection) -> None:
        runs.append("fellow")

    begun, going_on = threading.Event(), threading.Event()

    def keep_busy(_: Connection) -> bool:
        begun.set()
        return going_on.wait(PATIENCE_S)

    busy = asyncio.ensure_future(one._database.write(keep_busy))
    await asyncio.to_thread(begun.wait, PATIENCE_S)
    units = [asyncio.ensure_future(unit) for unit in (one._database.write(break_off), one._database.write(fellow))]
    await asyncio.sleep(0)
    going_on.set()
    results = await asyncio.gather(*units, return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable, Unavailable]
    assert await busy
    assert runs == ["broken"]
    assert await one.accept([new_delivery()], NOW_MS)


async def test_a_commit_that_nobody_can_tell_of_is_not_made_twice(nodes: tuple[SqlStore, SqlStore]) -> None:
    """The connection goes with the commit: it may have been made, and the caller must hear that nobody knows."""
    one, other = nodes

    def cut(connection: Connection) -> None:
        (pid,) = connection.exec_driver_sql("SELECT pg_backend_pid()").one()
        with other._database.engine.connect() as second:
            second.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})

    event.listen(one._database.engine, "commit", cut, once=True)
    with pytest.raises(Unavailable):
        await one.accept([new_delivery()], NOW_MS)
    assert await states(one) == {}
    await one.accept([new_delivery()], NOW_MS)
    assert await states(one) == {"due": 1}


async def test_counting_makes_no_node_wait_for_another(nodes: tuple[SqlStore, SqlStore]) -> None:
    """Both change the counts of one handler, and neither has ended when the other does."""
    one, other = nodes
    await one.accept([new_delivery()], NOW_MS)
    barrier = threading.Barrier(2)

    def meet(_: Connection) -> None:
        barrier.wait(PATIENCE_S)

    for node in nodes:
        event.listen(node._database.engine, "commit", meet, once=True)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(one.accept([new_delivery()], NOW_MS), other.accept([new_delivery()], NOW_MS))
    assert await states(one) == {"due": 3}
    for owner, node in enumerate(nodes):
        await node.finish([ended(one) for one in await claim(node, 2, owner=f"{owner}")], f"{owner}")
    assert await states(one) == {"done": 3}


async def test_more_locks_than_the_server_has_room_for_are_one(nodes: tuple[SqlStore, SqlStore]) -> None:
    one, _ = nodes
    await one._database.write(lambda connection: take_locks(connection, range(20_000)))


async def test_a_read_sees_one_moment(nodes: tuple[SqlStore, SqlStore]) -> None:
    one, other = nodes
    count = select(s.apps.c.number)
    changed = threading.Event()
    looked = threading.Event()

    def unit(connection: Connection) -> tuple[int, int]:
        before = len(connection.execute(count).all())
        looked.set()
        changed.wait(PATIENCE_S)
        return before, len(connection.execute(count).all())

    reading = asyncio.ensure_future(one._database.read(unit))
    await asyncio.to_thread(looked.wait, PATIENCE_S)
    await other.add_app(new_app(client_id="another"), NOW)
    changed.set()
    assert await reading == (1, 1)


async def test_a_restart_of_the_server_is_a_passing_failure(
    nodes: tuple[SqlStore, SqlStore], postgres_server: PostgresServer
) -> None:
    one, other = nodes
    await one.accept([new_delivery()], NOW_MS)
    await asyncio.to_thread(postgres_server.stop)
    try:
        calls = [one.accept([new_delivery()], NOW_MS) for _ in range(50)]
        async with asyncio.timeout(PATIENCE_S):
            failed = await asyncio.gather(*calls, other.directory(), other.next_due(), return_exceptions=True)
        assert {type(result) for result in failed} == {Unavailable}
    finally:
        await asyncio.to_thread(postgres_server.start)
    await other.accept([new_delivery()], NOW_MS)
    assert await states(one) == {"due": 2}


async def test_a_server_that_says_nothing_is_a_passing_failure(
    postgres_url: str, postgres_server: PostgresServer
) -> None:
    database = Database(open_postgres(postgres_url, answer_timeout_s=0.5))
    query = text("SELECT 1")
    assert await database.read(lambda c: c.execute(query).scalar_one()) == 1
    postgres_server.pause()
    try:
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(Unavailable, match=r"no answer within|timeout expired"):
                await database.read(lambda c: c.execute(query).scalar_one())
    finally:
        postgres_server.resume()
    assert await database.read(lambda c: c.execute(query).scalar_one()) == 1
    await database.close()


async def test_nodes_that_start_at_one_time_migrate_once(postgres_server: PostgresServer) -> None:
    name = "relay_migrated"
    postgres_server.execute(f"CREATE DATABASE {name}")
    engines = [open_postgres(postgres_server.url(name)) for _ in range(4)]
    try:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(migrate, engines))
        with engines[0].connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1
    finally:
        for engine in engines:
            engine.dispose()
        postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_a_server_that_is_not_there_is_said_in_words() -> None:
    with pytest.raises(Unavailable, match="did not answer"):
        open_postgres_store("postgresql://relay@127.0.0.1:1/relay", open_key, upgrade=True)


async def test_texts_that_postgresql_cannot_hold_are_kept_readable(nodes: tuple[SqlStore, SqlStore]) -> None:
    one, _ = nodes
    url = "http://app.test/\x00" + "x" * 9000
    for _ in range(2):
        await one.accept([new_delivery(client_id="a\x00b", event="\x00", handler_url=url)], NOW_MS)
    rows = await one.find_handlers(range(10))
    assert [(row.client_id, row.url[:17]) for row in rows] == [("a␀b", "http://app.test/␀")]
    assert [one.item.event for one in await claim(one, 2)] == ["␀", "␀"]
