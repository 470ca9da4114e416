"""One refresh token, 200 refreshes from 8 processes at once: one successor pair, and all 200 have it.

Leans on processes over one store, as the nodes of a relay are. Must never let two pairs come of one token.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from relay.config import load_config
from relay.opened import open_relay
from relay.store import schema as s
from tests.integration.live_relay import make_home

if TYPE_CHECKING:
    from pathlib import Path

    from relay.opened import Relay
    from tests.integration.adapters import Adapter

PROCESSES = 8
REFRESHES = 25
PATIENCE_S = 60


async def granted(relay: Relay) -> dict[str, Any]:
    """An application and its refresh token."""
    portal = await relay.portals.announce("http://portal.test", window_s=60)
    client_id, client_secret = await relay.applications.add(
        portal, title="App", redirect_uri="http://app.test/", scope="crm"
    )
    directory = await relay.store.directory()
    (app,) = directory.apps_by_client(client_id)
    pair = await relay.tokens.open_grant(directory, app, 67, {"LOCAL_USER": "67"})
    return {"client_id": client_id, "client_secret": client_secret, "refresh_token": pair.refresh_token}


async def started(order: dict[str, Any]) -> asyncio.subprocess.Process:
    """A process that is ready to refresh."""
    command = (sys.executable, "-m", "tests.integration.refreshing")
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    assert await process.stdout.readline() == b"ready\n"
    return process


async def test_of_200_refreshes_of_one_token_from_8_processes_comes_one_pair(tmp_path: Path, adapter: Adapter) -> None:
    home = make_home(tmp_path, adapter.settings)
    relay = open_relay(load_config(home))
    try:
        order = await granted(relay) | {"home": str(home), "count": REFRESHES}
        async with asyncio.timeout(PATIENCE_S):
            processes = await asyncio.gather(*(started(order) for _ in range(PROCESSES)))
            outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
        pairs = [tuple(pair) for output, _ in outputs for pair in json.loads(output)]
        assert len(pairs) == PROCESSES * REFRESHES
        assert len(set(pairs)) == 1
        stored = select(func.count()).select_from(s.refresh_tokens)
        assert await relay.store._database.read(lambda c: c.execute(stored).scalar_one()) == 2
    finally:
        await relay.store.close()
