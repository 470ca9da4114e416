"""Promises of what the commands ask of the store: counts by handler, what is left of an entity, who has to wait.

Leans on the stores themselves, without a relay. One test for each promise, run on each adapter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.core.model import DeliveryState, Verdict
from relay.records import DeliveryFilter, Tally
from tests.factories import APP_CLIENT, NOW, NOW_MS
from tests.integration.stored import ME, claim, ended, entry, new_delivery, new_portal, of_app, states, with_app

if TYPE_CHECKING:
    from relay.store.sql_store import SqlStore

ONE, OTHER = "http://handlers.test/one", "http://handlers.test/other"
CONTACT = "crm.contact:123"


async def test_events_are_counted_by_state_and_handler(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(), NOW)
    urls = [ONE, ONE, ONE, OTHER]
    await store.accept([new_delivery(portal_id=portal_id, handler_url=url) for url in urls], NOW_MS)
    first = (await store.list_handlers())[0].handler
    claimed = await store.claim({first.id: 1}, now_ms=NOW_MS, lease_until_ms=NOW_MS + 1, owner=ME)
    await store.finish([ended(one.delivery) for one in claimed], ME)
    assert await store.tally(DeliveryFilter()) == [
        Tally(DeliveryState.DONE, first.url, 1),
        *sorted(
            [Tally(DeliveryState.DUE, first.url, urls.count(first.url) - 1)]
            + [Tally(DeliveryState.DUE, url, urls.count(url)) for url in {ONE, OTHER} - {first.url}],
            key=lambda one: one.handler_url,
        ),
    ]
    assert await store.tally(DeliveryFilter(states=(DeliveryState.HELD,))) == []


async def test_what_was_done_of_late_is_counted_and_what_was_replaced_is_not(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(), NOW)
    await store.accept([new_delivery(portal_id=portal_id) for _ in range(3)], NOW_MS)
    (first, second, third) = await claim(store)
    await store.finish([ended(first), ended(second)], ME)
    await store.finish([ended(third, DeliveryState.HELD, verdict=Verdict.HOLD, hold_reason="gone")], ME)
    (handler,) = [row.handler for row in await store.list_handlers()]
    assert await store.done_since(NOW_MS) == {handler.id: 2}
    assert await store.done_since(NOW_MS + 60_000) == {}


async def test_an_entitys_payloads_are_counted_until_they_are_erased(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(), NOW)
    await store.accept([new_delivery(portal_id=portal_id, entity=CONTACT) for _ in range(2)], NOW_MS)
    await store.accept([new_delivery(portal_id=portal_id, entity=f"{CONTACT}4")], NOW_MS)
    (wanted, _) = await store.find(DeliveryFilter(entity=CONTACT), 10)
    assert await store.count(DeliveryFilter(entity=CONTACT)) == 2
    assert await store.unerased(CONTACT) == 2
    (in_hand,) = [one for one in await claim(store) if one.event_id == wanted.event_id]
    assert await store.erase(CONTACT, NOW_MS, entry("event.erased")) == 0  # all three are in hand
    assert await store.unerased(CONTACT) == 2
    await store.finish([ended(in_hand)], ME)
    assert await store.erase(CONTACT, NOW_MS, entry("event.erased")) == 1
    assert await store.unerased(CONTACT) == 1
    assert await store.unerased(f"{CONTACT}4") == 1


async def test_nothing_is_claimed_for_a_handler_that_is_paused_although_it_was_due(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(), NOW)
    await store.accept([new_delivery(portal_id=portal_id)], NOW_MS)
    (handler,) = [row.handler for row in await store.list_handlers()]
    await store.pause_handler(handler.id, paused=True)
    assert await store.next_due() == []
    asked = {handler.id: 10}
    assert await store.claim(asked, now_ms=NOW_MS, lease_until_ms=NOW_MS + 1, owner=ME) == []
    assert await states(store) == {"due": 1}
    await store.pause_handler(handler.id, paused=False)
    assert len(await store.claim(asked, now_ms=NOW_MS, lease_until_ms=NOW_MS + 1, owner=ME)) == 1


async def test_nothing_is_claimed_for_an_application_that_is_inactive(store: SqlStore) -> None:
    number = await with_app(store)
    await store.accept([new_delivery(client_id=APP_CLIENT), new_delivery(client_id="")], NOW_MS)
    await store.update_app(number, {"active": False})
    (claimed,) = await claim(store)
    assert claimed.item.client_id == ""
    assert await states(store) == {"due": 1, "leased": 1}
    await store.update_app(number, {"active": True})
    (claimed,) = await claim(store)
    assert claimed.item.client_id == APP_CLIENT


async def test_a_deleted_applications_last_event_is_still_claimed(store: SqlStore) -> None:
    number = await with_app(store)
    await store.accept([new_delivery(client_id=APP_CLIENT)], NOW_MS)
    await store.update_app(number, {"active": False})
    await store.delete_app(number, of_app(number), entry("app.deleted"))
    assert len(await claim(store)) == 1
