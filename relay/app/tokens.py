"""Issuing, swapping and checking tokens: `rest.authorize`, `rest.code`, `rest.check`, `/oauth/token/`, `app.info`.

Leans on the core's decisions and commits them. A token's text is given to its caller and kept nowhere; the read
paths (`rest.check`, `app.info`) never write.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from relay.app.applications import require_installed
from relay.core.errors import (
    ExpiredToken,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    RelayError,
    UnknownApplication,
)
from relay.core.model import LOCAL_STATUS, AuthorizationCode, read_user_id
from relay.core.oauth import (
    Denied,
    Redeem,
    Repeat,
    Rotate,
    Snapshot,
    TokenRequest,
    client_apps,
    decide,
    grant_refused,
)
from relay.core.phpform import readable
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
from relay.records import AuditEntry, NewGrant, Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.app.settings import IssuerSettings
    from relay.core.directory import Directory
    from relay.core.model import App, Portal, RefreshToken
    from relay.core.phpform import Form
    from relay.core.tokens import CheckedToken, Minted, StoredParameters, TokenPair
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store


CHALLENGE_LIFE_S = 600
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


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
        challenge = await self._store.find_challenge(challenge_key(app, form.get("STATE")), self._now())
        await self._store.save_code(
            AuthorizationCode(
                hash=hash_token(code),
                app_number=app.number,
                user_id=_user_id(parameters),
                parameters=parameters,
                expires=self._now() + self._settings.lifetimes.code_s,
                code_challenge=challenge,
            )
        )
        result = {
            "code": code,
            "state": readable(form.get("STATE")),
            "domain": self._settings.host,
            "member_id": portal.member_id,
            "scope": app.scope,
            "iss": self._settings.public_url,
        }
        return {"redirect_uri": app.redirect_uri, **result} if app.redirect_uri else result

    async def begin_authorization(
        self, client_id: str, state: str, challenge: str | None, method: str | None
    ) -> Portal:
        """`/oauth/authorize`: the portal whose page the browser goes to; a PKCE challenge is kept for its code.

        Raises InvalidClient for an unknown application, InvalidRequest for a challenge that is not S256 or comes
        without a state to know it by (RFC 7636 section 4.3).
        """
        directory = await self._store.directory()
        apps = directory.apps_by_client(client_id)
        if not apps:
            raise InvalidClient("This application is not known here.")
        if challenge is not None or method is not None:
            if method != "S256" or not _CHALLENGE.fullmatch(challenge or "") or not state:
                raise InvalidRequest("PKCE needs code_challenge, code_challenge_method=S256 and state.")
            expires = self._now() + CHALLENGE_LIFE_S
            await self._store.save_challenge(challenge_key(apps[0], state), challenge or "", expires)
        return directory.portals[apps[0].portal_id]

    async def introspect(self, client_id: str, client_secret: str, token: str) -> dict[str, Any]:
        """RFC 7662: what the client's own access token says; of any other token nothing but that it is not active.

        Raises InvalidClient.
        """
        directory = await self._store.directory()
        own = client_apps(directory, client_id, client_secret, self._vault.matches, self._now())
        try:
            checked = self.checked(token, directory)
            if checked.app.number not in own:
                return {"active": False}
            scope = _scope_of(checked, await self._stored(checked))
        except (InvalidToken, ExpiredToken, UnknownApplication):
            return {"active": False}
        return {
            "active": True,
            "iss": self._settings.public_url,
            "client_id": checked.app.client_id,
            "sub": str(checked.claims.user_id),
            "exp": checked.claims.expires,
            "scope": scope.replace(",", " "),
            "aud": checked.portal.client_endpoint,
            "jti": f"{checked.claims.serial:012x}",
            "token_type": "Bearer",
        }

    async def _stored(self, checked: CheckedToken) -> StoredParameters | None:
        """What is kept under the token's serial, if it says so. Raises InvalidToken if that is gone."""
        if not checked.claims.has_stored_parameters:
            return None
        stored = await self._store.find_parameters(checked.app.number, checked.claims.serial)
        if stored is None:
            raise InvalidToken("The access token is not known here.")
        return stored

    async def check(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """`rest.check` (protocol.md sections 3 and 4). Raises InvalidToken, ExpiredToken, UnknownApplication.

        `status` is said for local applications only: another value rewrites the portal's row.
        """
        text = form.get("TOKEN")
        checked = self.checked(text, directory, portal.id)
        stored = await self._stored(checked)
        result = {
            "access_token": text,
            "client_id": checked.app.client_id,
            "expires": checked.claims.expires,
            "scope": _scope_of(checked, stored),
            "parameters": parameters_of(checked.claims, stored),
        }
        return {**result, "status": LOCAL_STATUS} if checked.app.status == LOCAL_STATUS else result

    def checked(self, text: str, directory: Directory, portal_id: int | None = None) -> CheckedToken:
        """The verified token. Raises InvalidToken, ExpiredToken, UnknownApplication."""
        issuer = self._settings.public_url
        return check_access_token(text, directory, self._now(), issuer=issuer, portal_id=portal_id)

    async def app_info(self, text: str) -> dict[str, Any]:
        """`app.info` of the auth server (protocol.md section 6). Raises as `check` does."""
        directory = await self._store.directory()
        checked = self.checked(text, directory)
        app, portal, claims = checked.app, checked.portal, checked.claims
        expires = datetime.fromtimestamp(claims.expires, UTC).isoformat()
        return {
            "client_id": app.client_id,
            "scope": _scope_of(checked, await self._stored(checked)),
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

    async def token(self, request: TokenRequest, address: str = "") -> dict[str, Any]:
        """`/oauth/token/`: run the grant, commit, answer (protocol.md section 6). Raises RelayError.

        address: the caller's, for the audit record.
        """
        directory = await self._store.directory()
        snapshot = await self._snapshot(directory, request)
        decision = decide(
            request,
            snapshot,
            secret_matches=self._vault.matches,
            mint=partial(self._mint_for, directory),
        )
        if isinstance(decision, Denied):
            await self._record_reuse(decision, address)
            raise decision.error
        return await self._commit(directory, request, decision)

    async def _snapshot(self, directory: Directory, request: TokenRequest) -> Snapshot:
        code = refresh = None
        if request.grant_type == "authorization_code" and request.code:
            code = await self._store.find_code(hash_token(request.code))
        elif request.grant_type == "refresh_token" and request.refresh_token:
            refresh = await self._store.find_refresh(hash_token(request.refresh_token))
        apps = directory.apps_by_client(request.client_id)
        return Snapshot(apps, code, refresh, self._now(), self._settings.lifetimes)

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
            issuer=self._settings.public_url,
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

    async def _commit(
        self, directory: Directory, request: TokenRequest, decision: Redeem | Rotate | Repeat
    ) -> dict[str, Any]:
        portal = directory.portals[decision.app.portal_id]
        if isinstance(decision, Redeem):
            pair = await self._redeem(decision)
            return self._answer(pair, decision.app, portal, decision.code.user_id, None)
        grant = decision.refresh.grant
        pair = await self._rotate(request, decision)
        return self._answer(pair, decision.app, portal, grant.user_id, grant.scope)

    async def _record_reuse(self, denied: Denied, address: str) -> None:
        """A code or refresh token that was used up came back: its whole family ends (RFC 9700 section 4.14.2)."""
        if denied.reused_grant is None or denied.app is None:
            return
        await self._store.revoke_grant(
            denied.reused_grant,
            AuditEntry(
                "grant.reused",
                self._now(),
                denied.app.portal_id,
                denied.app.number,
                {
                    "grant_id": denied.reused_grant,
                    "generation": denied.reused_generation,
                    "address": address,
                },
            ),
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


def _scope_of(checked: CheckedToken, stored: StoredParameters | None) -> str:
    """The token's own scope where it was narrowed, else its application's; a comma list."""
    return stored.scope if stored and stored.scope is not None else checked.app.scope


def challenge_key(app: App, state: str) -> bytes:
    """What a PKCE challenge is kept under between the authorization request and the portal's `rest.code`."""
    return hash_token(f"{app.number}:{state}")


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
    user_id = read_user_id(parameters.get("LOCAL_USER", ""))
    if not user_id:
        raise InvalidRequest("PARAMS[LOCAL_USER] must be a user's id.")
    return user_id
