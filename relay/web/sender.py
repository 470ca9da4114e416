"""Calling handlers: one POST, bounded in time and bytes, only to addresses the portal's policy allows.

Leans on aiohttp's client. The address is checked after every name was resolved and is the one connected to, so that a
name that changes between two look-ups gains nothing. A configured proxy looks names up by itself: before it hears of
one, every address that the name has here must be allowed, and a name that is unknown here must be allowed by name.
Redirects are not followed, cookies not kept, the environment's proxies not used.
"""

from __future__ import annotations

import asyncio
import socket
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import lru_cache, partial
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from relay import __version__
from relay.app.transport import tls_context
from relay.core.model import Outcome, Verdict
from relay.core.urlpolicy import MAX_URL_LENGTH, allows, allows_name, host_is_literal, parse_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.core.rules import DeliveryRules, Transport
    from relay.core.urlpolicy import UrlPolicy
    from relay.records import Message

_USER_AGENT = f"bitrix-relay/{__version__}"
_GONE = 410
MAX_KNOWN_URLS = 1024


class AddressRefused(OSError):
    """The address a handler's name leads to is not allowed for this portal."""


class HttpSender:
    """The Sender port over HTTP; one connection pool for each portal, policy and transport."""

    def __init__(self, connections: int) -> None:
        self._connections = connections
        self._pools: dict[tuple[int, str], tuple[UrlPolicy, aiohttp.ClientSession]] = {}
        self._refusals: dict[int, tuple[UrlPolicy, Callable[[str], str | None]]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, message: Message, policy: UrlPolicy, rules: DeliveryRules) -> Outcome:
        """POST once. 2xx is delivered; 410, a refused address or a URL that cannot be called is held."""
        started_ms = time.time_ns() // 1_000_000
        began = time.perf_counter()
        verdict, status, error, retry_after_s = await self._post(message, policy, rules)
        duration_ms = round((time.perf_counter() - began) * 1000)
        return Outcome(verdict, status, error, started_ms, duration_ms, retry_after_s)

    async def close(self) -> None:
        """Close every connection."""
        for _, session in self._pools.values():
            await session.close()
        self._pools.clear()
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _post(
        self, message: Message, policy: UrlPolicy, rules: DeliveryRules
    ) -> tuple[Verdict, int | None, str | None, float | None]:
        refusal = self._refusal(message, policy)
        if refusal is not None:
            return Verdict.HOLD, None, refusal, None
        deadline = asyncio.get_running_loop().time() + rules.timeout_s
        url = _as_called(message.url)
        proxy = rules.transport.proxy or None
        response = None
        try:
            session = self._session(message.portal_id, policy, rules)
            async with asyncio.timeout_at(deadline):
                if proxy is not None:
                    await _check_name(policy, url)
                response = await session.post(
                    url, data=message.body, headers=message.headers, allow_redirects=False, proxy=proxy
                )
                await _drain(response, rules.response_bytes)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            if response is None:
                verdict, word = _failure(error)
                return verdict, None, word, None
            # The status has been given: what becomes of the body changes nothing (protocol.md section 5).
        finally:
            if response is not None:
                response.close()  # of an answer that was read to its end the connection is already free for the next
        if 200 <= response.status < 300:
            return Verdict.DELIVERED, response.status, None, None
        if response.status == _GONE:
            return Verdict.HOLD, response.status, "gone", None
        return Verdict.RETRY, response.status, "status", _retry_after_s(response.headers.get("Retry-After"))

    def _refusal(self, message: Message, policy: UrlPolicy) -> str | None:
        """Why this URL may not be called at all, or None; found out once for a URL and policy."""
        if len(message.url) > MAX_URL_LENGTH:
            return "bad_url"
        known = self._refusals.get(message.portal_id)
        if known is None or known[0] is not policy:
            known = policy, lru_cache(maxsize=MAX_KNOWN_URLS)(partial(_refusal_of, policy))
            self._refusals[message.portal_id] = known
        return known[1](message.url)

    def _session(self, portal_id: int, policy: UrlPolicy, rules: DeliveryRules) -> aiohttp.ClientSession:
        transport = rules.transport
        pems = f"{transport.ca_file}\n{transport.client_cert}\n{transport.client_key}"
        key = (portal_id, f"{pems}\n{transport.proxy}")
        known = self._pools.get(key)
        if known is not None and known[0] is policy:
            return known[1]
        session = self._open(policy, transport)
        self._pools[key] = (policy, session)
        if known is not None:
            # Connections made under the former policy end with the calls that use them.
            closing = asyncio.create_task(_close_later(known[1], rules.timeout_s))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return session

    def _open(self, policy: UrlPolicy, transport: Transport) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            # The proxy's own address is the integrator's choice, and the only one that is connected to.
            resolver=aiohttp.ThreadedResolver() if transport.proxy else _CheckingResolver(policy),
            use_dns_cache=False,
            keepalive_timeout=30,
            ssl=tls_context(transport) or True,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=None),
            headers={"User-Agent": _USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
            requote_redirect_url=False,
        )


class _CheckingResolver(aiohttp.ThreadedResolver):
    """Resolves names and keeps back the addresses that the policy does not allow for them."""

    def __init__(self, policy: UrlPolicy) -> None:
        super().__init__()
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[aiohttp.abc.ResolveResult]:
        found = await super().resolve(host, port, family)
        allowed = [result for result in found if allows(self._policy, host, result["host"])]
        if found and not allowed:
            raise AddressRefused(f"{host} leads to addresses that are not allowed")
        return allowed


async def _check_name(policy: UrlPolicy, url: URL) -> None:
    """Raise AddressRefused unless wherever a proxy may find this host is allowed, OSError if that is not known."""
    host = url.raw_host or ""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, url.port, type=socket.SOCK_STREAM)
    except OSError:
        if allows_name(policy, host):
            return
        raise
    if not all(allows(policy, host, str(address[0])) for *_, address in found):
        raise AddressRefused(f"{host} leads to addresses that are not allowed")


def _refusal_of(policy: UrlPolicy, url: str) -> str | None:
    target = parse_target(url)
    try:
        _as_called(url)
    except ValueError:
        target = None
    if target is None:
        return "bad_url"
    if host_is_literal(target.host) and not allows(policy, target.host, target.host):
        return "address_refused"
    return None


def _as_called(url: str) -> URL:
    """The URL as it goes out: escaped as the portal wrote it. Raises ValueError."""
    return URL(url, encoded=" " not in url)


async def _close_later(session: aiohttp.ClientSession, delay_s: float) -> None:
    try:
        await asyncio.sleep(delay_s)
    finally:
        await session.close()


async def _drain(response: aiohttp.ClientResponse, most_bytes: int) -> None:
    """Read the answer's body, so that the connection can be used again; not one that has no end."""
    content, size = response.content, 0
    while not content.at_eof() and size <= most_bytes:
        size += len(await content.readany())


def _retry_after_s(header: str | None) -> float | None:
    """Seconds from a number or a date (RFC 9110 section 10.2.3)."""
    if not header:
        return None
    if header.isascii() and header.strip().isdigit():
        return float(header.strip()[:9])
    try:
        moment = parsedate_to_datetime(header)
        in_gmt = moment.replace(tzinfo=moment.tzinfo or UTC)  # one that names no zone (RFC 9110 section 5.6.7)
        return max(in_gmt.timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _failure(error: BaseException) -> tuple[Verdict, str]:
    """What a failed call means: a matter for a person, or one for another try."""
    causes = [error, error.__cause__, error.__context__, getattr(error, "os_error", None)]
    if any(isinstance(cause, AddressRefused) for cause in causes):
        return Verdict.HOLD, "address_refused"
    if isinstance(error, aiohttp.InvalidURL):
        return Verdict.HOLD, "bad_url"
    os_error = getattr(error, "os_error", error)
    if isinstance(os_error, ConnectionRefusedError) and not isinstance(error, aiohttp.ClientProxyConnectionError):
        return Verdict.RETRY, "connection_refused"
    return Verdict.RETRY, next((word for kind, word in _WORDS if isinstance(error, kind)), "bad_answer")


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "name_not_resolved"),
    (socket.gaierror, "name_not_resolved"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (aiohttp.ClientConnectorError, "connection_failed"),
    (aiohttp.ClientHttpProxyError, "connection_failed"),
    (aiohttp.ClientConnectionError, "disconnected"),
    (OSError, "disconnected"),
)
