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

T = TypeVar("T")


def with_relay(terminal: Terminal, work: Callable[[Relay], Awaitable[T]], *, upgrade: bool = False) -> T:
    """Run `work` on the terminal's relay. Raises ConfigError, and what the work raises."""
    from relay.build import configure_logging, open_relay  # noqa: PLC0415 - slow to import

    config = load_config(terminal.home)
    configure_logging("warning", "text")
    if not upgrade and (config.home / DATABASE_FILE).exists():
        require_current_schema(config.home)

    async def run() -> T:
        relay = open_relay(config, upgrade=upgrade)
        try:
            return await work(relay)
        finally:
            await relay.store.close()

    return asyncio.run(run())


def require_current_schema(home: Path) -> None:
    """Raise ConfigError unless the database has the schema that this program knows."""
    found, newest = schema_versions(home)
    if found != newest:
        raise ConfigError(
            f"The database in {home} is of another version ({found or 'none'}) than this program ({newest}):"
            f" run `relay init --home {home}` with the newest program."
        )


def schema_versions(home: Path) -> tuple[str | None, str | None]:
    """The schema version of the database file, and the one this program makes."""
    from alembic.config import Config  # noqa: PLC0415 - slow to import
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    from relay.store import migrations  # noqa: PLC0415

    scripts = Config()
    scripts.set_main_option("script_location", migrations.__path__[0].replace("%", "%%"))
    scripts.set_main_option("path_separator", "os")
    newest = ScriptDirectory.from_config(scripts).get_current_head()
    path = (home / DATABASE_FILE).resolve()
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone()
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone() if tables else None
    return (str(row[0]) if row else None), newest
