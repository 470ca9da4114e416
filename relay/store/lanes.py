"""Lanes in SQL: who waits behind whom, and who is next.

Leans on the index of blocking deliveries. The head of a lane is due, leased or held; those behind it are accepted and
wait. On PostgreSQL a lane is locked while it changes, so that two nodes never see two heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, func, select, text, update

from relay.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from relay.ports import NewDelivery

_D = s.deliveries.c
_B = s.deliveries.alias("blocking").c
_W = s.deliveries.alias("waiting").c

_PROMOTE = (
    update(s.deliveries)
    .where(
        _D.id
        == select(func.min(_W.id))
        .where(_W.lane == bindparam("which"), _W.blocks, _W.state == "accepted")
        .scalar_subquery(),
        ~select(_B.id).where(_B.lane == bindparam("which"), _B.blocks, _B.state != "accepted").exists(),
    )
    .values(state="due", due_at_ms=_D.accepted_at_ms)
)
_LOCK = text("SELECT pg_advisory_xact_lock(lane) FROM unnest(CAST(:lanes AS bigint[])) AS lane ORDER BY lane")


def lock_lanes(connection: Connection, lanes: Iterable[int | None]) -> None:
    """Keep other nodes from changing these lanes until the transaction ends (SQLite has one writer anyway)."""
    if connection.dialect.name == "postgresql":
        wanted = sorted({lane for lane in lanes if lane is not None})
        if wanted:
            connection.execute(_LOCK, {"lanes": wanted})


def lane_states(connection: Connection, fresh: Sequence[NewDelivery]) -> list[str]:
    """The first state of each new delivery: due at the head of its lane, accepted behind one."""
    lanes = {new.lane for new in fresh if new.lane is not None}
    busy: set[int] = set()
    if lanes:
        query = select(_D.lane).where(_D.lane.in_(lanes), _D.blocks).distinct()
        busy = {int(lane) for lane in connection.execute(query).scalars() if lane is not None}
    states = []
    for new in fresh:
        states.append("accepted" if new.lane in busy else "due")
        if new.lane is not None:
            busy.add(new.lane)
    return states


def promote_lanes(connection: Connection, lanes: Iterable[int]) -> None:
    """Make the first waiting delivery of each lane due, where nothing is before it."""
    which = [{"which": lane} for lane in lanes]
    if which:
        connection.execute(_PROMOTE, which)


def collapse_waiting(connection: Connection, fresh: Sequence[NewDelivery], now_ms: int) -> None:
    """Of several waiting events of one kind and entity keep the newest, where the application asks for that."""
    newest = {(new.lane, new.item.event): new.event_id for new in fresh if new.collapse and new.lane is not None}
    for (lane, event), event_id in newest.items():
        connection.execute(
            update(s.deliveries)
            .where(
                _D.lane == lane,
                _D.blocks,
                _D.state == "accepted",
                _D.event == event,
                _D.attempts == 0,
                _D.event_id != event_id,
            )
            .values(state="done", blocks=False, last_error="collapsed", collapsed_into=event_id, finished_at_ms=now_ms)
        )
