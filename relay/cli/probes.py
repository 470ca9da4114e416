"""The looks that `relay doctor` takes at the world: files, the disk, addresses, names, the store.

Leans on aiohttp and the store. Bounded: each look has seconds, and only so many are taken at once. Sends nothing
but a GET without credentials to addresses that were configured.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sqlite3
import ssl
import stat
import time
from collections import Counter
from dataclasses import replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import aiohttp

from relay.app.observations import DatabaseState, FileMode, HandlerHost, HeldEvents, Observed, Probe, handler_host
from relay.cli.home import HOME_MODE, PRIVATE_MODE
from relay.cli.opening import schema_versions
from relay.config import CONFIG_FILE, DATABASE_FILE, MASTER_KEY_FILE, split_listen
from relay.core.errors import Unavailable
from relay.core.model import DeliveryState
from relay.opened import free_bytes
from relay.records import DeliveryFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.config import Config
    from relay.core.model import Portal
    from relay.opened import Relay
    from relay.records import DeliveryRow

LOOK_S = 5.0
LOOKS_AT_ONCE = 8
MAX_HOSTS = 50
MAX_ROWS = 5000
_ANSWER_BYTES = 4096


async def look(config: Config, relay: Relay | None, database: DatabaseState, command: str) -> Observed:
    """Look at everything. relay: None where the database cannot be opened; `database` then says why.

    command: how a command of this relay begins.
    """
    portals: tuple[Portal, ...] = ()
    counts: dict[str, int] | None = None
    unfinished: list[DeliveryRow] = []
    if relay is not None and not database.fault:
        try:
            await relay.store.probe()
            portals = tuple((await relay.store.directory()).portals.values())
            counts = await relay.store.counts()
            for state in (DeliveryState.HELD, DeliveryState.DUE):
                unfinished += await relay.store.find(DeliveryFilter(states=(state,)), MAX_ROWS)
        except Unavailable as error:
            database = replace(database, fault=error.description.rstrip("."), elsewhere=bool(config.store))
    listeners = _listener_urls(config)
    urls = [*listeners, *[config.public_url] * bool(config.public_url), *(portal.url for portal in portals)]
    probes = await _probe_all(urls, {*listeners, config.public_url})
    return Observed(
        home=str(config.home),
        relay=command,
        now=int(time.time()),
        modes=file_modes(config),
        database=database,
        free_bytes=free_bytes(config),
        min_free_bytes=config.delivery.min_free_bytes,
        listeners={url: probes[url] for url in listeners},
        public_url=config.public_url,
        public=probes.get(config.public_url),
        portals=portals,
        portal_probes={portal.id: probes[portal.url] for portal in portals},
        counts=counts,
        handler_hosts=await _resolve_hosts(unfinished),
        held=_held(unfinished),
    )


def database_state(config: Config) -> DatabaseState:
    """Whether the database opens, and its schema version."""
    if not config.store and not (config.home / DATABASE_FILE).exists():
        return DatabaseState(fault=f"there is none in {config.home}")
    try:
        found, known = schema_versions(config)
    except sqlite3.Error as error:
        return DatabaseState(fault=str(error))
    except Unavailable as error:
        return DatabaseState(fault=error.description.rstrip("."), elsewhere=True)
    return DatabaseState(found, known[-1])


def file_modes(config: Config) -> tuple[FileMode, ...]:
    """The permissions of the home and of what in it is secret."""
    home = config.home
    wanted = {home: HOME_MODE, home / MASTER_KEY_FILE: PRIVATE_MODE, home / DATABASE_FILE: PRIVATE_MODE}
    if config.store or config.queue:
        wanted[home / CONFIG_FILE] = PRIVATE_MODE  # it holds a password
    return tuple(
        FileMode(str(path), stat.S_IMODE(path.stat().st_mode), allowed)
        for path, allowed in wanted.items()
        if path.exists()
    )


async def probe(session: aiohttp.ClientSession, url: str, path: str) -> Probe:
    """One GET; what came of it. The certificate is verified as this machine's own programs would."""
    try:
        async with session.get(url + path, allow_redirects=False) as response:
            return await _answered(response)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        return _failed(error)


async def _answered(response: aiohttp.ClientResponse) -> Probe:
    certificate_left_s = _certificate_left(response)
    body = await response.content.read(_ANSWER_BYTES)
    return Probe(
        reached=True,
        status=response.status,
        is_relay=b'"status"' in body and response.content_type == "application/json",
        clock_offset_s=_clock_offset(response.headers.get("Date")),
        certificate_left_s=certificate_left_s,
    )


def _failed(error: Exception) -> Probe:
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return Probe(reached=True, certificate_fault=_certificate_fault(error.certificate_error))
        case aiohttp.ClientSSLError():
            return Probe(reached=True, certificate_fault=error.strerror or type(error).__name__)
        case TimeoutError():
            fault = "no answer in time"
        case aiohttp.ClientConnectorDNSError():
            fault = "the name does not resolve"
        case aiohttp.ClientConnectorError():
            refused = isinstance(error.os_error, ConnectionRefusedError)
            fault = "connection refused" if refused else "no connection"
        case _:
            return Probe(reached=True, fault="it does not speak HTTP")
    return Probe(reached=False, fault=fault)


async def _probe_all(urls: Sequence[str], ours: set[str]) -> dict[str, Probe]:
    turn = asyncio.Semaphore(LOOKS_AT_ONCE)
    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=LOOK_S), cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
    ) as session:

        async def one(url: str) -> Probe:
            async with turn:
                return await probe(session, url, "/readyz" if url in ours else "/")

        distinct = list(dict.fromkeys(urls))
        return dict(zip(distinct, await asyncio.gather(*map(one, distinct)), strict=True))


async def _resolve_hosts(rows: Sequence[DeliveryRow]) -> tuple[HandlerHost, ...]:
    keys = list(dict.fromkeys((row.portal_id, handler_host(row.handler_url)) for row in rows))[:MAX_HOSTS]
    turn = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def one(portal_id: int, host: str) -> HandlerHost:
        async with turn:
            return HandlerHost(portal_id, host, await _addresses(host))

    return tuple(await asyncio.gather(*(one(*key) for key in keys)))


async def _addresses(host: str) -> tuple[str, ...] | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOK_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError):
        return None
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _held(rows: Sequence[DeliveryRow]) -> tuple[HeldEvents, ...]:
    counted = Counter(
        (row.portal_id, handler_host(row.handler_url), row.last_error or row.hold_reason or "", row.last_status)
        for row in rows
        if row.state is DeliveryState.HELD
    )
    return tuple(HeldEvents(*key, count) for key, count in counted.items())


def _listener_urls(config: Config) -> list[str]:
    urls = []
    for listen in (config.listen, config.admin_listen):
        host, port = split_listen(listen)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
        urls.append(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
    return urls


def _clock_offset(date: str | None) -> float | None:
    with contextlib.suppress(TypeError, ValueError):
        return parsedate_to_datetime(date or "").timestamp() - time.time()
    return None


def _certificate_left(response: aiohttp.ClientResponse) -> float | None:
    connection = response.connection
    transport = connection.transport if connection else None
    certificate: dict[str, str] = (transport.get_extra_info("peercert") if transport else None) or {}
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    return None


def _certificate_fault(error: Exception) -> str:
    return getattr(error, "verify_message", "") or type(error).__name__
