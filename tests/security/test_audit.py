"""Promises of the audit record (issue 3, item 7): every security event is in it, with who, where and when, and without
any secret.

Leans on a real relay over real HTTP. Must never write an entry for what did not happen, nor for a grant that was not
committed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import aiohttp
import pytest
from argon2 import PasswordHasher

from relay.core.errors import Conflict
from tests.integration.site import PortalSide
from tests.integration.stored import new_grant, with_app
from tests.security.world import QUICK_HOUSEKEEPING, audit, basic, details, stored_app, written_down

if TYPE_CHECKING:
    from relay.store.sql_store import SqlStore
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site


async def test_issue_3_7_a_registration_is_written_down(open_site_with: OpenSite) -> None:
    site = await open_site_with(QUICK_HOUSEKEEPING)
    (first,) = await audit(site, "portal.registered")
    assert (first.portal_id, details(first)) == (1, {"address": "127.0.0.1"})
    await site.portal.ask_registration()
    given = await written_down(site, "portal.credentials_given", 2)
    assert {details(entry)["client_id"] for entry in given} == {site.portal.client_id}


async def test_issue_3_7_a_refused_registration_is_written_down(open_site_with: OpenSite) -> None:
    site = await open_site_with(QUICK_HOUSEKEEPING)
    await PortalSide(site.live, url="http://nobody.test").ask_registration()
    (entry,) = await written_down(site, "portal.registration_refused")
    assert details(entry) == {"client_id": "http://nobody.test", "address": "127.0.0.1", "count": 1}


async def test_issue_3_7_failing_secrets_are_written_down_with_their_number(open_site_with: OpenSite) -> None:
    site = await open_site_with(QUICK_HOUSEKEEPING)
    site.app.client_secret = site.portal.client_secret = "wrong"
    for _ in range(3):
        await site.app.refresh("x")
        await site.check("x")
    entries = await written_down(site, "client.refused", 3)
    assert {details(entry)["client_id"] for entry in entries} == {site.app.client_id}
    assert {details(entry)["address"] for entry in entries} == {"127.0.0.1"}
    entries = await written_down(site, "portal.refused", 3)
    assert {details(entry)["client_id"] for entry in entries} == {site.portal.client_id}


async def test_issue_3_7_every_grant_is_written_down(site: Site) -> None:
    await site.authorize()
    site.user = "68"
    await site.app.redeem(await site.code())
    entries = await audit(site, "grant.opened")
    said = [(details(entry)["user_id"], details(entry)["by"]) for entry in entries]
    assert said == [(67, "portal"), (68, "code")]
    assert {(entry.portal_id, entry.app_number) for entry in entries} == {(1, 1)}


async def test_issue_3_7_a_refused_code_or_refresh_opens_no_grant(site: Site) -> None:
    code = await site.code()
    await site.app.redeem(code)
    await site.app.redeem(code)
    await site.app.redeem("x")
    await site.app.refresh("x")
    assert len(await audit(site, "grant.opened")) == 1


async def test_issue_3_7_a_grant_and_its_entry_are_one_transaction(store: SqlStore) -> None:
    number = await with_app(store)
    grant = new_grant(number, "first")
    await store.open_grant(grant, 1)
    before = await store.list_audit(0, "grant.opened", 10)
    with pytest.raises(Conflict):
        await store.open_grant(grant, 2)  # its refresh token's hash is taken
    assert await store.list_audit(0, "grant.opened", 10) == before
    assert len(before) == 1


async def test_issue_3_7_what_the_operator_does_to_an_application_is_written_down(site: Site) -> None:
    app = await stored_app(site)
    await site.live.relay.applications.rotate_secret(app, 60)
    await site.live.relay.applications.configure(app, post_only=True)
    await site.portal.result("application.delete", {"CLIENT_ID": app.client_id})
    kinds = [entry.kind for entry in await audit(site, "app.")]
    assert kinds == ["app.secret_rotated", "app.configured", "app.deleted"]


async def test_issue_3_7_admin_logins_are_written_down(open_site_with: OpenSite) -> None:
    site = await open_site_with({**QUICK_HOUSEKEEPING, "throttle": {"capacity": 100, "rate": 0.01, "failure_cost": 20}})
    await site.live.relay.store.set_admin_password_hash(PasswordHasher(1, 8, 1).hash("right"))
    url = f"http://{site.live.admin}/api/status"
    async with aiohttp.ClientSession() as browser:

        async def status(*credentials: str) -> int:
            headers = dict([basic(*credentials)]) if credentials else {}
            async with browser.get(url, headers=headers) as answer:
                return answer.status

        assert await status() == 401
        assert await status("admin", "right") == 200
        assert [await status("admin", "wrong") for _ in range(7)] == [401] * 5 + [429] * 2
    (login,) = await written_down(site, "admin.login")
    assert details(login) == {"client_id": "admin", "address": "127.0.0.1", "count": 1}
    refused = await written_down(site, "admin.refused", 5)
    assert {details(entry)["address"] for entry in refused} == {"127.0.0.1"}
    assert "wrong" not in str(refused)


async def test_issue_3_7_nothing_in_the_relay_changes_or_deletes_an_entry(site: Site) -> None:
    """Append-only: ids count up without a gap, whatever was deleted around them."""
    await site.authorize()
    await site.portal.result("application.delete", {"CLIENT_ID": site.app.client_id})
    await site.live.relay.portals.remove(await site.live.relay.portals.find(site.portal.url))
    await site.live.relay.store.purge(site.live.now + 10**9, site.live.now + 10**9, 1000)
    with closing(sqlite3.connect(site.live.relay.config.home / "relay.db")) as database:
        ids = [row[0] for row in database.execute("SELECT id FROM audit ORDER BY id")]
    assert ids == list(range(1, len(ids) + 1))
    assert len(ids) >= 4
