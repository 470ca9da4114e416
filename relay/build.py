"""The one place where everything is wired together: `Runtime` for `relay serve`, over what `open_relay` opens.

Leans on every layer; what the commands need as well is in `opened.py`. Holds no decisions of its own; tests start the
same wiring.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web
from prometheus_client import Gauge

from relay.app.attempt import Attempts
from relay.app.bundles import Bundles
from relay.app.dispatch import Dispatcher
from relay.app.facts import Facts
from relay.app.failures import Failures
from relay.app.housekeeping import Housekeeping
from relay.app.intake import Intake
from relay.app.portal_calls import PortalCalls
from relay.app.replay import Replays
from relay.app.room import Room
from relay.app.steady_clock import SteadyClock
from relay.app.store_clock import StoreClock
from relay.clock import system_entropy
from relay.config import ConfigError, split_listen
from relay.core.throttle import Throttle
from relay.opened import Relay, configure_logging, free_bytes, master_key, open_relay
from relay.queue.local import NoBell
from relay.roles import Role
from relay.web.admin import Admin
from relay.web.health import Health
from relay.web.limits import ServiceLimits
from relay.web.metrics import Metrics
from relay.web.oauth_routes import OAuthRoutes
from relay.web.portal_routes import PortalRoutes
from relay.web.sender import HttpSender
from relay.web.service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.app.settings import IssuerSettings
    from relay.core.rules import RuleBook
    from relay.ports import Bell
    from relay.queue.node import QueueNode

__all__ = ["Relay", "Runtime", "configure_logging", "free_bytes", "master_key", "open_relay"]


class Runtime:
    """A running relay, or the part of one that its role asks for. Raises ConfigError for a role that cannot be."""

    def __init__(self, relay: Relay, role: Role = Role.ALL) -> None:
        config, store, clock = relay.config, relay.store, relay.clock
        if role is not Role.ALL and not config.store:
            raise ConfigError("With a SQLite store one process does everything: a role needs a PostgreSQL store.")
        self._relay = relay
        self._role = role
        self.metrics = Metrics()
        rules, issuer = config.rules(), config.issuer()
        self._http = HttpSender(config.delivery.concurrency)
        self._queue = _open_queue(config.queue, self.metrics) if config.queue else None
        sender = self._queue.sender(self._http) if self._queue is not None else self._http
        self._delivery_clock = StoreClock(store, clock) if config.store else SteadyClock(store, clock)
        self.dispatcher = Dispatcher(
            store,
            Attempts(store, sender, relay.tokens, relay.vault, clock, system_entropy, issuer),
            self._delivery_clock,
            system_entropy,
            rules,
            config.delivering(),
            f"{socket.gethostname()[:40]}:{os.getpid()}:{system_entropy(4).hex()}",
            on_outcome=self.metrics.outcome,
        )
        self._room = Room(store, clock, config.room(), partial(free_bytes, config))
        self.health = Health(store.probe, self._room)
        failures = Failures(Throttle(config.throttling()), clock)
        self._service = self._open_service(rules, issuer, failures)
        self._admin = Admin(
            self.health, self.metrics, store.counts, self._room, self._status, store.admin_password_hash, failures
        )
        housekeeping = Housekeeping(store, relay.keys, failures, clock, issuer, config.retaining(), self.metrics.purged)
        replays = Replays(store, self._delivery_clock, config.retaining())
        self._background = [housekeeping.run, replays.run] if role.delivers else [housekeeping.run_for_failures]
        self._background.append(self._delivery_clock.keep)

    def _open_service(self, rules: RuleBook, issuer: IssuerSettings, failures: Failures) -> Service:
        """What portals and applications call."""
        relay, store, clock = self._relay, self._relay.store, self._relay.clock
        config = relay.config
        intake = Intake(
            store,
            relay.vault,
            self._delivery_clock,
            system_entropy,
            config.intake(),
            rules,
            self._hang_bell(),
            self._room.refusal,
        )
        bundles = Bundles(store, clock, system_entropy, issuer)
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
        return Service(
            PortalRoutes(relay.portals, calls, relay.adoption, failures, limits),
            OAuthRoutes(relay.tokens, relay.revocations, bundles, failures, issuer, limits),
            self.health,
            self.metrics,
        )

    def _hang_bell(self) -> Bell:
        """How this node says that there is work: to itself, and over the broker to the other nodes of its store."""
        config, own = self._relay.config, self.dispatcher if self._role.delivers else None
        if self._queue is None or not config.store:
            return own or NoBell()
        most = config.delivery.concurrency
        return self._queue.bell_between_nodes(
            own, lambda: self.dispatcher.in_flight < most, self._relay.store.find_handlers
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[tuple[str, str]]:
        """Start; yields the two addresses that are listened on (a worker has no first one); drains at the end."""
        config = self._relay.config
        await self._relay.keys.tend()
        await self._delivery_clock.begin()
        if not config.store:
            # One process per SQLite file: whatever is leased was in the hands of a process that is gone.
            while await self._relay.store.release_leases(now_ms=self._relay.clock.now_ms() + _EVERY_LEASE_MS):
                pass
        service = await _listen(self._service.application(), config.listen) if self._role.serves else None
        try:
            admin = await _listen(self._admin.application(), config.admin_listen)
        except BaseException:
            if service is not None:
                await service.cleanup()
            raise
        transport = [asyncio.create_task(self._queue.run())] if self._queue is not None else []
        delivering = [asyncio.create_task(self.dispatcher.run())] if self._role.delivers else []
        background = [asyncio.create_task(run()) for run in self._background]
        try:
            yield _address(service) if service is not None else "", _address(admin)
        finally:
            self.health.draining = True
            self.dispatcher.drain()
            if service is not None:
                await service.cleanup()
            await _ended(background, *delivering)
            await _ended(transport)
            await admin.cleanup()
            await self._http.close()
            await self._relay.store.close()

    async def _status(self) -> dict[str, Any]:
        directory = await self._relay.store.directory()
        return {
            "portals": len(directory.portals),
            "apps": sum(app.deleted_at is None for app in directory.apps.values()),
            "deliveries": await self._relay.store.counts(),
            "in_flight": self.dispatcher.in_flight,
            "role": str(self._role),
            "broker_connected": self._queue.connected if self._queue is not None else None,
        }


_EVERY_LEASE_MS = 10 * 365 * 86400 * 1000
_BACKLOG = 1024


def _open_queue(url: str, metrics: Metrics) -> QueueNode:
    try:
        from relay.queue.node import QueueNode  # noqa: PLC0415 - what it needs is not installed where there is no broker
    except ModuleNotFoundError as error:
        raise ConfigError("`queue` needs the broker's client: pip install 'bitrix-relay[amqp]'") from error
    queue = QueueNode(url, system_entropy)
    connected = Gauge("relay_broker_connected", "1 while the broker is.", registry=metrics.registry)
    connected.set_function(lambda: float(queue.connected))
    return queue


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


async def _ended(to_cancel: list[asyncio.Task[None]], *to_await: asyncio.Task[None]) -> None:
    for task in to_cancel:
        task.cancel()
    await asyncio.gather(*to_cancel, *to_await, return_exceptions=True)


def _address(runner: web.AppRunner) -> str:
    host, port = runner.addresses[0][:2]
    return f"{host}:{port}"
