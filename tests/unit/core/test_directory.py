"""The snapshot that requests are answered from finds what is live, knows what was, and mixes no two portals.

Leans on nothing stored. Must never find another portal's application.
"""

from __future__ import annotations

from relay.core.directory import Directory, Revocations
from tests.factories import APP_CLIENT, NOW, PORTAL_CLIENT, PORTAL_URL, app, directory, portal, sealing_key

OTHER = portal(id=2, url="https://other.example", client_id="portal.other")


def test_a_portal_is_found_by_its_client_id_and_by_its_url() -> None:
    known = directory(portals=[portal(), OTHER])
    assert known.portal_by_client(PORTAL_CLIENT) == portal()
    assert known.portal_by_url("https://other.example") == OTHER
    assert known.portal_by_client("portal.unknown") is None
    assert known.portal_by_url(PORTAL_URL + "/") is None


def test_a_portal_that_has_not_registered_is_not_found_by_an_empty_client_id() -> None:
    waiting = directory(portals=[portal(client_id=None)])
    assert waiting.portal_by_client("") is None
    assert waiting.portal_by_url(PORTAL_URL) is not None


def test_an_application_belongs_to_its_portal_only() -> None:
    known = directory(portals=[portal(), OTHER], apps=[app(), app(number=2, portal_id=2, title="Other")])
    found = known.app(1, APP_CLIENT)
    assert found is not None
    assert found.number == 1
    assert known.app(3, APP_CLIENT) is None
    assert [one.number for one in known.apps_by_client(APP_CLIENT)] == [1, 2]
    assert known.apps_by_client("local.unknown") == []


def test_a_deleted_application_is_not_found_but_stays_known() -> None:
    known = directory(apps=[app(deleted_at=NOW)])
    assert known.app(1, APP_CLIENT) is None
    assert known.apps_by_client(APP_CLIENT) == []
    assert known.known_app(1, APP_CLIENT) == app(deleted_at=NOW)
    assert known.apps[1].deleted_at == NOW


def test_of_an_application_deleted_and_added_again_the_live_one_is_meant() -> None:
    known = directory(apps=[app(number=3), app(number=2, deleted_at=NOW), app(number=4, deleted_at=NOW)])
    found = known.known_app(1, APP_CLIENT)
    assert found is not None
    assert found.number == 3


def test_of_an_application_deleted_twice_the_newest_is_known() -> None:
    known = directory(apps=[app(number=4, deleted_at=NOW), app(number=2, deleted_at=NOW)])
    found = known.known_app(1, APP_CLIENT)
    assert found is not None
    assert found.number == 4


def test_keys_belong_to_their_portal() -> None:
    known = directory(portals=[portal(), OTHER], keys=[sealing_key(1), sealing_key(2, key=bytes(32))])
    mine, other = known.sealing_key(1, 1), known.sealing_key(2, 1)
    assert mine is not None
    assert other is not None
    assert mine.key != other.key
    assert known.sealing_key(1, 2) is None


def test_the_latest_mark_that_concerns_a_token_counts() -> None:
    marks = Revocations(portals={1: 10}, apps={5: 20}, users={(1, 67): 30})
    assert marks.through(1, 5, 67) == 30
    assert marks.through(1, 5, 68) == 20
    assert marks.through(1, 6, 68) == 10
    assert marks.through(2, 6, 67) == 0


def test_an_empty_directory_knows_nothing() -> None:
    empty = Directory()
    assert empty.portal_by_client("") is None
    assert empty.portal_by_url("") is None
    assert empty.revocations.through(1, 1, 1) == 0
