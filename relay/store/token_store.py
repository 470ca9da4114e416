"""Grants, refresh tokens, codes and stored token parameters in SQL.

Leans on `Database`. A refresh token is swapped by compare-and-swap on `replaced_at`, a code redeemed by one on
`used_at`: of any number of callers exactly one wins, and the others are given what it stored.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, bindparam, insert, select, update

from relay.core.model import AuthorizationCode, Grant, RefreshToken
from relay.core.tokens import StoredParameters
from relay.records import AuditEntry
from relay.store import schema as s
from relay.store.rows import add_audit, inserted_id, touch_directory

if TYPE_CHECKING:
    from relay.core.tokens import AccessToken
    from relay.records import NewGrant, Rotation
    from relay.store.database import Database

_FIND_REFRESH = (
    select(
        s.refresh_tokens,
        s.grants.c.app_number,
        s.grants.c.user_id,
        s.grants.c.scope,
        s.grants.c.tz_offset,
        s.grants.c.created_at,
        s.grants.c.revoked_at,
    )
    .join(s.grants, s.grants.c.id == s.refresh_tokens.c.grant_id)
    .where(s.refresh_tokens.c.hash.in_(bindparam("hashes", expanding=True)))
)
_SWAP = (
    update(s.refresh_tokens)
    .where(
        s.refresh_tokens.c.hash == bindparam("old_hash"),
        s.refresh_tokens.c.replaced_at.is_(None),
        select(s.grants.c.id)
        .where(s.grants.c.id == s.refresh_tokens.c.grant_id, s.grants.c.revoked_at.is_(None))
        .exists(),
    )
    .values(replaced_at=bindparam("now"), successor_sealed=bindparam("successor"))
)
_SWAPPABLE = (
    select(s.refresh_tokens.c.hash, s.refresh_tokens.c.successor_sealed)
    .join(s.grants, s.grants.c.id == s.refresh_tokens.c.grant_id)
    .where(s.refresh_tokens.c.hash.in_(bindparam("hashes", expanding=True)), s.grants.c.revoked_at.is_(None))
    .with_for_update()
)
_INSERT_REFRESH = insert(s.refresh_tokens).inline()


class SqlTokenStore:
    """The TokenStore port."""

    _database: Database

    async def find_refresh(self, token_hash: bytes) -> RefreshToken | None:
        """The refresh token with its grant."""

        return await self._database.read_jointly(_find_refresh, token_hash)

    async def find_code(self, code_hash: bytes) -> AuthorizationCode | None:
        """The code, used or not."""

        def unit(connection: Connection) -> AuthorizationCode | None:
            row = connection.execute(select(s.codes).where(s.codes.c.hash == code_hash)).one_or_none()
            if row is None:
                return None
            return AuthorizationCode(**(row._asdict() | {"parameters": json.loads(row.parameters)}))

        return await self._database.read(unit)

    async def find_parameters(self, app_number: int, serial: int) -> StoredParameters | None:
        """The parameters stored for a flagged access token."""
        key = (s.token_parameters.c.app_number == app_number, s.token_parameters.c.serial == serial)

        def unit(connection: Connection) -> StoredParameters | None:
            row = connection.execute(select(s.token_parameters).where(*key)).one_or_none()
            return StoredParameters(json.loads(row.parameters), row.scope) if row else None

        return await self._database.read(unit)

    async def save_code(self, code: AuthorizationCode) -> None:
        """Keep a code until it is used or expires."""

        def unit(connection: Connection) -> None:
            connection.execute(
                insert(s.codes).values(
                    hash=code.hash,
                    app_number=code.app_number,
                    user_id=code.user_id,
                    parameters=json.dumps(code.parameters),
                    expires=code.expires,
                    code_challenge=code.code_challenge,
                )
            )

        await self._database.write(unit)

    async def save_parameters(self, token: AccessToken) -> None:
        """Keep a flagged access token's parameters until it expires."""
        await self._database.write(lambda connection: _save_parameters(connection, token))

    async def open_grant(self, grant: NewGrant, now: int) -> None:
        """Store a grant with its first refresh token, and record that it was opened."""
        await self._database.write(lambda connection: _open_grant(connection, grant, now, by="portal"))

    async def redeem_code(self, code_hash: bytes, grant: NewGrant, now: int) -> bool:
        """Mark the code used and open its grant, both or neither; False if it was used already."""
        unused = update(s.codes).where(s.codes.c.hash == code_hash, s.codes.c.used_at.is_(None))

        def unit(connection: Connection) -> bool:
            if not connection.execute(unused.values(used_at=now)).rowcount:
                return False
            grant_id = _open_grant(connection, grant, now, by="code")
            connection.execute(update(s.codes).where(s.codes.c.hash == code_hash).values(grant_id=grant_id))
            return True

        return await self._database.write(unit)

    async def rotate_refresh(self, rotation: Rotation, now: int) -> bytes | None:
        """Swap; the sealed successor that won, or None if the grant is gone or revoked."""
        return await self._database.write_jointly(_rotate, (rotation, now))

    async def revoke_grant(self, grant_id: int, entry: AuditEntry) -> None:
        """Revoke a family of refresh tokens and the access tokens it still has; nothing if it is revoked already."""

        def unit(connection: Connection) -> None:
            changed = connection.execute(
                update(s.grants)
                .where(s.grants.c.id == grant_id, s.grants.c.revoked_at.is_(None))
                .values(revoked_at=entry.at)
            )
            if not changed.rowcount:
                return
            alive = select(s.refresh_tokens.c.access_serial, s.refresh_tokens.c.access_expires).where(
                s.refresh_tokens.c.grant_id == grant_id, s.refresh_tokens.c.access_expires > entry.at
            )
            revoked = [
                {
                    "portal_id": entry.portal_id,
                    "app_number": entry.app_number,
                    "serial": row.access_serial,
                    "through": row.access_expires,
                }
                for row in connection.execute(alive)
            ]
            if revoked:
                connection.execute(insert(s.revocations), revoked)
            add_audit(connection, entry)
            touch_directory(connection)

        await self._database.write(unit)


def _find_refresh(connection: Connection, hashes: list[bytes]) -> list[RefreshToken | None]:
    found: dict[bytes, RefreshToken] = {}
    for row in connection.execute(_FIND_REFRESH, {"hashes": hashes}):
        grant = Grant(
            row.grant_id,
            row.app_number,
            row.user_id,
            row.scope,
            row.tz_offset,
            row.created_at,
            row.revoked_at,
        )
        found[row.hash] = RefreshToken(
            row.hash, grant, row.generation, row.expires, row.replaced_at, row.successor_sealed
        )
    return [found.get(token_hash) for token_hash in hashes]


def _rotate(connection: Connection, calls: list[tuple[Rotation, int]]) -> list[bytes | None]:
    """Swap the tokens of some calls; for each call the sealed successor that won, or None."""
    hashes = [rotation.old.hash for rotation, _ in calls]
    rows = connection.execute(_SWAPPABLE, {"hashes": hashes})
    winners: dict[bytes, bytes | None] = {row.hash: row.successor_sealed for row in rows}
    won: list[tuple[Rotation, int]] = []
    for rotation, now in calls:
        if winners.get(rotation.old.hash, b"") is None:
            winners[rotation.old.hash] = rotation.successor_sealed
            won.append((rotation, now))
    if won:
        connection.execute(_SWAP, [_swap_values(rotation, now) for rotation, now in won])
        connection.execute(_INSERT_REFRESH, [_successor_values(rotation) for rotation, _ in won])
    for rotation, _ in won:
        _save_parameters(connection, rotation.access)
    return [winners.get(token_hash) for token_hash in hashes]


def _swap_values(rotation: Rotation, now: int) -> dict[str, Any]:
    return {"old_hash": rotation.old.hash, "now": now, "successor": rotation.successor_sealed}


def _successor_values(rotation: Rotation) -> dict[str, Any]:
    old = rotation.old
    return _refresh_values(
        old.grant.id, old.generation + 1, rotation.refresh_hash, rotation.refresh_expires, rotation.access
    )


def _open_grant(connection: Connection, grant: NewGrant, now: int, *, by: str) -> int:
    """by: what the grant was given for, for the audit record: the portal's word or a code."""
    result = connection.execute(
        insert(s.grants),
        {
            "app_number": grant.app_number,
            "user_id": grant.user_id,
            "scope": grant.scope,
            "tz_offset": grant.tz_offset,
            "created_at": now,
        },
    )
    grant_id = inserted_id(result)
    first = _refresh_values(grant_id, 1, grant.refresh_hash, grant.refresh_expires, grant.access)
    connection.execute(_INSERT_REFRESH, first)
    _save_parameters(connection, grant.access)
    portal_id = connection.execute(select(s.apps.c.portal_id).where(s.apps.c.number == grant.app_number)).scalar_one()
    details = {"grant_id": grant_id, "user_id": grant.user_id, "by": by}
    add_audit(connection, AuditEntry("grant.opened", now, portal_id, grant.app_number, details))
    return grant_id


def _refresh_values(
    grant_id: int, generation: int, token_hash: bytes, expires: int, access: AccessToken
) -> dict[str, Any]:
    """A refresh token, with what it takes to revoke the access token it came with."""
    return {
        "hash": token_hash,
        "grant_id": grant_id,
        "generation": generation,
        "expires": expires,
        "access_serial": access.serial,
        "access_expires": access.expires,
    }


def _save_parameters(connection: Connection, token: AccessToken) -> None:
    if token.stored is None:
        return
    connection.execute(
        insert(s.token_parameters).values(
            app_number=token.app_number,
            serial=token.serial,
            expires=token.expires,
            parameters=json.dumps(dict(token.stored.parameters)),
            scope=token.stored.scope,
        )
    )
