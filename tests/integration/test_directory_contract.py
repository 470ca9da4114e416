"""The directory store's contract: portals and applications, seen at once by everybody, changed all or nothing.

Leans on every adapter alike. Must never show a snapshot that lacks what was answered before it was asked for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from relay.core.errors import Conflict, NotFound
from tests.factories import APP_CLIENT, NOW, NOW_MS
from tests.integration.stored import entry, new_app, new_delivery, new_portal, of_app, with_app

if TYPE_CHECKING:
    from relay.store.sql_store import SqlStore
    from tests.integration.adapters import Adapter


async def register(store: SqlStore, portal_id: int, name: str, pin: bytes | None = None) -> None:
    await store.register_portal(portal_id, f"portal.{name}", b"hash", b"sealed", pin, entry("portal.registered"))


async def test_an_announced_portal_is_there_with_its_key(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(licence_md5="a" * 32, allow=("127.0.0.0/8", "app.test")), NOW)
    known = await store.directory()
    found = known.portals[portal_id]
    assert (found.url, found.licence_md5, found.window_until) == ("http://portal.test", "a" * 32, NOW + 60)
    assert found.allow == ("127.0.0.0/8", "app.test")
    assert found.client_id is None
    (key,) = known.sealing_keys(portal_id)
    assert key.key == bytes(range(32))


async def test_announcing_again_renews_the_window_and_adds_to_the_allow_list(store: SqlStore) -> None:
    first = await store.announce_portal(new_portal(licence_md5="a" * 32, allow=("10.0.0.1/32",)), NOW)
    again = await store.announce_portal(new_portal(window_until=NOW + 999, allow=("app.test", "10.0.0.1/32")), NOW + 5)
    assert again == first
    (found,) = (await store.directory()).portals.values()
    assert found.window_until == NOW + 999
    assert found.allow == ("10.0.0.1/32", "app.test")
    assert found.licence_md5 == "a" * 32
    assert len((await store.directory()).sealing_keys(first)) == 1


async def test_of_two_registrations_of_one_portal_the_first_counts(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(), NOW)
    await asyncio.gather(*(register(store, portal_id, str(number)) for number in range(10)))
    first = (await store.directory()).portals[portal_id].client_id
    assert first is not None
    await register(store, portal_id, "late")
    assert (await store.directory()).portals[portal_id].client_id == first
    assert len(await store.list_audit(0, "portal.registered", 100)) == 1


async def test_a_licence_is_pinned_once_and_forgotten_by_a_new_announcement(store: SqlStore) -> None:
    portal_id = await store.announce_portal(new_portal(), NOW)
    await store.pin_licence(portal_id, b"first")
    await store.pin_licence(portal_id, b"second")
    assert (await store.directory()).portals[portal_id].licence_pin == b"first"
    await store.announce_portal(new_portal(), NOW)
    assert (await store.directory()).portals[portal_id].licence_pin is None


async def test_an_application_is_added_changed_and_deleted(store: SqlStore) -> None:
    number = await with_app(store)
    await store.update_app(number, {"title": "Имя", "scope": "crm"})
    found = (await store.directory()).apps[number]
    assert (found.title, found.scope, found.redirect_uri) == ("Имя", "crm", "http://app.test/cb")
    await store.delete_app(number, of_app(number), entry("app.deleted"))
    known = await store.directory()
    assert known.app(1, APP_CLIENT) is None
    assert known.apps[number].deleted_at == NOW
    with pytest.raises(NotFound):
        await store.update_app(number, {"title": "x"})


async def test_a_portal_has_one_live_application_of_a_client_id(store: SqlStore) -> None:
    number = await with_app(store)
    with pytest.raises(Conflict):
        await store.add_app(new_app(), NOW)
    other = await store.announce_portal(new_portal(url="http://other.test"), NOW)
    await store.add_app(new_app(other), NOW)
    await store.delete_app(number, of_app(number), entry())
    again = await store.add_app(new_app(), NOW)
    assert again > number
    found = (await store.directory()).app(1, APP_CLIENT)
    assert found is not None
    assert found.number == again


async def test_an_applications_number_is_never_used_twice(store: SqlStore) -> None:
    """Sealed tokens carry it."""
    numbers = []
    for _ in range(3):
        numbers.append(await with_app(store))
        await store.remove_portal(1 if len(numbers) == 1 else max((await store.directory()).portals))
    assert numbers == sorted(set(numbers))


async def test_a_portal_with_unfinished_events_cannot_be_removed(store: SqlStore) -> None:
    await with_app(store)
    await store.accept([new_delivery()], NOW_MS)
    with pytest.raises(Conflict):
        await store.remove_portal(1)
    assert len((await store.directory()).apps) == 1


async def test_a_removed_portal_leaves_nothing_behind_and_others_alone(store: SqlStore) -> None:
    await with_app(store)
    other = await store.announce_portal(new_portal(url="http://other.test"), NOW)
    await store.add_app(new_app(other), NOW)
    await store.remove_portal(1)
    known = await store.directory()
    assert set(known.portals) == {other}
    assert {app.portal_id for app in known.apps.values()} == {other}
    assert known.sealing_keys(1) == []


async def test_a_change_is_in_every_snapshot_asked_for_after_it(store: SqlStore) -> None:
    """Also while others are asking: a snapshot that is being loaded must not hide a newer one."""
    portal_id = await store.announce_portal(new_portal(), NOW)

    async def add_and_look(number: int) -> bool:
        added = await store.add_app(new_app(portal_id, client_id=f"local.{number}"), NOW)
        return added in (await store.directory()).apps

    async def keep_asking() -> None:
        while True:
            await store.directory()
            await asyncio.sleep(0)

    askers = [asyncio.create_task(keep_asking()) for _ in range(3)]
    seen = await asyncio.gather(*(add_and_look(number) for number in range(40)))
    for asker in askers:
        asker.cancel()
    await asyncio.gather(*askers, return_exceptions=True)
    assert all(seen)


async def test_a_change_by_another_process_is_seen(adapter: Adapter) -> None:
    here, there = await adapter.open(), await adapter.open()
    assert (await here.directory()).portals == {}
    portal_id = await there.announce_portal(new_portal(), NOW)
    assert set((await here.directory()).portals) == {portal_id}
    await here.add_app(new_app(portal_id), NOW)
    assert len((await there.directory()).apps) == 1


async def test_while_nothing_changes_the_snapshot_is_the_same_object(store: SqlStore) -> None:
    await with_app(store)
    assert await store.directory() is await store.directory()


async def test_all_is_there_after_a_restart(adapter: Adapter) -> None:
    before = await adapter.open()
    number = await with_app(before)
    await register(before, 1, "one")
    known = await before.directory()
    await before.close()
    after = await (await adapter.open()).directory()
    assert after.portals == known.portals
    assert after.apps[number] == known.apps[number]
    assert after.sealing_keys(1) == known.sealing_keys(1)
