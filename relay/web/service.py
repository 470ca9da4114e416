"""The service listener: one door for portals and apps, found by path whatever slashes it is written with.

Leans on the routes of portals and apps; decides nothing itself. Never depends on the Host header, never logs a query
string, and answers 503 without JSON when something breaks inside.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog
from aiohttp import web

from relay.core.errors import RelayError, Unavailable
from relay.core.portal_rpc import method_name, split_path
from relay.web.answers import error_answer, text_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.web.health import Health
    from relay.web.metrics import Metrics
    from relay.web.oauth_routes import OAuthRoutes
    from relay.web.portal_routes import PortalRoutes

    Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]

_log = structlog.get_logger(__name__)


class Service:
    """Answers every request of the service listener."""

    def __init__(self, portals: PortalRoutes, oauth: OAuthRoutes, health: Health, metrics: Metrics) -> None:
        self._portals = portals
        self._app_info = oauth.app_info
        self._metrics = metrics
        self._routes: dict[tuple[str, ...], Answer] = {
            (): _index,
            ("healthz",): health.live,
            ("readyz",): health.ready,
            ("oauth", "register"): portals.register,
            ("oauth", "token"): oauth.token,
            ("rest", "oauth", "token"): oauth.token,
            ("rest", "relay.adopt"): portals.adopt,
            ("oauth", "authorize"): oauth.authorize,
            ("oauth", "introspect"): oauth.introspect,
            ("oauth", "revoke"): oauth.revoke,
            (".well-known", "jwks.json"): oauth.jwks,
            (".well-known", "oauth-authorization-server"): oauth.metadata,
        }

    def application(self) -> web.Application:
        """The aiohttp application: every path and method comes to `handle`."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        return app

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request; whatever breaks, the answer has a form its caller can bear."""
        started = time.perf_counter()
        endpoint, answer = self._find(split_path(request.raw_path))
        try:
            response = await answer(request)
        except RelayError as error:
            response = _refused(endpoint, error)
        except Exception as error:
            _log.error("request.failed", endpoint=endpoint, exc_info=error)
            response = error_answer(Unavailable("internal error"))
        self._metrics.request(endpoint, response.status, time.perf_counter() - started)
        return response

    def _find(self, parts: list[str]) -> tuple[str, Answer]:
        """The endpoint's name for logs and metrics (never a caller's text), and who answers it."""
        route = self._routes.get(tuple(parts))
        if route is not None:
            return "/" + "/".join(parts), route
        if len(parts) == 2 and parts[0] == "rest":
            method = method_name(parts[1])
            if method == "app.info":
                return "/rest/app.info", self._app_info
            known = method if self._portals.knows(method) else "unknown"
            return f"/rest/{known}", lambda request: self._portals.call(method, request)
        return "unknown", _not_found


def _refused(endpoint: str, error: RelayError) -> web.Response:
    if isinstance(error, Unavailable):
        _log.warning("request.unavailable", endpoint=endpoint, reason=error.description)
    else:
        _log.info("request.refused", endpoint=endpoint, error=error.code)
    return error_answer(error)


async def _index(_request: web.Request) -> web.StreamResponse:
    return text_answer("This is a Bitrix24 auth and event relay.\n")


async def _not_found(_request: web.Request) -> web.StreamResponse:
    raise RelayError("There is nothing at this address.", code="not_found", status=404)
