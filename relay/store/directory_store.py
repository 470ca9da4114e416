"""Portals, applications and sealing keys in SQL; reading them is free while nothing changed.

Leans on `Database` and on the database's change signal. Every change raises the directory version in the same
transaction, so that every process sees it at its next request.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Connection, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from relay.core.directory import Directory, gather_revocations
from relay.core.errors import Conflict, NotFound
from relay.core.model import App, Portal, Revocation, SealingKey
from relay.core.signing import load_signing_key
from relay.store import schema as s
from relay.store.issuer_store import revoke_rows
from relay.store.locks import EVERYTHING
from relay.store.rows import DIRECTORY, add_audit, inserted_id, new_app_values, touch_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.core.signing import SigningKey
    from relay.records import AuditEntry, NewApp, NewPortal
    from relay.store.database import Database


class Changes(Protocol):
    """Says which version of something is stored."""

    async def version(self, name: str) -> int:
        """The newest committed version."""
        ...

    def close(self) -> None:
        """Let go of what it holds."""
        ...


_UNFINISHED = ("accepted", "due", "leased", "held")


class SqlDirectoryStore:
    """The DirectoryStore port."""

    def __init__(self, database: Database, changes: Changes, open_key: Callable[[bytes], bytes]) -> None:
        self._database = database
        self._changes = changes
        self._open_key = open_key
        self._directory = Directory(version=-1)
        self._loading = asyncio.Lock()

    async def directory(self) -> Directory:
        """The newest snapshot; next to nothing while nothing changed. Raises Unavailable."""
        newest = await self._changes.version(DIRECTORY)
        if newest > self._directory.version:
            async with self._loading:  # one loads, the others wait: what is at hand may lack what they committed
                if newest > self._directory.version:
                    self._directory = await self._database.read(self._load)
        return self._directory

    async def announce_portal(self, portal: NewPortal, now: int) -> int:
        """Store a portal with its first sealing key; of a known one renew window, licence and allow-list."""

        def unit(connection: Connection) -> int:
            known = connection.execute(select(s.portals).where(s.portals.c.url == portal.url)).one_or_none()
            touch_directory(connection)
            if known is None:
                return self._insert_portal(connection, portal, now)
            allow = dict.fromkeys([*json.loads(known.allow), *portal.allow])
            changes: dict[str, Any] = {
                "window_until": portal.window_until,
                "allow": json.dumps(list(allow)),
                "licence_pin": None,
            }
            if portal.licence_md5 is not None:
                changes["licence_md5"] = portal.licence_md5
            connection.execute(update(s.portals).where(s.portals.c.id == known.id).values(**changes))
            return int(known.id)

        return await self._database.write(unit)

    async def register_portal(
        self,
        portal_id: int,
        client_id: str,
        secret_hash: bytes,
        secret_sealed: bytes,
        licence_pin: bytes | None,
        entry: AuditEntry,
    ) -> None:
        """Give an unregistered portal its credentials; nothing happens if another call came first."""

        def unit(connection: Connection) -> None:
            changed = connection.execute(
                update(s.portals)
                .where(s.portals.c.id == portal_id, s.portals.c.client_id.is_(None))
                .values(
                    client_id=client_id,
                    secret_hash=secret_hash,
                    secret_sealed=secret_sealed,
                    licence_pin=licence_pin,
                    registered_at=entry.at,
                )
            )
            if changed.rowcount:
                touch_directory(connection)
                add_audit(connection, entry)

        await self._database.write(unit)

    async def pin_licence(self, portal_id: int, licence_pin: bytes) -> None:
        """Remember whose licence registered as this portal, where none is remembered."""

        def unit(connection: Connection) -> None:
            connection.execute(
                update(s.portals)
                .where(s.portals.c.id == portal_id, s.portals.c.licence_pin.is_(None))
                .values(licence_pin=licence_pin)
            )
            touch_directory(connection)

        await self._database.write(unit)

    async def remove_portal(self, portal_id: int) -> None:
        """Delete a portal with all that is its own; Conflict while any event of it is unfinished."""

        def unit(connection: Connection) -> None:
            of_portal = s.deliveries.c.portal_id == portal_id
            unfinished = select(exists().where(of_portal, s.deliveries.c.state.in_(_UNFINISHED)))
            if connection.execute(unfinished).scalar_one():
                raise Conflict("Events of this portal wait for delivery: deliver or drop them first.")
            deliveries = select(s.deliveries.c.id).where(of_portal)
            for table in (s.payloads, s.attempts):
                connection.execute(delete(table).where(table.c.delivery_id.in_(deliveries)))
            connection.execute(delete(s.deliveries).where(of_portal))
            apps = select(s.apps.c.number).where(s.apps.c.portal_id == portal_id)
            grants = select(s.grants.c.id).where(s.grants.c.app_number.in_(apps))
            connection.execute(delete(s.refresh_tokens).where(s.refresh_tokens.c.grant_id.in_(grants)))
            for table in (s.codes, s.token_parameters, s.grants):
                connection.execute(delete(table).where(table.c.app_number.in_(apps)))
            for table in (s.apps, s.keys, s.handlers, s.revocations, s.portal_facts):
                connection.execute(delete(table).where(table.c.portal_id == portal_id))
            connection.execute(delete(s.portals).where(s.portals.c.id == portal_id))
            touch_directory(connection)

        await self._database.write(unit, locks=[EVERYTHING])

    async def add_app(self, app: NewApp, now: int) -> int:
        """Store an application; its number. Conflict if the portal has one of that client id."""

        def unit(connection: Connection) -> int:
            try:
                result = connection.execute(insert(s.apps).values(**new_app_values(app, now)))
            except IntegrityError as error:
                raise Conflict(f"The portal has an application {app.client_id} already.") from error
            touch_directory(connection)
            return inserted_id(result)

        return await self._database.write(unit)

    async def update_app(self, number: int, changes: Mapping[str, object]) -> None:
        """Change some fields of an application. Raises NotFound."""

        def unit(connection: Connection) -> None:
            changed = connection.execute(
                update(s.apps).where(s.apps.c.number == number, s.apps.c.deleted_at.is_(None)).values(**changes)
            )
            if not changed.rowcount:
                raise NotFound("The application is gone.")
            touch_directory(connection)

        await self._database.write(unit)

    async def delete_app(self, number: int, revocation: Revocation, entry: AuditEntry) -> None:
        """Mark an application deleted; its tokens, grants and codes are revoked with it."""

        def unit(connection: Connection) -> None:
            connection.execute(
                update(s.apps)
                .where(s.apps.c.number == number, s.apps.c.deleted_at.is_(None))
                .values(deleted_at=entry.at)
            )
            revoke_rows(connection, revocation, entry)

        await self._database.write(unit)

    def _insert_portal(self, connection: Connection, portal: NewPortal, now: int) -> int:
        result = connection.execute(
            insert(s.portals).values(
                url=portal.url,
                licence_md5=portal.licence_md5,
                window_until=portal.window_until,
                allow=json.dumps(list(portal.allow)),
                created_at=now,
            )
        )
        portal_id = inserted_id(result)
        connection.execute(
            insert(s.keys).values(portal_id=portal_id, key_id=1, key_sealed=portal.key_sealed, active_from=now)
        )
        return portal_id

    def _load(self, connection: Connection) -> Directory:
        version = connection.execute(select(s.meta.c.value).where(s.meta.c.name == DIRECTORY)).scalar_one_or_none()
        portals = [
            Portal(**(row._asdict() | {"allow": tuple(json.loads(row.allow))}))
            for row in connection.execute(select(s.portals))
        ]
        keys, signing_keys = self._load_keys(connection)
        revoked = [
            Revocation(row.portal_id, row.through, row.app_number, row.user_id, row.serial)
            for row in connection.execute(select(s.revocations))
        ]
        apps = [App(**row._asdict()) for row in connection.execute(select(s.apps))]
        return Directory(portals, apps, keys, signing_keys, gather_revocations(revoked), version or 0)

    def _load_keys(self, connection: Connection) -> tuple[list[SealingKey], list[SigningKey]]:
        sealing: list[SealingKey] = []
        signing: list[SigningKey] = []
        for row in connection.execute(select(s.keys)):
            key = self._open_key(row.key_sealed)
            if row.portal_id == 0:
                signing.append(load_signing_key(row.key_id, key, row.active_from, row.good_until))
            else:
                sealing.append(SealingKey(row.portal_id, row.key_id, key, row.active_from, row.good_until))
        return sealing, signing
