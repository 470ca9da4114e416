"""What every part of the store does with rows: append to the audit record, raise the directory's version.

Leans on SQLAlchemy Core. An audit entry is written in the transaction of what it records, and never changed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, CursorResult, insert, update

from relay.store import schema as s

if TYPE_CHECKING:
    from relay.records import AuditEntry, NewApp

DIRECTORY = "directory"


def add_audit(connection: Connection, entry: AuditEntry) -> None:
    """Append one entry."""
    connection.execute(
        insert(s.audit).values(
            at=entry.at,
            kind=entry.kind,
            portal_id=entry.portal_id,
            app_number=entry.app_number,
            details=json.dumps(dict(entry.details or {})),
        )
    )


def new_app_values(app: NewApp, now: int) -> dict[str, Any]:
    """The columns of a new application's row."""
    return {
        "portal_id": app.portal_id,
        "client_id": app.client_id,
        "secret_hash": app.secret_hash,
        "title": app.title,
        "redirect_uri": app.redirect_uri,
        "scope": app.scope,
        "status": app.status,
        "version": app.version,
        "installed": app.installed,
        "active": True,
        "created_at": now,
    }


def touch_directory(connection: Connection) -> None:
    """Raise the directory version, in the transaction that changes what the directory holds."""
    changed = connection.execute(update(s.meta).where(s.meta.c.name == DIRECTORY).values(value=s.meta.c.value + 1))
    if not changed.rowcount:  # the very first time: another node's first one makes this unit run again
        connection.execute(insert(s.meta).values(name=DIRECTORY, value=1))


def set_meta(connection: Connection, name: str, value: int) -> None:
    """Store a number of the relay's own under a name."""
    changed = connection.execute(update(s.meta).where(s.meta.c.name == name).values(value=value))
    if not changed.rowcount:
        connection.execute(insert(s.meta).values(name=name, value=value))


def inserted_id(result: CursorResult[Any]) -> int:
    """The id that the database gave to the one row just inserted."""
    key = result.inserted_primary_key
    if key is None:
        raise TypeError("not the result of inserting one row")
    return int(key[0])
