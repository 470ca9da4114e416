"""Lanes in SQL: who waits behind whom, and who is next.

Leans on the index of blocking deliveries. The head of a lane is due, leased or held; those behind it are accepted and
wait. Whoever changes a lane holds its lock (locks.py), so that two nodes never see two heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, case, func, literal_column, or_, select, update

from relay.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import BindParameter, ColumnElement

    from relay.records import NewDelivery

_D = s.deliveries.c
_B = s.deliveries.alias("blocking").c
_W = s.deliveries.alias("waiting").c


def _is_active() -> ColumnElement[bool]:
    """Whether the blocking one is its lane's head; so spelt, the index finds it past any number that wait."""
    return or_(*(_B.state == literal_column(f"'{state}'") for state in ("due", "leased", "held")))


_PROMOTE = (
    update(s.deliveries)
    .where(
        _D.id
        == select(func.min(_W.id))
        .where(_W.lane == bindparam("which"), _W.blocks, _W.state == literal_column("'accepted'"))
        .scalar_subquery(),
        ~select(_B.id).where(_B.lane == bindparam("which"), _B.blocks, _is_active()).exists(),
    )
    .values(state="due", due_at_ms=_D.accepted_at_ms)
)
_NEXT = select(_W.id).where(_W.lane == _D.lane, _W.blocks, _W.state == literal_column("'accepted'")).exists()


def first_state(lane: BindParameter[int | None]) -> ColumnElement[str]:
    """The state of a new delivery: accepted behind another one of its lane, due at its head or without a lane."""
    behind = select(_B.id).where(_B.lane == lane, _B.blocks).exists()
    return case((behind, "accepted"), else_="due")


def lanes_with_next(connection: Connection, ended: Collection[int]) -> list[int]:
    """Of some deliveries the lanes in which another one waits; one index look-up for each, however many wait."""
    query = select(_D.lane).where(_D.id.in_(ended), _NEXT).distinct()
    return [lane for lane in connection.execute(query).scalars() if lane is not None]


def promote_lanes(connection: Connection, lanes: Iterable[int]) -> None:
    """Make the first waiting delivery of each lane due, where nothing is before it."""
    which = [{"which": lane} for lane in lanes]
    if which:
        connection.execute(_PROMOTE, which)


def collapse_waiting(connection: Connection, fresh: Sequence[NewDelivery], now_ms: int) -> None:
    """Of several waiting events of one kind and entity keep the newest, where the application asks for that."""
    newest = {
        (new.lane, new.item.event, new.item.entity): new.event_id
        for new in fresh
        if new.collapse and new.lane is not None and new.item.entity is not None
    }
    for (lane, event, entity), event_id in newest.items():
        connection.execute(
            update(s.deliveries)
            .where(
                _D.lane == lane,
                _D.blocks,
                _D.state == "accepted",
                _D.event == event,
                _D.entity == entity,
                _D.attempts == 0,
                ~_D.replay,
                _D.event_id != event_id,
            )
            .values(state="done", blocks=False, last_error="collapsed", collapsed_into=event_id, finished_at_ms=now_ms)
        )
