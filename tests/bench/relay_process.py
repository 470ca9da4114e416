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
    process: Process


@dataclass(frozen=True, slots=True)
class Prepared:
    """A home that no relay serves yet, and who may call the one that will."""

    folder: Path
    port: int
    portal: Credentials
    app: App

    @property
    def home(self) -> Path:
        """The home directory."""
        return self.folder / "home"


@asynccontextmanager
async def relay_process(folder: Path, core: int | None, grants: int, backlog: int) -> AsyncIterator[RelayUnderTest]:
    """Make a home, start `relay serve` on it, stop it at the end. Raises RuntimeError with its log if it fails."""
    async with serving(await prepare(folder, grants, backlog), core) as relay:
        yield relay


async def prepare(folder: Path, grants: int = 1, backlog: int = 0, more: str = "") -> Prepared:
    """Make a folder with a home in it. more: further lines of relay.toml."""
    folder.mkdir(exist_ok=True)
    port, admin_port = free_port(), free_port()
    listen, admin_listen = f"127.0.0.1:{port}", f"127.0.0.1:{admin_port}"
    portal, app = await make_home(folder / "home", listen, admin_listen, grants, backlog, more)
    return Prepared(folder, port, portal, app)


@asynccontextmanager
async def serving(prepared: Prepared, core: int | None) -> AsyncIterator[RelayUnderTest]:
    """Start `relay serve` on a home, stop it at the end. Raises RuntimeError with its log if it fails."""
    log = prepared.folder / "relay.log"
    began = time.perf_counter()
    async with python("relay.cli", "serve", "--home", str(prepared.home), core=core, log=log) as process:
        if not await _becomes_ready(process, prepared.port):
            raise RuntimeError(f"the relay did not start:\n{log.read_text(encoding='utf-8', errors='replace')}")
        ready_s = time.perf_counter() - began
        yield RelayUnderTest(prepared.port, process.pid, prepared.portal, prepared.app, ready_s, process)


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


def free_port() -> int:
    """A port of this machine on which nothing listens now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
