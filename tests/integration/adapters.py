"""The stores that the contract suites run on: a database of its own for each test, opened as often as it asks.

Leans on the relay's own ways of opening a store. To add an adapter, add it to ADAPTERS.
Must never let two tests share a database.
"""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Protocol

from relay.app.portals import SEALING_KEY
from relay.config import DATABASE_FILE
from relay.store.sql_store import open_postgres_store, open_sqlite_store
from tests.factories import VAULT

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    import pytest

    from relay.store.sql_store import SqlStore

open_key = partial(VAULT.open, SEALING_KEY)


class Adapter(Protocol):
    """One empty database."""

    @property
    def settings(self) -> dict[str, str]:
        """What a relay whose home is the test's folder is told to use it."""
        ...

    async def open(self) -> SqlStore:
        """Open it, as a process that starts does; closed at the end of the test."""
        ...


class SqliteAdapter:
    """A SQLite file."""

    def __init__(self, request: pytest.FixtureRequest, template: Path, stack: AsyncExitStack) -> None:
        folder: Path = request.getfixturevalue("tmp_path")
        self._path = folder / DATABASE_FILE
        self._stack = stack
        shutil.copy(template, self._path)

    @property
    def settings(self) -> dict[str, str]:
        """What a relay whose home is the test's folder is told to use it."""
        return {}

    async def open(self) -> SqlStore:
        """Open the file."""
        store = open_sqlite_store(self._path, open_key, upgrade=False)
        self._stack.push_async_callback(store.close)
        return store


class PostgresAdapter:
    """A database of a real server."""

    def __init__(self, request: pytest.FixtureRequest, _template: Path, stack: AsyncExitStack) -> None:
        self._url: str = request.getfixturevalue("postgres_url")
        self._stack = stack

    @property
    def settings(self) -> dict[str, str]:
        """What a relay is told to use it."""
        return {"store": self._url}

    async def open(self) -> SqlStore:
        """Open the database."""
        store = open_postgres_store(self._url, open_key, upgrade=False)
        self._stack.push_async_callback(store.close)
        return store


ADAPTERS: dict[str, type[SqliteAdapter] | type[PostgresAdapter]] = {
    "postgresql": PostgresAdapter,
    "sqlite": SqliteAdapter,
}
