"""Triggers that count deliveries by handler and state, as SQL for each database.

Leans on the database: a count changes in the very transaction that changes the delivery, whatever changes it. On
PostgreSQL the counts are spread over shards, so that nodes do not wait for one another's row.
"""

from __future__ import annotations

POSTGRES_SHARDS = 16

_BUMP = (
    "INSERT INTO delivery_counts (handler_id, state, shard, count) VALUES ({row}.handler_id, {row}.state, 0, {by}) "
    "ON CONFLICT (handler_id, state, shard) DO UPDATE SET count = count + {by}"
)

SQLITE_TRIGGERS = (
    f"CREATE TRIGGER deliveries_counted_in AFTER INSERT ON deliveries BEGIN {_BUMP.format(row='new', by='1')}; END",
    "CREATE TRIGGER deliveries_counted_over AFTER UPDATE OF state ON deliveries WHEN old.state <> new.state BEGIN "
    f"{_BUMP.format(row='old', by='-1')}; {_BUMP.format(row='new', by='1')}; END",
    f"CREATE TRIGGER deliveries_counted_out AFTER DELETE ON deliveries BEGIN {_BUMP.format(row='old', by='-1')}; END",
)

_PG_BUMP = (
    "INSERT INTO delivery_counts (handler_id, state, shard, count) "  # noqa: S608 - built of constants only
    f"SELECT handler_id, state, pg_backend_pid() % {POSTGRES_SHARDS}, sum(change) FROM ({{changes}}) AS changes "
    "GROUP BY handler_id, state HAVING sum(change) <> 0 ORDER BY handler_id, state "
    "ON CONFLICT (handler_id, state, shard) DO UPDATE SET count = delivery_counts.count + excluded.count"
)
_PG_IN = "SELECT handler_id, state, 1 AS change FROM rows_in"
_PG_OUT = "SELECT handler_id, state, -1 AS change FROM rows_out"
_PG_KINDS = (
    ("in", "INSERT", "NEW TABLE AS rows_in", _PG_IN),
    ("over", "UPDATE", "OLD TABLE AS rows_out NEW TABLE AS rows_in", f"{_PG_IN} UNION ALL {_PG_OUT}"),
    ("out", "DELETE", "OLD TABLE AS rows_out", _PG_OUT),
)

POSTGRES_TRIGGERS = tuple(
    statement
    for kind, action, tables, changes in _PG_KINDS
    for statement in (
        f"CREATE FUNCTION deliveries_counted_{kind}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {_PG_BUMP.format(changes=changes)}; RETURN NULL; END $$",
        f"CREATE TRIGGER deliveries_counted_{kind} AFTER {action} ON deliveries REFERENCING {tables} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_{kind}()",
    )
)
