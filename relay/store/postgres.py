"""PostgreSQL as the store, for several relay nodes.

Leans on psycopg through SQLAlchemy. Every statement has a time limit, so that a database that hangs is a passing
failure and not a hanging relay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, create_engine, make_url, select

from relay.store import schema as s

if TYPE_CHECKING:
    from relay.store.database import Database

STATEMENT_TIMEOUT_MS = 15_000
CONNECT_TIMEOUT_S = 5


def open_postgres(url: str) -> Engine:
    """An engine over `postgresql://…`; connections are checked before use and end a statement that takes too long."""
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_pre_ping=True,
        pool_timeout=CONNECT_TIMEOUT_S,
        connect_args={
            "connect_timeout": CONNECT_TIMEOUT_S,
            "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000",
        },
    )


class PostgresChanges:
    """The Changes protocol over PostgreSQL: one look-up by primary key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, name: str) -> int:
        """The number of that name in `meta`. Raises Unavailable."""
        query = select(s.meta.c.value).where(s.meta.c.name == name)

        def unit(connection: Connection) -> int:
            return int(connection.execute(query).scalar_one_or_none() or 0)

        return await self._database.read(unit)

    def close(self) -> None:
        """Nothing of its own to let go of."""
