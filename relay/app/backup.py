"""What a backup says of itself, and whether this program can make a relay of it.

Leans on nothing but JSON. Pure: no file, socket or clock. Never trusts a backup's word where it can be checked: sizes
and hashes are there to be compared with what is found.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from relay.core.errors import RelayError
from relay.names import CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE

if TYPE_CHECKING:
    from collections.abc import Collection

FORMAT = 1
MANIFEST_FILE = "manifest.json"
MAX_MANIFEST = 64 * 1024
MAX_SMALL_FILE = 1024 * 1024
# In the order in which they stand in a backup.
FILES = (CONFIG_FILE, MASTER_KEY_FILE, DATABASE_FILE)


class BadBackup(RelayError):
    """The file is no backup, is damaged, or is one that this program cannot use."""

    code = "bad_backup"
    status = 400


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a backup. sha256: of its content, hexadecimal."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """The first file of a backup. program: the version that made it; schema: of its database; created_at: unix s."""

    program: str
    schema: str
    created_at: int
    members: tuple[Member, ...]

    @property
    def with_key(self) -> bool:
        """Whether the master key is in it."""
        return any(member.name == MASTER_KEY_FILE for member in self.members)

    def to_json(self) -> bytes:
        """As it is written."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=2).encode() + b"\n"


def parse_manifest(text: bytes) -> Manifest:
    """What `to_json` wrote. Raises BadBackup for anything else."""
    try:
        document = json.loads(text)
        found = document["format"]
        if not isinstance(found, int) or found > FORMAT:
            raise BadBackup("This backup was made by a newer program: restore it with that one.")
        members = tuple(Member(str(one["name"]), int(one["size"]), str(one["sha256"])) for one in document["members"])
        manifest = Manifest(str(document["program"]), str(document["schema"]), int(document["created_at"]), members)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadBackup("This is not a backup of a relay, or it is damaged.") from error
    names = [member.name for member in members]
    expected = [name for name in FILES if name in names]
    small = all(0 <= one.size <= MAX_SMALL_FILE or one.name == DATABASE_FILE for one in members)
    if names != expected or DATABASE_FILE not in names or not small:
        raise BadBackup("This is not a backup of a relay, or it is damaged.")
    return manifest


def require_known(schema: str | None, known: Collection[str]) -> None:
    """Raise BadBackup for a database that this program can neither use nor bring up to date."""
    if schema not in known:
        raise BadBackup("This backup was made by a newer program: restore it with that one.")
