"""Taking a portal over, and the facts its module reports, in SQL.

Leans on `Database`. An adoption is one transaction: the portal's pair and all its applications, or nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select, update

from relay.store import schema as s
from relay.store.rows import add_audit, new_app_values, touch_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.records import AuditEntry, NewApp
    from relay.store.database import Database


class SqlPortalStore:
    """The PortalStore port."""

    _database: Database

    async def adopt_portal(
        self,
        portal_id: int,
        client_id: str,
        secret_hash: bytes,
        secret_sealed: bytes,
        apps: Sequence[NewApp],
        entry: AuditEntry,
    ) -> None:
        """Give a portal the credentials it has already, with its applications; its connection code is spent."""

        def unit(connection: Connection) -> None:
            connection.execute(
                update(s.portals)
                .where(s.portals.c.id == portal_id)
                .values(
                    client_id=client_id,
                    secret_hash=secret_hash,
                    secret_sealed=secret_sealed,
                    registered_at=entry.at,
                    connect_hash=None,
                )
            )
            if apps:
                connection.execute(insert(s.apps), [new_app_values(app, entry.at) for app in apps])
            add_audit(connection, entry)
            touch_directory(connection)

        await self._database.write(unit)

    async def set_connect_hash(self, portal_id: int, connect_hash: bytes) -> None:
        """Keep the hash of a new connection code, in place of a former one."""

        def unit(connection: Connection) -> None:
            connection.execute(update(s.portals).where(s.portals.c.id == portal_id).values(connect_hash=connect_hash))
            touch_directory(connection)

        await self._database.write(unit)

    async def save_facts(self, portal_id: int, facts: dict[str, Any], now: int) -> None:
        """Keep what a portal offers, in place of what it said before."""
        values = {"facts": json.dumps(facts), "received_at": now}

        def unit(connection: Connection) -> None:
            changed = connection.execute(
                update(s.portal_facts).where(s.portal_facts.c.portal_id == portal_id).values(**values)
            )
            if not changed.rowcount:
                connection.execute(insert(s.portal_facts).values(portal_id=portal_id, **values))

        await self._database.write(unit)

    async def find_facts(self, portal_id: int) -> tuple[dict[str, Any], int] | None:
        """What the portal said it offers, and when."""
        query = select(s.portal_facts).where(s.portal_facts.c.portal_id == portal_id)

        def unit(connection: Connection) -> tuple[dict[str, Any], int] | None:
            row = connection.execute(query).one_or_none()
            return (json.loads(row.facts), int(row.received_at)) if row else None

        return await self._database.read(unit)
