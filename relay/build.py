"""The one place where everything is wired together: `open_relay` for the commands, `Runtime` for `relay serve`.

Leans on every layer. Holds no decisions of its own; tests start the same wiring.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from relay.app.adoption import Adoption
from relay.app.applications import Applications
from relay.app.attempt import Attempts
from relay.app.bundles import Bundles
from relay.app.dispatch import Dispatcher
from relay.app.facts import Facts
from relay.app.failures import Failures
from relay.app.housekeeping import Housekeeping
from relay.app.intake import Intake
from relay.app.keys import Keys
from relay.app.portal_calls import PortalCalls
from relay.app.portals import SEALING_KEY, Portals
from relay.app.replay import Replays
from relay.app.revocation import Revocations
from relay.app.room import Room
from relay.app.tokens import Tokens
from relay.app.webhook_keys import WebhookKeys
from relay.clock import SystemClock, system_entropy
from relay.config import DATABASE_FILE, MASTER_KEY_FILE, MASTER_KEY_VARIABLE, ConfigError, split_listen
from relay.core.throttle import Throttle
from relay.core.vault import MASTER_KEY_BYTES, Vault
from relay.store.sql_store import open_postgres_store, open_sqlite_store
from relay.web.admin import Admin
from relay.web.health import Health
from relay.web.limits import ServiceLimits
from relay.web.metrics import Metrics
from relay.web.oauth_routes import OAuthRoutes
from relay.web.portal_routes import PortalRoutes
from relay.web.sender import HttpSender
from relay.web.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from relay.config import Config
    from relay.ports import Clock
    from relay.store.sql_store import SqlStore

_log = structlog.get_logger(__name__)


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
    path = config.home / DATABASE_FILE
    if not upgrade and not path.exists():
        raise ConfigError(f"There is no relay in {config.home}. Make one: relay init --home {config.home}")
    return open_sqlite_store(path, open_key, upgrade=upgrade)


class Runtime:
    """A running relay: both listeners and the dispatcher."""

    def __init__(self, relay: Relay) -> None:
        config, store, clock = relay.config, relay.store, relay.clock
        self._relay = relay
        self.metrics = Metrics()
        rules, issuer = config.rules(), config.issuer()
        self._sender = HttpSender(config.delivery.concurrency)
        self.dispatcher = Dispatcher(
            store,
            Attempts(store, self._sender, relay.tokens, relay.vault, clock, system_entropy, issuer),
            clock,
            system_entropy,
            rules,
            config.delivering(),
            f"{socket.gethostname()[:40]}:{os.getpid()}:{system_entropy(4).hex()}",
            on_outcome=self.metrics.outcome,
        )
        self._room = Room(store, clock, config.room(), partial(free_bytes, config))
        self.health = Health(store.probe, self._room)
        intake = Intake(
            store,
            relay.vault,
            clock,
            system_entropy,
            config.intake(),
            rules,
            self.dispatcher,
            self._room.refusal,
        )
        bundles = Bundles(store, clock, system_entropy, issuer)
        failures = Failures(Throttle(config.throttling()), clock)
        portal_form, app_form = config.form_limits()
        calls = PortalCalls(
            relay.portals,
            relay.applications,
            relay.tokens,
            intake,
            bundles,
            Facts(store, clock),
            config.intake(),
            portal_form,
            clock,
        )
        limits = ServiceLimits(portal_form, app_form, config.limits.body_timeout_s, config.proxies())
        self._service = Service(
            PortalRoutes(relay.portals, calls, relay.adoption, failures, limits),
            OAuthRoutes(relay.tokens, relay.revocations, bundles, failures, issuer, limits),
            self.health,
            self.metrics,
        )
        self._admin = Admin(self.health, self.metrics, store.counts, self._status, store.admin_password_hash, failures)
        self._background = [
            Housekeeping(store, relay.keys, failures, clock, issuer, config.retaining(), self.metrics.purged).run,
            Replays(store, clock, config.retaining()).run,
        ]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[str, str]]:
        """Start; yields the two addresses that are listened on; drains at the end."""
        config = self._relay.config
        await self._relay.keys.tend()
        if not config.store:
            # One process per SQLite file: whatever is leased was in the hands of a process that is gone.
            while await self._relay.store.release_leases(now_ms=self._relay.clock.now_ms() + _EVERY_LEASE_MS):
                pass
        service = await _listen(self._service.application(), config.listen)
        try:
            admin = await _listen(self._admin.application(), config.admin_listen)
        except BaseException:
            await service.cleanup()
            raise
        dispatching = asyncio.create_task(self.dispatcher.run())
        background = [asyncio.create_task(run()) for run in self._background]
        try:
            yield _address(service), _address(admin)
        finally:
            self.health.draining = True
            self.dispatcher.drain()
            await service.cleanup()
            for task in background:
                task.cancel()
            await asyncio.gather(dispatching, *background, return_exceptions=True)
            await admin.cleanup()
            await self._sender.close()
            await self._relay.store.close()

    async def _status(self) -> dict[str, Any]:
        directory = await self._relay.store.directory()
        return {
            "portals": len(directory.portals),
            "apps": sum(app.deleted_at is None for app in directory.apps.values()),
            "deliveries": await self._relay.store.counts(),
            "in_flight": self.dispatcher.in_flight,
        }


_EVERY_LEASE_MS = 10 * 365 * 86400 * 1000
_BACKLOG = 1024


async def _listen(app: web.Application, listen: str) -> web.AppRunner:
    host, port = split_listen(listen)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=10)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=_BACKLOG).start()
    except OSError as error:
        await runner.cleanup()
        raise ConfigError(f"Cannot listen on {listen}: {error.strerror or error}.") from error
    return runner


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"


def free_bytes(config: Config) -> int | None:
    """What the disk of a SQLite store has left; None for a database that is elsewhere."""
    return None if config.store else shutil.disk_usage(config.home).free


def configure_logging(level: str, form: str) -> None:
    """Structured log lines on standard error. Authlib's logger is silenced: at debug it prints tokens."""
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
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s %(message)s")
    for name in ("authlib", "aiohttp.access"):
        silent = logging.getLogger(name)
        silent.propagate = False
        silent.handlers = [logging.NullHandler()]
