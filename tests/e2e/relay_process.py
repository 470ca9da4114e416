"""Promises: the real `relay` command: a home of its own, `relay serve` as a process, stopped, killed, started again.

Leans on: the command-line contract (init, portal add, serve), /readyz on both listeners, POSIX signals.
Must never: import the relay into the test's process, or end a process that it did not start.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import socket
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
COMMAND_TIMEOUT_S = 60.0
POLL_S = 0.01
# Below the range from which the kernel gives ports to outgoing connections: while a relay is down, no client on
# this machine may take its port by chance (or, on loopback, connect to itself there).
PORTS = range(20_000, 32_000)


class RelayCommandError(Exception):
    """A `relay` command ended with a status other than 0; the text is what it wrote to standard error."""


class RelayProcess:
    """A relay in `home`. `url` is the service listener, `public_url` what the relay calls itself, no slash at the
    end. Addresses, home and settings stay the same however often it is started.
    """

    def __init__(self, home: Path, port: int, admin_port: int, public_url: str | None) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        self.public_url = public_url or self.url
        self.settings: dict[str, str] = {}
        """Variables that every start gets, e.g. ``{"RELAY_DELIVERY__DRAIN_S": "2"}``; see also `delivery_rules`."""
        self._listen = f"127.0.0.1:{port}"
        self._admin_listen = f"127.0.0.1:{admin_port}"
        self._process: asyncio.subprocess.Process | None = None

    @classmethod
    async def create(cls, home: Path, *, public_url: str | None = None, **settings: str) -> Self:
        """Make a relay on two free ports (`relay init`); it is not running yet."""
        port, admin_port = free_ports(2)
        relay = cls(home, port, admin_port, public_url)
        relay.settings = settings
        listen = ("--listen", relay._listen, "--admin-listen", relay._admin_listen)
        await relay.command("init", "--public-url", relay.public_url, *listen)
        return relay

    @classmethod
    @asynccontextmanager
    async def running(cls, home: Path, *, public_url: str | None = None, **settings: str) -> AsyncIterator[Self]:
        """:meth:`create` and :meth:`start`; whatever runs at the end is stopped."""
        relay = await cls.create(home, public_url=public_url, **settings)
        try:
            await relay.start()
            yield relay
        finally:
            await relay.close()

    async def announce(self, portal_url: str) -> dict[str, Any]:
        """`relay portal add`: this portal may register, and its handlers may be on this machine."""
        added = await self.command("portal", "add", portal_url, "--allow", "127.0.0.0/8")
        assert isinstance(added, dict)
        return added

    async def command(self, *arguments: str) -> Any:
        """Run `relay … --json`; its document. :raises RelayCommandError: it failed."""
        process = await asyncio.create_subprocess_exec(
            *_relay(*arguments, "--home", str(self.home), "--json"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment({}),
        )
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            output, errors = await process.communicate()
        if process.returncode != 0:
            raise RelayCommandError(errors.decode(errors="replace"))
        return json.loads(output)

    # The process -----------------------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether it was started, and neither stopped nor killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process that serves now."""
        assert self._process is not None, "the relay is not running"
        return self._process.pid

    async def start(self, **settings: str) -> None:
        """Start serving and wait until both listeners are ready; `settings` hold for this start only."""
        assert self._process is None, "the relay is running already"
        with self._log_path.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *_relay("serve", "--home", str(self.home)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(settings),
            )
        try:
            await self._wait_until_ready()
        except BaseException:
            await self.kill()
            raise

    async def terminate(self) -> None:
        """Send SIGTERM and return at once; :meth:`ended` waits for the end."""
        os.kill(self.pid, signal.SIGTERM)

    async def ended(self) -> int:
        """Wait until the process has ended by itself; its exit status."""
        assert self._process is not None
        async with asyncio.timeout(STOP_TIMEOUT_S):
            status = await self._process.wait()
        self._process = None
        return status

    async def stop(self) -> int:
        """SIGTERM, which drains; the exit status."""
        await self.terminate()
        return await self.ended()

    async def kill(self) -> None:
        """SIGKILL: the process gets no chance to do anything."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._process = None

    async def restart(self, **settings: str) -> None:
        """:meth:`stop`, then :meth:`start` with other settings for that one run."""
        await self.stop()
        await self.start(**settings)

    async def close(self) -> None:
        """Stop it if it runs, the hard way if it does not end."""
        if self._process is None:
            return
        try:
            await self.stop()
        except TimeoutError:
            await self.kill()

    # A look inside ---------------------------------------------------------------------------------------

    def log(self) -> str:
        """What every run so far has written."""
        return self._log_path.read_text(errors="replace")

    @property
    def _log_path(self) -> Path:
        return self.home.with_name(self.home.name + ".log")

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        return inherited | self.settings | dict(settings)

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        async with asyncio.timeout(READY_TIMEOUT_S), aiohttp.ClientSession() as client:
            for url in (f"{self.url}/readyz", f"{self.admin_url}/readyz"):
                while not await _is_200(client, url):
                    if self._process.returncode is not None:
                        raise RuntimeError(f"relay serve ended by itself; its log: {self.log()[-2000:]}")
                    await asyncio.sleep(POLL_S)


async def _is_200(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def delivery_rules(**values: float) -> dict[str, str]:
    """Settings for :meth:`RelayProcess.create`: how the events of every app are delivered (retry_first_s …)."""
    return {"RELAY_APPS": json.dumps({"*": values})}


def _relay(*arguments: str) -> tuple[str, ...]:
    return sys.executable, "-m", "relay.cli", *arguments


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 on which nothing listens now."""
    found: list[int] = []
    for port in random.sample(PORTS, 500):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise RuntimeError("no free ports")
