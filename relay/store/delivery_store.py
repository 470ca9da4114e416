"""Deliveries, their payloads and tries in SQL.

Leans on `Database`. A delivery's state, lease, next try and the record of the try change in one transaction. A
lease is given and taken only by an update that names the state (and the owner and try) it expects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select, update

from relay.core.model import Delivery, DeliveryState, EventItem, Outcome, Verdict
from relay.ports import AttemptRow, DeliveryRow
from relay.store import schema as s
from relay.store.rows import inserted_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Row

    from relay.ports import DeliveryFilter, Finished, NewDelivery
    from relay.store.database import Database

_D = s.deliveries.c
_MAX_RELEASED = 5000

_CLAIM_IDS = (
    select(_D.id)
    .where(_D.handler_id == bindparam("handler"), _D.state == "due", _D.due_at_ms <= bindparam("now_ms"))
    .order_by(_D.due_at_ms, _D.id)
    .limit(bindparam("most"))
)
_LEASE = (
    update(s.deliveries)
    .where(_D.id.in_(bindparam("ids", expanding=True)))
    .values(
        state="leased",
        attempts=_D.attempts + 1,
        lease_until_ms=bindparam("until_ms"),
        lease_owner=bindparam("owner"),
        tries_since_ms=func.coalesce(_D.tries_since_ms, bindparam("now_ms")),
    )
)
_LEASED = (
    select(s.deliveries, s.payloads, s.handlers.c.url)
    .join(s.payloads, s.payloads.c.delivery_id == _D.id)
    .join(s.handlers, s.handlers.c.id == _D.handler_id)
    .where(_D.id.in_(bindparam("ids", expanding=True)))
    .order_by(_D.id)
)
_FINISH = (
    update(s.deliveries)
    .where(
        _D.id == bindparam("delivery"),
        _D.state == "leased",
        _D.lease_owner == bindparam("owner"),
        _D.attempts == bindparam("attempt"),
    )
    .values(
        state=bindparam("new_state"),
        due_at_ms=bindparam("due"),
        lease_owner=None,
        lease_until_ms=None,
        finished_at_ms=bindparam("finished"),
        last_status=bindparam("status"),
        last_error=bindparam("error"),
    )
)


class SqlDeliveryStore:
    """The DeliveryStore port."""

    _database: Database

    async def accept(self, deliveries: Sequence[NewDelivery], now_ms: int) -> list[int]:
        """Store a batch, all or nothing; the handlers it is for. An item id known already is passed over."""

        def unit(connection: Connection) -> list[int]:
            fresh = _without_known(connection, deliveries)
            handlers = {key: _handler_id(connection, *key) for key in dict.fromkeys(map(_handler_key, fresh))}
            ids = _insert_deliveries(connection, fresh, handlers, now_ms)
            if ids:
                rows = zip(ids, fresh, strict=True)
                connection.execute(insert(s.payloads), [_payload(id_, new) for id_, new in rows])
            return list(handlers.values())

        return await self._database.write(unit)

    async def claim(
        self, wanted: Mapping[int, int], *, now_ms: int, lease_until_ms: int, owner: str
    ) -> list[tuple[Delivery, bytes]]:
        """Lease due deliveries, oldest first; each with its sealed auth block."""

        def unit(connection: Connection) -> list[tuple[Delivery, bytes]]:
            ids: list[int] = []
            for handler, most in wanted.items():
                ids += connection.execute(_CLAIM_IDS, {"handler": handler, "now_ms": now_ms, "most": most}).scalars()
            if not ids:
                return []
            lease = {"ids": ids, "until_ms": lease_until_ms, "owner": owner, "now_ms": now_ms}
            connection.execute(_LEASE, lease)
            return [_delivery(row) for row in connection.execute(_LEASED, {"ids": ids})]

        return await self._database.write(unit)

    async def finish(self, results: Sequence[Finished], owner: str) -> None:
        """Store how tries ended; a delivery whose lease was lost meanwhile keeps its newer state."""
        ended = [_finished_values(result, owner) for result in results]
        tries = [_attempt_values(result) for result in results]

        def unit(connection: Connection) -> None:
            connection.execute(_FINISH, ended)
            connection.execute(insert(s.attempts).prefix_with("OR IGNORE", dialect="sqlite"), tries)

        await self._database.write(unit)

    async def release_leases(self, *, now_ms: int, owner: str | None = None) -> int:
        """Make expired leases due again, or all that `owner` held; how many. They keep their place in the order."""
        over = _D.lease_until_ms <= now_ms if owner is None else _D.lease_owner == owner
        ids = select(_D.id).where(_D.state == "leased", over).limit(_MAX_RELEASED)
        if not await self._database.read(lambda c: c.execute(ids.limit(1)).first()):
            return 0

        def unit(connection: Connection) -> int:
            changed = connection.execute(
                update(s.deliveries)
                .where(_D.id.in_(ids), _D.state == "leased")
                .values(state="due", lease_owner=None, lease_until_ms=None)
            )
            return int(changed.rowcount)

        return await self._database.write(unit)

    async def next_due(self) -> dict[int, int]:
        """For each handler with due deliveries, when its first one is due: one index look-up a handler."""
        first = (
            select(_D.due_at_ms)
            .where(_D.handler_id == s.handlers.c.id, _D.state == "due")
            .order_by(_D.due_at_ms)
            .limit(1)
            .correlate(s.handlers)
            .scalar_subquery()
        )

        def unit(connection: Connection) -> dict[int, int]:
            rows = connection.execute(select(s.handlers.c.id, first.label("due")))
            return {row.id: row.due for row in rows if row.due is not None}

        return await self._database.read(unit)

    async def retry(self, wanted: DeliveryFilter, now_ms: int, *, dry_run: bool = False) -> int:
        """Make matching due or held deliveries due now, with a new retry budget; how many."""
        matching = and_(_matching(wanted), _D.state.in_(("due", "held")))
        if dry_run:
            count = select(func.count()).select_from(_JOINED).where(matching)
            return await self._database.read(lambda c: int(c.execute(count).scalar_one()))
        ids = select(_D.id).select_from(_JOINED).where(matching)

        def unit(connection: Connection) -> int:
            changed = connection.execute(
                update(s.deliveries)
                .where(_D.id.in_(ids))
                .values(state="due", due_at_ms=now_ms, retry_base=_D.attempts, tries_since_ms=None)
            )
            return int(changed.rowcount)

        return await self._database.write(unit)

    async def find(self, wanted: DeliveryFilter, limit: int) -> list[DeliveryRow]:
        """The newest deliveries first."""
        query = _ROWS.where(_matching(wanted)).order_by(_D.id.desc()).limit(limit)
        return await self._database.read(lambda c: [_row(row) for row in c.execute(query)])

    async def show(self, event_id: str) -> tuple[DeliveryRow, list[AttemptRow]] | None:
        """One delivery with its tries."""

        def unit(connection: Connection) -> tuple[DeliveryRow, list[AttemptRow]] | None:
            row = connection.execute(_ROWS.where(_D.event_id == event_id)).one_or_none()
            if row is None:
                return None
            tries = connection.execute(
                select(s.attempts).where(s.attempts.c.delivery_id == row.id).order_by(s.attempts.c.number)
            )
            return _row(row), [_attempt(one) for one in tries]

        return await self._database.read(unit)

    async def counts(self) -> dict[str, int]:
        """How many deliveries are in each state."""
        query = select(_D.state, func.count()).group_by(_D.state)

        def unit(connection: Connection) -> dict[str, int]:
            found = {state: int(count) for state, count in connection.execute(query).tuples()}
            return {str(state): found.get(str(state), 0) for state in DeliveryState}

        return await self._database.read(unit)


_JOINED = s.deliveries.join(s.handlers, s.handlers.c.id == _D.handler_id)
_ROWS = select(s.deliveries, s.handlers.c.url).select_from(_JOINED)


def _matching(wanted: DeliveryFilter) -> ColumnElement[bool]:
    terms: list[ColumnElement[bool]] = []
    if wanted.states:
        terms.append(_D.state.in_([str(state) for state in wanted.states]))
    if wanted.event_id:
        terms.append(_D.event_id == wanted.event_id)
    if wanted.handler:
        terms.append(
            or_(s.handlers.c.url == wanted.handler, s.handlers.c.url.contains(wanted.handler, autoescape=True))
        )
    if wanted.event:
        terms.append(func.upper(_D.event) == wanted.event.upper())
    if wanted.portal_id is not None:
        terms.append(_D.portal_id == wanted.portal_id)
    if wanted.since_ms is not None:
        terms.append(_D.accepted_at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        terms.append(_D.accepted_at_ms < wanted.until_ms)
    return and_(*terms) if terms else _D.id.isnot(None)


def _without_known(connection: Connection, deliveries: Sequence[NewDelivery]) -> list[NewDelivery]:
    """Those not stored yet, of two with one item id the first."""
    named = {(new.portal_id, new.item.item_id) for new in deliveries if new.item.item_id}
    known: set[tuple[int, str | None]] = set()
    for portal_id in {portal_id for portal_id, _ in named}:
        ids = [item_id for owner, item_id in named if owner == portal_id]
        query = select(_D.item_id).where(_D.portal_id == portal_id, _D.item_id.in_(ids))
        known |= {(portal_id, item_id) for item_id in connection.execute(query).scalars()}
    fresh = []
    for new in deliveries:
        key = (new.portal_id, new.item.item_id)
        if new.item.item_id is None or key not in known:
            fresh.append(new)
            known.add(key)
    return fresh


def _handler_key(new: NewDelivery) -> tuple[int, str]:
    return new.portal_id, new.item.handler_url


def _handler_id(connection: Connection, portal_id: int, url: str) -> int:
    query = select(s.handlers.c.id).where(s.handlers.c.portal_id == portal_id, s.handlers.c.url == url)
    found = connection.execute(query).scalar_one_or_none()
    if found is not None:
        return int(found)
    result = connection.execute(insert(s.handlers).values(portal_id=portal_id, url=url))
    return inserted_id(result)


def _insert_deliveries(
    connection: Connection, fresh: list[NewDelivery], handlers: Mapping[tuple[int, str], int], now_ms: int
) -> list[int]:
    if not fresh:
        return []
    rows = [
        {
            "event_id": new.event_id,
            "portal_id": new.portal_id,
            "handler_id": handlers[_handler_key(new)],
            "client_id": new.item.client_id,
            "event": new.item.event,
            "category": new.item.category,
            "item_id": new.item.item_id,
            "state": "due",
            "attempts": 0,
            "retry_base": 0,
            "accepted_at_ms": now_ms,
            "due_at_ms": now_ms,
        }
        for new in fresh
    ]
    returning = insert(s.deliveries).returning(_D.id, sort_by_parameter_order=True)
    return list(connection.execute(returning, rows).scalars())


def _payload(delivery_id: int, new: NewDelivery) -> dict[str, Any]:
    item = new.item
    return {
        "delivery_id": delivery_id,
        "form": item.form,
        "auth_sealed": new.auth_sealed,
        "has_ts": item.has_ts,
        "send_auth": item.send_auth,
        "send_refresh_token": item.send_refresh_token,
        "auth_given": item.auth_given,
    }


def _delivery(row: Row[Any]) -> tuple[Delivery, bytes]:
    item = EventItem(
        client_id=row.client_id,
        handler_url=row.url,
        event=row.event,
        form=row.form,
        has_ts=row.has_ts,
        auth={},
        send_auth=row.send_auth,
        send_refresh_token=row.send_refresh_token,
        category=row.category,
        item_id=row.item_id,
        auth_given=row.auth_given,
    )
    delivery = Delivery(
        id=row.id,
        event_id=row.event_id,
        portal_id=row.portal_id,
        handler_id=row.handler_id,
        item=item,
        attempt=row.attempts,
        retry_number=row.attempts - row.retry_base,
        tries_since_ms=row.tries_since_ms,
    )
    return delivery, row.auth_sealed


def _finished_values(result: Finished, owner: str) -> dict[str, Any]:
    outcome = result.outcome
    ended_ms = outcome.started_at_ms + outcome.duration_ms
    return {
        "delivery": result.delivery_id,
        "attempt": result.attempt,
        "owner": owner,
        "new_state": str(result.state),
        "due": result.due_at_ms,
        "finished": ended_ms if result.state is DeliveryState.DONE else None,
        "status": outcome.status,
        "error": outcome.error,
    }


def _attempt_values(result: Finished) -> dict[str, Any]:
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


def _attempt(row: Row[Any]) -> AttemptRow:
    outcome = Outcome(Verdict(row.verdict), row.status, row.error, row.started_at_ms, row.duration_ms)
    return AttemptRow(row.number, outcome)


def _row(row: Row[Any]) -> DeliveryRow:
    return DeliveryRow(
        id=row.id,
        event_id=row.event_id,
        portal_id=row.portal_id,
        client_id=row.client_id,
        event=row.event,
        handler_url=row.url,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        accepted_at_ms=row.accepted_at_ms,
        due_at_ms=row.due_at_ms,
        finished_at_ms=row.finished_at_ms,
        last_status=row.last_status,
        last_error=row.last_error,
    )
