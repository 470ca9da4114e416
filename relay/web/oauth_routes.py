"""What apps and services call: the token endpoint and its standard neighbours, and `app.info`.

Leans on the use cases and on core/oauth.py for reading parameters. Never redirects on the token endpoint, never
lets an answer be cached, never looks anything up for a client that fails in a loop.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from relay.app.failures import shown_client_id
from relay.core.errors import InvalidClient, InvalidRequest, InvalidToken, RelayError
from relay.core.oauth import read_parameters, read_token_request
from relay.core.phpform import Form
from relay.core.vault import hash_token
from relay.web.answers import json_answer, text_answer
from relay.web.peer import client_address
from relay.web.requests import body_pairs, query_pairs, read_body

if TYPE_CHECKING:
    from aiohttp import web

    from relay.app.bundles import Bundles
    from relay.app.failures import Failures
    from relay.app.revocation import Revocations
    from relay.app.settings import IssuerSettings
    from relay.app.tokens import Tokens
    from relay.core.phpform import Pair
    from relay.web.limits import ServiceLimits

_TOKEN_PARAMETERS = ("client_id", "client_secret", "token", "token_type_hint")


class OAuthRoutes:
    """Answers apps."""

    def __init__(
        self,
        tokens: Tokens,
        revocations: Revocations,
        bundles: Bundles,
        failures: Failures,
        settings: IssuerSettings,
        limits: ServiceLimits,
    ) -> None:
        self._tokens = tokens
        self._revocations = revocations
        self._bundles = bundles
        self._failures = failures
        self._settings = settings
        self._limits = limits

    async def token(self, request: web.Request) -> web.StreamResponse:
        """`/oauth/token/` (RFC 6749 section 3.2, protocol.md section 6)."""
        query, body = await self._parameters(request)
        by_get = request.method == "GET"
        asked = read_token_request(query, body, request.headers.get("Authorization"), by_get=by_get)
        address = client_address(request, self._limits.proxies)
        client = ("client", asked.client_id)
        # One user's dead token in a loop must not hold up the client's other users: it is counted by itself.
        presented = ("grant", asked.client_id, hash_token(asked.code or asked.refresh_token))
        self._failures.check(client, presented)
        try:
            answer = await self._tokens.token(asked, address)
        except RelayError as error:
            if error.code == InvalidClient.code:
                self._refused(asked.client_id, address)
            elif error.code == "invalid_grant":
                self._failures.served(client)
                self._failures.failed(presented, "grant.refused", shown_client_id(asked.client_id), address)
            raise
        self._failures.served(client)
        return json_answer(answer)

    async def introspect(self, request: web.Request) -> web.StreamResponse:
        """`/oauth/introspect` (RFC 7662)."""
        given, address = await self._token_parameters(request)
        try:
            answer = await self._tokens.introspect(
                given.get("client_id", ""), given.get("client_secret", ""), given["token"]
            )
        except InvalidClient:
            self._refused(given.get("client_id", ""), address)
            raise
        return json_answer(answer)

    async def revoke(self, request: web.Request) -> web.StreamResponse:
        """`/oauth/revoke` (RFC 7009): 200 also for a token that is not known."""
        given, address = await self._token_parameters(request)
        try:
            await self._revocations.revoke_token(
                given.get("client_id", ""), given.get("client_secret", ""), given["token"]
            )
        except InvalidClient:
            self._refused(given.get("client_id", ""), address)
            raise
        return json_answer({})

    async def authorize(self, request: web.Request) -> web.StreamResponse:
        """`/oauth/authorize`: on to the portal's page; the redirect URI is the application's, never the caller's."""
        given = Form(query_pairs(request, self._limits.app_form))
        challenge, method = (
            given.get(name) if name in given else None for name in ("code_challenge", "code_challenge_method")
        )
        if challenge is not None:  # it is kept for a while, whoever sent it
            self._failures.weighed(("challenge", client_address(request, self._limits.proxies)))
        try:
            portal = await self._tokens.begin_authorization(
                given.get("client_id"), given.get("state"), challenge, method
            )
        except InvalidClient:  # a person reads this: no 401, which would make the browser ask for a password
            return text_answer("This application is not known here.\nТакое приложение здесь не известно.\n", 400)
        passed_on = [("client_id", given.get("client_id")), ("response_type", "code")]
        passed_on += [(name, given.get(name)) for name in ("state", "scope") if name in given]
        query = urlencode(passed_on, errors="surrogateescape")
        response = text_answer("", 302)
        response.headers["Location"] = f"{portal.url}/oauth/authorize/?{query}"
        return response

    async def app_info(self, request: web.Request) -> web.StreamResponse:
        """`/rest/app.info` (protocol.md section 6)."""
        started = time.time()
        query, body = await self._parameters(request)
        given = dict(query) | dict(body)
        token = given.get("auth") or given.get("access_token") or _bearer(request)
        if not token:
            raise InvalidToken("No access token was given.")
        result = await self._tokens.app_info(token)
        return json_answer({"result": result, "time": _time_block(started)})

    async def jwks(self, _request: web.Request) -> web.StreamResponse:
        """`/.well-known/jwks.json` (RFC 7517)."""
        return json_answer(await self._bundles.jwks())

    async def metadata(self, _request: web.Request) -> web.StreamResponse:
        """`/.well-known/oauth-authorization-server` (RFC 8414)."""
        issuer = self._settings.public_url
        methods = ["client_secret_post", "client_secret_basic"]
        return json_answer(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/oauth/authorize",
                "token_endpoint": f"{issuer}/oauth/token",
                "revocation_endpoint": f"{issuer}/oauth/revoke",
                "introspection_endpoint": f"{issuer}/oauth/introspect",
                "jwks_uri": f"{issuer}/.well-known/jwks.json",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": methods,
                "revocation_endpoint_auth_methods_supported": methods,
                "introspection_endpoint_auth_methods_supported": methods,
                "authorization_response_iss_parameter_supported": True,
            }
        )

    def _refused(self, client_id: str, address: str) -> None:
        """A client that failed to authenticate: from an address that does so too often, a cheaper answer."""
        self._failures.check(("address", address))
        self._failures.failed(("address", address), "client.refused", shown_client_id(client_id), address)

    async def _token_parameters(self, request: web.Request) -> tuple[dict[str, str], str]:
        if request.method != "POST":
            raise InvalidRequest("Use POST.", status=405)
        _, body = await self._parameters(request)
        given = read_parameters([], body, request.headers.get("Authorization"), _TOKEN_PARAMETERS)
        if not given.get("token"):
            raise InvalidRequest("The parameter token is missing.")
        return given, client_address(request, self._limits.proxies)

    async def _parameters(self, request: web.Request) -> tuple[list[Pair], list[Pair]]:
        if request.method not in {"GET", "POST"}:  # a HEAD must not spend a code
            raise InvalidRequest("Use GET or POST.", status=405)
        limits = self._limits.app_form
        query = query_pairs(request, limits)
        body = await read_body(request, limits.max_bytes, self._limits.body_timeout_s)
        return query, body_pairs(request, body, limits)


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _time_block(started: float) -> dict[str, Any]:
    """The `time` of a REST answer (protocol.md section 6)."""
    finished = time.time()
    return {
        "start": started,
        "finish": finished,
        "duration": finished - started,
        "processing": finished - started,
        "date_start": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "date_finish": datetime.fromtimestamp(finished, UTC).isoformat(timespec="seconds"),
        "operating_reset_at": int(started) + 600,
        "operating": 0,
    }
