"""Promises: a real RabbitMQ on free ports of this machine, with folders, cookie and port mapper of its own.

Leans on: Debian's `rabbitmq-server` package; the user guest, who may only come from this machine.
Must never: touch the machine's own broker, its cookie or its epmd, or listen anywhere but on loopback.
"""

from __future__ import annotations

import shutil
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.e2e.relay_process import free_ports
from tests.servers.processes import ServerFolder, ServerProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S = 90.0
_HELLO = b"AMQP\x00\x00\x09\x01"
_CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
disk_free_limit.absolute = 10MB
log.console = true
log.console.level = warning
log.file = false
"""
# One scheduler that sleeps when it has nothing to do: the tests share two cores with it.
_ERLANG = "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}"


def rabbitmq_program() -> Path | None:
    """The server's start script (not Debian's wrapper, which knows one broker only), or None if there is none."""
    debian = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = str(debian) if debian.exists() else shutil.which("rabbitmq-server")
    return Path(found) if found and shutil.which("epmd") else None


class RabbitServer:
    """A running broker. It keeps its port and its durable queues over `stop`, `kill` and `start`."""

    def __init__(self, program: Path, folder: ServerFolder) -> None:
        self._folder = folder
        self.port, distribution, mapper = free_ports(3)
        environment = {
            "HOME": str(folder.folder("home")),
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the server, instead of waiting for it
            "RABBITMQ_NODENAME": f"relay{self.port}@localhost",
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": str(folder.folder("data")),
            "RABBITMQ_LOG_BASE": str(folder.folder("log")),
            "RABBITMQ_CONF_ENV_FILE": str(folder.file("environment", "")),
            "RABBITMQ_CONFIG_FILE": str(folder.file("rabbitmq.conf", _CONFIG.format(port=self.port))),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder.path / "none.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder.file("plugins", "[].\n")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }
        mapping = [shutil.which("epmd") or "epmd", "-address", "127.0.0.1", "-port", str(mapper)]
        self._mapper = ServerProcess(folder, mapping, environment, folder.path / "epmd.log")
        self._process = ServerProcess(folder, [str(program)], environment, folder.path / "server.log")

    @classmethod
    @contextmanager
    def prepared(cls, program: Path) -> Iterator[RabbitServer]:
        """One that is not running yet; whatever runs at the end is ended, and its folder deleted."""
        folder = ServerFolder("rabbitmq", "rabbitmq")
        try:
            server = cls(program, folder)
            server._mapper.start()
            try:
                yield server
            finally:
                server.resume()
                server.kill()
                server._mapper.end(signal.SIGKILL)
        finally:
            folder.remove()

    @classmethod
    @contextmanager
    def running(cls, program: Path) -> Iterator[RabbitServer]:
        """One that is running."""
        with cls.prepared(program) as server:
            server.start()
            yield server

    @property
    def url(self) -> str:
        """The broker's URL, as `queue` in relay.toml takes it."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.running

    def start(self) -> None:
        """Start and wait until it greets."""
        self._process.start()
        self._process.wait_until(self._greets, START_TIMEOUT_S)

    def stop(self) -> None:
        """Stop in good order."""
        self._process.end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to do anything."""
        self._process.end(signal.SIGKILL)

    def pause(self) -> None:
        """Stand still: connections stay open and nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        if self._process.running:
            self._process.resume()

    def log(self) -> str:
        """What the broker has written."""
        return self._process.log()

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(_HELLO)
                return len(connection.recv(8)) > 0
        except OSError:
            return False
