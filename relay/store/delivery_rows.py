"""Deliveries, payloads and tries as rows, and back.

Leans on the schema's column names. Pure translation: no decision, no statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.core.model import Delivery, DeliveryState, EventItem, Outcome, Verdict
from relay.records import AttemptRow, DeliveryRow, Leased

if TYPE_CHECKING:
    from sqlalchemy import Row

    from relay.records import Finished, NewDelivery

_OVER = {DeliveryState.DONE, DeliveryState.DROPPED}


def new_values(new: NewDelivery, handler_id: int, now_ms: int) -> dict[str, Any]:
    """The row of an accepted item, but for its state, which depends on its lane."""
    return {
        "event_id": new.event_id,
        "portal_id": new.portal_id,
        "handler_id": handler_id,
        "event": new.item.event,
        "category": new.item.category,
        "entity": new.item.entity,
        "item_id": new.item.item_id,
        "lane": new.lane,
        "in_lane": new.lane,
        "blocks": True,
        "replay": False,
        "attempts": 0,
        "retry_base": 0,
        "accepted_at_ms": now_ms,
        "due_at_ms": now_ms,
    }


def payload_values(new: NewDelivery) -> dict[str, Any]:
    """The row of its payload, for the delivery of that event id."""
    item = new.item
    return {
        "of_event": new.event_id,
        "form": new.form,
        "sealed": new.form_is_sealed,
        "auth_sealed": new.auth_sealed,
        "has_ts": item.has_ts,
        "send_auth": item.send_auth,
        "send_refresh_token": item.send_refresh_token,
        "auth_given": item.auth_given,
    }


def leased_of(row: Row[Any], now_ms: int) -> Leased:
    """A delivery as it was read just before its lease, with its payload as it is stored."""
    attempt = row.attempts + 1
    item = EventItem(
        client_id=row.client_id,
        handler_url=row.url,
        event=row.event,
        form="",
        has_ts=row.has_ts,
        auth={},
        send_auth=row.send_auth,
        send_refresh_token=row.send_refresh_token,
        category=row.category,
        entity=row.entity,
        item_id=row.item_id,
        auth_given=row.auth_given,
    )
    delivery = Delivery(
        id=row.id,
        event_id=row.event_id,
        portal_id=row.portal_id,
        handler_id=row.handler_id,
        item=item,
        attempt=attempt,
        retry_number=attempt - row.retry_base,
        tries_since_ms=now_ms if row.tries_since_ms is None else row.tries_since_ms,
        lane=row.lane,
        replay=row.replay,
        was_held=row.hold_reason is not None,
    )
    return Leased(delivery, bytes(row.form), row.sealed, bytes(row.auth_sealed))


def finished_values(result: Finished, owner: str) -> dict[str, Any]:
    """The parameters of the statement that ends a try."""
    outcome = result.outcome
    ended_ms = outcome.started_at_ms + outcome.duration_ms
    return {
        "delivery": result.delivery_id,
        "attempt": result.attempt,
        "owner": owner,
        "new_state": str(result.state),
        "still_blocks": result.blocks,
        "reason": result.hold_reason,
        "due": result.due_at_ms,
        "finished": ended_ms if result.state in _OVER else None,
        "status": outcome.status,
        "error": outcome.error,
    }


def attempt_values(result: Finished) -> dict[str, Any]:
    """The row of a try."""
    outcome = result.outcome
    return {
        "delivery_id": result.delivery_id,
        "number": result.attempt,
        "started_at_ms": outcome.started_at_ms,
        "duration_ms": outcome.duration_ms,
        "verdict": str(outcome.verdict),
        "status": outcome.status,
        "error": outcome.error,
    }


def attempt_of(row: Row[Any]) -> AttemptRow:
    """A recorded try."""
    outcome = Outcome(Verdict(row.verdict), row.status, row.error, row.started_at_ms, row.duration_ms)
    return AttemptRow(row.number, outcome)


def listed(row: Row[Any]) -> DeliveryRow:
    """A delivery as a list shows it."""
    return DeliveryRow(
        id=row.id,
        event_id=row.event_id,
        portal_id=row.portal_id,
        client_id=row.client_id,
        event=row.event,
        entity=row.entity,
        handler_url=row.url,
        state=DeliveryState(row.state),
        hold_reason=row.hold_reason,
        attempts=row.attempts,
        accepted_at_ms=row.accepted_at_ms,
        due_at_ms=row.due_at_ms,
        finished_at_ms=row.finished_at_ms,
        last_status=row.last_status,
        last_error=row.last_error,
        collapsed_into=row.collapsed_into,
        replay=row.replay,
    )
