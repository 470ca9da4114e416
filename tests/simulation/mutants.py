"""Bugs made on purpose, each of which the simulation must find: the test of the test.

Leans on subclasses and patches of the engine's parts. A mutant names the promises of which it must break one. Must
never be used by anything but the test of the mutants.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from sqlalchemy import bindparam, select, true, update
from sqlalchemy.sql.visitors import replacement_traverse

from relay.app import handler_pool, intake
from relay.app.attempt import Attempts
from relay.app.dispatch import Dispatcher
from relay.app.intake import Intake
from relay.core import delivery
from relay.core.delivery import EVENT_ID_HEADER
from relay.core.errors import Unavailable
from relay.core.portal_rpc import parse_event_call
from relay.core.retry import next_due_ms
from relay.store import delivery_store, desk_store
from relay.store import schema as s
from relay.store.sql_store import SqlStore
from tests.simulation.world import Parts

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection

    from relay.core.model import Delivery, EventItem, Portal, Replay
    from relay.core.phpform import Form
    from relay.records import Finished, NewDelivery

_D, _R = s.deliveries.c, s.replays.c


@dataclass(frozen=True, slots=True)
class Mutant:
    """One bug. caught_by: the invariants of which it must break one; patches: (object, name, replacement)."""

    name: str
    caught_by: tuple[str, ...]
    parts: Parts = field(default_factory=Parts)
    patches: tuple[tuple[object, str, Any], ...] = ()

    @contextmanager
    def at_work(self) -> Iterator[Parts]:
        """The parts to run histories with, while the patches are in place."""
        with ExitStack() as stack:
            for target, name, replacement in self.patches:
                stack.enter_context(patch.object(target, name, replacement))
            yield self.parts


class AcknowledgesBeforeCommit(Intake):
    """Answers the portal while the store is still being asked."""

    _late: set[asyncio.Task[bool]]

    async def event_call(self, portal: Portal, form: Form) -> bool:
        """True at once."""
        self._late = getattr(self, "_late", set())
        self._late.add(asyncio.create_task(super().event_call(portal, form)))
        return True


class ReleasesLaneEarly(SqlStore):
    """A lane goes on as soon as its head was tried once."""

    async def finish(self, results: Sequence[Finished], owner: str) -> None:
        """Nothing blocks any more."""
        await super().finish([replace(result, blocks=False) for result in results], owner)


class ClaimsTheLeased(SqlStore):
    """Claims whatever is not over, in another's hand or not."""

    async def claim(self, wanted: Any, **how: Any) -> Any:
        """What is leased counts as due."""
        taken = update(s.deliveries).where(_D.handler_id.in_(list(wanted)), _D.state == "leased").values(state="due")
        await self._database.write(lambda connection: connection.execute(taken).rowcount)
        return await super().claim(wanted, **how)


class ReleasesEarly(SqlStore):
    """Takes a lease for over while it still runs."""

    async def release_leases(self, *, now_ms: int) -> int:
        """A few seconds too early."""
        return await super().release_leases(now_ms=now_ms + 5000)


class NeverProbes(SqlStore):
    """What is held for a used-up budget stays held."""

    async def probe_held(self, now_ms: int, pause_ms: int) -> int:
        """Nothing to do."""
        return 0


class ForgetsWhatItGaveBack(SqlStore):
    """What a stopping worker gives back belongs to nobody, and is not due."""

    async def give_back(self, ids: Collection[int], *, owner: str) -> None:
        """The lease ends, the state stays."""
        nobody = update(s.deliveries).where(_D.id.in_(list(ids))).values(lease_owner=None, lease_until_ms=None)
        await self._database.write(lambda connection: connection.execute(nobody).rowcount)


class MovesCursorFirst(SqlStore):
    """A replay's place is stored before what it makes due."""

    async def replay_some(self, now_ms: int, most: int) -> Replay | None:
        """Two commits instead of one."""
        first = select(_R.id, _R.cursor, _R.upto).where(_R.finished_at.is_(None)).order_by(_R.id).limit(1)

        def peek(connection: Connection) -> tuple[int, int] | None:
            row = connection.execute(first).one_or_none()
            over = _D.state.in_(("done", "held", "dropped"))
            page = select(_D.id).where(_D.id > row.cursor, _D.id <= row.upto, over) if row else None
            ids = list(connection.execute(page.order_by(_D.id).limit(most)).scalars()) if page is not None else []
            if row is None or not ids:
                return None
            connection.execute(update(s.replays).where(_R.id == row.id).values(cursor=ids[-1]))
            return row.id, row.cursor

        moved = await self._database.write(peek)
        if moved is not None:
            back = update(s.replays).where(_R.id == moved[0]).values(cursor=moved[1])
            await asyncio.sleep(0.01)
            await self._database.write(lambda connection: connection.execute(back).rowcount)
        return await super().replay_some(now_ms, most)


class LosesOutcomes(Dispatcher):
    """What cannot be stored at once is forgotten."""

    async def _store_ended(self) -> None:
        try:
            await super()._store_ended()
        except Unavailable:
            self._ended.clear()
            raise


class TakesItsOwnAway(Dispatcher):
    """Takes a lease of its own for another's, once its time is over."""

    async def _sweep(self) -> None:
        now_ms = self._clock.now_ms()
        await self._store.release_leases(now_ms=now_ms)
        await self._store.probe_held(now_ms, 40_000)
        for handler, due_ms in await self._store.next_due():
            self._pool.due(handler, due_ms)


class NeverSweeps(Dispatcher):
    """Relies on the bell alone."""

    async def _sweep(self) -> None:
        await asyncio.sleep(0)


class KeepsNoLeases(Dispatcher):
    """No heartbeat, and nothing is given up."""

    async def _prolong(self) -> None:
        await asyncio.sleep(0)

    def _give_up(self, delivery_ids: set[int]) -> None:
        pass

    def _is_late(self, lease: Any) -> bool:
        return False


class HoldsOnTooLong(Dispatcher):
    """A heartbeat that fails has no consequences."""

    def _is_late(self, lease: Any) -> bool:
        return False

    def _is_over(self, lease: Any) -> bool:
        return False


class NewIdEachTry(Attempts):
    """The event id is not the event's but the try's."""

    def _headers(self, delivery: Delivery, *rest: Any) -> dict[str, str]:
        return super()._headers(delivery, *rest) | {EVENT_ID_HEADER: f"{delivery.event_id}.{delivery.attempt}"}


def _without_item_ids(form: Form, most: int) -> list[EventItem]:
    return [replace(item, item_id=None) for item in parse_event_call(form, most)]


def _at_once(*_: Any, now_ms: int, **__: Any) -> int:
    return now_ms


def _without_budget(policy: Any, **how: Any) -> int | None:
    return next_due_ms(replace(policy, budget_s=1e9), **how)


def _collapse_all(connection: Connection, fresh: Sequence[NewDelivery], now_ms: int) -> None:
    """Of a lane's waiting events of one kind the newest is kept, whatever they are about."""
    for new in fresh:
        if new.collapse and new.lane is not None:
            of_lane = (_D.lane == new.lane, _D.state == "accepted", _D.event == new.item.event, _D.attempts == 0)
            over = {"state": "done", "blocks": False, "collapsed_into": new.event_id, "finished_at_ms": now_ms}
            connection.execute(update(s.deliveries).where(*of_lane, _D.event_id != new.event_id).values(**over))


def _drop_counting(raw: sqlite3.Connection) -> None:
    """Changes of state are no longer counted."""
    named = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%AFTER UPDATE%'"
    for (name,) in raw.execute(named).fetchall():
        raw.execute(f"DROP TRIGGER {name}")


def _nothing(*_: Any) -> None:
    pass


_FINISH_ANY = (
    update(s.deliveries)
    .where(_D.id == bindparam("delivery"))
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


def _without_pause(element: object, **_: object) -> ColumnElement[bool] | None:
    return true() if element is delivery_store._MAY_BE_CALLED else None


_CLAIM_PAUSED = replacement_traverse(delivery_store._CLAIMABLE, {}, _without_pause)

MUTANTS = (
    Mutant(
        "finish without a look at the lease",
        ("lease", "legal states"),
        patches=((delivery_store, "_FINISH", _FINISH_ANY),),
    ),
    Mutant("acknowledgement before commit", ("nothing lost",), Parts(intake=AcknowledgesBeforeCommit)),
    Mutant("lane released early", ("lane order",), Parts(store=ReleasesLaneEarly)),
    Mutant("lane never promoted", ("lane head",), patches=((delivery_store, "promote_lanes", _nothing),)),
    Mutant("skipped head, lane not promoted", ("lane head",), patches=((desk_store, "promote_lanes", _nothing),)),
    Mutant("claim without a look at the state", ("lease", "one hand"), Parts(store=ClaimsTheLeased)),
    Mutant("lease released early", ("lease",), Parts(store=ReleasesEarly)),
    Mutant("outcome lost when the store fails", ("drained",), Parts(dispatcher=LosesOutcomes)),
    Mutant("retry without pause", ("schedule",), patches=((delivery, "next_due_ms", _at_once),)),
    Mutant("retry without budget", ("schedule",), patches=((delivery, "next_due_ms", _without_budget),)),
    Mutant("held is never probed", ("drained",), Parts(store=NeverProbes)),
    Mutant(
        "half-open for ever", ("drained", "rest"), patches=((handler_pool, "on_no_call", lambda breaker, _: breaker),)
    ),
    Mutant("given back to nobody", ("lease", "drained"), Parts(store=ForgetsWhatItGaveBack)),
    Mutant("item id not looked at", ("stored once",), patches=((intake, "parse_event_call", _without_item_ids),)),
    Mutant("replay's place stored first", ("replayed",), Parts(store=MovesCursorFirst)),
    Mutant("counts not kept", ("counts",), Parts(prepare=_drop_counting)),
    Mutant("leases not kept", ("one hand",), Parts(dispatcher=KeepsNoLeases)),
    Mutant("lease lost, try goes on", ("one hand",), Parts(dispatcher=HoldsOnTooLong)),
    Mutant("takes its own leases away", ("one hand", "duplicate"), Parts(dispatcher=TakesItsOwnAway)),
    Mutant("pause not looked at", ("paused",), patches=((delivery_store, "_CLAIMABLE", _CLAIM_PAUSED),)),
    Mutant("no sweep", ("drained",), Parts(dispatcher=NeverSweeps)),
    Mutant("new event id each try", ("same event id",), Parts(attempts=NewIdEachTry)),
    Mutant("collapse over entities", ("nothing lost",), patches=((delivery_store, "collapse_waiting", _collapse_all),)),
)
