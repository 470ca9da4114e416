"""Promises: a real PostgreSQL on a free port of this machine, with a folder of its own; every commit goes to its disk.

Leans on: Debian's `postgresql` package (or any PostgreSQL 15 or newer on the PATH); migrations applied once to a
template, of which every test gets a copy. Must never: use a server or a folder that it did not make.
"""

from __future__ import annotations

import secrets
import shutil
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from relay.store.migrations import migrate
from relay.store.postgres import open_postgres
from tests.e2e.relay_process import free_ports
from tests.servers.processes import ServerFolder, ServerProcess, run

if TYPE_CHECKING:
    from collections.abc import Iterator

START_TIMEOUT_S = 60.0
OWNER = "relay"
TEMPLATE = "relay_template"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "on",
    "shared_buffers": "64MB",
    "max_connections": "100",
    "autovacuum_naptime": "5s",
    "log_min_messages": "warning",
    "log_lock_waits": "on",
}


def postgres_programs() -> Path | None:
    """The folder of initdb and postgres, or None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    program = str(found[-1]) if found else shutil.which("initdb")
    return Path(program).resolve().parent if program else None


class PostgresServer:
    """A running server. `stop`, `crash`, `pause`: what may happen to one; it keeps its port and its databases."""

    def __init__(self, programs: Path, folder: ServerFolder) -> None:
        self._folder = folder
        (self._port,) = free_ports(1)
        self._password = secrets.token_hex(8)
        data = folder.folder("data")
        password_file = folder.file("password", self._password)
        access = ("--username", OWNER, "--pwfile", str(password_file), "--auth", "scram-sha-256")
        run(folder, [str(programs / "initdb"), "-D", str(data), "-E", "UTF8", "--no-locale", *access], {})
        settings = [part for name, value in _SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(programs / "postgres"), "-D", str(data), "-p", str(self._port), *settings]
        self._process = ServerProcess(folder, command, {}, folder.path / "server.log")

    @classmethod
    @contextmanager
    def running(cls, programs: Path) -> Iterator[PostgresServer]:
        """Start one, with the template of all databases; stop and delete it at the end."""
        folder = ServerFolder("postgres", "postgres")
        try:
            server = cls(programs, folder)
            try:
                server.start()
                server._make_template()
                yield server
            finally:
                server.resume()
                server.crash()
        finally:
            folder.remove()

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process.start()
        self._process.wait_until(self._answers, START_TIMEOUT_S)

    def stop(self) -> None:
        """End every connection and stop in good order."""
        self._process.end(signal.SIGINT)

    def crash(self) -> None:
        """Stop without a checkpoint, as in a power cut that spares the disk."""
        self._process.end(signal.SIGQUIT)

    def pause(self) -> None:
        """Stand still: connections stay open and nothing answers."""
        self._process.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        if self._process.running:
            self._process.resume()

    def log(self) -> str:
        """What the server has written."""
        return self._process.log()

    def url(self, database: str) -> str:
        """The URL of a database, as `store` in relay.toml takes it."""
        return f"postgresql://{OWNER}:{self._password}@127.0.0.1:{self._port}/{database}"

    @contextmanager
    def database(self) -> Iterator[str]:
        """A fresh database with the newest schema; its URL. Deleted at the end, whoever is still connected."""
        name = f"relay_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement as the owner of all databases."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _make_template(self) -> None:
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        engine = open_postgres(self.url(TEMPLATE))
        migrate(engine)
        engine.dispose()

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True
