"""On PostgreSQL, too, every statement of a delivery's life finds its rows by an index, with a large backlog behind it.

Leans on EXPLAIN of the very statements that were run, over tables that are filled and analysed. Must never list
statements by hand: what runs is what is asked about.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, text

from relay.store.sql_store import open_postgres_store
from tests.integration.adapters import open_key
from tests.integration.test_query_plans import LARGE, live_a_life

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from relay.store.sql_store import SqlStore

BACKLOG = 30_000
_FILL = (
    """INSERT INTO deliveries (event_id, portal_id, handler_id, event, category, entity, item_id, lane, blocks, state,
        replay, attempts, retry_base, accepted_at_ms, due_at_ms, finished_at_ms, payload_gone)
    SELECT 'f' || n, 99, 99, 'X', 'x', 'x:' || n, 'f' || n, 1000000 + n, n % 3 <> 0,
        CASE n % 3 WHEN 0 THEN 'done' WHEN 1 THEN 'due' ELSE 'held' END,
        false, 0, 0, n, n, CASE n % 3 WHEN 0 THEN n END, false FROM generate_series(1, :count) AS n""",
    """INSERT INTO payloads (delivery_id, form, sealed, auth_sealed, has_ts, send_auth, send_refresh_token, auth_given)
    SELECT id, 'x', false, 'x', false, false, false, false FROM deliveries""",
    """INSERT INTO attempts (delivery_id, number, started_at_ms, duration_ms, verdict)
    SELECT id, 1, 1, 1, 'retry' FROM deliveries""",
    "UPDATE deliveries SET hold_reason = 'gone' WHERE state = 'held'",
)
_SCAN = re.compile(rf"Seq Scan on ({'|'.join(LARGE)})\b")


async def filled(store: SqlStore) -> None:
    """A large backlog of another handler."""

    def fill(connection: Connection) -> None:
        for statement in _FILL:
            connection.execute(text(statement), {"count": BACKLOG} if ":count" in statement else {})
        connection.exec_driver_sql("ANALYZE")

    await store._database.write(fill)


async def test_no_statement_of_a_delivery_s_life_scans_a_large_table(postgres_url: str) -> None:
    store = open_postgres_store(postgres_url, open_key, upgrade=False)
    statements: dict[str, Any] = {}

    def note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, executemany: bool) -> None:
        statements[statement] = parameters[0] if executemany else parameters

    try:
        await filled(store)
        event.listen(store._database.engine, "before_cursor_execute", note)
        await live_a_life(store)
        event.remove(store._database.engine, "before_cursor_execute", note)
        asked = {sql: values for sql, values in statements.items() if any(f" {table}" in sql for table in LARGE)}
        scans: dict[str, list[str]] = {}
        with store._database.engine.connect() as connection:
            for sql, values in asked.items():
                plan = [str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {sql}", values)]
                if any(map(_SCAN.search, plan)):
                    scans[sql] = plan
        assert len(asked) > 25
        assert scans == {}
    finally:
        await store.close()
