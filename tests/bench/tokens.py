"""Promises: refresh grants and `rest.check` calls a second, beside a bare form-in, JSON-out server.

Leans on: the stage; each connection refreshes its own grant, always with the newest token, so every grant is a swap.
Must never: measure the grace window (an old token again), which writes nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.bench.connection import form_post
from tests.bench.load import Load, full_load
from tests.bench.report import Figure, rate_figure

if TYPE_CHECKING:
    from tests.bench.home import App
    from tests.bench.load import Script
    from tests.bench.stage import Stage

REFRESH_AIM = 0.15
CHECK_AIM = 0.5


async def refresh(stage: Stage) -> list[Figure]:
    """`/oauth/token/` with a refresh token, durable."""
    app, options = stage.relay.app, stage.options
    newest = list(app.refresh_tokens)
    pairs: list[tuple[Load, Load]] = []
    for _ in range(options.rounds):
        bare = [_repeat(_refresh_request(app, token)) for token in newest]
        ours = [_refresh_chain(app, newest, index) for index in range(len(newest))]
        pairs.append((await _bare(stage, bare), await _relay(stage, ours)))
    return [rate_figure("refresh grants", "per s", pairs, REFRESH_AIM)]


async def check(stage: Stage) -> list[Figure]:
    """`rest.check` as the portal sends it."""
    fields = [("TOKEN", stage.relay.app.access_token), *stage.relay.portal.pairs()]
    request = form_post("/rest/rest.check", urlencode(fields).encode())
    count = stage.options.connections
    pairs: list[tuple[Load, Load]] = []
    for _ in range(stage.options.rounds):
        bare = await _bare(stage, [_repeat(request) for _ in range(count)])
        pairs.append((bare, await _relay(stage, [_repeat(request, b'{"result":') for _ in range(count)])))
    return [rate_figure("rest.check", "per s", pairs, CHECK_AIM)]


async def _bare(stage: Stage, scripts: list[Script]) -> Load:
    return await full_load(stage.baseline_port, stage.baseline_pid, scripts, stage.options.seconds)


async def _relay(stage: Stage, scripts: list[Script]) -> Load:
    return await full_load(stage.relay.port, stage.relay.pid, scripts, stage.options.seconds)


def _repeat(request: bytes, expected: bytes = b"{") -> Script:
    while True:
        answer = yield request
        if not answer.startswith(expected):
            raise RuntimeError(f"unexpected answer: {answer[:200]!r}")


def _refresh_chain(app: App, newest: list[str], index: int) -> Script:
    while True:
        answer = yield _refresh_request(app, newest[index])
        newest[index] = json.loads(answer)["refresh_token"]


def _refresh_request(app: App, refresh_token: str) -> bytes:
    fields = {
        "grant_type": "refresh_token",
        "client_id": app.client_id,
        "client_secret": app.client_secret,
        "refresh_token": refresh_token,
    }
    return form_post("/oauth/token/", urlencode(fields).encode())
