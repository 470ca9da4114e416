"""`relay serve`: both listeners and the dispatcher until SIGTERM or SIGINT, which drains; a second one ends at once.

Leans on `relay.build.Runtime`. Holds a lock on the home, because two processes on one SQLite file would take each
other's deliveries for abandoned ones. Its log is English; its errors are sentences like any command's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.failures import Failed
from relay.cli.home import only_server
from relay.cli.opening import require_known_schema
from relay.cli.options import Home
from relay.cli.terminal import Terminal, terminal_of
from relay.config import Config, ConfigError, load_config
from relay.roles import Role

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.build import Relay

EXAMPLES = """
relay serve
relay serve --home /var/lib/relay
relay serve --role worker
"""
ServedRole = Annotated[
    Role,
    typer.Option(
        "--role",
        help="What this process does: all of it, or, where several share a PostgreSQL store, answer portals and apps"
        " (service) or deliver events (worker).",
    ),
]
_OBJECTS_BETWEEN_COLLECTIONS = (10_000, 20, 50)
_STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def serve(ctx: typer.Context, home: Home = None, role: ServedRole = Role.ALL) -> None:
    """Run the relay until it is told to stop (SIGTERM or Ctrl+C).

    It then finishes what is in hand and ends; a second signal ends it at once. The log goes to standard error and
    says `ready` when both listeners answer.
    """
    from relay.build import configure_logging, master_key, open_relay  # noqa: PLC0415 - slow to import

    terminal = terminal_of(ctx, home)
    config = load_config(terminal.home)
    master_key(config.home)  # says that there is no relay before anything is made in its place
    configure_logging(config.log.level, config.log.format)
    require_known_schema(config, upgrade=True)
    # Several relays share a PostgreSQL database by leases; a SQLite file has one process.
    alone = contextlib.nullcontext() if config.store else only_server(config.home)
    with alone, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(_serve(config, role, lambda: open_relay(config, upgrade=True)))
        except ConfigError as error:
            raise _address_taken(error, config, terminal) or error from None


async def _serve(config: Config, role: Role, opened: Callable[[], Relay]) -> None:
    import structlog  # noqa: PLC0415 - configured just before

    from relay.build import Runtime  # noqa: PLC0415 - slow to import

    log = structlog.get_logger("relay")
    _warn_about_address(log, config)
    relay = opened()
    stopping = asyncio.Event()
    _listen_for_signals(log, stopping)
    try:
        async with Runtime(relay, role).running() as (service, admin):
            _collect_less_often()
            log.info("ready", role=str(role), service=service, admin=admin, url=config.origin, home=str(config.home))
            await stopping.wait()
            log.info("draining")
    finally:
        await relay.store.close()
    log.info("stopped")


def _collect_less_often() -> None:
    """Leave what the program consists of out of garbage collection: looking through it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_OBJECTS_BETWEEN_COLLECTIONS)


def _listen_for_signals(log: Any, stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def stop(number: int) -> None:
        if stopping.is_set():
            log.warning("stopped at once", signal=signal.Signals(number).name)
            sys.stderr.flush()
            # Whatever was accepted is on disk; what was in hand is tried again after the next start.
            os._exit(128 + number)
        stopping.set()

    for number in _STOPPING_SIGNALS:
        loop.add_signal_handler(number, stop, number)


def _warn_about_address(log: Any, config: Config) -> None:
    if not config.public_url:
        log.warning(
            "public_url is not set: only programs on this machine can use the relay",
            url=config.origin,
            remedy="relay init --public-url https://relay.example.com",
        )
    elif config.public_url.startswith("http://"):
        log.warning("public_url is plain http: tokens and secrets cross the network unencrypted", url=config.origin)


def _address_taken(error: ConfigError, config: Config, terminal: Terminal) -> Failed | None:
    """The error in words, if a listener's address is another program's."""
    cause = error.__cause__
    if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE:
        return None
    setting = "listen" if config.listen in error.description else "admin_listen"
    return Failed(
        terminal.tr(
            "The address {address} is taken by another program: stop it, or set another `{setting}` in relay.toml.",
            address=getattr(config, setting),
            setting=setting,
        )
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - there is none for some systems
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
