"""Calling handlers: one POST, bounded in time and bytes, only to addresses the portal's policy allows.

Leans on aiohttp's client. The address is checked at connect time, after every name was resolved, so that a name
that changes between two look-ups gains nothing. Redirects are not followed, cookies and proxies not used.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import TYPE_CHECKING

import aiohttp
from yarl import URL

from relay import __version__
from relay.core.model import Outcome, Verdict
from relay.core.urlpolicy import allows, host_is_literal, parse_target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.urlpolicy import UrlPolicy

_USER_AGENT = f"bitrix-relay/{__version__}"


class AddressRefused(OSError):
    """The address a handler's name leads to is not allowed for this portal."""


class HttpSender:
    """The Sender port over HTTP; one connection pool a portal and policy."""

    def __init__(self, *, timeout_s: float, max_response_bytes: int, connections: int) -> None:
        self._timeout_s = timeout_s
        self._max_response_bytes = max_response_bytes
        self._connections = connections
        self._pools: dict[int, tuple[UrlPolicy, aiohttp.ClientSession]] = {}

    async def send(
        self, portal_id: int, policy: UrlPolicy, url: str, body: bytes, headers: Mapping[str, str]
    ) -> Outcome:
        """POST once. 2xx is delivered; a refused address or a URL that cannot be called is held."""
        started_ms = time.time_ns() // 1_000_000
        began = time.perf_counter()
        verdict, status, error = await self._post(portal_id, policy, url, body, headers)
        return Outcome(verdict, status, error, started_ms, round((time.perf_counter() - began) * 1000))

    async def close(self) -> None:
        """Close every connection."""
        for _, session in self._pools.values():
            await session.close()
        self._pools.clear()

    async def _post(
        self, portal_id: int, policy: UrlPolicy, url: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[Verdict, int | None, str | None]:
        target = parse_target(url)
        if target is None:
            return Verdict.HOLD, None, "bad_url"
        if host_is_literal(target.host) and not allows(policy, target.host, target.host):
            return Verdict.HOLD, None, "address_refused"
        session = await self._session(portal_id, policy)
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                as_registered = URL(url, encoded=" " not in url)
                response = await session.post(as_registered, data=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error)
        async with response:
            await self._drain(response, deadline)
        taken = 200 <= response.status < 300
        return (Verdict.DELIVERED if taken else Verdict.RETRY), response.status, (None if taken else "status")

    async def _drain(self, response: aiohttp.ClientResponse, deadline: float) -> None:
        """Read the answer's body, so that the connection can be used again; close one that has no end.

        What becomes of the body changes nothing: the status has been given (protocol.md section 5).
        """
        size = 0
        try:
            async with asyncio.timeout_at(deadline):
                async for chunk in response.content.iter_any():
                    size += len(chunk)
                    if size > self._max_response_bytes:
                        response.close()
                        return
        except (aiohttp.ClientError, OSError, ValueError):
            response.close()

    async def _session(self, portal_id: int, policy: UrlPolicy) -> aiohttp.ClientSession:
        known = self._pools.get(portal_id)
        if known is not None and known[0] is policy:
            return known[1]
        session = self._open(policy)
        self._pools[portal_id] = (policy, session)
        if known is not None:
            # Connections made under the former policy end with the calls that use them.
            asyncio.get_running_loop().call_later(self._timeout_s, lambda: asyncio.ensure_future(known[1].close()))
        return session

    def _open(self, policy: UrlPolicy) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._connections,
            resolver=_CheckingResolver(policy),
            use_dns_cache=False,
            keepalive_timeout=30,
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


def _was_refused(error: BaseException) -> bool:
    causes: list[BaseException | None] = [
        error,
        error.__cause__,
        error.__context__,
        getattr(error, "os_error", None),
    ]
    return any(isinstance(cause, AddressRefused) for cause in causes)


def _failure(error: BaseException) -> tuple[Verdict, int | None, str]:
    """What a failed call means: a matter for a person, or one for another try."""
    if _was_refused(error):
        return Verdict.HOLD, None, "address_refused"
    if isinstance(error, aiohttp.InvalidURL):
        return Verdict.HOLD, None, "bad_url"
    return Verdict.RETRY, None, next((word for kind, word in _WORDS if isinstance(error, kind)), "bad_answer")


_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timeout"),
    (aiohttp.ClientConnectorDNSError, "name_not_resolved"),
    (aiohttp.ClientSSLError, "tls_failed"),
    (aiohttp.ClientConnectorError, "connection_failed"),
    (aiohttp.ClientConnectionError, "disconnected"),
    (OSError, "disconnected"),
)
