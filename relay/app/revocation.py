"""Revoking: one token, or everything of an application, a user or a portal.

Leans on the issuer store, which ends sealed tokens, refresh tokens and codes in one commit. What is granted after a
revocation is never caught by it, and what was granted before always is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.errors import ExpiredToken, InvalidToken, UnknownApplication
from relay.core.model import Revocation
from relay.core.oauth import client_app
from relay.core.vault import hash_token
from relay.ports import AuditEntry

if TYPE_CHECKING:
    from relay.app.settings import IssuerSettings
    from relay.app.tokens import Tokens
    from relay.core.directory import Directory
    from relay.core.model import App
    from relay.core.vault import Vault
    from relay.ports import Clock, Store


class Revocations:
    """What an operator, a portal or a client may revoke."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, tokens: Tokens, settings: IssuerSettings) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._tokens = tokens
        self._settings = settings

    async def revoke_app(self, directory: Directory, app: App, reason: str) -> None:
        """End every token, grant and code of an application."""
        revocation = await self.everything(directory, app.portal_id, app_number=app.number)
        entry = AuditEntry("app.revoked", self._now(), app.portal_id, app.number, {"reason": reason})
        await self._store.revoke(revocation, entry)

    async def revoke_user(self, directory: Directory, portal_id: int, user_id: int, reason: str) -> None:
        """End every token, grant and code of one user of a portal."""
        revocation = await self.everything(directory, portal_id, user_id=user_id)
        entry = AuditEntry("user.revoked", self._now(), portal_id, None, {"user_id": user_id, "reason": reason})
        await self._store.revoke(revocation, entry)

    async def revoke_portal(self, directory: Directory, portal_id: int, reason: str) -> None:
        """End every token, grant and code of a portal."""
        revocation = await self.everything(directory, portal_id)
        await self._store.revoke(
            revocation, AuditEntry("portal.revoked", self._now(), portal_id, None, {"reason": reason})
        )

    async def revoke_token(self, client_id: str, client_secret: str, token: str) -> None:
        """RFC 7009: end the client's own access or refresh token; nothing happens for any other.

        With a refresh token its family and the family's access tokens end. Raises InvalidClient.
        """
        directory = await self._store.directory()
        app = client_app(directory, client_id, client_secret, self._vault.matches, self._now())
        refresh = await self._store.find_refresh(hash_token(token))
        if refresh is not None:
            if refresh.grant.app_number == app.number:
                entry = AuditEntry("grant.revoked", self._now(), app.portal_id, app.number)
                await self._store.revoke_grant(refresh.grant.id, entry)
            return
        try:
            checked = self._tokens.checked(token, directory)
        except (InvalidToken, ExpiredToken, UnknownApplication):
            return
        if checked.app.number == app.number:
            claims = checked.claims
            await self._store.revoke(
                Revocation(app.portal_id, claims.expires, app.number, serial=claims.serial),
                AuditEntry("token.revoked", self._now(), app.portal_id, app.number),
            )

    async def everything(
        self,
        directory: Directory,
        portal_id: int,
        *,
        app_number: int | None = None,
        user_id: int | None = None,
    ) -> Revocation:
        """A mark past every token there may be: the longest life from now on, and past every earlier mark."""
        longest_s = await self._store.longest_access_s(self._settings.lifetimes.access_s)
        marks = directory.revocations
        earlier = [mark for owner, mark in marks.portals.items() if owner == portal_id]
        earlier += [mark for (owner, _), mark in marks.users.items() if owner == portal_id]
        earlier += [mark for number, mark in marks.apps.items() if directory.apps[number].portal_id == portal_id]
        through = max([self._now() + longest_s, *(mark + 1 for mark in earlier)])
        return Revocation(portal_id, through, app_number, user_id)

    def _now(self) -> int:
        return self._clock.now_ms() // 1000
