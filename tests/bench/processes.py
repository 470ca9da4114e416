"""Promises: the processes of the bench, each on its core, ended with the bench whatever happens.

Leans on: `python -m`, the file tree's root as the working folder, pipes.
Must never: end a process it did not start.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.cores import pin

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[2]
STOP_S = 30.0


class Process:
    """A started process with its two pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """How it ended, None while it runs."""
        return self._process.returncode

    async def ask(self, line: str) -> str:
        """Write a line and read the line that answers it."""
        if self._process.stdin is not None:
            self._process.stdin.write(line.encode() + b"\n")
        return await self.read_line()

    async def read_line(self) -> str:
        """The next line it prints. Raises RuntimeError if it ends instead."""
        line = await self._process.stdout.readline() if self._process.stdout is not None else b""
        if not line:
            raise RuntimeError(f"a process of the bench ended with status {await self._process.wait()}")
        return line.decode()

    async def kill(self) -> None:
        """End it without a chance to do anything."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """End it: by the end of its input, else by SIGTERM, else by SIGKILL."""
        if self._process.returncode is not None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        else:
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def python(
    module: str,
    *arguments: str,
    core: int | None,
    log: Path | None = None,
) -> AsyncIterator[Process]:
    """Run `python -m module` on a core; with `log`, its output goes there and it has no pipes."""
    piped = None if log else asyncio.subprocess.PIPE
    output = log.open("wb") if log else None
    try:
        started = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            *arguments,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=piped or asyncio.subprocess.DEVNULL,
            stdout=piped or output,
            stderr=output,
            limit=1 << 26,
        )
    finally:
        if output is not None:
            output.close()
    process = Process(started)
    try:
        pin(process.pid, core)
        yield process
    finally:
        await process.stop()
