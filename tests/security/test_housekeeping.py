"""Promises of housekeeping (issue 3, item 8): what has ended leaves by itself in small batches, counted; nothing that
still counts is touched, and no round looks at all there is.

Leans on the store contract's adapters, on SQLite's own query plans and on a real relay's metrics. Must never wait for
a round: the condition is waited for.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, func, select

from relay.core.model import Revocation
from relay.core.tokens import StoredParameters
from relay.core.vault import hash_token
from relay.store import schema as s
from tests.factories import NOW
from tests.integration.adapters import SqliteAdapter
from tests.integration.live_relay import until
from tests.integration.stored import access_token, entry, find_refresh, new_code, new_grant, of_app, rotation, with_app
from tests.integration.wire import get, send
from tests.security.world import QUICK_HOUSEKEEPING, Verdicts, revoke

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from sqlalchemy import Table

    from relay.store.sql_store import SqlStore
    from tests.integration.conftest import OpenSite

TABLES = (s.codes, s.code_challenges, s.token_parameters, s.refresh_tokens, s.revocations, s.grants)
LARGE = {"grants", "refresh_tokens", "codes", "code_challenges", "token_parameters"}


async def _count(store: SqlStore, table: Table) -> int:
    query = select(func.count()).select_from(table)
    return await store._database.read(lambda connection: int(connection.execute(query).scalar_one()))


async def _fill(store: SqlStore, count: int, expires: int, name: str) -> int:
    """So much of everything that ends, ending then."""
    number = await with_app(store, client_id=f"local.{name}.0")
    for index in range(count):
        refresh = f"{name} refresh {index}"
        await store.open_grant(new_grant(number, refresh, refresh_expires=expires), NOW)
        await store.save_code(new_code(number, f"{name} code {index}", expires=expires))
        await store.save_challenge(hash_token(f"{name} challenge {index}"), "c" * 43, expires)
        kept = StoredParameters({"x": "y"}, None)
        await store.save_parameters(replace(access_token(number, kept), expires=expires))
        await store.revoke(Revocation(1, expires, number, serial=hash(refresh) % 2**47), entry())
    return number


async def test_issue_3_8_what_has_ended_leaves_in_batches_and_is_counted(store: SqlStore) -> None:
    await _fill(store, 7, NOW - 1, "ended")
    await _fill(store, 4, NOW + 60, "live")
    rounds: list[dict[str, int]] = []
    while not rounds or max(rounds[-1].values()) == 3:
        rounds.append(await store.purge(NOW, NOW, 3))
    assert [counts["codes"] for counts in rounds] == [3, 3, 1]
    assert {table.name: sum(counts[table.name] for counts in rounds) for table in TABLES} == {
        "codes": 7,
        "code_challenges": 7,
        "token_parameters": 7,
        "refresh_tokens": 7,
        "revocations": 7,
        "grants": 7,
    }
    assert {await _count(store, table) for table in TABLES} == {4}
    assert set((await store.purge(NOW, NOW, 3)).values()) == {0}


async def test_issue_3_8_no_batch_is_larger_than_it_may_be(store: SqlStore) -> None:
    """Although all of them end in the same second."""
    await _fill(store, 9, NOW - 1, "ended")
    for left in (6, 3, 0):
        assert max((await store.purge(NOW, NOW, 3)).values()) == 3
        assert {await _count(store, table) for table in TABLES} == {left}


async def test_issue_3_8_a_grant_stays_while_any_of_its_tokens_does(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first", refresh_expires=NOW + 10), NOW)
    old = await find_refresh(store, "first")
    await store.rotate_refresh(replace(rotation(old, "second"), refresh_expires=NOW + 100), NOW)
    assert (await store.purge(NOW + 50, 0, 10))["grants"] == 0
    assert (await find_refresh(store, "second")).grant.id == old.grant.id
    assert (await store.purge(NOW + 101, 0, 10))["grants"] == 1
    assert await _count(store, s.grants) == 0


async def test_issue_3_8_a_used_code_is_remembered_for_longer_than_it_lives(store: SqlStore) -> None:
    """So that a second use is known for what it is."""
    number = await with_app(store)
    await store.save_code(new_code(number, "code", expires=NOW + 30))
    await store.redeem_code(hash_token("code"), new_grant(number, "first"), NOW)
    await store.purge(NOW + 31, NOW - 3600, 10)
    found = await store.find_code(hash_token("code"))
    assert found is not None
    assert found.used_at == NOW


@pytest.fixture
async def sqlite_store(request: pytest.FixtureRequest, template: Path) -> AsyncIterator[SqlStore]:
    """An empty store on a real SQLite file."""
    async with AsyncExitStack() as stack:
        yield await SqliteAdapter(request, template, stack).open()


async def test_issue_3_8_no_round_scans_a_large_table(sqlite_store: SqlStore) -> None:
    store = sqlite_store
    number = await _fill(store, 2, NOW - 1, "ended")
    statements: dict[str, Any] = {}
    engine = store._database.engine

    @event.listens_for(engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, parameters: Any, _x: object, executemany: bool) -> None:
        statements[statement] = parameters[0] if executemany else parameters

    await store.purge(NOW, NOW, 10)
    await store.open_grant(new_grant(number, "first"), NOW)
    old = await find_refresh(store, "first")
    await store.rotate_refresh(rotation(old, "second"), NOW)
    await store.save_code(new_code(number, "code"))
    await store.redeem_code(hash_token("code"), new_grant(number, "third"), NOW)
    await store.find_parameters(number, 1)
    await store.find_challenge(hash_token("x"), NOW)
    await store.revoke_grant(old.grant.id, entry(portal_id=1, app_number=number))
    await store.revoke(of_app(number), entry())
    await store.revoke(Revocation(1, NOW, user_id=67), entry())
    await store.list_audit(NOW, "grant.", 10)
    event.remove(engine, "before_cursor_execute", note)
    asked = {sql: values for sql, values in statements.items() if sql.startswith(("SELECT", "UPDATE", "DELETE"))}
    assert len(asked) > 20
    with engine.connect() as connection:
        steps = [
            (str(row[3]), sql)
            for sql, values in asked.items()
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
        ]
    assert [(step, sql) for step, sql in steps if step.startswith("SCAN") and step.split()[1] in LARGE] == []


async def test_issue_3_8_the_relay_does_it_by_itself_and_counts_in_its_metrics(open_site_with: OpenSite) -> None:
    site = await open_site_with(QUICK_HOUSEKEEPING)
    ended = await site.authorize(SCOPE="crm")
    await revoke(site.app, ended["access_token"])
    site.live.clock.advance(179 * 86400)
    kept = await site.authorize(SCOPE="crm")
    site.live.clock.advance(2 * 86400)

    async def counted() -> bool:
        text = (await send(site.live.admin, get("/metrics"))).body.decode()
        lines = [line for line in text.splitlines() if line.startswith("relay_purged_rows_total")]
        found = {line.partition('table="')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}
        wanted = {"refresh_tokens", "grants", "token_parameters", "revocations"}
        return all(found.get(table, 0) >= 1 for table in wanted)

    await until(counted)
    fresh = await site.app.refresh(kept["refresh_token"])
    assert fresh.status == 200
    assert await Verdicts(site).of(fresh.json["access_token"]) == "good"
    assert (await site.app.refresh(ended["refresh_token"])).error == "invalid_grant"
