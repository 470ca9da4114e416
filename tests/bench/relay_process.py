"""Promises: the real relay as a process on a home of its own: a registered portal, an application, some grants.

Leans on: build.py to fill the home as the commands do, `relay serve` to run it.
Must never: change how the relay works: default settings, durable SQLite, nothing switched off.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.build import open_relay
from relay.config import CONFIG_FILE, MASTER_KEY_FILE, load_config
from relay.core.phpform import Form
from tests.bench.connection import Connection
from tests.bench.processes import python
from tests.bench.sample import Credentials

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READY_S = 30.0
PORTAL_URL = "http://portal.local"


@dataclass(frozen=True, slots=True)
class App:
    """The application of the bench and what it was granted."""

    client_id: str
    client_secret: str
    refresh_tokens: list[str]
    access_token: str


@dataclass(frozen=True, slots=True)
class RelayUnderTest:
    """A running relay and who may call it."""

    port: int
    pid: int
    portal: Credentials
    app: App


@asynccontextmanager
async def relay_process(folder: Path, core: int | None, grants: int) -> AsyncIterator[RelayUnderTest]:
    """Make a home, start `relay serve` on it, stop it at the end."""
    home = folder / "home"
    home.mkdir(mode=0o700)
    port, admin_port = _free_port(), _free_port()
    settings = f'listen = "127.0.0.1:{port}"\nadmin_listen = "127.0.0.1:{admin_port}"\n[log]\nlevel = "warning"\n'
    (home / CONFIG_FILE).write_text(settings, encoding="utf-8")
    (home / MASTER_KEY_FILE).write_text(secrets.token_hex(32), encoding="ascii")
    portal, app = await _fill(home, grants)
    log = folder / "relay.log"
    async with python("relay.cli", "serve", "--home", str(home), core=core, log=log) as process:
        for _ in range(int(READY_S * 20)):
            if process.exit_status is not None or await _is_ready(port):
                break
            await asyncio.sleep(0.05)
        if process.exit_status is not None:
            raise RuntimeError(f"the relay did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
        yield RelayUnderTest(port, process.pid, portal, app)


async def _fill(home: Path, grants: int) -> tuple[Credentials, App]:
    relay = open_relay(load_config(home, {}), upgrade=True)
    try:
        announced = await relay.portals.announce(PORTAL_URL, window_s=3600, allow=["127.0.0.0/8"])
        pair = await relay.portals.register(Form([("redirect_uri", PORTAL_URL)]))
        client_id, client_secret = await relay.applications.add(
            announced, title="Bench", redirect_uri="", scope="crm,im"
        )
        directory = await relay.store.directory()
        portal = directory.portals[announced.id]
        form = Form([("CLIENT_ID", client_id), ("PARAMS[LOCAL_USER]", "1"), ("PARAMS[EVENT_SESSION]", "7")])
        answers = [await relay.tokens.authorize(directory, portal, form) for _ in range(grants)]
    finally:
        await relay.store.close()
    refresh_tokens = [answer["refresh_token"] for answer in answers]
    app = App(client_id, client_secret, refresh_tokens, answers[-1]["access_token"])
    return Credentials(pair["client_id"], pair["client_secret"], PORTAL_URL, portal.member_id), app


async def _is_ready(port: int) -> bool:
    try:
        connection = await Connection.open(port)
    except OSError:
        return False
    try:
        await connection.exchange(b"GET /readyz HTTP/1.1\r\nHost: relay.local\r\n\r\n")
    finally:
        connection.close()
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
