"""`relay backup`: the whole relay in one file, also while it serves.

Leans on SQLite's online backup over one snapshot, so that writers neither wait for it nor make it begin anew; what was
copied is checked before it is packed. Never puts the master key in unless that is asked for.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay import __version__
from relay.app.backup import FILES, Manifest
from relay.cli.archive import describe, write_archive
from relay.cli.failures import Failed
from relay.cli.opening import read_version
from relay.cli.options import AsJson, Home
from relay.cli.progress import progress
from relay.cli.terminal import Terminal, terminal_of
from relay.names import CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE

if TYPE_CHECKING:
    from relay.cli.progress import Report
    from relay.config import Config

EXAMPLES = """
relay backup /var/backups/relay-2026-05-01.tar.gz
relay backup relay-with-key.tar.gz --with-key
"""
PAGES_A_STEP = 2048
_ROOM = 1.1


def backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; there must be none of that name.")],
    with_key: Annotated[
        bool, typer.Option("--with-key", help="Put the master key in: then whoever has the file has everything.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Save the whole relay in one file, also while it serves.

    The file holds the database and relay.toml. Without the master key it is of no use: keep master.key too, elsewhere.
    """
    from relay.config import load_config  # noqa: PLC0415 - slow to import
    from relay.opened import master_key, require_database  # noqa: PLC0415

    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    config = load_config(terminal.home)
    key = master_key(config.home)
    if config.store:
        raise Failed(
            tr(
                "The data of this relay are in PostgreSQL: save them with pg_dump, and with them {settings} and {key}.",
                settings=config.home / CONFIG_FILE,
                key=config.home / MASTER_KEY_FILE,
            )
        )
    require_database(config)
    _require_place(terminal, config, file)
    with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder:
        manifest = _gather(terminal, config, Path(folder), key if with_key else None)
        with progress(terminal, tr("Packing")) as report:
            write_archive(file, manifest, Path(folder), report)
    if terminal.as_json:
        terminal.document(
            {
                "file": str(file.resolve()),
                "bytes": file.stat().st_size,
                "with_key": manifest.with_key,
                "schema": manifest.schema,
                "files": [member.name for member in manifest.members],
            }
        )
        return
    terminal.say(tr("The relay is saved in {file} ({megabytes} MB).", file=file, megabytes=_megabytes(file)))
    if with_key:
        terminal.say(tr("The master key is in it: whoever has the file has everything."))
    else:
        path = config.home / MASTER_KEY_FILE
        terminal.say(tr("The master key is not in it: keep {path} too, in another place.", path=path))


def _require_place(terminal: Terminal, config: Config, file: Path) -> None:
    """Raise Failed for a name that is taken, or where there is no room for the copy and what is packed of it."""
    tr = terminal.tr
    if file.exists():
        raise Failed(tr("{file} is there already: choose another name.", file=file))
    if not file.parent.is_dir():
        raise Failed(tr("There is no directory {path}.", path=file.parent))
    needed = round(2 * _ROOM * (config.home / DATABASE_FILE).stat().st_size)
    if file.parent.stat().st_dev == config.home.stat().st_dev:
        needed += config.delivery.min_free_bytes  # below it the relay takes no more events
    if shutil.disk_usage(file.parent).free < needed:
        megabytes = round(needed / 1024**2)
        raise Failed(tr("{path} needs {megabytes} MB of free space for this.", path=file.parent, megabytes=megabytes))


def _gather(terminal: Terminal, config: Config, folder: Path, key: bytes | None) -> Manifest:
    """Put what is to be packed into the folder, verified; what it is."""
    settings = config.home / CONFIG_FILE
    if settings.exists():
        shutil.copyfile(settings, folder / CONFIG_FILE)
    if key is not None:
        (folder / MASTER_KEY_FILE).write_text(f"{key.hex()}\n", encoding="ascii")
    created_at = int(time.time())
    with progress(terminal, terminal.tr("Copying")) as report:
        schema = copy_database(config.home / DATABASE_FILE, folder / DATABASE_FILE, report)
    if schema is None:
        raise Failed(
            terminal.tr("The database in {home} is damaged: its copy does not pass the check.", home=config.home)
        )
    members = tuple(describe(folder / name) for name in FILES if (folder / name).exists())
    return Manifest(__version__, schema, created_at, members)


def copy_database(source: Path, target: Path, report: Report, pages: int = PAGES_A_STEP) -> str | None:
    """Copy a SQLite database that may be in use; its schema version, or None for a copy that is not sound.

    Raises sqlite3.Error.
    """
    from_uri = f"{source.resolve().as_uri()}?mode=ro"
    to_uri = f"{target.resolve().as_uri()}?vfs=unix-none"  # nobody else uses it, and a network disk may have no locks
    with (
        closing(sqlite3.connect(from_uri, uri=True, isolation_level=None)) as reading,
        closing(sqlite3.connect(to_uri, uri=True, isolation_level=None)) as writing,
    ):
        writing.execute("PRAGMA locking_mode = EXCLUSIVE")
        # One snapshot for the whole copy: else every commit of the relay's would make it begin anew.
        reading.execute("BEGIN")
        read_version(reading)
        reading.backup(writing, pages=pages, progress=lambda _status, left, total: report(total - left, total))
        reading.execute("COMMIT")  # the relay's log may be shortened again
        writing.execute("PRAGMA journal_mode = DELETE")
        sound = writing.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return read_version(writing) if sound else None


def _megabytes(file: Path) -> str:
    return f"{file.stat().st_size / 1024**2:.1f}"
