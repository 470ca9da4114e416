"""What must hold of the store after every commit: nothing lost, leases respected, lanes in order, counts kept.

Leans on SQL of its own over the bare connection and on `transitions.py` for what may become of one delivery. Knows the
engine only from its description. Must never read through the code under test.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import sqlite3

    from relay.core.rules import DeliveryRules
    from tests.simulation.ledger import Ledger
    from tests.simulation.plan import Item, Plan
    from tests.simulation.report import Report
    from tests.simulation.timeline import Process
    from tests.simulation.transitions import Transitions


class Row(NamedTuple):
    """A delivery as it is stored; marker: its category."""

    id: int
    event_id: str
    marker: str
    handler_id: int
    lane: int | None
    blocks: int
    state: str
    hold_reason: str | None
    replay: int
    attempts: int
    retry_base: int
    since_ms: int | None
    due_ms: int
    until_ms: int | None
    owner: str | None
    collapsed_into: str | None


class HandlerRow(NamedTuple):
    """A handler as it is stored. off: its application is switched off."""

    id: int
    client_id: str
    url: str
    paused: int
    off: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A replay that is stored: the events that were done by then, and how often each had been replayed before."""

    replay_id: int
    rounds: dict[str, int]


_ROWS = (
    "SELECT id, event_id, category, handler_id, lane, blocks, state, hold_reason, replay, attempts, retry_base, "
    "tries_since_ms, due_at_ms, lease_until_ms, lease_owner, collapsed_into FROM deliveries ORDER BY id"
)
_COUNTED = (
    "SELECT handler_id, state, sum(count) AS n FROM delivery_counts GROUP BY handler_id, state HAVING n <> 0 "
    "ORDER BY handler_id, state"
)
_RECOUNTED = "SELECT handler_id, state, count(*) FROM deliveries GROUP BY handler_id, state ORDER BY handler_id, state"
_HANDLERS = (
    "SELECT h.id, h.client_id, h.url, h.paused, EXISTS (SELECT 1 FROM apps a WHERE a.portal_id = h.portal_id "
    "AND a.client_id = h.client_id AND a.deleted_at IS NULL AND NOT a.active) FROM handlers h"
)
_REPLAYS = "SELECT id, wanted, upto, replayed, finished_at FROM replays ORDER BY id"
OVER = ("done", "dropped")
HEADS = ("due", "leased", "held")


class Oracle:
    """Looks after every commit."""

    def __init__(self, raw: sqlite3.Connection, plan: Plan, ledger: Ledger, report: Report) -> None:
        self._raw = raw
        self._plan = plan
        self._ledger = ledger
        self._report = report
        self._changes = raw.total_changes
        self._tuples: dict[int, tuple[object, ...]] = {}
        self._replayed = 0
        self.transitions: Transitions | None = None
        self.items: dict[str, Item] = {item.marker: item for post in plan.posts for item in post.items}
        self.rows: dict[int, Row] = {}
        self.by_marker: dict[str, Row] = {}
        self.lanes: dict[int, list[int]] = {}
        self.handlers: dict[int, HandlerRow] = {}
        self.replays: list[Asked] = []
        self.unfinished_replays = 0

    def committed(self, process: Process, name: str) -> None:
        """Look at what a commit changed."""
        if self._raw.total_changes == self._changes:
            return
        self._changes = self._raw.total_changes
        self._report.commits += 1
        self.handlers = {row[0]: HandlerRow._make(row) for row in self._raw.execute(_HANDLERS)}
        replaying = self._look_at_replays()
        tuples = {found[0]: found for found in self._raw.execute(_ROWS)}
        if gone := self._tuples.keys() - tuples.keys():
            self._report.violated("nothing lost", f"{name} deleted {sorted(gone)}")
        before = {id_: self.rows.get(id_) for id_, found in tuples.items() if self._tuples.get(id_) != found}
        if not before:
            return
        self._tuples = tuples
        for id_, old in before.items():
            new = self.rows[id_] = Row._make(tuples[id_])
            if old is None:
                self._born(new)
            if old is None or old.state != new.state:
                self._report.note(process.name, f"{name}: {new.marker} {old.state if old else 'new'} → {new.state}")
        assert self.transitions is not None
        for id_, old in before.items():
            self.transitions.look_at(process, name, old, self.rows[id_], replaying=replaying)
        self._check_lanes(name, {row.lane for row in map(self.rows.__getitem__, before) if row.lane is not None})
        counted = self._raw.execute(_COUNTED).fetchall()
        if counted != self._raw.execute(_RECOUNTED).fetchall():
            self._report.violated("counts", f"after {name}: {counted}")

    def rules(self, row: Row) -> DeliveryRules:
        """The rules that a delivery is under."""
        return self._plan.rules[self.handlers[row.handler_id].client_id]

    def is_idle(self) -> bool:
        """Whether nothing waits but what waits for a person, or behind such a one."""
        if self.unfinished_replays:
            return False
        held = {row.lane for row in self.rows.values() if row.state == "held" and row.blocks}
        return all(
            row.state in OVER
            or (row.state == "held" and row.hold_reason != "budget")
            or (row.state == "accepted" and row.lane in held)
            for row in self.rows.values()
        )

    def is_over(self) -> bool:
        """Whether nothing waits, and no replay is to make anything wait again."""
        return not self.unfinished_replays and all(row.state in OVER for row in self.rows.values())

    def waiting(self) -> str:
        """What is not over, for a report."""
        left = [f"{row.marker} {row.state} {row.hold_reason or ''}" for row in self.rows.values()]
        return ", ".join(one.strip() for one in left if one.split()[1] not in OVER)

    def _born(self, row: Row) -> None:
        if row.marker in self.by_marker:
            self._report.violated("stored once", f"{row.marker} is stored a second time")
        if row.marker not in self.items:
            self._report.violated("nothing lost", f"nobody posted {row.marker}")
        self.by_marker[row.marker] = row
        if row.lane is not None:
            self.lanes.setdefault(row.lane, []).append(row.id)

    def _check_lanes(self, name: str, lanes: set[int]) -> None:
        """What is accepted waits behind something."""
        for lane in sorted(lanes):
            rows = [self.rows[id_] for id_ in self.lanes[lane]]
            waiting = [row for row in rows if row.state == "accepted"]
            if waiting and not any(row.blocks and row.state in HEADS for row in rows):
                self._report.violated("lane head", f"after {name} {waiting[0].marker} waits for nothing")
        for row in self.rows.values():
            if row.lane is None and row.state == "accepted":
                self._report.violated("lane head", f"after {name} {row.marker} waits in no lane")

    def _look_at_replays(self) -> bool:
        """Remember new replays; whether this commit was a step of one."""
        found = self._raw.execute(_REPLAYS).fetchall()
        for replay_id, wanted, upto, _, _ in found[len(self.replays) :]:
            states, handler = json.loads(wanted)["states"], json.loads(wanted)["handler"]
            chosen = {
                row.event_id: self._ledger.rounds(row.event_id)
                for row in self.rows.values()
                if row.id <= upto
                and row.state == "done"
                and (not states or "done" in states)
                and handler in self.handlers[row.handler_id].url
            }
            self.replays.append(Asked(replay_id, chosen))
        self.unfinished_replays = sum(row[4] is None for row in found)
        replayed = sum(row[3] for row in found)
        moved: bool = replayed != self._replayed
        self._replayed = replayed
        return moved
