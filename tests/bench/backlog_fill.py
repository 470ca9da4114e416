"""Promises: a home's database with any number of waiting events of one handler, in seconds.

Leans on: the relay's own intake, which takes the first of them; the others are copies of its rows, each with a number,
an event id and a lane of its own. The database's triggers count them as they count every event.
Must never: be run while a relay serves the home, or leave a row that the relay could not have written itself.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

from relay.app.intake import Intake
from relay.build import open_relay
from relay.clock import system_entropy
from relay.config import DATABASE_FILE, load_config
from relay.core.phpform import FormLimits, parse_form
from relay.queue.local import NoBell
from tests.bench.sample import NUMBER_WIDTH, EventCall

if TYPE_CHECKING:
    from tests.bench.relay_process import Prepared

_NUMBER = f"printf('%0{NUMBER_WIDTH}d', :first + n)"
_FIRST = f"printf('%0{NUMBER_WIDTH}d', :first)"
# What differs from copy to copy, as SQL over the first row.
_OWN = {
    "deliveries": {
        "id": "id + n",
        "event_id": "printf('%012x7', accepted_at_ms) || substr(lower(hex(randomblob(10))), 2)",
        "entity": f"replace(entity, {_FIRST}, {_NUMBER})",
        "lane": "abs(random())",
    },
    "payloads": {
        "delivery_id": "delivery_id + n",
        "form": f"CAST(replace(CAST(form AS TEXT), {_FIRST}, {_NUMBER}) AS BLOB)",
    },
}
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT :since UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < :until)"
_AT_ONCE = 100_000


async def fill(prepared: Prepared, handler: str, first: int, count: int) -> float:
    """Let `count` events numbered from `first` wait for a handler; how many seconds it took."""
    began = time.perf_counter()
    await _accept(prepared, handler, first)
    with closing(sqlite3.connect(prepared.home / DATABASE_FILE)) as database:
        database.execute("PRAGMA cache_size = -400000")
        for since in range(1, count, _AT_ONCE):
            with database:
                _copy(database, first, since, min(since + _AT_ONCE, count))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (waiting,) = database.execute("SELECT sum(count) FROM delivery_counts WHERE state = 'due'").fetchone()
    if waiting != count:
        raise RuntimeError(f"{waiting} events wait instead of {count}")
    return time.perf_counter() - began


async def _accept(prepared: Prepared, handler: str, number: int) -> None:
    """Take one event as a serving relay would."""
    config = load_config(prepared.home, {})
    relay = open_relay(config)

    async def no_refusal() -> None:
        return None

    try:
        directory = await relay.store.directory()
        body = EventCall(prepared.portal, prepared.app.client_id, [handler]).body(number)
        form = parse_form(body, FormLimits(len(body), 1000, 32))
        intake = Intake(
            relay.store,
            relay.vault,
            relay.clock,
            system_entropy,
            config.intake(),
            config.rules(),
            NoBell(),
            no_refusal,
        )
        (portal,) = directory.portals.values()
        await intake.event_call(portal, form)
    finally:
        await relay.store.close()


def _copy(database: sqlite3.Connection, first: int, since: int, until: int) -> None:
    for table, own in _OWN.items():
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        values = ", ".join(own.get(column, column) for column in columns)
        key = columns[0]
        database.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) {_NUMBERS} SELECT {values} FROM numbers, {table} "
            f"WHERE {key} = (SELECT min({key}) FROM {table})",
            {"first": first, "since": since, "until": until},
        )
