"""Every statement of a delivery's life finds its rows by an index, whatever the backlog.

Leans on SQLite's own EXPLAIN QUERY PLAN, asked for the very statements that were run. Must never list statements by
hand: what runs is what is asked about.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event

from relay.core.lanes import Order, lane_of
from relay.core.model import DeliveryState, EventItem, Outcome, Verdict
from relay.records import AuditEntry, DeliveryFilter, Finished, NewDelivery, NewPortal
from relay.store.sql_store import open_sqlite_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relay.store.sql_store import SqlStore

LARGE = ("deliveries", "payloads", "attempts")
NOW_MS = 1_795_000_000_000
ITEM = EventItem("local.a", "http://10.0.0.1/h", "ONCRMDEALADD", "event=X", False, {}, False, False)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    """An empty store on a real file."""
    opened = open_sqlite_store(tmp_path / "relay.db", lambda sealed: sealed, upgrade=True)
    yield opened
    await opened.close()


def new_delivery(portal_id: int, number: int, **changes: Any) -> NewDelivery:
    """One delivery of one of three entities."""
    entity = f"crm.deal:{number % 3}"
    made = NewDelivery(
        event_id=f"{number:032x}",
        portal_id=portal_id,
        item=replace(ITEM, entity=entity, item_id=f"{number:032x}"),
        form=b"event=X",
        form_is_sealed=False,
        auth_sealed=b"",
        lane=lane_of(Order.LANE, "h", entity),
        collapse=True,
    )
    return replace(made, **changes)


async def live_a_life(store: SqlStore) -> None:
    """Everything that happens to deliveries while the relay runs, on a few of them."""
    portal_id = await store.announce_portal(NewPortal("http://10.0.0.9", None, 0, (), b"k" * 32), 0)
    handlers = await store.accept([new_delivery(portal_id, number) for number in range(9)], NOW_MS)
    wanted = {handlers[0].id: 8}
    claimed = await store.claim(wanted, now_ms=NOW_MS, lease_until_ms=NOW_MS + 1, owner="me")
    verdicts = [
        (DeliveryState.DONE, False, None),
        (DeliveryState.DUE, True, None),
        (DeliveryState.HELD, True, "budget"),
    ]
    results = [
        Finished(
            leased.delivery.id,
            leased.delivery.attempt,
            state,
            NOW_MS,
            Outcome(Verdict.RETRY, 500, "status", NOW_MS, 1),
            reason,
            leased.delivery.lane,
            blocks,
        )
        for leased, (state, blocks, reason) in zip(claimed, verdicts, strict=True)
    ]
    await store.finish(results, "me")
    again = await store.claim(wanted, now_ms=NOW_MS, lease_until_ms=NOW_MS + 1, owner="me")
    ids = [leased.delivery.id for leased in again]
    await store.extend_leases(ids, owner="me", lease_until_ms=NOW_MS + 2)
    await store.give_back(ids[:1], owner="me")
    await store.release_leases(now_ms=NOW_MS + 3)
    await store.next_due()
    await store.probe_held(NOW_MS + 3, 600_000)
    await store.release_held(handlers[0].id, NOW_MS + 3)
    await store.backlog()
    await store.counts()
    await store.list_handlers()
    await store.replay_some(NOW_MS, 10)
    await store.prune(payloads_before_ms=NOW_MS + 9, deliveries_before_ms=NOW_MS + 9, most=10)
    await store.erase("crm.deal:1", NOW_MS, AuditEntry("event.erased", 1))
    await store.unerased("crm.deal:1")
    await store.done_since(NOW_MS)
    held = DeliveryFilter(states=(DeliveryState.HELD,))
    await store.find(held, 20)
    await store.show(f"{1:032x}")


async def test_no_statement_of_a_delivery_s_life_scans_a_large_table(store: SqlStore) -> None:
    statements: dict[str, Any] = {}

    @event.listens_for(store._database.engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, executemany: bool) -> None:
        statements[statement] = parameters[0] if executemany else parameters

    await live_a_life(store)
    event.remove(store._database.engine, "before_cursor_execute", note)
    asked = {sql: values for sql, values in statements.items() if sql.startswith(("SELECT", "UPDATE", "DELETE"))}
    plans: dict[str, list[str]] = {}
    with store._database.engine.connect() as connection:
        for sql, values in asked.items():
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values).all()
            plans[sql] = [str(row[3]) for row in rows]
    assert len(plans) > 25
    scans = {
        sql: step
        for sql, steps in plans.items()
        for step in steps
        if step.startswith("SCAN") and step.split()[1] in LARGE and "deliveries_held" not in step
    }
    assert scans == {}
