"""Keys, revocations, PKCE challenges, the audit record and housekeeping in SQL.

Leans on `Database`. A revocation stops sealed tokens, refresh tokens and codes in one transaction, and raises the
directory version in it, so that the next check obeys. Housekeeping deletes only what has ended, a little at a time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, delete, exists, func, insert, or_, select, update

from relay.core.errors import Conflict
from relay.records import AuditEntry
from relay.store import schema as s
from relay.store.rows import add_audit, touch_directory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Table

    from relay.core.keyring import NextKey
    from relay.core.model import Revocation
    from relay.store.database import Database, Unit

_LONGEST_ACCESS = "longest_access_s"


class SqlIssuerStore:
    """The IssuerStore port."""

    _database: Database

    async def add_key(self, portal_id: int, key: NextKey, key_sealed: bytes, entry: AuditEntry) -> None:
        """Store a key and set the end of those it follows; nothing happens if another call made it first.

        A key that was to become active later than this one has made nothing yet and is dropped.
        """
        known = select(exists().where(s.keys.c.portal_id == portal_id, s.keys.c.key_id == key.key_id))

        def unit(connection: Connection) -> None:
            if connection.execute(known).scalar_one():
                return
            owned = s.keys.c.portal_id == portal_id
            connection.execute(delete(s.keys).where(owned, s.keys.c.active_from > key.active_from))
            connection.execute(
                update(s.keys).where(owned, s.keys.c.good_until.is_(None)).values(good_until=key.predecessor_good_until)
            )
            connection.execute(
                insert(s.keys).values(
                    portal_id=portal_id, key_id=key.key_id, key_sealed=key_sealed, active_from=key.active_from
                )
            )
            add_audit(connection, entry)
            touch_directory(connection)

        await self._database.write(unit)

    async def forget_keys(self, portal_id: int, key_ids: Sequence[int]) -> None:
        """Delete keys whose last token has ended."""

        def unit(connection: Connection) -> None:
            connection.execute(
                delete(s.keys).where(s.keys.c.portal_id == portal_id, s.keys.c.key_id.in_(list(key_ids)))
            )
            touch_directory(connection)

        await self._database.write(unit)

    async def revoke(self, revocation: Revocation, entry: AuditEntry) -> None:
        """Revoke a token, or everything of an app, a user or a portal: sealed tokens, grants and codes alike."""

        await self._database.write(lambda connection: revoke_rows(connection, revocation, entry))

    async def longest_access_s(self, configured_s: int) -> int:
        """The longest life an access token was ever given here, so that lowering it does not shorten revocations."""
        query = select(s.meta.c.value).where(s.meta.c.name == _LONGEST_ACCESS)

        def unit(connection: Connection) -> int:
            known = connection.execute(query).scalar_one_or_none()
            if known is None:
                connection.execute(insert(s.meta).values(name=_LONGEST_ACCESS, value=configured_s))
            elif known < configured_s:
                connection.execute(update(s.meta).where(s.meta.c.name == _LONGEST_ACCESS).values(value=configured_s))
            return max(known or 0, configured_s)

        try:
            return await self._database.write(unit)
        except Conflict:  # another node wrote the first one in the same moment
            return await self._database.write(unit)

    async def save_challenge(self, key_hash: bytes, code_challenge: str, expires: int) -> None:
        """Keep the challenge of an authorization request; a later one of the same key takes its place."""

        def unit(connection: Connection) -> None:
            connection.execute(delete(s.code_challenges).where(s.code_challenges.c.hash == key_hash))
            connection.execute(
                insert(s.code_challenges).values(hash=key_hash, code_challenge=code_challenge, expires=expires)
            )

        await self._database.write(unit)

    async def find_challenge(self, key_hash: bytes, now: int) -> str | None:
        """The challenge kept under the key, if it has not expired."""
        query = select(s.code_challenges.c.code_challenge).where(
            s.code_challenges.c.hash == key_hash, s.code_challenges.c.expires > now
        )
        return await self._database.read(lambda c: c.execute(query).scalar_one_or_none())

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Append security events that change nothing else."""

        def unit(connection: Connection) -> None:
            for entry in entries:
                add_audit(connection, entry)

        await self._database.write(unit)

    async def list_audit(self, since: int, kind: str, limit: int) -> list[AuditEntry]:
        """The newest entries first, of one kind (or all kinds that begin with it) if given."""
        query = select(s.audit).where(s.audit.c.at >= since)
        if kind:
            query = query.where(s.audit.c.kind.startswith(kind, autoescape=True))
        newest = query.order_by(s.audit.c.id.desc()).limit(limit)

        def unit(connection: Connection) -> list[AuditEntry]:
            return [
                AuditEntry(row.kind, row.at, row.portal_id, row.app_number, json.loads(row.details))
                for row in connection.execute(newest)
            ]

        return await self._database.read(unit)

    async def purge(self, now: int, used_before: int, most: int) -> dict[str, int]:
        """Delete up to `most` rows each of what has ended by `now`; how many, by table.

        used_before: codes are kept until they expired before it, so that one that comes back is known for what it is.
        Replaced refresh tokens are kept to their own end for the same reason; a grant goes with its last one.
        """
        ended = (
            (s.codes, s.codes.c.expires < used_before),
            (s.code_challenges, s.code_challenges.c.expires < now),
            (s.token_parameters, s.token_parameters.c.expires < now),
            (s.revocations, s.revocations.c.through < now),
        )
        counts = {}
        for table, condition in ended:
            counts[table.name] = await self._database.write(_purging(table, condition, most))
        tokens, grants = await self._database.write(lambda connection: _purge_refresh_tokens(connection, now, most))
        return counts | {s.refresh_tokens.name: tokens, s.grants.name: grants}


def revoke_rows(connection: Connection, revocation: Revocation, entry: AuditEntry) -> None:
    """Write a revocation with all it ends, in the caller's transaction; of a portal that is gone nothing is left."""
    if not connection.execute(select(exists().where(s.portals.c.id == revocation.portal_id))).scalar_one():
        return
    through = revocation.through
    if revocation.serial is None:
        through = max(through, _latest_mark(connection, revocation) + 1)
    connection.execute(
        insert(s.revocations).values(
            portal_id=revocation.portal_id,
            through=through,
            app_number=revocation.app_number,
            user_id=revocation.user_id,
            serial=revocation.serial,
        )
    )
    if revocation.serial is None:
        _end_grants(connection, revocation, entry.at)
    add_audit(connection, entry)
    touch_directory(connection)


def _latest_mark(connection: Connection, revocation: Revocation) -> int:
    """The latest mark that may have pushed the expiry of a token that is now revoked; 0 without one."""
    r = s.revocations.c
    concerned = [r.portal_id == revocation.portal_id, r.serial.is_(None)]
    if revocation.app_number is not None:
        concerned.append(or_(r.app_number.is_(None), r.app_number == revocation.app_number))
    elif revocation.user_id is not None:
        concerned.append(or_(r.user_id.is_(None), r.user_id == revocation.user_id))
    return connection.execute(select(func.max(r.through)).where(*concerned)).scalar_one() or 0


def _purging(table: Table, condition: ColumnElement[bool], most: int) -> Unit[int]:
    """Found and deleted by key, row by row: SQLite would look at the whole table for a list of pairs."""
    key = {f"key_{column.name}": column for column in table.primary_key.columns}
    by_key = delete(table).where(*(column == bindparam(name) for name, column in key.items()))

    def unit(connection: Connection) -> int:
        found = connection.execute(select(*key.values()).where(condition).limit(most)).all()
        if found:
            connection.execute(by_key, [dict(zip(key, row, strict=True)) for row in found])
            if table is s.revocations:
                touch_directory(connection)
        return len(found)

    return unit


def _purge_refresh_tokens(connection: Connection, now: int, most: int) -> tuple[int, int]:
    """Delete ended refresh tokens, and the grants that have none left: found by them, never by a scan of all grants."""
    tokens = s.refresh_tokens.c
    ended = select(tokens.hash, tokens.grant_id).where(tokens.expires < now).limit(most)
    found = connection.execute(ended).all()
    if not found:
        return 0, 0
    connection.execute(delete(s.refresh_tokens).where(tokens.hash.in_([row.hash for row in found])))
    left = exists().where(tokens.grant_id == s.grants.c.id)
    emptied = delete(s.grants).where(s.grants.c.id.in_({row.grant_id for row in found}), ~left)
    return len(found), connection.execute(emptied).rowcount


def _end_grants(connection: Connection, revocation: Revocation, now: int) -> None:
    """Revoke the grants and delete the codes that the revocation concerns."""
    if revocation.app_number is not None:
        of_app = select(s.apps.c.number).where(s.apps.c.number == revocation.app_number)
    else:
        of_app = select(s.apps.c.number).where(s.apps.c.portal_id == revocation.portal_id)
    grants: list[ColumnElement[bool]] = [s.grants.c.app_number.in_(of_app), s.grants.c.revoked_at.is_(None)]
    codes: list[ColumnElement[bool]] = [s.codes.c.app_number.in_(of_app)]
    if revocation.user_id is not None:
        grants.append(s.grants.c.user_id == revocation.user_id)
        codes.append(s.codes.c.user_id == revocation.user_id)
    connection.execute(update(s.grants).where(*grants).values(revoked_at=now))
    connection.execute(delete(s.codes).where(*codes))
