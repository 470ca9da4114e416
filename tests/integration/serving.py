"""A `relay serve` as a process of its own, whose log is read as JSON.

Leans on the real command. Ends only the process that it started.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.integration.commands import environment

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncIterator
    from pathlib import Path

WAIT_S = 30


class Serving:
    """A `relay serve` that writes its log as JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for a log line with this event; its fields."""
        assert self._process.stderr is not None
        async with asyncio.timeout(WAIT_S):
            async for line in self._process.stderr:
                entry = json.loads(line)
                if entry["event"] == event:
                    return dict(entry)
        raise AssertionError(f"relay serve ended without logging {event!r}")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def status(self) -> int:
        """Wait for its end; its exit status."""
        async with asyncio.timeout(WAIT_S):
            return await self._process.wait()


@asynccontextmanager
async def serving(home: Path, **settings: str) -> AsyncIterator[Serving]:
    """Start `relay serve`; what still runs at the end is killed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.cli", "serve", "--home", str(home)),
        stderr=asyncio.subprocess.PIPE,
        env=environment(RELAY_LOG__FORMAT="json", **settings),
    )
    try:
        yield Serving(process)
    finally:
        if process.returncode is None:
            process.kill()
        # Whatever is still in the pipe is read, so that its end is seen and the transport closed.
        await process.communicate()
