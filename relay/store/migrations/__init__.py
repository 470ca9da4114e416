"""Alembic migrations, applied by `relay init`, `relay serve` and `relay migrate`.

Leans on Alembic's own bookkeeping, inside one transaction where the database allows it; of several nodes that start at
one time one migrates and the others wait for it. Never imports Alembic to say which versions there are: it takes half a
second, and every command asks.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Engine


def migrate(engine: Engine) -> None:
    """Bring the database to the newest schema; does nothing if it is there."""
    from alembic import command  # noqa: PLC0415 - slow to import
    from alembic.config import Config  # noqa: PLC0415

    from relay.store.locks import lock_migrations  # noqa: PLC0415
    from relay.store.postgres import without_time_limit  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.begin() as connection:
        without_time_limit(connection)
        lock_migrations(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def schema_versions() -> tuple[str, ...]:
    """The versions of the schema that this program knows, the newest last."""
    files = sorted((Path(__file__).parent / "versions").glob("[0-9]*.py"))
    return tuple(found[1] for file in files if (found := _REVISION.search(file.read_text(encoding="utf-8"))))


_REVISION = re.compile(r'^revision(?:: str)? = "(\w+)"$', re.MULTILINE)
