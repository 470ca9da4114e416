"""`relay serve` as a process of its own, with its log in a file, and limits that can be put on it and taken away.

Leans on the command line, on prlimit(2), and on the log saying `ready`. Must never leave a process behind.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from relay.build import open_relay
from relay.config import load_config
from tests.integration.live_relay import LiveRelay, make_home
from tests.integration.wire import PATIENCE_S, get, send
from tests.servers.disk import fill_disk, free_disk, largest_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

_ADDRESSES = re.compile(r'service"?[=:] ?"?([0-9.]+:\d+).*admin"?[=:] ?"?([0-9.]+:\d+)|admin=(\S+).*service=(\S+)')


@dataclass(frozen=True, slots=True)
class RelayProcess:
    """The running process. service, admin: `host:port` of its listeners."""

    service: str
    admin: str
    pid: int
    home: Path

    @property
    def log_path(self) -> Path:
        """Where it logs."""
        return self.home / "serve.log"

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.log_path.read_text(encoding="utf-8", errors="surrogateescape")

    async def is_alive(self) -> bool:
        """Whether /healthz answers on both listeners."""
        answers = [await send(address, get("/healthz")) for address in (self.service, self.admin)]
        return all(answer.status == 200 for answer in answers)

    def fill_disk(self, *, room: int = 0, log_too: bool = False) -> None:
        """From now on no file can grow much beyond the largest there is; with `log_too` not even the log can."""
        fill_disk(self.pid, self.log_path.stat().st_size if log_too else largest_file(self.home) + room)

    def free_disk(self) -> None:
        """Take the limit away."""
        free_disk(self.pid)


@contextlib.contextmanager
def relay_process(
    home: Path, settings: Mapping[str, Any] | None = None, template: Path | None = None, *, crash: bool = False
) -> Iterator[RelayProcess]:
    """Start `relay serve` in `home` and end it with SIGTERM, upon which it must end by itself and with status 0.

    crash: end it with SIGKILL.
    """
    make_home(home, {"log": {"format": "json"}, **(settings or {})}, template)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    former = (home / "serve.log").stat().st_size if (home / "serve.log").exists() else 0
    command = [sys.executable, "-m", "relay.cli", "serve", "--home", str(home)]
    with (
        (home / "serve.log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=environment) as process,
    ):
        try:
            service, admin = _addresses(home / "serve.log", former, process)
            yield RelayProcess(service, admin, process.pid, home)
            if not crash:
                process.terminate()
                assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def operated(process: RelayProcess) -> AsyncIterator[LiveRelay]:
    """The process with its store opened here as well, as the operator's commands do."""
    relay = open_relay(load_config(process.home))
    try:
        yield LiveRelay(relay, process.service, process.admin)
    finally:
        await relay.store.close()


def _addresses(log_path: Path, former: int, process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """Where it listens, once it says so behind the `former` bytes of an earlier run."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        log = log_path.read_bytes()[former:].decode("utf-8", "replace")
        ready = next((line for line in log.splitlines() if re.search(r"\bready\b", line)), None)
        found = _ADDRESSES.search(ready) if ready else None
        if found:
            service, admin, other_admin, other_service = found.groups()
            return service or other_service, admin or other_admin
        assert process.poll() is None, log
        time.sleep(0.02)
    raise TimeoutError(log_path.read_text(encoding="utf-8"))
