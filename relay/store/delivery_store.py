"""Deliveries on their way: accepted, claimed, finished, in SQL.

Leans on `Database`, `lanes.py` and `delivery_rows.py`. A delivery's state, lease, next try and the record of the try
change in one transaction. A lease is given and taken only by an update that names the state, owner and try it expects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from relay.core.model import DeliveryState, Handler
from relay.store import schema as s
from relay.store.delivery_rows import attempt_values, finished_values, leased_of, new_values, payload_values
from relay.store.lanes import collapse_waiting, lane_states, lock_lanes, promote_lanes
from relay.store.rows import inserted_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Insert

    from relay.ports import Finished, Leased, NewDelivery
    from relay.store.database import Database

_D = s.deliveries.c
_MAX_RELEASED = 1000
BUDGET = "budget"

_DUE = select(_D.id).where(
    _D.handler_id == bindparam("handler"), _D.state == "due", _D.due_at_ms <= bindparam("now_ms")
)
_OLDEST = _DUE.order_by(_D.due_at_ms, _D.id).limit(bindparam("most")).with_for_update(skip_locked=True)
_NEWEST = _DUE.order_by(_D.due_at_ms.desc(), _D.id.desc()).limit(bindparam("most")).with_for_update(skip_locked=True)
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
    select(
        s.deliveries,
        s.handlers.c.client_id,
        s.handlers.c.url,
        *(column for column in s.payloads.c if column.name != "delivery_id"),
    )
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
        blocks=bindparam("still_blocks"),
        hold_reason=bindparam("reason"),
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

    async def accept(self, deliveries: Sequence[NewDelivery], now_ms: int) -> list[Handler]:
        """Store a batch, all or nothing; the handlers it is for. An item id known already is passed over."""

        def unit(connection: Connection) -> list[Handler]:
            lock_lanes(connection, (new.lane for new in deliveries))
            fresh = _without_known(connection, deliveries)
            if not fresh:
                return []
            handlers = {key: _handler(connection, key) for key in dict.fromkeys(map(_handler_key, fresh))}
            states = lane_states(connection, fresh)
            rows = [
                new_values(new, handlers[_handler_key(new)].id, state, now_ms)
                for new, state in zip(fresh, states, strict=True)
            ]
            returning = insert(s.deliveries).returning(_D.id, sort_by_parameter_order=True)
            ids = connection.execute(returning, rows).scalars().all()
            payloads = [payload_values(id_, new) for id_, new in zip(ids, fresh, strict=True)]
            connection.execute(insert(s.payloads), payloads)
            collapse_waiting(connection, fresh, now_ms)
            return list(handlers.values())

        return await self._database.write(unit)

    async def claim(self, wanted: Mapping[int, int], *, now_ms: int, lease_until_ms: int, owner: str) -> list[Leased]:
        """Lease due deliveries: mostly the oldest, with a backlog some of the newest too, so that none starves.

        Each comes with its payload as it is stored.
        """

        def unit(connection: Connection) -> list[Leased]:
            ids: list[int] = []
            for handler, most in wanted.items():
                ids += _due_ids(connection, handler, most, now_ms)
            if not ids:
                return []
            lease = {"ids": ids, "until_ms": lease_until_ms, "owner": owner, "now_ms": now_ms}
            connection.execute(_LEASE, lease)
            return [leased_of(row) for row in connection.execute(_LEASED, {"ids": ids})]

        return await self._database.write(unit)

    async def finish(self, results: Sequence[Finished], owner: str) -> None:
        """Store how tries ended; a delivery whose lease was lost meanwhile keeps its newer state."""
        ended = [finished_values(result, owner) for result in results]
        tries = [attempt_values(result) for result in results]
        passed = {result.lane for result in results if result.lane is not None and not result.blocks}

        def unit(connection: Connection) -> None:
            lock_lanes(connection, passed)
            connection.execute(_FINISH, ended)
            connection.execute(_insert_tries(connection), tries)
            promote_lanes(connection, passed)

        await self._database.write(unit)

    async def extend_leases(self, ids: Collection[int], *, owner: str, lease_until_ms: int) -> set[int]:
        """Prolong leases; those that are still the owner's."""
        ours = (_D.id.in_(list(ids)), _D.state == "leased", _D.lease_owner == owner)

        def unit(connection: Connection) -> set[int]:
            connection.execute(update(s.deliveries).where(*ours).values(lease_until_ms=lease_until_ms))
            return set(connection.execute(select(_D.id).where(*ours)).scalars())

        return await self._database.write(unit)

    async def give_back(self, ids: Collection[int], *, owner: str) -> None:
        """Make claimed deliveries that were never tried due again, as if they had not been claimed."""

        def unit(connection: Connection) -> None:
            connection.execute(
                update(s.deliveries)
                .where(_D.id.in_(list(ids)), _D.state == "leased", _D.lease_owner == owner)
                .values(state="due", attempts=_D.attempts - 1, lease_owner=None, lease_until_ms=None)
            )

        await self._database.write(unit)

    async def release_leases(self, *, now_ms: int) -> int:
        """Make deliveries whose lease is over due again; how many. They keep their place in the order."""
        over = select(_D.id).where(_D.state == "leased", _D.lease_until_ms <= now_ms).limit(_MAX_RELEASED)
        if not await self._database.read(lambda c: c.execute(over.limit(1)).first()):
            return 0

        def unit(connection: Connection) -> int:
            changed = connection.execute(
                update(s.deliveries)
                .where(_D.id.in_(over.with_for_update(skip_locked=True)), _D.state == "leased")
                .values(state="due", lease_owner=None, lease_until_ms=None)
            )
            return int(changed.rowcount)

        return await self._database.write(unit)

    async def next_due(self) -> list[tuple[Handler, int]]:
        """The handlers with due deliveries, and when the first is due: one index look-up a handler."""
        first = (
            select(_D.due_at_ms)
            .where(_D.handler_id == s.handlers.c.id, _D.state == "due")
            .order_by(_D.due_at_ms)
            .limit(1)
            .correlate(s.handlers)
            .scalar_subquery()
        )
        query = select(s.handlers, first.label("due")).where(~s.handlers.c.paused)

        def unit(connection: Connection) -> list[tuple[Handler, int]]:
            rows = connection.execute(query)
            return [
                (Handler(row.id, row.portal_id, row.client_id, row.url, row.paused), row.due)
                for row in rows
                if row.due is not None
            ]

        return await self._database.read(unit)

    async def probe_held(self, now_ms: int) -> int:
        """Make the oldest delivery due that is held for a used-up budget, one of each handler whose time has come."""
        held = (_D.state == "held", _D.hold_reason == BUDGET)
        oldest = (
            select(func.min(_D.id)).where(*held, _D.due_at_ms <= now_ms).group_by(_D.handler_id).limit(_MAX_RELEASED)
        )
        if not await self._database.read(lambda c: c.execute(oldest.limit(1)).first()):
            return 0

        def unit(connection: Connection) -> int:
            ids = list(connection.execute(oldest).scalars())
            probed = select(_D.handler_id).where(_D.id.in_(ids))
            # The other held ones of the same handlers wait for how this one ends.
            connection.execute(
                update(s.deliveries)
                .where(*held, _D.handler_id.in_(probed), _D.due_at_ms <= now_ms)
                .values(due_at_ms=now_ms + PROBE_PAUSE_MS)
            )
            changed = connection.execute(
                update(s.deliveries).where(_D.id.in_(ids)).values(state="due", due_at_ms=now_ms)
            )
            return int(changed.rowcount)

        return await self._database.write(unit)

    async def release_held(self, handler_id: int, now_ms: int) -> int:
        """A handler is well again: its deliveries held for a used-up budget are due, with a new one; how many."""
        ids = (
            select(_D.id)
            .where(_D.handler_id == handler_id, _D.state == "held", _D.hold_reason == BUDGET)
            .order_by(_D.id)
            .limit(_MAX_RELEASED)
        )

        def unit(connection: Connection) -> int:
            changed = connection.execute(
                update(s.deliveries).where(_D.id.in_(ids.with_for_update(skip_locked=True))).values(**due_again(now_ms))
            )
            return int(changed.rowcount)

        return await self._database.write(unit)

    async def backlog(self) -> int:
        """How many deliveries are not over, from the kept counts."""
        counted = s.delivery_counts.c
        query = select(func.coalesce(func.sum(counted.count), 0)).where(
            counted.state.in_([str(state) for state in DeliveryState if state not in _OVER])
        )
        return await self._database.read(lambda c: int(c.execute(query).scalar_one()))


PROBE_PAUSE_MS = 600_000
_OVER = {DeliveryState.DONE, DeliveryState.DROPPED}


def due_again(now_ms: int) -> dict[str, object]:
    """The columns of a delivery that starts a new retry budget now."""
    return {
        "state": "due",
        "hold_reason": None,
        "due_at_ms": now_ms,
        "retry_base": _D.attempts,
        "tries_since_ms": None,
        "finished_at_ms": None,
    }


def _due_ids(connection: Connection, handler: int, most: int, now_ms: int) -> list[int]:
    newest = most // 4
    query = {"handler": handler, "now_ms": now_ms}
    oldest = list(connection.execute(_OLDEST, {**query, "most": most - newest}).scalars())
    if not newest or len(oldest) < most - newest:
        return oldest
    return list(dict.fromkeys([*oldest, *connection.execute(_NEWEST, {**query, "most": newest}).scalars()]))


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


def _handler_key(new: NewDelivery) -> tuple[int, str, str]:
    return new.portal_id, new.item.client_id, new.item.handler_url


def _handler(connection: Connection, key: tuple[int, str, str]) -> Handler:
    portal_id, client_id, url = key
    h = s.handlers.c
    query = select(h.id, h.paused).where(h.portal_id == portal_id, h.client_id == client_id, h.url == url)
    found = connection.execute(query).one_or_none()
    if found is not None:
        return Handler(found.id, portal_id, client_id, url, found.paused)
    values = {"portal_id": portal_id, "client_id": client_id, "url": url, "paused": False}
    return Handler(inserted_id(connection.execute(insert(s.handlers).values(**values))), portal_id, client_id, url)


def _insert_tries(connection: Connection) -> Insert:
    """A try that was recorded already (by a hand that lost its lease) keeps its first record."""
    if connection.dialect.name == "sqlite":
        return insert(s.attempts).prefix_with("OR IGNORE")
    return postgres_insert(s.attempts).on_conflict_do_nothing()
