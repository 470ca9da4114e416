"""Codes are good once and for thirty seconds; refresh tokens rotate, with a grace window, and reuse ends the family.

Leans on the wire and on a clock that can be moved forward. Must never find two pairs for one token.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.integration.wire import form, get

if TYPE_CHECKING:
    from tests.integration.site import Site


async def test_a_code_is_good_once(site: Site) -> None:
    code = await site.code()
    assert (await site.app.redeem(code)).status == 200
    again = await site.app.redeem(code)
    assert (again.error, again.status) == ("invalid_grant", 400)


async def test_a_code_that_comes_back_ends_what_it_opened(site: Site) -> None:
    code = await site.code()
    opened = (await site.app.redeem(code)).json
    await site.app.redeem(code)
    assert (await site.app.refresh(opened["refresh_token"])).error == "invalid_grant"
    assert (await site.check(opened["access_token"])).error == "invalid_token"


async def test_a_code_redeemed_many_times_at_once_opens_one_grant(site: Site) -> None:
    code = await site.code()
    answers = await asyncio.gather(*(site.app.redeem(code) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 19


async def test_a_code_is_good_for_thirty_seconds(site: Site) -> None:
    early, late = await site.code(), await site.code()
    site.live.clock.advance(25)
    assert (await site.app.redeem(early)).status == 200
    site.live.clock.advance(6)
    assert (await site.app.redeem(late)).error == "invalid_grant"


async def test_a_code_is_thirty_two_hex_characters_and_none_is_given_twice(site: Site) -> None:
    codes = await asyncio.gather(*(site.code() for _ in range(10)))
    assert len(set(codes)) == 10
    assert all(len(code) == 32 and set(code) <= set("0123456789abcdef") for code in codes)


async def test_a_codes_token_carries_the_parameters_that_came_with_it(site: Site) -> None:
    code = await site.code(**{"PARAMS[TZ_OFFSET]": "3600", "PARAMS[EVENT_SESSION]": "5"})
    token = (await site.app.redeem(code)).json["access_token"]
    checked = (await site.check(token)).json["result"]
    assert checked["parameters"] == {"LOCAL_USER": "67", "TZ_OFFSET": "3600", "EVENT_SESSION": "5"}


async def test_a_code_of_a_deleted_application_is_worth_nothing(site: Site) -> None:
    code = await site.code()
    await site.replay("application.delete")
    assert (await site.app.redeem(code)).error == "invalid_client"


async def test_refresh_tokens_rotate(site: Site) -> None:
    first = await site.authorize()
    second = (await site.app.refresh(first["refresh_token"])).json
    third = (await site.app.refresh(second["refresh_token"])).json
    assert len({first["refresh_token"], second["refresh_token"], third["refresh_token"]}) == 3
    assert (await site.check(third["access_token"])).status == 200


async def test_within_the_grace_window_a_used_token_gives_the_same_pair_again(site: Site) -> None:
    old = (await site.authorize())["refresh_token"]
    first = (await site.app.refresh(old)).json
    site.live.clock.advance(55)
    again = (await site.app.refresh(old)).json
    pair = ("access_token", "refresh_token", "expires")
    assert [again[name] for name in pair] == [first[name] for name in pair]
    assert again["expires_in"] < first["expires_in"]


async def test_a_token_refreshed_many_times_at_once_has_one_successor(site: Site) -> None:
    old = (await site.authorize())["refresh_token"]
    answers = await asyncio.gather(*(site.app.refresh(old) for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert len({(answer.json["access_token"], answer.json["refresh_token"]) for answer in answers}) == 1


async def test_the_grace_window_holds_even_after_the_successor_was_used(site: Site) -> None:
    old = (await site.authorize())["refresh_token"]
    first = (await site.app.refresh(old)).json
    assert (await site.app.refresh(first["refresh_token"])).status == 200
    assert (await site.app.refresh(old)).json["refresh_token"] == first["refresh_token"]


async def test_after_the_grace_window_reuse_ends_the_whole_family_and_is_recorded(site: Site) -> None:
    old = (await site.authorize())["refresh_token"]
    successor = (await site.app.refresh(old)).json
    site.live.clock.advance(62)
    assert (await site.app.refresh(old)).error == "invalid_grant"
    assert (await site.app.refresh(successor["refresh_token"])).error == "invalid_grant"
    assert (await site.check(successor["access_token"])).error == "invalid_token"
    (entry,) = await site.live.relay.store.list_audit(0, "grant.reused", 10)
    assert entry.details is not None
    assert old not in str(entry)


async def test_reuse_in_one_family_leaves_the_others_alone(site: Site) -> None:
    old, other = await site.authorize(), await site.authorize()
    await site.app.refresh(old["refresh_token"])
    site.live.clock.advance(62)
    await site.app.refresh(old["refresh_token"])
    assert (await site.app.refresh(other["refresh_token"])).status == 200
    assert (await site.check(other["access_token"])).status == 200


async def test_reuse_by_somebody_without_the_secret_ends_nothing(site: Site) -> None:
    old = (await site.authorize())["refresh_token"]
    successor = (await site.app.refresh(old)).json
    site.live.clock.advance(62)
    fields = {**site.app.grant(grant_type="refresh_token", refresh_token=old), "client_secret": "wrong"}
    assert (await site.live.ask(get(f"/oauth/token/?{form(fields).decode()}"))).error == "invalid_client"
    assert (await site.app.refresh(successor["refresh_token"])).status == 200


@pytest.mark.parametrize(("days", "good"), [(179, True), (181, False)])
async def test_a_refresh_token_lives_for_180_days(site: Site, days: int, good: bool) -> None:
    refresh = (await site.authorize())["refresh_token"]
    site.live.clock.advance(days * 86400)
    assert ((await site.app.refresh(refresh)).status == 200) is good


async def test_a_refreshed_token_keeps_the_narrowed_scope_of_its_grant(site: Site) -> None:
    given = await site.authorize(SCOPE="crm")
    refreshed = (await site.app.refresh(given["refresh_token"])).json
    assert refreshed["scope"] == "crm"
    assert (await site.check(refreshed["access_token"])).json["result"]["scope"] == "crm"


async def test_a_deleted_applications_refresh_token_is_worth_nothing(site: Site) -> None:
    refresh = (await site.authorize())["refresh_token"]
    await site.replay("application.delete")
    assert (await site.app.refresh(refresh)).error == "invalid_client"


async def test_an_earlier_access_token_stays_good_to_its_end_after_a_refresh(site: Site) -> None:
    given = await site.authorize()
    await site.app.refresh(given["refresh_token"])
    assert (await site.check(given["access_token"])).status == 200


async def test_one_marketplace_application_at_two_portals_has_tokens_of_each(site: Site) -> None:
    from tests.integration.site import AppSide, PortalSide  # noqa: PLC0415 - the one test that needs a second portal

    other = PortalSide(site.live, url="http://other.test")
    await other.register()
    known = (await site.live.relay.store.directory()).portals.values()
    for portal, secret in zip(known, ("1" * 50, "2" * 50), strict=True):
        await site.live.relay.applications.add(
            portal, title="M", redirect_uri="", scope="crm", client_id="app.m", client_secret=secret, status="F"
        )
    for portal_side, secret in ((site.portal, "1" * 50), (other, "2" * 50)):
        await portal_side.result("application.install", {"CLIENT_ID": "app.m", "VERSION": "1"})
        given = await portal_side.result("rest.authorize", {"CLIENT_ID": "app.m", "PARAMS[LOCAL_USER]": "5"})
        refreshed = (await AppSide(site.live, "app.m", secret).refresh(given["refresh_token"])).json
        assert refreshed["client_endpoint"] == f"{portal_side.url}/rest/"
        assert (await portal_side.ask("rest.check", {"TOKEN": refreshed["access_token"]})).status == 200
