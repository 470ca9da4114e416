"""`relay selftest`: the issuer's own security checklist, run against the running relay as a portal and apps would.

Leans on a temporary portal that it announces, registers over HTTP and removes again, whatever happens in between; one
that a killed run left behind goes with the next run. Must never leave a portal or an application of its own.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from jwt import PyJWTError

from relay.app.selftest_bed import FORM, Bed, Client, Refuted, Reply
from relay.app.selftest_grants import GRANT_CHECKS
from relay.app.selftest_tokens import TOKEN_CHECKS
from relay.core.errors import NotFound
from relay.core.model import JWT_FORMAT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from relay.app.applications import Applications
    from relay.app.portals import Portals
    from relay.app.selftest_bed import Ask
    from relay.core.model import Portal
    from relay.ports import Clock, Entropy, Store

WINDOW_S = 120
# The check that makes the relay impatient comes last.
CHECKS = (*GRANT_CHECKS[:-1], *TOKEN_CHECKS, GRANT_CHECKS[-1])
_PREFIX, _SUFFIX = "http://selftest-", ".relay.invalid"
_REDIRECT_URI = "https://app.relay.invalid/callback"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to. expected and found: of a check that failed, words of the protocol; else empty."""

    check: str
    source: str
    passed: bool
    expected: str = ""
    found: str = ""


class WrongRelay(NotFound):
    """Whatever answers at the address does not know the portal that was announced in this home."""


class SelfTest:
    """Runs the checklist."""

    def __init__(
        self,
        portals: Portals,
        applications: Applications,
        store: Store,
        clock: Clock,
        entropy: Entropy,
        issuer: str,
    ) -> None:
        self._portals = portals
        self._applications = applications
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._issuer = issuer

    async def run(self, ask: Ask) -> list[Finding]:
        """Run every check. Raises WrongRelay, NoAnswer, and Unavailable of the store."""
        await self._remove_leftovers()
        async with self._bed(ask) as bed:
            return [await judged(check, source, bed) for check, source in CHECKS]

    @asynccontextmanager
    async def _bed(self, ask: Ask) -> AsyncIterator[Bed]:
        url = f"{_PREFIX}{self._entropy(8).hex()}{_SUFFIX}"
        # Shielded, so that whoever is stopped meanwhile still learns what was announced, and removes it.
        announcing = asyncio.ensure_future(self._portals.announce(url, window_s=WINDOW_S))
        try:
            yield await self._make(ask, await asyncio.shield(announcing))
        finally:
            await self._portals.remove(await announcing)

    async def _make(self, ask: Ask, portal: Portal) -> Bed:
        """Register the portal and add its applications, over HTTP."""
        registered = await _posted(ask, "/oauth/register/", {"redirect_uri": portal.url, "type": "B"})
        if registered.status != 200:
            raise WrongRelay("The relay that answers there does not use this home.")
        credentials = {name: str(registered.document[name]) for name in ("client_id", "client_secret")}
        appended = {**credentials, "client_redirect_uri": portal.url, "member_id": ""}
        clients = []
        for title in ("selftest", "selftest other", "selftest jwt"):
            fields = {"TITLE": title, "REDIRECT_URI": _REDIRECT_URI, "SCOPE": "crm,user", **appended}
            result = (await _posted(ask, "/rest/application.add", fields)).document["result"]
            clients.append(Client(result["client_id"], result["client_secret"]))
        app, other, jwt_app = clients
        stored = (await self._store.directory()).app(portal.id, jwt_app.client_id)
        if stored is None:
            raise WrongRelay("The relay that answers there does not use this home.")
        await self._applications.configure(stored, token_format=JWT_FORMAT)
        return Bed(
            ask=ask,
            store=self._store,
            clock=self._clock,
            entropy=self._entropy,
            issuer=self._issuer,
            portal_id=portal.id,
            portal=appended,
            app=app,
            other=other,
            jwt_app=jwt_app,
            redirect_uri=_REDIRECT_URI,
        )

    async def _remove_leftovers(self) -> None:
        """Portals of runs that were killed; one that may still be running is let be."""
        now = self._clock.now_ms() // 1000
        for portal in (await self._store.directory()).portals.values():
            is_ours = portal.url.startswith(_PREFIX) and portal.url.endswith(_SUFFIX)
            if is_ours and portal.window_until <= now:
                await self._portals.remove(portal)


async def judged(check: Callable[[Bed], Awaitable[None]], source: str, bed: Bed) -> Finding:
    """What one check comes to."""
    try:
        await check(bed)
    except Refuted as error:
        return Finding(check.__name__, source, False, error.expected, error.found)
    except (LookupError, TypeError, ValueError, PyJWTError) as error:  # an answer of quite another shape
        return Finding(check.__name__, source, False, "-", type(error).__name__)
    return Finding(check.__name__, source, passed=True)


async def _posted(ask: Ask, path: str, fields: dict[str, str]) -> Reply:
    return await ask("POST", path, body=urlencode(fields).encode(), headers=FORM)
