"""Two nodes in one moment, made certain: the first is stopped just before its commit until the second is at work.

Leans on the engine's own events and, on PostgreSQL, on the server's list of those who wait for a lock. The second goes
on as far as the store lets it: to its end, or to where it must wait for the first.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import event, text

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from relay.store.sql_store import SqlStore

A = TypeVar("A")
B = TypeVar("B")
PATIENCE_S = 20
_WAITING = text(
    "SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()"
)


async def overlapping(
    node: SqlStore, first: Awaitable[A], onlooker: SqlStore, second: Awaitable[B]
) -> tuple[A | BaseException, B | BaseException]:
    """What both give. `first` is work of `node`, `second` of another one, and `onlooker` a third."""
    at_commit, go_on = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        at_commit.set()
        go_on.wait(PATIENCE_S)

    engine = node._database.engine
    event.listen(engine, "commit", hold)
    try:
        beginning = asyncio.ensure_future(first)
        beginning.add_done_callback(lambda _: at_commit.set())
        assert await asyncio.to_thread(at_commit.wait, PATIENCE_S)
        following = asyncio.ensure_future(second)
        async with asyncio.timeout(PATIENCE_S):
            while not (following.done() or await _somebody_waits(onlooker)):
                await asyncio.sleep(0)
        go_on.set()
        one, other = await asyncio.gather(beginning, following, return_exceptions=True)
    finally:
        go_on.set()
        event.remove(engine, "commit", hold)
    return one, other


async def _somebody_waits(store: SqlStore) -> bool:
    """Whether a statement waits for a lock; SQLite's one lock cannot be seen, and counts as waited for."""
    if store._database.engine.dialect.name == "sqlite":
        await asyncio.sleep(0.05)
        return True
    return await store._database.read(lambda c: int(c.execute(_WAITING).scalar_one())) > 0
