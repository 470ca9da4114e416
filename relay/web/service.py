"""The service listener: one door for portals and apps, found by path whatever slashes it is written with.

Leans on the use cases; decides nothing itself. Never redirects on these paths, never depends on the Host header,
never logs a query string, and answers 503 without JSON when something breaks inside.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import structlog
from aiohttp import web

from relay.core.errors import InvalidRequest, InvalidToken, RelayError, Unavailable
from relay.core.oauth import read_token_request
from relay.core.phpform import Form, parse_form
from relay.core.portal_rpc import method_name, split_path
from relay.web.answers import error_answer, json_answer, text_answer
from relay.web.requests import body_pairs, query_pairs, read_body

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.app.portal_calls import PortalCalls
    from relay.app.portals import Portals
    from relay.app.tokens import Tokens
    from relay.core.phpform import FormLimits, Pair
    from relay.web.health import Health
    from relay.web.metrics import Metrics

_log = structlog.get_logger(__name__)
_NOT_FOUND = RelayError("There is nothing at this address.", code="not_found", status=404)


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Bounds of requests: portal calls may be large, an app's are small."""

    portal_form: FormLimits
    app_form: FormLimits
    body_timeout_s: float = 15.0


class Service:
    """Answers every request of the service listener."""

    def __init__(
        self,
        portals: Portals,
        calls: PortalCalls,
        tokens: Tokens,
        health: Health,
        metrics: Metrics,
        limits: ServiceLimits,
    ) -> None:
        self._portals = portals
        self._calls = calls
        self._tokens = tokens
        self._health = health
        self._metrics = metrics
        self._limits = limits
        self._routes: dict[tuple[str, ...], Callable[[web.Request], Awaitable[web.StreamResponse]]] = {
            (): self._index,
            ("healthz",): health.live,
            ("readyz",): health.ready,
            ("oauth", "register"): self._register,
            ("oauth", "token"): self._token,
            ("rest", "oauth", "token"): self._token,
            ("oauth", "authorize"): self._authorize,
        }

    def application(self) -> web.Application:
        """The aiohttp application: every path and method comes to `handle`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; whatever breaks, the answer has a form its caller can bear."""
        parts = split_path(request.raw_path)
        started = time.perf_counter()
        endpoint, answer = self._find(parts)
        try:
            response = await answer(request)
        except RelayError as error:
            response = self._refused(endpoint, error)
        except Exception as error:
            _log.error("request.failed", endpoint=endpoint, exc_info=error)
            response = error_answer(Unavailable("internal error"))
        self._metrics.request(endpoint, response.status, time.perf_counter() - started)
        return response

    def _find(self, parts: list[str]) -> tuple[str, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        route = self._routes.get(tuple(parts))
        if route is not None:
            return "/" + "/".join(parts), route
        if len(parts) == 2 and parts[0] == "rest":
            method = method_name(parts[1])
            if method == "app.info":
                return "/rest/app.info", self._app_info
            known = self._calls.knows(method)
            return f"/rest/{method if known else 'unknown'}", lambda request: self._portal_call(method, request)
        return "unknown", self._not_found

    def _refused(self, endpoint: str, error: RelayError) -> web.Response:
        if isinstance(error, Unavailable):
            _log.warning("request.unavailable", endpoint=endpoint, reason=error.description)
        else:
            _log.info("request.refused", endpoint=endpoint, error=error.code)
        return error_answer(error)

    async def _portal_call(self, method: str, request: web.Request) -> web.StreamResponse:
        form = await self._portal_form(request)
        return json_answer(await self._calls.answer(method, form))

    async def _register(self, request: web.Request) -> web.StreamResponse:
        form = await self._portal_form(request)
        return json_answer(await self._portals.register(form))

    async def _portal_form(self, request: web.Request) -> Form:
        if request.method != "POST":
            raise InvalidRequest("Use POST.", status=405)
        limits = self._limits.portal_form
        return parse_form(await read_body(request, limits.max_bytes, self._limits.body_timeout_s), limits)

    async def _token(self, request: web.Request) -> web.StreamResponse:
        query, body = await self._app_parameters(request)
        token_request = read_token_request(query, body, request.headers.get("Authorization"))
        return json_answer(await self._tokens.token(token_request))

    async def _app_info(self, request: web.Request) -> web.StreamResponse:
        started = time.time()
        query, body = await self._app_parameters(request)
        given = dict(query) | dict(body)
        token = given.get("auth") or given.get("access_token") or _bearer(request)
        if not token:
            raise InvalidToken("No access token was given.")
        result = await self._tokens.app_info(token)
        return json_answer({"result": result, "time": _time_block(started)})

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        """Send the browser on to the portal's own page; the redirect URI is the application's, never the caller's."""
        given = Form(query_pairs(request, self._limits.app_form))
        directory = await self._portals.current()
        apps = directory.apps_by_client(given.get("client_id"))
        if not apps:
            return text_answer("This application is not known here.\nТакое приложение здесь не известно.\n", 400)
        passed_on = [("client_id", given.get("client_id")), ("response_type", "code")]
        passed_on += [(name, given.get(name)) for name in ("state", "scope") if name in given]
        query = urlencode(passed_on, errors="surrogateescape")
        portal = directory.portals[apps[0].portal_id]
        response = text_answer("", 302)
        response.headers["Location"] = f"{portal.url}/oauth/authorize/?{query}"
        return response

    async def _app_parameters(self, request: web.Request) -> tuple[list[Pair], list[Pair]]:
        if request.method not in {"GET", "POST", "HEAD"}:
            raise InvalidRequest("Use GET or POST.", status=405)
        limits = self._limits.app_form
        query = query_pairs(request, limits)
        body = await read_body(request, limits.max_bytes, self._limits.body_timeout_s)
        return query, body_pairs(request, body, limits)

    async def _index(self, _request: web.Request) -> web.StreamResponse:
        return text_answer("This is a Bitrix24 auth and event relay.\n")

    async def _not_found(self, _request: web.Request) -> web.StreamResponse:
        raise _NOT_FOUND


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
