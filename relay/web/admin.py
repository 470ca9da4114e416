"""The admin listener: health, metrics and a status document, on loopback by default.

Leans on the store's counts. Everything but health and metrics wants the administrator's password (HTTP Basic).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Any

from aiohttp import web
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from relay import __version__
from relay.core.errors import RelayError
from relay.web.answers import error_answer, json_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.app.failures import Failures
    from relay.app.room import Room
    from relay.web.health import Health
    from relay.web.metrics import Metrics

_CHALLENGE = {"WWW-Authenticate": 'Basic realm="relay", charset="UTF-8"'}


@web.middleware
async def _errors_answered(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except RelayError as error:
        return error_answer(error)


class Admin:
    """Answers every request of the admin listener."""

    def __init__(
        self,
        health: Health,
        metrics: Metrics,
        counts: Callable[[], Awaitable[dict[str, int]]],
        room: Room,
        status: Callable[[], Awaitable[dict[str, Any]]],
        password_hash: Callable[[], Awaitable[str | None]],
        failures: Failures,
    ) -> None:
        self._health = health
        self._metrics = metrics
        self._counts = counts
        self._room = room
        self._status = status
        self._password_hash = password_hash
        self._failures = failures
        self._hasher = PasswordHasher()

    def application(self) -> web.Application:
        """The aiohttp application."""
        app = web.Application(middlewares=[_errors_answered])
        app.router.add_get("/healthz", self._health.live)
        app.router.add_get("/readyz", self._health.ready)
        app.router.add_get("/metrics", self._show_metrics)
        app.router.add_get("/api/status", self._show_status)
        return app

    async def _show_metrics(self, _request: web.Request) -> web.StreamResponse:
        refusing = await self._room.refusal() is not None
        body, content_type = self._metrics.exposition(
            await self._counts(), warning=self._room.warning is not None, refusing=refusing
        )
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _show_status(self, request: web.Request) -> web.StreamResponse:
        if not await self._is_admin(request):
            return json_answer({"error": "access_denied"}, 401, _CHALLENGE)
        return json_answer({"version": __version__, **await self._status()})

    async def _is_admin(self, request: web.Request) -> bool:
        """Whether the administrator asks; written down either way. Raises TooManyFailures."""
        if "Authorization" not in request.headers:
            return False
        address = request.remote or ""
        self._failures.check(("admin", address))  # a password is slow to check, on purpose
        if await self._password_fits(request):
            self._failures.noted("admin.login", "admin", address)
            return True
        self._failures.failed(("admin", address), "admin.refused", "", address)
        return False

    async def _password_fits(self, request: web.Request) -> bool:
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        stored = await self._password_hash()
        if scheme.lower() != "basic" or stored is None:
            return False
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
            return await asyncio.to_thread(self._hasher.verify, stored, password) and name == "admin"
        except (binascii.Error, ValueError, VerificationError, InvalidHashError):
            return False
