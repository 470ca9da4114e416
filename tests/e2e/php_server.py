"""Promises: ``portal/serve.php`` on loopback ports: started until it listens, stopped to the last worker.

Leans on: the php command line; the server ends its workers, then itself, when its input ends.
Must never: leave a PHP process behind, or end one that it did not start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

START_ATTEMPTS = 3
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
LAST_LINES = 50


class PhpServer:
    """A running PHP web server; its addresses have no trailing slash, `pid` is also its process group."""

    def __init__(self, url: str, tls_url: str | None, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.tls_url = tls_url
        self.pid = process.pid
        self.lines: deque[str] = deque(maxlen=LAST_LINES)
        """The last lines that the server, not its workers, wrote."""
        self._process = process
        self._listening = asyncio.Event()
        self._reader = asyncio.create_task(self._read_lines())

    @classmethod
    async def start(
        cls, script: Path, *, workers: int, port: int | None, pem: Path | None, environment: dict[str, str]
    ) -> Self:
        """Start `script`; without a `port` a free one is taken; with a `pem` TLS is served on a second port.

        :raises RuntimeError: it does not listen.
        """
        for attempt in range(1, START_ATTEMPTS + 1):
            try:
                return await cls._start_at(script, workers, port or _free_port(), pem, environment)
            except RuntimeError:
                # A free port may be gone again before PHP takes it.
                if port is not None or attempt == START_ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @classmethod
    async def _start_at(
        cls, script: Path, workers: int, port: int, pem: Path | None, environment: dict[str, str]
    ) -> Self:
        tls = () if pem is None else (str(_free_port()), str(pem))
        process = await asyncio.create_subprocess_exec(
            *("php", str(script), str(port), str(workers), *tls),
            env=os.environ | environment,
            start_new_session=True,
            # Held open and never written: should this process die, the server's input ends, and so does it.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        server = cls(f"http://127.0.0.1:{port}", f"https://127.0.0.1:{tls[0]}" if tls else None, process)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await server._listening.wait()
            if server._reader.done():
                raise RuntimeError(f"PHP did not start: {list(server.lines)}")
        except BaseException:
            await server.stop()
            raise
        return server

    async def stop(self) -> None:
        """End the server and its workers; returns when all of them are gone."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            # The pipe ends with the server, and that waits for its workers.
            await asyncio.wait_for(asyncio.shield(self._reader), STOP_TIMEOUT_S)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            await self._reader
        await self._process.wait()

    async def _read_lines(self) -> None:
        assert self._process.stderr is not None
        try:
            async for raw in self._process.stderr:
                line = raw.decode(errors="replace").rstrip()
                self.lines.append(line)
                if "Stand-in portal is listening" in line:
                    self._listening.set()
        finally:
            # Ended: whoever still waits for the start must learn it.
            self._listening.set()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
