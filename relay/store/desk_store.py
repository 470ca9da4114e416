"""What people see of deliveries and do with them: lists, retry, skip, drop, erase.

Leans on `Database` and on lanes. Only what is here ever makes a delivery `dropped`, and it is always recorded. Work on
many deliveries goes in small transactions, so that delivery goes on beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, and_, func, select, update

from relay.core.errors import NotFound, Unavailable
from relay.core.model import DeliveryState, Handler
from relay.records import HandlerRow, Tally, retried
from relay.store import schema as s
from relay.store.delivery_filter import JOINED, matching
from relay.store.delivery_rows import attempt_of, listed
from relay.store.delivery_store import due_again
from relay.store.lanes import promote_lanes
from relay.store.locks import EVERYTHING
from relay.store.rows import add_audit

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import ColumnElement

    from relay.records import AttemptRow, AuditEntry, DeliveryFilter, DeliveryRow
    from relay.store.database import Database

_D = s.deliveries.c
_ROWS = select(s.deliveries, s.handlers.c.client_id, s.handlers.c.url).select_from(JOINED)
_WAITING = ("accepted", "due", "held")
_HAS_PAYLOAD = (
    select(s.payloads.c.delivery_id)
    .where(s.payloads.c.delivery_id == _D.id, func.length(s.payloads.c.form) > 0)
    .correlate(s.deliveries)
    .exists()
)
CHUNK = 500
ERASED = "erased"


class SqlDeskStore:
    """The part of the DeliveryDesk port that looks and decides."""

    _database: Database

    async def find(self, wanted: DeliveryFilter, limit: int) -> list[DeliveryRow]:
        """The newest deliveries first."""
        query = _ROWS.where(matching(wanted)).order_by(_D.id.desc()).limit(limit)
        return await self._database.read(lambda c: [listed(row) for row in c.execute(query)])

    async def show(self, event_id: str) -> tuple[DeliveryRow, list[AttemptRow]] | None:
        """One delivery with its tries."""

        def unit(connection: Connection) -> tuple[DeliveryRow, list[AttemptRow]] | None:
            row = connection.execute(_ROWS.where(_D.event_id == event_id)).one_or_none()
            if row is None:
                return None
            tries = connection.execute(
                select(s.attempts).where(s.attempts.c.delivery_id == row.id).order_by(s.attempts.c.number)
            )
            return listed(row), [attempt_of(one) for one in tries]

        return await self._database.read(unit)

    async def count(self, wanted: DeliveryFilter) -> int:
        """How many there are."""
        query = select(func.count()).select_from(JOINED).where(matching(wanted))
        return await self._database.read(lambda c: int(c.execute(query).scalar_one()))

    async def tally(self, wanted: DeliveryFilter) -> list[Tally]:
        """How many there are, by state and handler."""
        url = s.handlers.c.url
        query = (
            select(_D.state, url, func.count())
            .select_from(JOINED)
            .where(matching(wanted))
            .group_by(_D.state, url)
            .order_by(_D.state, url)
        )
        return await self._database.read(
            lambda c: [Tally(DeliveryState(state), handler, int(count)) for state, handler, count in c.execute(query)]
        )

    async def done_since(self, since_ms: int) -> dict[int, int]:
        """How many deliveries of each handler were done since then, by the index of what is over."""
        query = (
            select(_D.handler_id, func.count())
            .where(_D.finished_at_ms >= since_ms, _D.state == "done", _D.collapsed_into.is_(None))
            .group_by(_D.handler_id)
        )
        return await self._database.read(lambda c: {handler: int(count) for handler, count in c.execute(query)})

    async def counts(self) -> dict[str, int]:
        """How many deliveries are in each state, from the kept counts."""
        counted = s.delivery_counts.c
        query = select(counted.state, func.sum(counted.count)).group_by(counted.state)

        def unit(connection: Connection) -> dict[str, int]:
            found = {state: int(count) for state, count in connection.execute(query)}
            return {str(state): found.get(str(state), 0) for state in DeliveryState}

        return await self._database.read(unit)

    async def list_handlers(self) -> list[HandlerRow]:
        """Every handler with its counts and the age of its first delivery that is due."""
        counted = s.delivery_counts.c
        counts_query = select(counted.handler_id, counted.state, func.sum(counted.count)).group_by(
            counted.handler_id, counted.state
        )
        oldest = (
            select(_D.accepted_at_ms)
            .where(_D.handler_id == s.handlers.c.id, _D.state == "due")
            .order_by(_D.due_at_ms, _D.id)
            .limit(1)
            .correlate(s.handlers)
            .scalar_subquery()
        )
        handlers_query = select(s.handlers, oldest.label("oldest")).order_by(s.handlers.c.id)

        def unit(connection: Connection) -> list[HandlerRow]:
            counts: dict[int, dict[str, int]] = {}
            for handler_id, state, count in connection.execute(counts_query):
                counts.setdefault(handler_id, {})[state] = int(count)
            return [
                HandlerRow(
                    Handler(row.id, row.portal_id, row.client_id, row.url, row.paused),
                    {str(state): counts.get(row.id, {}).get(str(state), 0) for state in DeliveryState},
                    row.oldest,
                )
                for row in connection.execute(handlers_query)
            ]

        return await self._database.read(unit)

    async def pause_handler(self, handler_id: int, *, paused: bool) -> None:
        """Let a handler's events wait, or go on. Raises NotFound."""

        def unit(connection: Connection) -> None:
            changed = connection.execute(update(s.handlers).where(s.handlers.c.id == handler_id).values(paused=paused))
            if not changed.rowcount:
                raise NotFound(f"There is no handler {handler_id}.")

        await self._database.write(unit)

    async def retry(self, wanted: DeliveryFilter, now_ms: int) -> int:
        """Make matching due or held deliveries due now, with a new retry budget; how many."""
        chosen = matching(retried(wanted))

        def change(connection: Connection, ids: list[int]) -> None:
            connection.execute(
                update(s.deliveries).where(_D.id.in_(ids), _D.state.in_(("due", "held"))).values(**due_again(now_ms))
            )

        return await self._in_chunks(chosen, change)

    async def skip(self, event_id: str, entry: AuditEntry) -> bool:
        """Hold a lane's head aside, so that the lane goes on without it; False if it is no waiting head."""

        def unit(connection: Connection) -> bool:
            row = connection.execute(
                select(_D.id, _D.lane)
                .where(_D.event_id == event_id, _D.blocks, _D.state.in_(("due", "held")))
                .with_for_update()
            ).one_or_none()
            if row is None or row.lane is None:
                return False
            connection.execute(
                update(s.deliveries)
                .where(_D.id == row.id, _D.state.in_(("due", "held")))
                .values(state="held", hold_reason="skipped", blocks=False)
            )
            promote_lanes(connection, [row.lane])
            add_audit(connection, entry)
            return True

        return await self._database.write(unit, locks=[EVERYTHING])

    async def drop(self, wanted: DeliveryFilter, reason: str, now_ms: int, entry: AuditEntry) -> int:
        """Give up matching deliveries that are not over, by a person's decision; how many."""
        chosen = and_(matching(wanted), _D.state.in_(_WAITING))

        def change(connection: Connection, ids: list[int]) -> None:
            give_up(connection, ids, reason, now_ms)

        dropped = await self._in_chunks(chosen, change)
        if dropped:
            await self._database.write(lambda c: add_audit(c, entry))
        return dropped

    async def erase(self, entity: str, now_ms: int, entry: AuditEntry) -> int:
        """Overwrite the payloads of an entity everywhere; those still waiting are dropped; how many.

        Raises Unavailable if what was overwritten could not be taken out of SQLite's log.
        """
        chosen = and_(_D.entity == entity, _HAS_PAYLOAD, _D.state != "leased")

        def change(connection: Connection, ids: list[int]) -> None:
            nothing = {"form": b"", "sealed": False, "auth_sealed": b""}
            connection.execute(update(s.payloads).where(s.payloads.c.delivery_id.in_(ids)).values(**nothing))
            waiting = connection.execute(select(_D.id).where(_D.id.in_(ids), _D.state.in_(_WAITING))).scalars()
            give_up(connection, list(waiting), ERASED, now_ms)

        erased = await self._in_chunks(chosen, change)
        await self._database.write(lambda c: add_audit(c, entry))
        await self._database.write_alone(_truncate_log)
        return erased

    async def unerased(self, entity: str) -> int:
        """How many payloads of an entity are still there."""
        query = select(func.count()).select_from(s.deliveries).where(_D.entity == entity, _HAS_PAYLOAD)
        return await self._database.read(lambda c: int(c.execute(query).scalar_one()))

    async def _in_chunks(self, chosen: ColumnElement[bool], change: Callable[[Connection, list[int]], None]) -> int:
        """Apply a change to the chosen deliveries by id, some hundred a transaction; how many."""
        page = select(_D.id).select_from(JOINED).order_by(_D.id).limit(CHUNK).with_for_update(of=s.deliveries)
        done, last = 0, 0
        while True:
            after = last

            def unit(connection: Connection, after: int = after) -> list[int]:
                ids = list(connection.execute(page.where(chosen, _D.id > after)).scalars())
                if ids:
                    change(connection, ids)
                return ids

            ids = await self._database.write(unit, locks=[EVERYTHING])
            if not ids:
                return done
            done, last = done + len(ids), ids[-1]


def give_up(connection: Connection, ids: list[int], reason: str, now_ms: int) -> None:
    """Make waiting deliveries dropped, and let their lanes go on."""
    if not ids:
        return
    lanes = list(connection.execute(select(_D.lane).where(_D.id.in_(ids), _D.lane.isnot(None)).distinct()).scalars())
    connection.execute(
        update(s.deliveries)
        .where(_D.id.in_(ids), _D.state.in_(_WAITING))
        .values(state="dropped", blocks=False, hold_reason=None, last_error=reason[:200], finished_at_ms=now_ms)
    )
    promote_lanes(connection, [lane for lane in lanes if lane is not None])


def _truncate_log(connection: Any) -> None:
    """Leave no former content in SQLite's write-ahead log. Raises Unavailable while someone reads what is in it."""
    if connection.dialect.name == "sqlite":
        busy, _, _ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
        if busy:
            raise Unavailable("Another program reads the database at length and keeps its log: run this again.")
