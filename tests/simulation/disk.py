"""The database of one history: the real schema in memory, as good as new for every seed.

Leans on the real migrations, applied once, and on sqlite3's backup. What is committed outlives every process; there is
nothing else that does. Must never touch a file.
"""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from relay.app.portals import SEALING_KEY
from relay.core.vault import MASTER_KEY_BYTES, Vault
from relay.store.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
EPOCH_S = 1_795_000_000
VAULT = Vault(bytes(range(MASTER_KEY_BYTES)))
PORTAL_URL = "https://portal.example"
PORTAL_CLIENT = "portal.0011223344556677.00000001"
APPS = ("local.one", "local.two")


def open_key(sealed: bytes) -> bytes:
    """A stored key in the clear."""
    return VAULT.open(SEALING_KEY, sealed)


class Disk:
    """One SQLite database in memory. raw: for looking at it without the code under test."""

    def __init__(self) -> None:
        self.raw = sqlite3.connect(":memory:", check_same_thread=False)
        self.raw.isolation_level = None
        self.engine = _engine(self.raw)
        migrate(self.engine)
        self.raw.execute("PRAGMA foreign_keys = ON")
        _furnish(self.raw)
        self._template = sqlite3.connect(":memory:", check_same_thread=False)
        self.raw.backup(self._template)
        self._connection = self.engine.connect()
        self._reader = self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def renew(self) -> None:
        """As it was in the beginning."""
        self._template.backup(self.raw)

    def commit(self, unit: Callable[[Connection], T]) -> T:
        """Run a unit in a transaction of its own."""
        with self._connection.begin():
            return unit(self._connection)

    def roll_back(self, unit: Callable[[Connection], Any]) -> None:
        """Run a unit whose transaction is cut short before its commit."""
        transaction = self._connection.begin()
        try:
            unit(self._connection)
        finally:
            transaction.rollback()

    def read(self, unit: Callable[[Connection], T]) -> T:
        """Run a unit that changes nothing: at one moment, it needs no transaction to see one."""
        return unit(self._reader)

    def alone(self, unit: Callable[[Connection], T]) -> T:
        """Run a unit outside of a transaction."""
        return unit(self._reader)


def _engine(raw: sqlite3.Connection) -> Engine:
    engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            raw.execute("BEGIN")

    return engine


def _furnish(raw: sqlite3.Connection) -> None:
    """One registered portal with its key and two applications."""
    seal = partial(VAULT.seal, SEALING_KEY)
    raw.execute(
        "INSERT INTO portals (id, url, window_until, allow, client_id, secret_hash, created_at, registered_at) "
        "VALUES (1, ?, 0, '[]', ?, x'00', ?, ?)",
        (PORTAL_URL, PORTAL_CLIENT, EPOCH_S, EPOCH_S),
    )
    raw.execute(
        "INSERT INTO keys (portal_id, key_id, key_sealed, active_from) VALUES (1, 1, ?, ?)",
        (seal(bytes(range(100, 132)), bytes(12)), EPOCH_S - 60),
    )
    for client_id in APPS:
        raw.execute(
            "INSERT INTO apps (portal_id, client_id, secret_hash, title, redirect_uri, scope, status, version, "
            "installed, active, created_at) VALUES (1, ?, x'00', 'T', '', 'crm', 'L', 1, 1, 1, ?)",
            (client_id, EPOCH_S),
        )
    raw.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('directory', 1)")
