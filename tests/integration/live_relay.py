"""A whole relay in the test's own event loop: real listeners on free ports, a real store in a temporary home.

Leans on the one wiring of `relay.build`. Must never replace a part of it; only the clock can be moved forward.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.build import Relay, Runtime, open_relay
from relay.config import CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE, load_config
from tests.factories import MASTER_KEY
from tests.integration.wire import PATIENCE_S, Answer, Request, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

PUBLIC_URL = "https://relay.test:8443"
SETTINGS: dict[str, Any] = {
    "public_url": PUBLIC_URL,
    "listen": "127.0.0.1:0",
    "admin_listen": "127.0.0.1:0",
    "delivery": {"lease_s": 10, "sweep_s": 0.1, "drain_s": 1, "min_free_bytes": 0},
    "apps": {
        "*": {
            "timeout_s": 5,
            "retry_first_s": 0.05,
            "retry_factor": 1,
            "retry_jitter": 0,
            "breaker_first_s": 0.05,
            "breaker_cap_s": 0.05,
        },
    },
}


@dataclass(slots=True)
class MovableClock:
    """The system's clock, moved forward by as much as a test says."""

    ahead_ms: int = 0

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000 + self.ahead_ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead_ms += round(seconds * 1000)


@dataclass(slots=True)
class LiveRelay:
    """A running relay. service, admin: `host:port` of its listeners. relay: the operator's hands on its store."""

    relay: Relay
    service: str
    admin: str
    clock: MovableClock = field(default_factory=MovableClock)
    runtime: Runtime | None = None

    async def ask(self, request: Request | bytes) -> Answer:
        """Send a request to the service listener."""
        return await send(self.service, request)

    @property
    def now(self) -> int:
        """The relay's time, unix seconds."""
        return self.clock.now_ms() // 1000


def make_home(home: Path, settings: Mapping[str, Any] | None = None, template: Path | None = None) -> Path:
    """A home directory: a master key, and a relay.toml of these settings over the usual ones.

    template: a database that is there already, with nobody in it; to make one takes longer than most tests.
    """
    home.mkdir(parents=True, exist_ok=True)
    if template is not None and not (home / DATABASE_FILE).exists():
        shutil.copy(template, home / DATABASE_FILE)
    (home / MASTER_KEY_FILE).write_text(MASTER_KEY.hex(), encoding="ascii")
    (home / CONFIG_FILE).write_text(_toml(_merged(SETTINGS, settings or {})), encoding="utf-8")
    return home


@contextlib.asynccontextmanager
async def running_relay(
    home: Path, settings: Mapping[str, Any] | None = None, template: Path | None = None
) -> AsyncIterator[LiveRelay]:
    """Start a relay in `home` (made, or kept from an earlier run) and stop it softly at the end."""
    clock = MovableClock()
    config = load_config(make_home(home, settings, template))
    relay = open_relay(config, upgrade=template is None, clock=clock)
    runtime = Runtime(relay)
    try:
        async with runtime.running() as (service, admin):
            yield LiveRelay(relay, service, admin, clock, runtime)
    finally:
        await relay.store.close()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():
            await asyncio.sleep(0.01)


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        merged[name] = _merged(base.get(name, {}), value) if isinstance(value, dict) else value
    return merged


def _toml(settings: Mapping[str, Any], path: str = "") -> str:
    lines = [f"[{path}]"] if path else []
    lines += [
        f"{json.dumps(name)} = {json.dumps(value)}" for name, value in settings.items() if not isinstance(value, dict)
    ]
    inner = {name: value for name, value in settings.items() if isinstance(value, dict)}
    sections = [_toml(section, ".".join(filter(None, [path, f'"{name}"']))) for name, section in inner.items()]
    return "\n".join([*lines, *sections]) + "\n"
