"""Opening a relay for one command: configuration, store, use cases, and everything closed again after it.

Leans on `relay.opened`, imported only when it is needed, because it takes most of a second. Logs go
to standard error. Never migrates: a database of another version is refused in words.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from relay.core.errors import ConfigError
from relay.names import DATABASE_FILE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from relay.cli.terminal import Terminal
    from relay.config import Config
    from relay.opened import Relay

T = TypeVar("T")


def with_relay(terminal: Terminal, work: Callable[[Relay], Awaitable[T]], *, upgrade: bool = False) -> T:
    """Run `work` on the terminal's relay. Raises ConfigError, and what the work raises."""
    from relay.config import load_config  # noqa: PLC0415 - slow to import
    from relay.opened import configure_logging, open_relay  # noqa: PLC0415

    config = load_config(terminal.home)
    configure_logging("warning", "text")
    require_known_schema(config, upgrade=upgrade)

    async def run() -> T:
        relay = open_relay(config, upgrade=upgrade)
        try:
            return await work(relay)
        finally:
            await relay.store.close()

    return asyncio.run(run())


def require_known_schema(config: Config, *, upgrade: bool) -> None:
    """Raise ConfigError unless the database has this program's schema, or (upgrade) one that can become it."""
    home = config.home
    if not config.store and not (home / DATABASE_FILE).exists():
        return  # opening it says that there is none, or makes it
    found, known = schema_versions(config)
    newest = known[-1]
    if found == newest or (upgrade and (found is None or found in known)):
        return
    if found is None or found in known:
        raise ConfigError(
            f"The database in {home} is of an older version ({found or 'none'}) than this program ({newest}):"
            f" run `relay migrate --home {home}`."
        )
    raise ConfigError(
        f"The database in {home} is of a newer version ({found}) than this program ({newest}): use the newest program."
    )


def schema_versions(config: Config) -> tuple[str | None, tuple[str, ...]]:
    """The schema version of the database, and those this program knows, the newest last.

    Raises Unavailable, or sqlite3.Error for a file that is no database.
    """
    from relay.store import migrations  # noqa: PLC0415 - slow to import

    found = _postgres_version(config.store) if config.store else sqlite_version(config.home / DATABASE_FILE)
    return found, migrations.schema_versions()


def sqlite_version(path: Path) -> str | None:
    """The schema version of a SQLite file. Raises sqlite3.Error."""
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        return read_version(connection)


def read_version(connection: sqlite3.Connection) -> str | None:
    """The schema version of an open SQLite database; None for one without a schema. Raises sqlite3.Error."""
    tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    return str(row[0]) if row else None


def _postgres_version(url: str) -> str | None:
    from sqlalchemy import inspect, text  # noqa: PLC0415 - slow to import
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from relay.store.database import unavailable  # noqa: PLC0415
    from relay.store.postgres import open_postgres  # noqa: PLC0415

    engine = open_postgres(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except DBAPIError as error:
        raise unavailable(error) from error
    finally:
        engine.dispose()
