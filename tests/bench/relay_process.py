"""Promises: the real relay as a process, `relay serve` on a home made for the bench, ready when it is handed out.

Leans on: the home and the processes of the bench.
Must never: go on without a relay that says it is ready.
"""

from __future__ import annotations

import asyncio
import socket
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.connection import BadAnswerError, Connection
from tests.bench.home import App, make_home
from tests.bench.processes import Process, python

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.bench.sample import Credentials

READY_S = 60.0


@dataclass(frozen=True, slots=True)
class RelayUnderTest:
    """A running relay and who may call it. ready_s: how long it took to start."""

    port: int
    pid: int
    portal: Credentials
    app: App
    ready_s: float


@asynccontextmanager
async def relay_process(folder: Path, core: int | None, grants: int, backlog: int) -> AsyncIterator[RelayUnderTest]:
    """Make a home, start `relay serve` on it, stop it at the end. Raises RuntimeError with its log if it fails."""
    port, admin_port = _free_port(), _free_port()
    home, log = folder / "home", folder / "relay.log"
    portal, app = await make_home(home, f"127.0.0.1:{port}", f"127.0.0.1:{admin_port}", grants, backlog)
    began = time.perf_counter()
    async with python("relay.cli", "serve", "--home", str(home), core=core, log=log) as process:
        if not await _becomes_ready(process, port):
            raise RuntimeError(f"the relay did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
        yield RelayUnderTest(port, process.pid, portal, app, time.perf_counter() - began)


async def _becomes_ready(process: Process, port: int) -> bool:
    give_up = time.monotonic() + READY_S
    while process.exit_status is None and time.monotonic() < give_up:
        if await _is_ready(port):
            return True
        await asyncio.sleep(0.02)
    return False


async def _is_ready(port: int) -> bool:
    try:
        connection = await Connection.open(port)
    except OSError:
        return False
    try:
        await connection.exchange(b"GET /readyz HTTP/1.1\r\nHost: relay.local\r\n\r\n")
    except BadAnswerError:
        return False
    finally:
        connection.close()
    return True


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
