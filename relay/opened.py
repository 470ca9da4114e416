"""The use cases over an open store, as every command and the serving relay need them.

Leans on the store and the use cases. Never imports what only a serving relay needs: a command would wait for it.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import structlog

from relay.app.adoption import Adoption
from relay.app.applications import Applications
from relay.app.keys import Keys
from relay.app.portals import SEALING_KEY, Portals
from relay.app.revocation import Revocations
from relay.app.tokens import Tokens
from relay.app.webhook_keys import WebhookKeys
from relay.clock import SystemClock, system_entropy
from relay.config import DATABASE_FILE, MASTER_KEY_FILE, MASTER_KEY_VARIABLE, ConfigError
from relay.core.vault import MASTER_KEY_BYTES, Vault
from relay.store.sql_store import open_postgres_store, open_sqlite_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TextIO

    from relay.config import Config
    from relay.ports import Clock
    from relay.store.sql_store import SqlStore


@dataclass(frozen=True, slots=True)
class Relay:
    """The use cases over an open store."""

    config: Config
    store: SqlStore
    vault: Vault
    clock: Clock
    portals: Portals
    applications: Applications
    tokens: Tokens
    revocations: Revocations
    keys: Keys
    adoption: Adoption
    webhook_keys: WebhookKeys


def master_key(home: Path) -> bytes:
    """The master key from the environment or its file. Raises ConfigError."""
    text = os.environ.get(MASTER_KEY_VARIABLE)
    path = home / MASTER_KEY_FILE
    if text is None:
        if not path.exists():
            raise ConfigError(f"There is no relay in {home}. Make one: relay init --home {home}")
        text = path.read_text(encoding="ascii", errors="replace")
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != MASTER_KEY_BYTES:
        raise ConfigError(f"The master key ({MASTER_KEY_VARIABLE} or {path}) must be 64 hexadecimal characters.")
    return key


def open_relay(config: Config, *, upgrade: bool = False, clock: Clock | None = None) -> Relay:
    """Open the store and put the use cases over it; the system's clock unless another is given. Raises ConfigError."""
    vault = Vault(master_key(config.home))
    store = _open_store(config, partial(vault.open, SEALING_KEY), upgrade=upgrade)
    clock = clock or SystemClock()
    issuer = config.issuer()
    tokens = Tokens(store, vault, clock, system_entropy, issuer)
    revocations = Revocations(store, vault, clock, tokens, issuer)
    return Relay(
        config=config,
        store=store,
        vault=vault,
        clock=clock,
        portals=Portals(store, vault, clock, system_entropy),
        applications=Applications(store, vault, clock, system_entropy, revocations),
        tokens=tokens,
        revocations=revocations,
        keys=Keys(store, vault, clock, system_entropy, issuer),
        adoption=Adoption(store, vault, clock, system_entropy),
        webhook_keys=WebhookKeys(store, vault, clock, system_entropy),
    )


def _open_store(config: Config, open_key: Callable[[bytes], bytes], *, upgrade: bool) -> SqlStore:
    if config.store:
        return open_postgres_store(config.store, open_key, upgrade=upgrade)
    if not upgrade:
        require_database(config)
    return open_sqlite_store(config.home / DATABASE_FILE, open_key, upgrade=upgrade)


def require_database(config: Config) -> None:
    """Raise ConfigError where a SQLite store has no file yet."""
    if not config.store and not (config.home / DATABASE_FILE).exists():
        raise ConfigError(f"There is no relay in {config.home}. Make one: relay init --home {config.home}")


def free_bytes(config: Config) -> int | None:
    """What the disk of a SQLite store has left; None for a database that is elsewhere."""
    return None if config.store else shutil.disk_usage(config.home).free


class _ForgivingStream:
    """A stream whose writes never fail: a log on a full disk must not turn an answer into an error."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure_logging(level: str, form: str) -> None:
    """Structured log lines on standard error.

    Authlib's logger is silenced because at debug it prints tokens, the broker's because we say ourselves, once, what
    it would say again and again.
    """
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _ForgivingStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    for name in ("authlib", "aiohttp.access", "aio_pika", "aiormq"):
        silent = logging.getLogger(name)
        silent.propagate = False
        silent.handlers = [logging.NullHandler()]
    logging.getLogger("aiohttp.server").addFilter(_without_request_bytes)


def _without_request_bytes(record: logging.LogRecord) -> bool:
    """Of a request that it cannot read aiohttp shows the bytes, maybe a token; the kind of fault is enough."""
    error = record.exc_info[1] if record.exc_info else None
    if error is not None and type(error).__module__.startswith("aiohttp."):
        record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", ()
        record.exc_info = record.exc_text = None
    return True
