"""Locks between nodes on PostgreSQL: on lanes, on items, or on everything at once.

Leans on advisory locks that end with their transaction. A transaction takes all of its locks at its beginning and in
one order, so that two nodes never wait for each other. SQLite has one writer and needs none of this.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

EVERYTHING = -1
"""The lock of whoever changes what may be in any lane; the others hold it together, shared."""
MIGRATION = -2
MAX_LOCKS = 500
"""More than these would crowd the server's lock table: such a transaction has everything to itself."""

_SOME = text(
    f"SELECT pg_advisory_xact_lock_shared({EVERYTHING}) UNION ALL "  # noqa: S608 - built of constants only
    "SELECT pg_advisory_xact_lock(wanted) FROM unnest(CAST(:wanted AS bigint[])) AS wanted"
)
_ONE = text("SELECT pg_advisory_xact_lock(:wanted)")


def take_locks(connection: Connection, locks: Iterable[int]) -> None:
    """Wait for these locks and hold them until the transaction ends."""
    if connection.dialect.name != "postgresql":
        return
    wanted = sorted(set(locks))
    if not wanted:
        return
    if wanted[0] == EVERYTHING or len(wanted) > MAX_LOCKS:
        connection.execute(_ONE, {"wanted": EVERYTHING})
    else:
        connection.execute(_SOME, {"wanted": wanted})


def lock_migrations(connection: Connection) -> None:
    """Let one process at a time change the schema."""
    if connection.dialect.name == "postgresql":
        connection.execute(_ONE, {"wanted": MIGRATION})


def item_lock(portal_id: int, item_id: str) -> int:
    """The lock of one item of one portal: below those of lanes, which are not negative."""
    name = f"{portal_id}\n{item_id}"
    return -3 - (int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 2)
