"""`relay restore`: a relay made from a backup, in a home directory that is empty; all of it, or nothing.

Leans on the archive's hashes and on SQLite's own check of the database. Everything is unpacked and verified beside its
place first. Never touches a home that holds anything.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from typing import Annotated

import typer

from relay.app.backup import BadBackup, Manifest, require_known
from relay.cli.archive import read_archive
from relay.cli.failures import Failed
from relay.cli.home import make_home, sync_folder
from relay.cli.opening import read_version
from relay.cli.options import AsJson, Home
from relay.cli.progress import progress
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso
from relay.names import CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE, MASTER_KEY_VARIABLE

EXAMPLES = """
relay restore /var/backups/relay-2026-05-01.tar.gz
relay restore relay-with-key.tar.gz --home /var/lib/relay --json
"""
_STAGE = ".restoring-"
_DAMAGED = "This is not a backup of a relay, or it is damaged."


def restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `relay backup` wrote.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a relay from a backup, in a home directory that is empty.

    Everything is verified before the home is touched. What was delivered after the backup was made may be delivered
    once more.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    if _contents(terminal.home):
        raise Failed(
            tr("{home} is not empty: a backup is restored only into an empty home directory.", home=terminal.home)
        )
    for stale in _stale(terminal.home):
        shutil.rmtree(stale)
    new = make_home(terminal.home)
    try:
        manifest = _restore(terminal, file)
    except BaseException:
        if new:
            with suppress(OSError):
                terminal.home.rmdir()
        raise
    key_path = terminal.home / MASTER_KEY_FILE
    has_key = key_path.exists() or bool(os.environ.get(MASTER_KEY_VARIABLE))
    if terminal.as_json:
        terminal.document(
            {
                "home": str(terminal.home.resolve()),
                "created_at": iso(manifest.created_at, local=False),
                "program": manifest.program,
                "schema": manifest.schema,
                "master_key": has_key,
            }
        )
        return
    terminal.say(
        tr(
            "The relay of {moment} is restored in {home}.",
            moment=iso(manifest.created_at),
            home=terminal.home.resolve(),
        )
    )
    if not has_key:
        terminal.say(tr("The master key was not in the backup: put it back as {path} (mode 0600).", path=key_path))
    terminal.say(tr("What to do next:"))
    terminal.say("  " + tr("Start the relay:") + f"  {terminal.relay} serve")


def _restore(terminal: Terminal, file: Path) -> Manifest:
    tr, home = terminal.tr, terminal.home
    with tempfile.TemporaryDirectory(dir=home, prefix=_STAGE) as folder:
        stage = Path(folder)
        with read_archive(file) as (manifest, archive):
            require_known(manifest.schema, _known_schemas())
            _require_room(terminal, manifest)
            with progress(terminal, tr("Unpacking")) as report:
                archive.unpack(manifest.members, stage, report)
        with progress(terminal, tr("Checking")):
            _verify(stage, manifest)
        _put_in_place(stage, home)
    sync_folder(home)
    return manifest


def _require_room(terminal: Terminal, manifest: Manifest) -> None:
    needed = sum(member.size for member in manifest.members)
    if shutil.disk_usage(terminal.home).free < needed:
        tr = terminal.tr
        megabytes = round(needed / 1024**2)
        raise Failed(tr("{path} needs {megabytes} MB of free space for this.", path=terminal.home, megabytes=megabytes))


def _verify(stage: Path, manifest: Manifest) -> None:
    """Raise BadBackup for a database that is not sound or not of its version, CannotOpen for another one's key."""
    database = stage / DATABASE_FILE
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            sound = connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            schema = read_version(connection) if sound else None
            sealed = connection.execute("SELECT key_sealed FROM keys LIMIT 1").fetchone() if schema else None
    except sqlite3.Error as error:
        raise BadBackup(_DAMAGED) from error
    if not sound or schema != manifest.schema:
        raise BadBackup(_DAMAGED)
    _require_fitting_key(stage, sealed[0] if sealed else None)


def _require_fitting_key(stage: Path, sealed: bytes | None) -> None:
    """Where the master key is known, it must open the database. Raises CannotOpen."""
    from relay.app.portals import SEALING_KEY  # noqa: PLC0415 - slow to import
    from relay.core.vault import Vault  # noqa: PLC0415
    from relay.opened import master_key  # noqa: PLC0415

    known = os.environ.get(MASTER_KEY_VARIABLE) or (stage / MASTER_KEY_FILE).exists()
    if known and sealed is not None:
        Vault(master_key(stage)).open(SEALING_KEY, sealed)


def _put_in_place(stage: Path, home: Path) -> None:
    """Rename the files into the home, all or none; the key last: without it no command takes the rest for a relay."""
    moved: list[Path] = []
    try:
        for path in (stage / name for name in (DATABASE_FILE, CONFIG_FILE, MASTER_KEY_FILE)):
            if not path.exists():
                continue
            path.rename(home / path.name)
            moved.append(home / path.name)
    except BaseException:
        for path in moved:
            path.unlink()
        raise


def _known_schemas() -> tuple[str, ...]:
    from relay.store import migrations  # noqa: PLC0415 - slow to import

    return migrations.schema_versions()


def _contents(home: Path) -> list[Path]:
    """What is in the home, but for what an interrupted restore left."""
    return [path for path in home.iterdir() if not path.name.startswith(_STAGE)] if home.exists() else []


def _stale(home: Path) -> list[Path]:
    return list(home.glob(f"{_STAGE}*"))
