"""Promises of refresh tokens: RFC 6749 section 6 and RFC 9700 section 4.14: bound, rotated, ended when reused.

Leans on a real relay over real HTTP. Each test is named by the source of its promise. Must never sleep: the clock is
moved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.security.world import Verdicts, another_app, another_portal, audit, details

if TYPE_CHECKING:
    from tests.integration.site import Site

GRACE_S = 60
DAY_S = 86400


async def test_rfc6749_6_refresh_bound_to_client(site: Site) -> None:
    refresh = (await site.authorize())["refresh_token"]
    refused = await (await another_app(site)).refresh(refresh)
    assert (refused.status, refused.error) == (400, "invalid_grant")
    assert (await (await another_portal(site)).app.refresh(refresh)).error == "invalid_grant"
    assert (await site.app.refresh(refresh)).status == 200


async def test_rfc9700_4_14_2_a_refresh_token_is_replaced_when_it_is_used(issuing: Site) -> None:
    first = await issuing.authorize()
    second = (await issuing.app.refresh(first["refresh_token"])).json
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]


async def test_rfc9700_4_14_2_reuse_ends_the_family_with_its_live_access_tokens(issuing: Site) -> None:
    first = await issuing.authorize()
    second = (await issuing.app.refresh(first["refresh_token"])).json
    issuing.live.clock.advance(GRACE_S + 1)
    third = (await issuing.app.refresh(second["refresh_token"])).json
    bystander = await issuing.authorize()
    family = [pair["access_token"] for pair in (first, second, third)]
    assert {await Verdicts(issuing).of(token) for token in family} == {"good"}

    assert (await issuing.app.refresh(first["refresh_token"])).error == "invalid_grant"

    assert {await Verdicts(issuing).of(token) for token in family} == {"invalid_token"}
    assert (await issuing.app.refresh(third["refresh_token"])).error == "invalid_grant"
    assert await Verdicts(issuing).of(bystander["access_token"]) == "good"
    assert (await issuing.app.refresh(bystander["refresh_token"])).status == 200


@pytest.mark.parametrize("generation", [1, 2, 3])
async def test_rfc9700_4_14_2_reuse_is_recorded_with_generation_address_and_time(site: Site, generation: int) -> None:
    tokens = [(await site.authorize())["refresh_token"]]
    for _ in range(3):
        tokens.append((await site.app.refresh(tokens[-1])).json["refresh_token"])
    site.live.clock.advance(GRACE_S + 1)
    before = site.live.now
    await site.app.refresh(tokens[generation - 1])
    (entry,) = await audit(site, "grant.reused")
    assert details(entry)["generation"] == generation
    assert details(entry)["address"] == "127.0.0.1"
    assert before <= entry.at <= site.live.now
    assert (entry.portal_id, entry.app_number) == (1, 1)


async def test_rfc9700_4_14_2_reuse_is_recorded_once(site: Site) -> None:
    refresh = (await site.authorize())["refresh_token"]
    await site.app.refresh(refresh)
    site.live.clock.advance(GRACE_S + 1)
    for _ in range(3):
        assert (await site.app.refresh(refresh)).error == "invalid_grant"
    assert len(await audit(site, "grant.reused")) == 1


async def test_design_decisions_within_the_window_all_callers_get_one_successor(issuing: Site) -> None:
    refresh = (await issuing.authorize())["refresh_token"]
    first = (await issuing.app.refresh(refresh)).json
    issuing.live.clock.advance(GRACE_S - 20)
    again = (await issuing.app.refresh(refresh)).json
    assert (again["access_token"], again["refresh_token"]) == (first["access_token"], first["refresh_token"])


@pytest.mark.parametrize(("idle_s", "good"), [(180 * DAY_S - 60, True), (180 * DAY_S, False)])
async def test_rfc9700_4_14_2_idle_expiry(site: Site, idle_s: int, good: bool) -> None:
    refresh = (await site.authorize())["refresh_token"]
    site.live.clock.advance(idle_s)
    assert ((await site.app.refresh(refresh)).status == 200) is good


async def test_rfc9700_4_14_2_absolute_expiry(site: Site) -> None:
    """However often it is refreshed, a grant ends (default: after five years)."""
    refresh = (await site.authorize())["refresh_token"]
    for _ in range(5 * 365 // 179):
        site.live.clock.advance(179 * DAY_S)
        answer = await site.app.refresh(refresh)
        assert answer.status == 200
        refresh = answer.json["refresh_token"]
    site.live.clock.advance(179 * DAY_S)
    assert (await site.app.refresh(refresh)).error == "invalid_grant"


async def test_rfc6749_6_an_access_token_or_a_code_refreshes_nothing(issuing: Site) -> None:
    assert (await issuing.app.refresh((await issuing.authorize())["access_token"])).status == 400
    assert (await issuing.app.refresh(await issuing.code())).error == "invalid_grant"


async def test_rfc6749_6_the_scope_never_grows(site: Site) -> None:
    narrow = await site.authorize(SCOPE="crm")
    wider = await site.app.ask_token(
        grant_type="refresh_token", refresh_token=narrow["refresh_token"], scope="crm,user"
    )
    assert wider.json["scope"] == "crm"
