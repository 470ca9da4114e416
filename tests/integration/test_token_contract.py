"""The token store's contract: of any number of callers one wins, and the others are given what it stored.

Leans on every adapter alike. Must never keep a token's text.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Unavailable
from relay.core.tokens import StoredParameters
from relay.core.vault import hash_token
from tests.factories import NOW
from tests.integration.stored import (
    access_token,
    entry,
    find_refresh,
    new_code,
    new_grant,
    of_app,
    rotation,
    with_app,
)

if TYPE_CHECKING:
    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter


async def test_a_grant_is_found_by_its_refresh_tokens_hash(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first", scope="crm", tz_offset="3600"), NOW)
    found = await find_refresh(store, "first")
    assert (found.generation, found.expires, found.replaced_at) == (1, NOW + 86400, None)
    grant = found.grant
    assert (grant.app_number, grant.user_id, grant.scope, grant.tz_offset, grant.created_at, grant.revoked_at) == (
        number,
        67,
        "crm",
        "3600",
        NOW,
        None,
    )
    assert await store.find_refresh(hash_token("other")) is None


async def test_a_rotation_puts_the_successor_in_the_old_tokens_place(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first"), NOW)
    old = await find_refresh(store, "first")
    assert await store.rotate_refresh(rotation(old, "second"), NOW + 5) == b"sealed second"
    spent, fresh = await find_refresh(store, "first"), await find_refresh(store, "second")
    assert (spent.replaced_at, spent.successor_sealed) == (NOW + 5, b"sealed second")
    assert (fresh.generation, fresh.replaced_at, fresh.grant) == (2, None, old.grant)


async def test_of_many_rotations_at_once_one_wins_and_all_get_its_successor(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first"), NOW)
    old = await find_refresh(store, "first")
    swaps = [store.rotate_refresh(rotation(old, f"successor {index}"), NOW) for index in range(200)]
    given = set(await asyncio.gather(*swaps))
    assert len(given) == 1
    (winner,) = given
    assert winner is not None
    live = [index for index in range(200) if await store.find_refresh(hash_token(f"successor {index}"))]
    assert [f"sealed successor {index}".encode() for index in live] == [winner]


async def test_of_rotations_by_two_processes_one_wins(adapter: Adapter) -> None:
    here, there = await adapter.open(), await adapter.open()
    number = await with_app(here)
    await here.open_grant(new_grant(number, "first"), NOW)
    old = await find_refresh(here, "first")
    swaps = [
        side.rotate_refresh(rotation(old, f"{side is here} {n}"), NOW) for n in range(25) for side in (here, there)
    ]
    assert len(set(await asyncio.gather(*swaps))) == 1


async def test_a_late_rotation_is_given_the_stored_successor(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first"), NOW)
    old = await find_refresh(store, "first")
    await store.rotate_refresh(rotation(old, "second"), NOW)
    assert await store.rotate_refresh(rotation(old, "third"), NOW) == b"sealed second"
    assert await store.find_refresh(hash_token("third")) is None


async def test_a_revoked_grant_is_not_rotated_and_its_record_is_written_once(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first"), NOW)
    old = await find_refresh(store, "first")
    reason = entry("grant.reused", at=NOW + 3, portal_id=1, app_number=number, details={"generation": 1})
    await asyncio.gather(*(store.revoke_grant(old.grant.id, reason) for _ in range(5)))
    assert await store.rotate_refresh(rotation(old, "second"), NOW + 4) is None
    assert await store.find_refresh(hash_token("second")) is None
    assert (await find_refresh(store, "first")).grant.revoked_at == NOW + 3
    assert await store.list_audit(0, "grant.reused", 10) == [reason]


async def test_revoking_a_grant_ends_its_live_access_tokens(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first", access=(token := access_token(number))), NOW)
    await store.open_grant(new_grant(number, "other", access=(other := access_token(number))), NOW)
    grant = (await find_refresh(store, "first")).grant
    await store.revoke_grant(grant.id, entry(portal_id=1, app_number=number))
    revoked = (await store.directory()).revocations.tokens
    assert (number, token.serial) in revoked
    assert (number, other.serial) not in revoked


async def test_a_code_is_redeemed_once_however_many_try(store: SqlStore) -> None:
    number = await with_app(store)
    await store.save_code(new_code(number, "code"))
    tries = [store.redeem_code(hash_token("code"), new_grant(number, f"r{index}"), NOW) for index in range(50)]
    assert sorted(await asyncio.gather(*tries)) == [False] * 49 + [True]
    opened = [index for index in range(50) if await store.find_refresh(hash_token(f"r{index}"))]
    assert len(opened) == 1
    code = await store.find_code(hash_token("code"))
    assert code is not None
    assert code.used_at == NOW
    assert code.grant_id == (await find_refresh(store, f"r{opened[0]}")).grant.id


async def test_a_codes_parameters_come_back_as_they_were(store: SqlStore) -> None:
    number = await with_app(store)
    saved = new_code(number, "code", parameters={"LOCAL_USER": "67", "X[y]": "ж\udcff"}, code_challenge="c" * 43)
    await store.save_code(saved)
    assert await store.find_code(hash_token("code")) == saved
    assert await store.find_code(hash_token("other")) is None


async def test_parameters_that_do_not_fit_a_token_are_kept_under_its_serial(store: SqlStore) -> None:
    number = await with_app(store)
    token = access_token(number, StoredParameters({"WORKFLOW_ID": "5f1.1"}, "crm"))
    await store.save_parameters(token)
    assert await store.find_parameters(number, token.serial) == token.stored
    assert await store.find_parameters(number, token.serial + 10**6) is None
    assert await store.find_parameters(number + 1, token.serial) is None


async def test_a_grants_and_a_rotations_parameters_are_stored_with_them(store: SqlStore) -> None:
    number = await with_app(store)
    first, second = (access_token(number, StoredParameters({"n": name}, None)) for name in ("1", "2"))
    await store.open_grant(new_grant(number, "first", access=first), NOW)
    old = await find_refresh(store, "first")
    await store.rotate_refresh(replace(rotation(old, "second"), access=second), NOW)
    for token in (first, second):
        assert await store.find_parameters(number, token.serial) == token.stored


async def test_a_deleted_applications_grants_and_codes_end_with_it(store: SqlStore) -> None:
    number = await with_app(store)
    await store.open_grant(new_grant(number, "first"), NOW)
    await store.save_code(new_code(number, "code"))
    await store.delete_app(number, of_app(number), entry())
    assert (await find_refresh(store, "first")).grant.revoked_at is not None
    assert not await store.redeem_code(hash_token("code"), new_grant(number, "second"), NOW)
    assert (await store.directory()).revocations.apps == {number: NOW + 3600}


async def test_a_unit_that_fails_leaves_no_half_behind(store: SqlStore) -> None:
    """The grant of a code is opened with the code's mark, or neither is."""
    number = await with_app(store)
    await store.open_grant(new_grant(number, "taken"), NOW)
    await store.save_code(new_code(number, "code"))
    with pytest.raises(Exception, match=r"exists already|did not answer"):
        await store.redeem_code(hash_token("code"), new_grant(number, "taken"), NOW)
    code = await store.find_code(hash_token("code"))
    assert code is not None
    assert code.used_at is None
    assert await store.redeem_code(hash_token("code"), new_grant(number, "free"), NOW)


async def test_a_closed_store_is_unavailable_and_says_so(store: SqlStore) -> None:
    number = await with_app(store)
    await store.close()
    with pytest.raises(Unavailable):
        await store.open_grant(new_grant(number, "first"), NOW)


async def test_all_is_there_after_a_restart(adapter: Adapter) -> None:
    before = await adapter.open()
    number = await with_app(before)
    await before.open_grant(new_grant(number, "first"), NOW)
    await before.rotate_refresh(rotation(await find_refresh(before, "first"), "second"), NOW)
    await before.save_code(new_code(number, "code"))
    known = [await find_refresh(before, "first"), await find_refresh(before, "second")]
    await before.close()
    after = await adapter.open()
    assert [await find_refresh(after, "first"), await find_refresh(after, "second")] == known
    assert await after.find_code(hash_token("code")) == new_code(number, "code")
