"""Promises: a server's own process: started as its own user in a folder of its own, waited for, paused, ended by id.

Leans on: POSIX signals and /proc; root may start a server as the system user that the server's package brings.
Must never: signal a process that is not the one it started, or a child of that one.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

POLL_S = 0.02
STOP_TIMEOUT_S = 30.0


class ServerFolder:
    """A temporary folder that belongs to the user the server runs as; None: whoever runs the tests."""

    def __init__(self, name: str, wanted_user: str) -> None:
        self.user = wanted_user if os.geteuid() == 0 and _exists(wanted_user) else None
        self.path = Path(tempfile.mkdtemp(prefix=f"relay-{name}-"))
        self.own(self.path)

    def folder(self, name: str) -> Path:
        """A folder of that name within it."""
        made = self.path / name
        made.mkdir(exist_ok=True)
        self.own(made)
        return made

    def file(self, name: str, text: str) -> Path:
        """A file of that name and text within it."""
        made = self.path / name
        made.write_text(text, encoding="utf-8")
        self.own(made)
        return made

    def own(self, path: Path) -> None:
        """Give it to the server's user."""
        if self.user is not None:
            shutil.chown(path, self.user, pwd.getpwnam(self.user).pw_gid)

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.path, ignore_errors=True)


class ServerProcess:
    """One process, started again and again with the same command."""

    def __init__(self, folder: ServerFolder, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._folder = folder
        self._command = list(command)
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it."""
        assert not self.running
        self._process = start(self._folder, self._command, self._environment, self._log)

    def wait_until(self, ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until it is ready. :raises RuntimeError: it ended, or is not ready in time."""
        until = time.monotonic() + timeout_s
        while not ready():
            if not self.running or time.monotonic() > until:
                raise RuntimeError(f"{self._command[0]} is not ready: {self.log()[-3000:]}")
            time.sleep(POLL_S)

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def pause(self) -> None:
        """It and its children stand still; their sockets stay open."""
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """They go on."""
        for pid in self._family():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def end(self, number: signal.Signals) -> None:
        """Send a signal and wait until it and its children are gone, the hard way if they do not go."""
        if not self.running:
            return
        assert self._process is not None
        family = self._family()
        self._process.send_signal(number)
        self.resume()  # those that were paused cannot even end
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        until = time.monotonic() + STOP_TIMEOUT_S
        while any(_alive(pid) for pid in family) and time.monotonic() < until:
            time.sleep(POLL_S)

    def _family(self) -> list[int]:
        assert self._process is not None
        return [self._process.pid, *_children(self._process.pid)]


def start(
    folder: ServerFolder, command: Sequence[str], environment: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a process as the folder's user, in the folder; of the environment it gets PATH and what is given."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=folder.path,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment},
            user=folder.user,
            group=folder.user,
            extra_groups=None if folder.user is None else [],
        )


def run(folder: ServerFolder, command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run a command to its end. :raises RuntimeError: it failed; with what it wrote."""
    log = folder.path / "command.log"
    if start(folder, command, environment, log).wait() != 0:
        raise RuntimeError(f"{command[0]} failed: {log.read_text(errors='replace')[-3000:]}")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *_children(int(child))]
    return found


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
