"""The whole store over one SQLite file or a PostgreSQL database, as `build.py` opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import DBAPIError

from relay.store import schema as s
from relay.store.database import Database, unavailable
from relay.store.delivery_store import SqlDeliveryStore
from relay.store.desk_store import SqlDeskStore
from relay.store.directory_store import SqlDirectoryStore
from relay.store.issuer_store import SqlIssuerStore
from relay.store.migrations import migrate
from relay.store.portal_store import SqlPortalStore
from relay.store.postgres import WRITERS, PostgresChanges, looking_up, open_postgres, reading
from relay.store.replay_store import SqlReplayStore
from relay.store.sqlite import SqliteChanges, open_sqlite
from relay.store.token_store import SqlTokenStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIGRATION_TIMEOUT_S = 3600.0


class SqlStore(
    SqlDirectoryStore, SqlPortalStore, SqlTokenStore, SqlIssuerStore, SqlDeliveryStore, SqlDeskStore, SqlReplayStore
):
    """Every store port, over one database."""

    async def close(self) -> None:
        """Commit what is pending and let go of the file."""
        await self._database.close()
        self._changes.close()

    async def probe(self) -> None:
        """Write and commit one small thing, to learn whether the disk takes it. Raises Unavailable."""

        def unit(connection: Connection) -> None:
            changed = connection.execute(
                update(s.meta).where(s.meta.c.name == "probe").values(value=s.meta.c.value + 1)
            )
            if not changed.rowcount:
                connection.execute(insert(s.meta).values(name="probe", value=1))

        await self._database.write(unit)

    async def admin_password_hash(self) -> str | None:
        """The stored hash of the administrator's password."""
        query = select(s.admins.c.password_hash).where(s.admins.c.name == "admin")
        return await self._database.read(lambda c: c.execute(query).scalar_one_or_none())

    async def set_admin_password_hash(self, password_hash: str) -> None:
        """Store it, in place of a former one."""

        def unit(connection: Connection) -> None:
            changed = connection.execute(
                update(s.admins).where(s.admins.c.name == "admin").values(password_hash=password_hash)
            )
            if not changed.rowcount:
                connection.execute(insert(s.admins).values(name="admin", password_hash=password_hash))

        await self._database.write(unit)


def open_sqlite_store(path: Path, open_key: Callable[[bytes], bytes], *, upgrade: bool) -> SqlStore:
    """Open (and with `upgrade` create or migrate) the file; a new file is for its owner's eyes only."""
    if upgrade:
        path.touch(mode=0o600, exist_ok=True)
    engine = open_sqlite(path)
    if upgrade:
        migrate(engine)
    return SqlStore(Database(engine), SqliteChanges(path), open_key)


def open_postgres_store(url: str, open_key: Callable[[bytes], bytes], *, upgrade: bool) -> SqlStore:
    """Open (and with `upgrade` migrate) the database. Raises Unavailable."""
    if upgrade:
        migrating = open_postgres(url, answer_timeout_s=MIGRATION_TIMEOUT_S)
        try:
            migrate(migrating)
        except DBAPIError as error:
            raise unavailable(error) from error
        finally:
            migrating.dispose()
    engine = open_postgres(url)
    database = Database(engine, reading(engine), looking_up(engine), WRITERS)
    return SqlStore(database, PostgresChanges(database), open_key)
