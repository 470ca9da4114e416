"""Values to be stored, each with any field changed: portals, applications, grants, codes, deliveries, ends of tries.

Leans on the ports' own values. Must never make two that collide unless a test says so.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from relay.app.portals import SEALING_KEY
from relay.core.model import Delivery, DeliveryState, EventItem, Outcome, Revocation, Verdict
from relay.core.tokens import AccessToken, StoredParameters
from relay.core.vault import hash_token
from relay.records import AuditEntry, DeliveryFilter, Finished, NewApp, NewDelivery, NewGrant, NewPortal, Rotation
from tests.factories import APP_CLIENT, NOW, NOW_MS, VAULT, code, item

if TYPE_CHECKING:
    from relay.core.model import AuthorizationCode, RefreshToken
    from relay.store.sql_store import SqlStore

ME, OTHER = "me", "another"
FOR_EVER_MS = NOW_MS + 10**9
PROBE_MS = 600_000
EVERYTHING = DeliveryFilter()
_counter = itertools.count(1)


def new_portal(**changes: Any) -> NewPortal:
    """An announced portal."""
    key = VAULT.seal(SEALING_KEY, bytes(range(32)), bytes(12))
    return replace(NewPortal("http://portal.test", None, NOW + 60, (), key), **changes)


def new_app(portal_id: int = 1, **changes: Any) -> NewApp:
    """A local application."""
    made = NewApp(portal_id, APP_CLIENT, b"hash", "Title", "http://app.test/cb", "crm,user", "L", installed=True)
    return replace(made, **changes)


async def with_app(store: SqlStore, **changes: Any) -> int:
    """Store a portal and an application; the application's number."""
    portal_id = await store.announce_portal(new_portal(), NOW)
    return await store.add_app(new_app(portal_id, **changes), NOW)


def entry(kind: str = "test", at: int = NOW, **changes: Any) -> AuditEntry:
    """An audit entry."""
    return replace(AuditEntry(kind, at), **changes)


def of_app(number: int, portal_id: int = 1) -> Revocation:
    """Everything of an application."""
    return Revocation(portal_id, NOW + 3600, number)


def access_token(app_number: int, stored: StoredParameters | None = None) -> AccessToken:
    """An access token that nobody ever sealed; the store does not look at its text."""
    return AccessToken("a" * 70, NOW + 3600, app_number, next(_counter), stored)


def new_grant(app_number: int, refresh: str, **changes: Any) -> NewGrant:
    """A grant for user 67 with that first refresh token."""
    made = NewGrant(app_number, 67, None, None, hash_token(refresh), NOW + 86400, access_token(app_number))
    return replace(made, **changes)


def new_code(app_number: int, text: str, **changes: Any) -> AuthorizationCode:
    """A code for user 67."""
    return code(text, app_number=app_number, **changes)


async def find_refresh(store: SqlStore, text: str) -> RefreshToken:
    """The refresh token, which must be there."""
    found = await store.find_refresh(hash_token(text))
    assert found is not None
    return found


def rotation(old: RefreshToken, successor: str) -> Rotation:
    """The swap of `old` for a refresh token of that text; sealed as `sealed SUCCESSOR`."""
    sealed = f"sealed {successor}".encode()
    return Rotation(old, sealed, hash_token(successor), NOW + 86400, access_token(old.grant.app_number))


def new_delivery(event_id: str = "", *, portal_id: int = 1, lane: int | None = None, **changes: Any) -> NewDelivery:
    """An accepted event; changes are those of its item."""
    of: EventItem = item(**changes)
    return NewDelivery(
        event_id=event_id or f"{next(_counter):032x}",
        portal_id=portal_id,
        item=of,
        form=of.form.encode(),
        form_is_sealed=False,
        auth_sealed=b"sealed auth",
        lane=lane,
        collapse=False,
    )


def ended(
    delivery: Delivery,
    state: DeliveryState = DeliveryState.DONE,
    *,
    verdict: Verdict = Verdict.DELIVERED,
    due_at_ms: int = NOW_MS,
    status: int | None = 200,
    error: str | None = None,
    hold_reason: str | None = None,
) -> Finished:
    """How a try of the delivery ended."""
    outcome = Outcome(verdict, status, error, NOW_MS, 12)
    blocks = state is not DeliveryState.DONE
    return Finished(delivery.id, delivery.attempt, state, due_at_ms, outcome, hold_reason, delivery.lane, blocks)


async def claim(
    store: SqlStore, most: int = 100, *, now_ms: int = NOW_MS, owner: str = ME, lease_s: float = 60
) -> list[Delivery]:
    """Claim up to `most` of every handler that has due work."""
    wanted = {handler.id: most for handler, due_ms in await store.next_due() if due_ms <= now_ms}
    if not wanted:
        return []
    until_ms = now_ms + round(lease_s * 1000)
    leased = await store.claim(wanted, now_ms=now_ms, lease_until_ms=until_ms, owner=owner)
    return [one.delivery for one in leased]


async def states(store: SqlStore) -> dict[str, int]:
    """How many deliveries are in each state, zeros left out."""
    return {state: count for state, count in (await store.counts()).items() if count}
