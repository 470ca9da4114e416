"""Promises: a home's database filled with live grants and revocations, as years of use would, in seconds.

Leans on: plain SQL in bulk, and the schema as the relay's own migrations left it.
Must never: touch a row that was there, or leave one that the relay could not have written itself.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

REFRESH_S = 180 * 86400
ACCESS_S = 3600
USERS = 5000
# One token in ten came with parameters of its own.
WITH_PARAMETERS = 10
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count) "
_GRANTS = (
    "INSERT INTO grants (app_number, user_id, created_at) "
    f"{_NUMBERS} SELECT :app, 1 + n % {USERS}, :now - n % 86400 FROM numbers"
)
# In the order of their hashes: the table is one tree by hash.
_REFRESH_TOKENS = (
    "INSERT INTO refresh_tokens (hash, grant_id, generation, expires, access_serial, access_expires) "
    f"SELECT randomblob(32) AS hash, id, 1, :now + {REFRESH_S} - id % 86400, abs(random()) >> 15, :now + {ACCESS_S} "
    "FROM grants WHERE id > :known ORDER BY hash"
)
_PARAMETERS = (
    "INSERT OR IGNORE INTO token_parameters (app_number, serial, expires, parameters, scope) "
    f"SELECT :app, access_serial, access_expires, '{{\"placement\":\"x\"}}', 'crm' FROM refresh_tokens "
    f"WHERE grant_id % {WITH_PARAMETERS} = 0 ORDER BY access_serial"
)
_REVOCATIONS = (
    "INSERT INTO revocations (portal_id, through, app_number, serial) "
    "SELECT 1, access_expires, :app, access_serial FROM refresh_tokens "
    "WHERE grant_id > :known AND grant_id <= :known + :revoked"
)


def fill(home: Path, grants: int, revocations: int) -> float:
    """Add so many live grants of the first application, and revoke the access tokens of some; how long it took."""
    began = time.perf_counter()
    with closing(sqlite3.connect(home / "relay.db", timeout=60)) as database, database:
        database.execute("PRAGMA cache_size = -200000")
        (app,) = database.execute("SELECT min(number) FROM apps").fetchone()
        (known,) = database.execute("SELECT coalesce(max(id), 0) FROM grants").fetchone()
        values = {"count": grants, "app": app, "now": int(time.time()), "known": known, "revoked": revocations}
        for statement in (_GRANTS, _REFRESH_TOKENS, _PARAMETERS, _REVOCATIONS):
            database.execute(statement, {name: value for name, value in values.items() if f":{name}" in statement})
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'directory'")
    with closing(sqlite3.connect(home / "relay.db", timeout=60)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.execute("PRAGMA optimize")
    return time.perf_counter() - began


def count(home: Path) -> dict[str, int]:
    """How many live grants and revocations there are."""
    with closing(sqlite3.connect(home / "relay.db")) as database:
        (grants,) = database.execute("SELECT count(*) FROM grants WHERE revoked_at IS NULL").fetchone()
        (revoked,) = database.execute("SELECT count(*) FROM revocations").fetchone()
    return {"grants": grants, "revocations": revoked}
