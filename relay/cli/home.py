"""A relay's home directory: made for its owner's eyes only, with a master key that is never made twice.

Leans on the file system's own guarantees: a file is written beside its place and linked or renamed into it. Never
replaces a key, and never makes a new one beside a database that another key belongs to.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING

from relay.core.errors import ConfigError
from relay.core.vault import MASTER_KEY_BYTES
from relay.names import CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE, MASTER_KEY_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_FILE = "serve.lock"
HOME_MODE = 0o700
PRIVATE_MODE = 0o600
_OURS = (CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE)
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.02


def make_home(home: Path) -> bool:
    """Make the directory (0700); whether it is new. One that holds other things is left as open as it is."""
    new = not home.exists()
    home.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
    if new or not any(home.iterdir()) or any((home / name).exists() for name in _OURS):
        home.chmod(HOME_MODE)
    return new


def make_master_key(home: Path) -> bool:
    """Make master.key (0600) unless there is one; whether it was made. Raises ConfigError beside a database."""
    path = home / MASTER_KEY_FILE
    if path.exists() or os.environ.get(MASTER_KEY_VARIABLE):
        return False
    if (home / DATABASE_FILE).exists():
        raise ConfigError(
            f"{path} is missing, but its database is there: put the key back, a new one could not open the database."
        )
    draft = _write_beside(path, secrets.token_hex(MASTER_KEY_BYTES) + "\n")
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    sync_folder(home)
    return True


def replace_text(path: Path, text: str) -> None:
    """Put a file's new text in its place at once, keeping its permissions; a new file is 0600."""
    draft = _write_beside(path, text)
    if path.exists():
        draft.chmod(stat.S_IMODE(path.stat().st_mode))
    draft.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def only_server(home: Path) -> Iterator[None]:
    """Hold the home for one `relay serve`. Raises ConfigError while another one holds it."""
    path = home / LOCK_FILE
    lock = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
    try:
        try:
            _lock(lock)
        except BlockingIOError as error:
            process = os.pread(lock, 20, 0).decode("ascii", "replace").strip() or "?"
            raise ConfigError(f"Another relay serves {home} already (process {process}): stop it first.") from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(lock)


def is_served(home: Path) -> bool:
    """Whether a `relay serve` holds the home now."""
    try:
        lock = os.open(home / LOCK_FILE, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def _lock(lock: int) -> None:
    """Take the lock; a command that only looks whether it is taken has it for a moment. Raises BlockingIOError."""
    for _ in range(_LOCK_TRIES - 1):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOCK_PAUSE_S)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _write_beside(path: Path, text: str) -> Path:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    return draft


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
