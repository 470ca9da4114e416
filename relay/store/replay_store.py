"""Replays and retention in SQL: going through many deliveries a little at a time, across restarts.

Leans on `Database`. A replay's place and the deliveries it makes due change in one transaction. Retention deletes only
what is over, and gives the file's free pages back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, insert, select, update

from relay.core.model import Replay
from relay.store import schema as s
from relay.store.delivery_filter import JOINED, dump_filter, load_filter, matching
from relay.store.delivery_store import due_again
from relay.store.lanes import promote_lanes
from relay.store.locks import EVERYTHING
from relay.store.rows import add_audit, inserted_id

if TYPE_CHECKING:
    from sqlalchemy import Row

    from relay.records import AuditEntry, DeliveryFilter
    from relay.store.database import Database

_D = s.deliveries.c
_R = s.replays.c
_REPLAYED = ("done", "held", "dropped")
VACUUM_PAGES = 2000


class SqlReplayStore:
    """The part of the DeliveryDesk port that goes through many deliveries."""

    _database: Database

    async def begin_replay(self, wanted: DeliveryFilter, rate: int, now: int, entry: AuditEntry) -> Replay:
        """Ask for a replay of matching deliveries that are done, held or dropped; `rate` a second."""

        def unit(connection: Connection) -> Replay:
            chosen = (matching(wanted), _D.state.in_(_REPLAYED))
            total = connection.execute(select(func.count()).select_from(JOINED).where(*chosen)).scalar_one()
            upto = connection.execute(select(func.coalesce(func.max(_D.id), 0))).scalar_one()
            values = {
                "wanted": dump_filter(wanted),
                "rate": rate,
                "total": total,
                "cursor": 0,
                "upto": upto,
                "replayed": 0,
                "skipped": 0,
                "created_at": now,
            }
            replay_id = inserted_id(connection.execute(insert(s.replays).values(**values)))
            add_audit(connection, entry)
            return Replay(replay_id, rate, total, 0, 0, now, None)

        return await self._database.write(unit)

    async def replay_some(self, now_ms: int, most: int) -> Replay | None:
        """Make the next deliveries of the oldest unfinished replay due; how it stands; None without one."""
        unfinished = select(s.replays).where(_R.finished_at.is_(None)).order_by(_R.id).limit(1)
        if await self._database.read(lambda c: c.execute(unfinished).first()) is None:
            return None

        def unit(connection: Connection) -> Replay | None:
            row = connection.execute(unfinished.with_for_update(skip_locked=True)).one_or_none()
            return _replay_step(connection, row, now_ms, most) if row else None

        return await self._database.write(unit, locks=[EVERYTHING])

    async def find_replay(self, replay_id: int) -> Replay | None:
        """How a replay stands."""
        query = select(s.replays).where(_R.id == replay_id)

        def unit(connection: Connection) -> Replay | None:
            row = connection.execute(query).one_or_none()
            return _replay(row) if row else None

        return await self._database.read(unit)

    async def prune(self, *, payloads_before_ms: int, deliveries_before_ms: int, most: int) -> dict[str, int]:
        """Delete up to `most` payloads and deliveries that were over before; how many of each."""
        spent = _over_before(payloads_before_ms).where(~_D.payload_gone).limit(most)
        old = _over_before(deliveries_before_ms).limit(most)

        def unit(connection: Connection) -> dict[str, int]:
            ids = list(connection.execute(spent).scalars())
            old_ids = list(connection.execute(old).scalars())
            connection.execute(delete(s.payloads).where(s.payloads.c.delivery_id.in_([*ids, *old_ids])))
            connection.execute(update(s.deliveries).where(_D.id.in_(ids)).values(payload_gone=True))
            connection.execute(delete(s.attempts).where(s.attempts.c.delivery_id.in_(old_ids)))
            connection.execute(delete(s.deliveries).where(_D.id.in_(old_ids)))
            return {"payloads": len(ids), "deliveries": len(old_ids)}

        counts = await self._database.write(unit)
        if any(counts.values()):
            while await self._database.write_alone(_give_pages_back):
                pass  # other writes come in between
        return counts


def _over_before(before_ms: int) -> Any:
    over = select(_D.id).where(_D.finished_at_ms < before_ms).order_by(_D.finished_at_ms)
    return over.with_for_update(skip_locked=True)  # another node may be making one of them due again


def _replay_step(connection: Connection, row: Row[Any], now_ms: int, most: int) -> Replay:
    chosen = (matching(load_filter(row.wanted)), _D.state.in_(_REPLAYED), _D.id > row.cursor, _D.id <= row.upto)
    page = select(_D.id, _D.lane).select_from(JOINED).where(*chosen).order_by(_D.id).limit(most)
    found = connection.execute(page.with_for_update(of=s.deliveries)).all()
    ids = [one.id for one in found]
    kept = select(s.payloads.c.delivery_id).where(s.payloads.c.delivery_id.in_(ids), func.length(s.payloads.c.form) > 0)
    with_payload = set(connection.execute(kept).scalars())
    lanes = {one.lane for one in found if one.lane is not None and one.id in with_payload}
    connection.execute(
        update(s.deliveries)
        .where(_D.id.in_(with_payload), _D.state.in_(_REPLAYED))
        .values(**due_again(now_ms) | {"state": "accepted", "blocks": True, "replay": True, "collapsed_into": None})
    )
    connection.execute(update(s.deliveries).where(_D.id.in_(with_payload), _D.lane.is_(None)).values(state="due"))
    promote_lanes(connection, lanes)
    over = len(found) < most
    changes = {
        "cursor": ids[-1] if ids else row.upto,
        "replayed": row.replayed + len(with_payload),
        "skipped": row.skipped + len(ids) - len(with_payload),
        "finished_at": now_ms // 1000 if over else None,
    }
    connection.execute(update(s.replays).where(_R.id == row.id).values(**changes))
    return Replay(
        row.id, row.rate, row.total, changes["replayed"], changes["skipped"], row.created_at, changes["finished_at"]
    )


def _replay(row: Row[Any]) -> Replay:
    return Replay(row.id, row.rate, row.total, row.replayed, row.skipped, row.created_at, row.finished_at)


def _give_pages_back(connection: Any) -> bool:
    """Make a SQLite file smaller by some of its free pages; whether there are more."""
    if connection.dialect.name != "sqlite":
        return False
    # As a script: the driver takes but one step of a statement whose rows have no columns, which is one page.
    # The file itself is cut off by a checkpoint only.
    raw = connection.connection.dbapi_connection
    before = _free_pages(raw)
    raw.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES}); PRAGMA wal_checkpoint(PASSIVE)")
    return 0 < _free_pages(raw) < before


def _free_pages(raw: Any) -> int:
    return int(raw.execute("PRAGMA freelist_count").fetchone()[0])
