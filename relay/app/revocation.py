"""Revoking: one token, or everything of an application, a user or a portal.

Leans on the issuer store, which ends sealed tokens, refresh tokens and codes in one commit. What is granted after a
revocation is never caught by it, and what was granted before always is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.errors import ExpiredToken, InvalidToken, RelayError, UnknownApplication
from relay.core.model import Revocation
from relay.core.oauth import client_apps
from relay.core.vault import hash_token
from relay.records import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.app.settings import IssuerSettings
    from relay.app.tokens import Tokens
    from relay.core.model import App
    from relay.core.vault import Vault
    from relay.ports import Clock, Store


# A grant of a later second may be committed while a revocation is in hand; it must be caught as well.
IN_HAND_S = 5


class ForeignToken(RelayError):
    """A client asked to revoke a token that was issued to another one."""

    code = "unauthorized_client"
    status = 400

    def __init__(self) -> None:
        super().__init__("The token was not issued to this client.")


class Revocations:
    """What an operator, a portal or a client may revoke."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, tokens: Tokens, settings: IssuerSettings) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._tokens = tokens
        self._settings = settings

    async def revoke_app(self, app: App, reason: str) -> None:
        """End every token, grant and code of an application."""
        revocation = await self.everything(app.portal_id, app_number=app.number)
        entry = AuditEntry("app.revoked", self._now(), app.portal_id, app.number, {"reason": reason})
        await self._store.revoke(revocation, entry)

    async def revoke_user(self, portal_id: int, user_id: int, reason: str) -> None:
        """End every token, grant and code of one user of a portal."""
        revocation = await self.everything(portal_id, user_id=user_id)
        entry = AuditEntry("user.revoked", self._now(), portal_id, None, {"user_id": user_id, "reason": reason})
        await self._store.revoke(revocation, entry)

    async def revoke_portal(self, portal_id: int, reason: str) -> None:
        """End every token, grant and code of a portal."""
        revocation = await self.everything(portal_id)
        await self._store.revoke(
            revocation, AuditEntry("portal.revoked", self._now(), portal_id, None, {"reason": reason})
        )

    async def revoke_token(self, client_id: str, client_secret: str, token: str) -> None:
        """RFC 7009: end the client's own access or refresh token; one that is not known is as good as revoked.

        With a refresh token its family and the family's access tokens end. Raises InvalidClient, and ForeignToken
        for another client's.
        """
        directory = await self._store.directory()
        own = client_apps(directory, client_id, client_secret, self._vault.matches, self._now())
        refresh = await self._store.find_refresh(hash_token(token))
        if refresh is not None:
            if refresh.grant.revoked_at is None:
                app = _own_app(own, refresh.grant.app_number)
                entry = AuditEntry("grant.revoked", self._now(), app.portal_id, app.number)
                await self._store.revoke_grant(refresh.grant.id, entry)
            return
        try:
            checked = self._tokens.checked(token, directory)
        except (InvalidToken, ExpiredToken, UnknownApplication):
            return
        app, claims = _own_app(own, checked.app.number), checked.claims
        await self._store.revoke(
            Revocation(app.portal_id, claims.expires, app.number, serial=claims.serial),
            AuditEntry("token.revoked", self._now(), app.portal_id, app.number),
        )

    async def everything(
        self, portal_id: int, *, app_number: int | None = None, user_id: int | None = None
    ) -> Revocation:
        """A mark past every token there may be: the longest life from now on.

        The store lifts it past every earlier mark that may have pushed a token's expiry (`mint_access_token`).
        """
        longest_s = await self._store.longest_access_s(self._settings.lifetimes.access_s)
        return Revocation(portal_id, self._now() + longest_s + IN_HAND_S, app_number, user_id)

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


def _own_app(own: Mapping[int, App], number: int) -> App:
    """The client's application of that number. Raises ForeignToken (RFC 7009 section 2.1)."""
    if number not in own:
        raise ForeignToken
    return own[number]
