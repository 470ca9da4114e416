"""What goes over the ports: the rows that are written, found and listed, and the message that is sent.

Leans on the core's values. Must never hold more than it was given: no connection, no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from relay.core.errors import InvalidRequest
from relay.core.model import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.model import (
        Delivery,
        EventItem,
        Handler,
        Outcome,
        RefreshToken,
    )
    from relay.core.tokens import AccessToken


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One security event. details holds no secret, token or payload."""

    kind: str
    at: int
    portal_id: int | None = None
    app_number: int | None = None
    details: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class NewGrant:
    """A grant to be opened with its first pair of tokens."""

    app_number: int
    user_id: int
    scope: str | None
    tz_offset: str | None
    refresh_hash: bytes
    refresh_expires: int
    access: AccessToken


@dataclass(frozen=True, slots=True)
class Rotation:
    """The swap of one refresh token for its successor."""

    old: RefreshToken
    successor_sealed: bytes
    refresh_hash: bytes
    refresh_expires: int
    access: AccessToken


@dataclass(frozen=True, slots=True)
class NewPortal:
    """A portal to be announced. key_sealed: its first sealing key, sealed."""

    url: str
    licence_md5: str | None
    window_until: int
    allow: tuple[str, ...]
    key_sealed: bytes


@dataclass(frozen=True, slots=True)
class NewApp:
    """An application to be stored."""

    portal_id: int
    client_id: str
    secret_hash: bytes
    title: str
    redirect_uri: str
    scope: str
    status: str
    installed: bool
    version: int = 1


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """An accepted item to be stored.

    form: its QUERY_DATA, sealed if form_is_sealed. auth_sealed: its auth block, sealed. lane: see core/lanes.py.
    """

    event_id: str
    portal_id: int
    item: EventItem
    form: bytes
    form_is_sealed: bool
    auth_sealed: bytes
    lane: int | None
    collapse: bool


@dataclass(frozen=True, slots=True)
class Leased:
    """A claimed delivery with its payload as it is stored; the item's own form and auth are empty."""

    delivery: Delivery
    form: bytes
    form_is_sealed: bool
    auth_sealed: bytes


@dataclass(frozen=True, slots=True)
class Finished:
    """How a try ended: the state to store, when it is due again, and whether its lane goes on waiting for it."""

    delivery_id: int
    attempt: int
    state: DeliveryState
    due_at_ms: int
    outcome: Outcome
    hold_reason: str | None = None
    lane: int | None = None
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries a person means. Times are unix milliseconds; empty means any. handler: part of its URL.

    entity: e.g. `crm.contact:123`.
    """

    states: tuple[DeliveryState, ...] = ()
    event_id: str = ""
    handler: str = ""
    event: str = ""
    portal_id: int | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    entity: str = ""


RETRIED_STATES = (DeliveryState.DUE, DeliveryState.HELD)
REPLAYED_STATES = (DeliveryState.DONE, DeliveryState.HELD, DeliveryState.DROPPED)
DROPPED_STATES = (DeliveryState.ACCEPTED, DeliveryState.DUE, DeliveryState.HELD)


def retried(wanted: DeliveryFilter) -> DeliveryFilter:
    """What `retry` takes of a filter: deliveries that are due or held. Raises InvalidRequest for other states."""
    narrowed = _narrowed(wanted, RETRIED_STATES)
    if narrowed is None:
        raise InvalidRequest("Only events that are due or held can be tried again; replay those that are over.")
    return narrowed


def replayed(wanted: DeliveryFilter) -> DeliveryFilter:
    """What a replay takes of a filter: deliveries that are over or held. Raises InvalidRequest for other states."""
    narrowed = _narrowed(wanted, REPLAYED_STATES)
    if narrowed is None:
        raise InvalidRequest("Only events that are done, held or dropped can be replayed; the others are under way.")
    return narrowed


def dropped(wanted: DeliveryFilter) -> DeliveryFilter:
    """What `drop` takes of a filter: deliveries that wait or are held. Raises InvalidRequest for other states."""
    narrowed = _narrowed(wanted, DROPPED_STATES)
    if narrowed is None:
        raise InvalidRequest("Only events that are accepted, due or held can be dropped.")
    return narrowed


def _narrowed(wanted: DeliveryFilter, states: tuple[DeliveryState, ...]) -> DeliveryFilter | None:
    kept = tuple(state for state in wanted.states or states if state in states)
    return replace(wanted, states=kept) if kept else None


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as a list shows it; no payload."""

    id: int
    event_id: str
    portal_id: int
    client_id: str
    event: str
    entity: str | None
    handler_url: str
    state: DeliveryState
    hold_reason: str | None
    attempts: int
    accepted_at_ms: int
    due_at_ms: int
    finished_at_ms: int | None
    last_status: int | None
    last_error: str | None
    collapsed_into: str | None
    replay: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """How many deliveries of one handler are in one state."""

    state: DeliveryState
    handler_url: str
    count: int


@dataclass(frozen=True, slots=True)
class HandlerRow:
    """A handler as a list shows it. counts: deliveries by state; oldest_due_at_ms: of those that wait."""

    handler: Handler
    counts: Mapping[str, int]
    oldest_accepted_at_ms: int | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One try of a delivery."""

    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Message:
    """One call of a handler. headers: beside those of HTTP itself."""

    portal_id: int
    url: str
    body: bytes
    headers: Mapping[str, str]
