"""Triggers that count deliveries by handler and state, as SQL for each database.

Leans on the database: a count changes in the very transaction that changes the delivery, whatever changes it. On
PostgreSQL a transaction counts in a shard that no other one counts in until it is over, so that nodes do not wait for
one another's rows; there are as many shards as there were ever such transactions at once.
"""

from __future__ import annotations

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

# The lock is one that its transaction may take again and again, and that ends with it.
SHARD_LOCKS = 1
_PG_SHARD = (
    "CREATE FUNCTION deliveries_shard() RETURNS integer LANGUAGE plpgsql AS $$ DECLARE shard integer := 0; BEGIN "
    f"WHILE NOT pg_try_advisory_xact_lock({SHARD_LOCKS}, shard) LOOP shard := shard + 1; END LOOP; "
    "RETURN shard; END $$"
)
_PG_BUMP = (
    "INSERT INTO delivery_counts (handler_id, state, shard, count) "
    "SELECT handler_id, state, mine, sum(change) FROM ({changes}) AS changes "
    "GROUP BY handler_id, state HAVING sum(change) <> 0 "
    "ON CONFLICT (handler_id, state, shard) DO UPDATE SET count = delivery_counts.count + excluded.count"
)
_PG_IN = "SELECT handler_id, state, 1 AS change FROM rows_in"
_PG_OUT = "SELECT handler_id, state, -1 AS change FROM rows_out"
_PG_KINDS = (
    ("in", "INSERT", "NEW TABLE AS rows_in", _PG_IN),
    ("over", "UPDATE", "OLD TABLE AS rows_out NEW TABLE AS rows_in", f"{_PG_IN} UNION ALL {_PG_OUT}"),
    ("out", "DELETE", "OLD TABLE AS rows_out", _PG_OUT),
)

POSTGRES_TRIGGERS = (
    _PG_SHARD,
    *(
        statement
        for kind, action, tables, changes in _PG_KINDS
        for statement in (
            f"CREATE FUNCTION deliveries_counted_{kind}() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ DECLARE mine integer := deliveries_shard(); BEGIN "
            f"{_PG_BUMP.format(changes=changes)}; RETURN NULL; END $$",
            f"CREATE TRIGGER deliveries_counted_{kind} AFTER {action} ON deliveries REFERENCING {tables} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION deliveries_counted_{kind}()",
        )
    ),
)
