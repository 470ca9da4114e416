"""Handlers that rest, in the store: which they are, and that what is given back for them was never tried.

Leans on every adapter alike. Must never take time off a retry budget for a try that was not made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.model import DeliveryState, Verdict
from tests.factories import APP_CLIENT, NOW_MS
from tests.integration.stored import ME, claim, ended, new_delivery, with_app

if TYPE_CHECKING:
    from relay.store.sql_store import SqlStore

DAY_MS = 86_400_000


async def test_paused_handlers_rest_and_those_of_an_application_that_is_off(store: SqlStore) -> None:
    number = await with_app(store)
    await store.accept([new_delivery(client_id=APP_CLIENT), new_delivery(client_id=""), new_delivery("b" * 32)], NOW_MS)
    handlers = {row.handler.client_id: row.handler.id for row in await store.list_handlers()}
    everyone = set(handlers.values())
    assert await store.find_resting(everyone) == set()
    await store.pause_handler(handlers[""], paused=True)
    assert await store.find_resting(everyone) == {handlers[""]}
    await store.update_app(number, {"active": False})
    assert await store.find_resting(everyone) == everyone
    assert await store.find_resting({handlers[APP_CLIENT]}) == {handlers[APP_CLIENT]}
    await store.pause_handler(handlers[""], paused=False)
    await store.update_app(number, {"active": True})
    assert await store.find_resting(everyone) == set()


async def test_what_is_given_back_untried_begins_its_budget_with_its_first_try(store: SqlStore) -> None:
    await with_app(store)
    await store.accept([new_delivery()], NOW_MS)
    (first,) = await claim(store)
    await store.give_back([first.id], owner=ME)
    (again,) = await claim(store, now_ms=NOW_MS + DAY_MS)
    assert (again.attempt, again.tries_since_ms) == (1, NOW_MS + DAY_MS)


async def test_what_was_tried_before_keeps_its_budget_when_it_is_given_back(store: SqlStore) -> None:
    await with_app(store)
    await store.accept([new_delivery()], NOW_MS)
    (first,) = await claim(store)
    await store.finish([ended(first, DeliveryState.DUE, verdict=Verdict.RETRY)], ME)
    (second,) = await claim(store, now_ms=NOW_MS + 1000)
    await store.give_back([second.id], owner=ME)
    (again,) = await claim(store, now_ms=NOW_MS + DAY_MS)
    assert (again.attempt, again.tries_since_ms) == (2, NOW_MS)
