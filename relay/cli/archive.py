"""A backup as one file: a tar with gzip whose first member says what the others are, so that each can be verified.

Leans on tarfile. What it reads goes only into a folder that it is given, under names that it knows. Never leaves half a
file under the name that was asked for: it is written beside it, put on disk, and then given its name.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import secrets
import tarfile
import zlib
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from relay.app.backup import MANIFEST_FILE, MAX_MANIFEST, BadBackup, Manifest, Member, parse_manifest
from relay.cli.home import PRIVATE_MODE, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from relay.cli.progress import Report

CHUNK = 1024 * 1024
_DAMAGED = "This is not a backup of a relay, or it is damaged."
_FAULTS = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError)


def describe(path: Path) -> Member:
    """A file as the manifest lists it."""
    with path.open("rb") as file:
        return Member(path.name, os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest())


def write_archive(target: Path, manifest: Manifest, folder: Path, report: Report) -> None:
    """Pack the manifest's files out of the folder; 0600, on disk when it returns. Raises OSError.

    A file that has the target's name already stays as it is: FileExistsError.
    """
    total = sum(member.size for member in manifest.members)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            # The mildest compression: a database is large, and the processors are the relay's.
            with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=1) as tar:
                _add(tar, MANIFEST_FILE, manifest.to_json(), manifest.created_at)
                done = 0
                for member in manifest.members:
                    with (folder / member.name).open("rb") as file:
                        header = _header(member.name, member.size, manifest.created_at)
                        tar.addfile(header, _Reported(file, done, total, report))
                    done += member.size
            stream.flush()
            os.fsync(stream.fileno())
        _give_name(draft, target)
    finally:
        draft.unlink(missing_ok=True)
    with suppress(OSError):  # not every network file system can
        sync_folder(target.parent)


@contextmanager
def read_archive(source: Path) -> Iterator[tuple[Manifest, Archive]]:
    """Open a backup and read its manifest. Raises BadBackup for what is none, OSError."""
    with source.open("rb") as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|gz") as tar:
                yield _manifest(tar), Archive(tar)
        except _FAULTS as error:
            raise BadBackup(_DAMAGED) from error


class Archive:
    """An opened backup, read once from its beginning to its end."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar

    def unpack(self, members: Sequence[Member], folder: Path, report: Report) -> None:
        """Write the members into the folder, 0600. Raises BadBackup unless they are just as the manifest says."""
        total = sum(member.size for member in members)
        done = 0
        for member in members:
            found = self._tar.next()
            content = self._tar.extractfile(found) if found is not None and found.isreg() else None
            if found is None or content is None or (found.name, found.size) != (member.name, member.size):
                raise BadBackup(_DAMAGED)
            descriptor = os.open(folder / member.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
            with os.fdopen(descriptor, "wb") as target:
                digest = hashlib.sha256()
                while piece := content.read(CHUNK):
                    digest.update(piece)
                    target.write(piece)
                    done += len(piece)
                    report(done, total)
                target.flush()
                os.fsync(target.fileno())
            if digest.hexdigest() != member.sha256:
                raise BadBackup(_DAMAGED)


class _Reported:
    """A file that says how far it has been read."""

    def __init__(self, file: IO[bytes], before: int, total: int, report: Report) -> None:
        self._file, self._done, self._total, self._report = file, before, total, report

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        piece = self._file.read(size)
        self._done += len(piece)
        self._report(self._done, self._total)
        return piece


def _give_name(draft: Path, target: Path) -> None:
    """Rename without replacing anything. Raises FileExistsError."""
    try:
        os.link(draft, target)
    except FileExistsError:
        raise
    except OSError as error:  # a file system without links
        if target.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        draft.rename(target)


def _manifest(tar: tarfile.TarFile) -> Manifest:
    first = tar.next()
    content = tar.extractfile(first) if first is not None and first.isreg() else None
    if first is None or content is None or first.name != MANIFEST_FILE or first.size > MAX_MANIFEST:
        raise BadBackup(_DAMAGED)
    return parse_manifest(content.read())


def _add(tar: tarfile.TarFile, name: str, content: bytes, moment: int) -> None:
    tar.addfile(_header(name, len(content), moment), io.BytesIO(content))


def _header(name: str, size: int, moment: int) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mtime, header.mode = size, moment, PRIVATE_MODE
    return header
