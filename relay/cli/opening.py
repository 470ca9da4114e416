"""Opening a relay for one command: configuration, store, use cases, and everything closed again after it.

Leans on `relay.build`, imported only here and only when it is needed, because it takes most of a second. Logs go
to standard error. Never migrates: a database of another version is refused in words.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from relay.config import DATABASE_FILE, ConfigError, load_config

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from relay.build import Relay
    from relay.cli.terminal import Terminal
    from relay.config import Config

T = TypeVar("T")


def with_relay(terminal: Terminal, work: Callable[[Relay], Awaitable[T]], *, upgrade: bool = False) -> T:
    """Run `work` on the terminal's relay. Raises ConfigError, and what the work raises."""
    from relay.build import configure_logging, open_relay  # noqa: PLC0415 - slow to import

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
    found, newest, known = schema_versions(config)
    if found != newest and not (upgrade and (found is None or found in known)):
        raise ConfigError(
            f"The database in {home} is of another version ({found or 'none'}) than this program ({newest}):"
            f" run `relay init --home {home}` with the newest program."
        )


def schema_versions(config: Config) -> tuple[str | None, str | None, frozenset[str]]:
    """The schema version of the database, the one this program makes, and those it can bring up to it.

    Raises Unavailable, or sqlite3.Error for a file that is no database.
    """
    from alembic.config import Config as Scripts  # noqa: PLC0415 - slow to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from relay.store import migrations  # noqa: PLC0415

    scripts = Scripts()
    scripts.set_main_option("script_location", migrations.__path__[0].replace("%", "%%"))
    scripts.set_main_option("path_separator", "os")
    folder = ScriptDirectory.from_config(scripts)
    known = frozenset(script.revision for script in folder.walk_revisions())
    found = _postgres_version(config.store) if config.store else _sqlite_version(config.home / DATABASE_FILE)
    return found, folder.get_current_head(), known


def _sqlite_version(path: Path) -> str | None:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    return str(row[0]) if row else None


def _postgres_version(url: str) -> str | None:
    from alembic.migration import MigrationContext  # noqa: PLC0415 - slow to import
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415

    from relay.store.database import unavailable  # noqa: PLC0415
    from relay.store.postgres import open_postgres  # noqa: PLC0415

    engine = open_postgres(url)
    try:
        with engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()
    except DBAPIError as error:
        raise unavailable(error) from error
    finally:
        engine.dispose()
