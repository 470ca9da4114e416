"""Group commit: units that arrive together share a commit, and one that fails touches no other.

Leans on a real SQLite file. Must never answer a unit before its commit.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, event, text

from relay.core.errors import Conflict, Unavailable
from relay.store.database import MAX_UNITS_PER_COMMIT, Database
from relay.store.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """An open database with one table."""
    opened = Database(open_sqlite(tmp_path / "test.db"))
    await opened.write(lambda c: c.execute(text("CREATE TABLE numbers (n INTEGER PRIMARY KEY)")) and None)
    yield opened
    await opened.close()


def inserting(number: int) -> Callable[[Connection], int]:
    def unit(connection: Connection) -> int:
        connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})
        return number

    return unit


def half_then(error: Exception) -> Callable[[Connection], None]:
    def unit(connection: Connection) -> None:
        connection.execute(text("INSERT INTO numbers VALUES (-1)"))
        raise error

    return unit


async def stored(database: Database) -> list[int]:
    return await database.read(lambda c: list(c.execute(text("SELECT n FROM numbers ORDER BY n")).scalars()))


async def test_each_of_many_units_gets_its_own_result(database: Database) -> None:
    numbers = list(range(3 * MAX_UNITS_PER_COMMIT))
    assert await asyncio.gather(*(database.write(inserting(n)) for n in numbers)) == numbers
    assert await stored(database) == numbers


async def test_units_that_arrive_together_share_commits(database: Database) -> None:
    commits = []
    event.listen(database.engine, "commit", lambda _: commits.append(1))
    await asyncio.gather(*(database.write(inserting(n)) for n in range(100)))
    assert len(commits) < 50


@pytest.mark.parametrize("error", [Conflict("no"), ValueError("no"), Unavailable("no")])
async def test_a_failing_unit_leaves_nothing_behind_and_the_others_whole(database: Database, error: Exception) -> None:
    units = [database.write(inserting(n)) for n in range(40)]
    results = await asyncio.gather(*units[:20], database.write(half_then(error)), *units[20:], return_exceptions=True)
    assert results[20] is error
    assert [result for result in results if result is not error] == list(range(40))
    assert await stored(database) == list(range(40))


async def test_units_that_collide_are_told_apart(database: Database) -> None:
    results = await asyncio.gather(*(database.write(inserting(n % 10)) for n in range(30)), return_exceptions=True)
    assert sum(isinstance(result, Conflict) for result in results) == 20
    assert await stored(database) == list(range(10))


async def test_a_broken_statement_is_unavailable_and_not_an_error_of_the_drivers(database: Database) -> None:
    with pytest.raises(Unavailable):
        await database.write(lambda c: c.execute(text("INSERT INTO nowhere VALUES (1)")) and None)
    with pytest.raises(Unavailable):
        await database.read(lambda c: c.execute(text("SELECT * FROM nowhere")) and None)
    assert await database.write(inserting(1)) == 1


async def test_what_was_answered_is_in_the_file(database: Database, tmp_path: Path) -> None:
    await database.write(inserting(5))
    with closing(sqlite3.connect(tmp_path / "test.db")) as another:
        assert another.execute("SELECT n FROM numbers").fetchall() == [(5,)]


async def test_a_file_that_another_process_holds_locked_is_a_passing_failure(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.close()
    monkeypatch.setattr("relay.store.sqlite.BUSY_TIMEOUT_S", 0.1)
    impatient = Database(open_sqlite(tmp_path / "test.db"))
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await impatient.write(inserting(1))
        another.execute("ROLLBACK")
        assert await impatient.write(inserting(1)) == 1
    await impatient.close()


async def test_what_is_pending_is_committed_before_the_end_and_nothing_after_it(database: Database) -> None:
    pending = [asyncio.ensure_future(database.write(inserting(n))) for n in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*pending) == list(range(50))
    with pytest.raises(Unavailable):
        await database.write(inserting(99))


async def test_a_caller_that_gave_up_hurts_nobody(database: Database) -> None:
    given_up = asyncio.ensure_future(database.write(inserting(1)))
    await asyncio.sleep(0)
    given_up.cancel()
    assert await database.write(inserting(2)) == 2
    assert 2 in await stored(database)
