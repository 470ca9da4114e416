"""Issuing, swapping and checking tokens: `rest.authorize`, `rest.code`, `rest.check`, `/oauth/token/`, `app.info`.

Leans on the core's decisions and commits them. A token's text is given to its caller and kept nowhere; the read
paths (`rest.check`, `app.info`) never write.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from relay.app.applications import require_installed
from relay.core.errors import InvalidRequest, InvalidToken, RelayError
from relay.core.model import LOCAL_STATUS, AuthorizationCode
from relay.core.oauth import Denied, Redeem, Repeat, Rotate, Snapshot, TokenRequest, decide, grant_refused
from relay.core.tokens import (
    CODE_BYTES,
    EVENT_SESSION_FRESH,
    check_access_token,
    mint_pair,
    narrowed_scope,
    open_successor,
    parameters_of,
    seal_successor,
    token_answer,
)
from relay.core.vault import hash_token
from relay.ports import AuditEntry, NewGrant, Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.app.settings import IssuerSettings
    from relay.core.directory import Directory
    from relay.core.model import App, Portal, RefreshToken
    from relay.core.oauth import Decision
    from relay.core.phpform import Form
    from relay.core.tokens import Minted, TokenPair
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store


class Tokens:
    """The token issuer over one store."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, entropy: Entropy, settings: IssuerSettings) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy
        self._settings = settings

    async def authorize(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """`rest.authorize`: the portal vouches for the user; a grant is opened (protocol.md section 3)."""
        app = require_installed(directory, portal, form.get("CLIENT_ID"))
        parameters = form.members("PARAMS")
        user_id = _user_id(parameters)
        scope = narrowed_scope(form.get("SCOPE"), app.scope)
        if scope == "":
            raise RelayError("The application has none of that scope.", code="insufficient_scope", status=400)
        pair = await self.open_grant(directory, app, user_id, parameters, scope)
        return self._answer(pair, app, portal, user_id, scope)

    async def open_grant(
        self,
        directory: Directory,
        app: App,
        user_id: int,
        parameters: Mapping[str, str],
        scope: str | None = None,
    ) -> TokenPair:
        """Open a grant with its first pair, committed."""
        minted = self._mint(directory, app, user_id, parameters, scope)
        tz_offset = parameters.get("TZ_OFFSET")
        await self._store.open_grant(_new_grant(minted, app, user_id, scope, tz_offset), self._now())
        return minted.pair

    async def issue_code(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """`rest.code`: a code good once and for 30 s; the portal sends the browser on with it."""
        app = require_installed(directory, portal, form.get("CLIENT_ID"))
        parameters = form.members("PARAMS")
        code = self._entropy(CODE_BYTES).hex()
        await self._store.save_code(
            AuthorizationCode(
                hash=hash_token(code),
                app_number=app.number,
                user_id=_user_id(parameters),
                parameters=parameters,
                expires=self._now() + self._settings.lifetimes.code_s,
            )
        )
        result = {
            "code": code,
            "state": form.get("STATE"),
            "domain": self._settings.host,
            "member_id": portal.member_id,
            "scope": app.scope,
        }
        return {"redirect_uri": app.redirect_uri, **result} if app.redirect_uri else result

    async def check(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """`rest.check` (protocol.md sections 3 and 4). Raises InvalidToken, ExpiredToken, UnknownApplication.

        `status` is said for local applications only: another value rewrites the portal's row.
        """
        text = form.get("TOKEN")
        checked = check_access_token(text, directory, self._now(), portal.id)
        stored = None
        if checked.claims.has_stored_parameters:
            stored = await self._store.find_parameters(checked.app.number, checked.claims.serial)
            if stored is None:
                raise InvalidToken("The access token is not known here.")
        scope = stored.scope if stored and stored.scope is not None else checked.app.scope
        result = {
            "access_token": text,
            "client_id": checked.app.client_id,
            "expires": checked.claims.expires,
            "scope": scope,
            "parameters": parameters_of(checked.claims, stored),
        }
        return {**result, "status": LOCAL_STATUS} if checked.app.status == LOCAL_STATUS else result

    async def app_info(self, text: str) -> dict[str, Any]:
        """`app.info` of the auth server (protocol.md section 6). Raises as `check` does."""
        directory = await self._store.directory()
        checked = check_access_token(text, directory, self._now())
        app, portal, claims = checked.app, checked.portal, checked.claims
        stored = None
        if claims.has_stored_parameters:
            stored = await self._store.find_parameters(app.number, claims.serial)
        expires = datetime.fromtimestamp(claims.expires, UTC).isoformat()
        return {
            "client_id": app.client_id,
            "scope": stored.scope if stored and stored.scope is not None else app.scope,
            "expires": expires,
            "user_id": claims.user_id,
            "status": app.status,
            "install": {
                "installed": app.installed,
                "version": str(app.version),
                "status": app.status,
                "scope": app.scope,
                "domain": portal.host,
                "uri": portal.url,
                "client_endpoint": portal.client_endpoint,
                "member_id": portal.member_id,
                "member_type": "box",
            },
        }

    async def token(self, request: TokenRequest) -> dict[str, Any]:
        """`/oauth/token/`: run the grant, commit, answer (protocol.md section 6). Raises RelayError."""
        directory = await self._store.directory()
        snapshot = await self._snapshot(directory, request)
        decision = decide(
            request,
            snapshot,
            secret_matches=self._vault.matches,
            mint=partial(self._mint_for, directory),
        )
        return await self._commit(directory, request, decision)

    async def _snapshot(self, directory: Directory, request: TokenRequest) -> Snapshot:
        code = refresh = None
        if request.grant_type == "authorization_code" and request.code:
            code = await self._store.find_code(hash_token(request.code))
        elif request.grant_type == "refresh_token" and request.refresh_token:
            refresh = await self._store.find_refresh(hash_token(request.refresh_token))
        grace_s = self._settings.lifetimes.refresh_grace_s
        return Snapshot(directory.apps_by_client(request.client_id), code, refresh, self._now(), grace_s)

    def _mint(
        self, directory: Directory, app: App, user_id: int, parameters: Mapping[str, str], scope: str | None
    ) -> Minted:
        return mint_pair(
            directory,
            app,
            user_id,
            parameters=parameters,
            scope=scope,
            now=self._now(),
            lifetimes=self._settings.lifetimes,
            entropy=self._entropy,
        )

    def _mint_for(self, directory: Directory, app: App, stored: AuthorizationCode | RefreshToken) -> Minted:
        """The pair for a code (its parameters as sent) or for a refresh, which starts its event session afresh."""
        if isinstance(stored, AuthorizationCode):
            return self._mint(directory, app, stored.user_id, stored.parameters, None)
        grant = stored.grant
        parameters = {"EVENT_SESSION": EVENT_SESSION_FRESH}
        if grant.tz_offset is not None:
            parameters["TZ_OFFSET"] = grant.tz_offset
        return self._mint(directory, app, grant.user_id, parameters, grant.scope)

    async def _commit(self, directory: Directory, request: TokenRequest, decision: Decision) -> dict[str, Any]:
        if isinstance(decision, Denied):
            await self._record_reuse(decision)
            raise decision.error
        portal = directory.portals[decision.app.portal_id]
        if isinstance(decision, Redeem):
            pair = await self._redeem(decision)
            return self._answer(pair, decision.app, portal, decision.code.user_id, None)
        grant = decision.refresh.grant
        pair = await self._rotate(request, decision)
        return self._answer(pair, decision.app, portal, grant.user_id, grant.scope)

    async def _record_reuse(self, denied: Denied) -> None:
        if denied.reused_grant is None or denied.app is None:
            return
        await self._store.revoke_grant(
            denied.reused_grant,
            AuditEntry("grant.reused", self._now(), denied.app.portal_id, denied.app.number),
        )

    async def _redeem(self, decision: Redeem) -> TokenPair:
        code, minted = decision.code, decision.minted
        grant = _new_grant(minted, decision.app, code.user_id, None, code.parameters.get("TZ_OFFSET"))
        if not await self._store.redeem_code(code.hash, grant, self._now()):
            raise grant_refused()
        return minted.pair

    async def _rotate(self, request: TokenRequest, decision: Rotate | Repeat) -> TokenPair:
        old = request.refresh_token
        if isinstance(decision, Repeat):
            return open_successor(old, decision.refresh.successor_sealed or b"")
        minted = decision.minted
        ours = seal_successor(old, minted.pair, self._entropy)
        winner = await self._store.rotate_refresh(
            Rotation(
                decision.refresh,
                ours,
                hash_token(minted.refresh_token),
                minted.refresh_expires,
                minted.access,
            ),
            self._now(),
        )
        if winner is None:
            raise grant_refused()
        return minted.pair if winner == ours else open_successor(old, winner)

    def _answer(self, pair: TokenPair, app: App, portal: Portal, user_id: int, scope: str | None) -> dict[str, Any]:
        return token_answer(
            pair,
            app,
            portal,
            user_id=user_id,
            scope=app.scope if scope is None else scope,
            server_endpoint=self._settings.server_endpoint,
            domain=self._settings.host,
            now=self._now(),
        )

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


def _new_grant(minted: Minted, app: App, user_id: int, scope: str | None, tz_offset: str | None) -> NewGrant:
    return NewGrant(
        app_number=app.number,
        user_id=user_id,
        scope=scope,
        tz_offset=tz_offset,
        refresh_hash=hash_token(minted.refresh_token),
        refresh_expires=minted.refresh_expires,
        access=minted.access,
    )


def _user_id(parameters: Mapping[str, str]) -> int:
    text = parameters.get("LOCAL_USER", "")
    if not (text.isascii() and text.isdigit() and 0 < int(text[:12]) < 1 << 32):
        raise InvalidRequest("PARAMS[LOCAL_USER] must be a user's id.")
    return int(text)
