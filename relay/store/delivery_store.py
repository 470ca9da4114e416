"""Deliveries on their way: accepted, claimed, finished, in SQL.

Leans on `Database`, `lanes.py` and `delivery_rows.py`. A delivery's state, lease, next try and the record of the try
change in one transaction. A lease is given and taken only by an update that names the state, owner and try it expects.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    literal_column,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from relay.core.model import DeliveryState, Handler
from relay.store import schema as s
from relay.store.delivery_rows import attempt_values, finished_values, leased_of, new_values, payload_values
from relay.store.handler_rows import find_or_store, handler_of
from relay.store.lanes import collapse_waiting, first_state, lanes_with_next, promote_lanes
from relay.store.locks import item_lock
from relay.store.rows import set_meta

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Row

    from relay.records import Finished, Leased, NewDelivery
    from relay.store.database import Database
    from relay.store.handler_rows import HandlerKey

_D = s.deliveries.c
_MAX_RELEASED = 1000
BUDGET = "budget"
CLOCK = "clock"

_INSERT_DELIVERY = insert(s.deliveries).inline().values(state=first_state(bindparam("in_lane")))
# The payload finds its delivery by the event id, which costs less than asking for each new id (RETURNING).
_INSERT_PAYLOAD = (
    insert(s.payloads)
    .inline()
    .values(delivery_id=select(_D.id).where(_D.event_id == bindparam("of_event")).scalar_subquery())
)
_H = s.handlers.c
# States are written out, not bound: for a bound one SQLite prepares the statement anew at each execution, to see
# whether a partial index fits.
_IS_DUE = _D.state == literal_column("'due'")
_IS_LEASED = _D.state == literal_column("'leased'")


def _due_of(number: int) -> list[Select[tuple[int]]]:
    """The deliveries to claim of the handler in one place of `_CLAIMABLE`: some of the oldest, some of the newest."""
    due = select(_D.id).where(
        _D.handler_id == bindparam(f"handler_{number}"), _IS_DUE, _D.due_at_ms <= bindparam("now_ms")
    )
    oldest = due.order_by(_D.due_at_ms, _D.id).limit(bindparam(f"oldest_{number}"))
    newest = due.order_by(_D.due_at_ms.desc(), _D.id.desc()).limit(bindparam(f"newest_{number}"))
    return [select(some.with_for_update(skip_locked=True).subquery().c.id) for some in (oldest, newest)]


_A = s.apps.c
_SWITCHED_OFF = select(_A.number).where(
    _A.portal_id == _H.portal_id, _A.client_id == _H.client_id, _A.deleted_at.is_(None), ~_A.active
)
# What was due before somebody paused the handler, or switched its application off, waits as well.
_MAY_BE_CALLED = and_(~_H.paused, ~_SWITCHED_OFF.correlate(s.handlers).exists())
_HANDLERS_A_CLAIM = 8
_CLAIMABLE = (
    select(s.deliveries, _H.client_id, _H.url, *(column for column in s.payloads.c if column.name != "delivery_id"))
    .join(s.payloads, s.payloads.c.delivery_id == _D.id)
    .join(s.handlers, _H.id == _D.handler_id)
    .where(_D.id.in_(union_all(*chain.from_iterable(map(_due_of, range(_HANDLERS_A_CLAIM))))), _MAY_BE_CALLED)
    .order_by(_D.id)
)
_LEASE = (
    update(s.deliveries)
    .where(_D.id == bindparam("delivery"))
    .values(
        state="leased",
        attempts=_D.attempts + 1,
        lease_until_ms=bindparam("until_ms"),
        lease_owner=bindparam("owner"),
        tries_since_ms=func.coalesce(_D.tries_since_ms, bindparam("now_ms")),
    )
)
_FINISH = (
    update(s.deliveries)
    .where(
        _D.id == bindparam("delivery"),
        _IS_LEASED,
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
# A try that was recorded already (by a hand that lost its lease) keeps its first record.
_INSERT_TRY = {
    "sqlite": insert(s.attempts).prefix_with("OR IGNORE"),
    "postgresql": postgres_insert(s.attempts).on_conflict_do_nothing(),
}


class SqlDeliveryStore:
    """The DeliveryStore port."""

    _database: Database

    async def accept(self, deliveries: Sequence[NewDelivery], now_ms: int) -> list[Handler]:
        """Store a batch, all or nothing; the handlers it is for. An item id known already is passed over."""

        lanes = {new.lane for new in deliveries if new.lane is not None}
        items = {item_lock(new.portal_id, new.item.item_id) for new in deliveries if new.item.item_id}
        return await self._database.write_jointly(_accept, (deliveries, now_ms), locks=lanes | items)

    async def claim(self, wanted: Mapping[int, int], *, now_ms: int, lease_until_ms: int, owner: str) -> list[Leased]:
        """Lease due deliveries: mostly the oldest, with a backlog some of the newest too, so that none starves.

        Each comes with its payload as it is stored.
        """

        def unit(connection: Connection) -> list[Leased]:
            handlers = list(wanted.items())
            rows: list[Row[Any]] = []
            for first in range(0, len(handlers), _HANDLERS_A_CLAIM):
                places = _claim_values(handlers[first : first + _HANDLERS_A_CLAIM], now_ms)
                rows += connection.execute(_CLAIMABLE, places)
            if rows:
                lease = {"until_ms": lease_until_ms, "owner": owner, "now_ms": now_ms}
                connection.execute(_LEASE, [{"delivery": row.id, **lease} for row in rows])
            return [leased_of(row, now_ms) for row in rows]

        return await self._database.write(unit)

    async def finish(self, results: Sequence[Finished], owner: str) -> None:
        """Store how tries ended; a delivery whose lease was lost meanwhile keeps its newer state."""
        ended = [finished_values(result, owner) for result in results]
        tries = [attempt_values(result) for result in results]
        passed = [result for result in results if result.lane is not None and not result.blocks]

        def unit(connection: Connection) -> None:
            connection.execute(_FINISH, ended)
            connection.execute(_INSERT_TRY[connection.dialect.name], tries)
            if passed:
                promote_lanes(connection, lanes_with_next(connection, [result.delivery_id for result in passed]))

        await self._database.write(unit, locks={result.lane for result in passed if result.lane is not None})

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
                .values(
                    state="due",
                    attempts=_D.attempts - 1,
                    tries_since_ms=case((_D.attempts - 1 > _D.retry_base, _D.tries_since_ms)),
                    lease_owner=None,
                    lease_until_ms=None,
                )
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

    async def find_resting(self, handler_ids: Collection[int]) -> set[int]:
        """Those of the handlers that are paused, or whose application is switched off."""
        query = select(_H.id).where(_H.id.in_(list(handler_ids)), ~_MAY_BE_CALLED)
        return await self._database.read(lambda c: set(c.execute(query).scalars()))

    async def find_handlers(self, ids: Collection[int]) -> list[Handler]:
        """Those of the handlers that are there."""
        query = select(s.handlers).where(_H.id.in_(list(ids)))

        def unit(connection: Connection) -> list[Handler]:
            rows = connection.execute(query)
            return [handler_of(row) for row in rows]

        return await self._database.read(unit)

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
        query = select(s.handlers, first.label("due")).where(_MAY_BE_CALLED)

        def unit(connection: Connection) -> list[tuple[Handler, int]]:
            rows = connection.execute(query)
            return [(handler_of(row), row.due) for row in rows if row.due is not None]

        return await self._database.read(unit)

    async def probe_held(self, now_ms: int, pause_ms: int) -> int:
        """Make one delivery due of each handler that has some held for a used-up budget and is due for a probe."""
        first = (
            select(_D.id)
            .where(
                _D.handler_id == s.handlers.c.id,
                _D.state == "held",
                _D.hold_reason == BUDGET,
                _D.due_at_ms <= now_ms,
            )
            .order_by(_D.due_at_ms)
            .limit(1)
            .correlate(s.handlers)
            .scalar_subquery()
        )
        probes = select(s.handlers.c.id, first.label("delivery_id")).where(s.handlers.c.probe_at_ms <= now_ms)

        def look(connection: Connection) -> dict[int, int]:
            rows = connection.execute(probes)
            return {row.id: row.delivery_id for row in rows if row.delivery_id is not None}

        if not await self._database.read(look):
            return 0

        def unit(connection: Connection) -> int:
            found = look(connection)
            connection.execute(
                update(s.handlers).where(s.handlers.c.id.in_(found)).values(probe_at_ms=now_ms + pause_ms)
            )
            changed = connection.execute(
                update(s.deliveries)
                .where(_D.id.in_(found.values()), _D.state == "held")
                .values(state="due", due_at_ms=now_ms)
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

    async def clock_ms(self) -> int | None:
        """The server's clock; a file has none."""
        if self._database.engine.dialect.name != "postgresql":
            return None
        return await self._database.read_jointly(_server_clock_ms, None)

    async def latest_ms(self) -> int:
        """The time of the newest delivery, or the one that was noted."""
        newest = select(_D.accepted_at_ms).order_by(_D.id.desc()).limit(1)
        noted = select(s.meta.c.value).where(s.meta.c.name == CLOCK)

        def unit(connection: Connection) -> int:
            found = [connection.execute(query).scalar_one_or_none() or 0 for query in (newest, noted)]
            return max(found)

        return await self._database.read(unit)

    async def note_clock(self, now_ms: int) -> None:
        """Note the time."""
        await self._database.write(lambda connection: set_meta(connection, CLOCK, now_ms))


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


def _server_clock_ms(connection: Connection, asked: list[None]) -> list[int]:
    """The same for all who ask at one time."""
    answer = connection.execute(select(func.extract("epoch", func.clock_timestamp()) * 1000))
    return [int(answer.scalar_one())] * len(asked)


def _accept(connection: Connection, calls: list[tuple[Sequence[NewDelivery], int]]) -> list[list[Handler]]:
    """Store the batches of some calls; for each call the handlers of what it brought."""
    known = _known_items(connection, [new for news, _ in calls for new in news])
    fresh = [(_without_known(news, known), now_ms) for news, now_ms in calls]
    every = [(new, now_ms) for news, now_ms in fresh for new in news]
    if not every:
        return [[] for _ in calls]
    handlers = find_or_store(connection, {_handler_key(new) for new, _ in every})
    rows = [new_values(new, handlers[_handler_key(new)].id, now_ms) for new, now_ms in every]
    connection.execute(_INSERT_DELIVERY, rows)
    connection.execute(_INSERT_PAYLOAD, [payload_values(new) for new, _ in every])
    collapse_waiting(connection, [new for new, _ in every], every[-1][1])
    return [list({key: handlers[key] for key in map(_handler_key, news)}.values()) for news, _ in fresh]


def _claim_values(handlers: Sequence[tuple[int, int]], now_ms: int) -> dict[str, int]:
    """The parameters of `_CLAIMABLE`; places that are left over ask for nothing."""
    values = {"now_ms": now_ms}
    for number in range(_HANDLERS_A_CLAIM):
        handler, most = handlers[number] if number < len(handlers) else (0, 0)
        newest = most // 4
        values |= {f"handler_{number}": handler, f"oldest_{number}": most - newest, f"newest_{number}": newest}
    return values


def _known_items(connection: Connection, deliveries: Sequence[NewDelivery]) -> set[tuple[int, str | None]]:
    """The item ids among these that are stored already, with their portals."""
    named = {(new.portal_id, new.item.item_id) for new in deliveries if new.item.item_id}
    known: set[tuple[int, str | None]] = set()
    for portal_id in {portal_id for portal_id, _ in named}:
        ids = [item_id for owner, item_id in named if owner == portal_id]
        query = select(_D.item_id).where(_D.portal_id == portal_id, _D.item_id.in_(ids))
        known |= {(portal_id, item_id) for item_id in connection.execute(query).scalars()}
    return known


def _without_known(deliveries: Sequence[NewDelivery], known: set[tuple[int, str | None]]) -> list[NewDelivery]:
    """Those not stored yet, of two with one item id the first; what is returned is known from then on."""
    fresh = []
    for new in deliveries:
        key = (new.portal_id, new.item.item_id)
        if new.item.item_id is None or key not in known:
            fresh.append(new)
            known.add(key)
    return fresh


def _handler_key(new: NewDelivery) -> HandlerKey:
    return new.portal_id, new.item.client_id, new.item.handler_url
