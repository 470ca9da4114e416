"""Liveness and readiness, for both listeners.

Leans on the store's probe. `/healthz` says that the process answers; `/readyz` that it can do its work: the store
takes a write. Without room for events it still is ready: tokens are issued and checked, and whoever balances the load
must not keep them from it. Never says why to strangers; the reason is in the log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from relay import __version__
from relay.core.errors import Unavailable
from relay.web.answers import json_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp import web

    from relay.app.room import Room

_log = structlog.get_logger(__name__)


class Health:
    """Answers the probes; `draining` is set when the process begins to stop."""

    def __init__(self, probe: Callable[[], Awaitable[None]], room: Room) -> None:
        self._probe = probe
        self._room = room
        self.draining = False

    async def live(self, _request: web.Request) -> web.StreamResponse:
        """200 while the process answers at all."""
        return json_answer({"status": "ok", "version": __version__})

    async def ready(self, _request: web.Request) -> web.StreamResponse:
        """200 while the store takes writes, else 503; a warning where events are refused, or soon may be."""
        if self.draining:
            return json_answer({"status": "draining"}, 503)
        try:
            await self._probe()
            refused = await self._room.refusal() is not None
        except Unavailable as error:
            _log.warning("readiness.failed", reason=error.description)
            return json_answer({"status": "store unavailable"}, 503)
        warning = "no room for events" if refused else "room is getting low" if self._room.warning else None
        return json_answer({"status": "ready", "version": __version__, **({"warning": warning} if warning else {})})
