"""Promises under abuse (issue 3, item 6): failing loops are slowed down and cost little, nobody else is held up, and
nothing grows without bound.

Leans on a real relay over real HTTP with small budgets, and on the throttle itself for its bounds. Must never hold up
valid credentials.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relay.app.failures import MAX_COUNTED, Failures, TooManyFailures
from relay.core.throttle import BucketPolicy, Throttle
from tests.factories import SetClock
from tests.integration.live_relay import until
from tests.integration.site import AppSide, PortalSide
from tests.integration.wire import form, get, post
from tests.security.world import (
    QUICK_HOUSEKEEPING,
    audit,
    basic,
    begin_pkce,
    details,
    introspect,
    revoke,
    written_down,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site
    from tests.integration.wire import Answer

# Five failures, then one in half an hour.
SHORT_TEMPERED: dict[str, Any] = {"throttle": {"capacity": 100, "rate": 0.01, "failure_cost": 20}}


def _ask_token(app: AppSide) -> Awaitable[Answer]:
    return app.refresh("x")


def _ask_introspection(app: AppSide) -> Awaitable[Answer]:
    return introspect(app, "x")


def _ask_revocation(app: AppSide) -> Awaitable[Answer]:
    return revoke(app, "x")


@pytest.mark.parametrize("ask", [_ask_token, _ask_introspection, _ask_revocation])
async def test_issue_3_6_a_failing_app_is_told_when_to_come_back(
    open_site_with: OpenSite, ask: Callable[[AppSide], Awaitable[Answer]]
) -> None:
    site = await open_site_with(SHORT_TEMPERED)
    stranger = AppSide(site.live, "local.unknown", "wrong")
    answers = [await ask(stranger) for _ in range(8)]
    assert [answer.status for answer in answers] == [401] * 5 + [429] * 3
    for answer in answers[5:]:
        assert answer.error == "slow_down"
        assert 1 <= int(answer.headers["retry-after"]) <= 2100
    site.live.clock.advance(int(answers[-1].headers["retry-after"]))
    assert (await ask(stranger)).status == 401


@pytest.mark.parametrize("method", ["rest.check", "rest.authorize", "relay.bundle", "batch", "no.such.method"])
async def test_issue_3_6_a_failing_portal_gets_503_without_json(open_site_with: OpenSite, method: str) -> None:
    """A portal keeps every JSON error for an hour."""
    site = await open_site_with(SHORT_TEMPERED)
    stranger = PortalSide(site.live, client_id="portal.unknown", client_secret="wrong")
    answers = [await stranger.ask(method) for _ in range(7)]
    assert [(answer.status, answer.is_json) for answer in answers] == [(401, True)] * 5 + [(503, False)] * 2


async def test_issue_3_6_failing_registrations_are_slowed_down(open_site_with: OpenSite) -> None:
    site = await open_site_with(SHORT_TEMPERED)
    stranger = PortalSide(site.live, url="http://nobody.test")
    answers = [await stranger.ask_registration() for _ in range(7)]
    assert [(answer.status, answer.is_json) for answer in answers] == [(403, True)] * 5 + [(503, False)] * 2
    assert (await site.portal.ask_registration()).status == 200


async def test_issue_3_6_valid_credentials_from_the_same_address_are_never_held_up(open_site_with: OpenSite) -> None:
    site = await open_site_with(SHORT_TEMPERED)
    tokens = [(await site.authorize())["refresh_token"] for _ in range(5)]
    for refresh in tokens:
        for stranger in (AppSide(site.live, "local.unknown", "x"), AppSide(site.live, site.app.client_id, "guess")):
            for _ in range(4):
                await stranger.refresh("x")
        wrong = PortalSide(site.live, client_id=site.portal.client_id, client_secret="guess")
        assert (await wrong.ask("rest.check", {"TOKEN": "x"})).status == 503
        pair = await site.app.refresh(refresh)
        assert pair.status == 200
        assert (await site.check(pair.json["access_token"])).status == 200
        assert (await introspect(site.app, pair.json["access_token"])).json["active"] is True


async def test_issue_3_6_one_users_dead_token_in_a_loop_holds_up_none_of_the_others(open_site_with: OpenSite) -> None:
    """The client is known and its secret right; a single worker of it asks for ever with a token that is over."""
    site = await open_site_with(SHORT_TEMPERED)
    tokens = [(await site.authorize())["refresh_token"] for _ in range(4)]
    loop = [await site.app.refresh("0" * 70) for _ in range(30)]
    assert [answer.status for answer in loop] == [400] * 5 + [429] * 25
    assert [(await site.app.refresh(token)).status for token in tokens] == [200] * 4
    fresh = [await site.app.refresh(f"{number:070x}") for number in range(1, 6)]
    assert [answer.status for answer in fresh] == [400] * 5


async def test_issue_3_6_a_flood_of_pkce_challenges_is_slowed_down(open_site_with: OpenSite) -> None:
    """They are kept before anybody has authenticated."""
    site = await open_site_with(SHORT_TEMPERED)
    answers = [await begin_pkce(site, f"state {number}") for number in range(7)]
    assert [answer.status for answer in answers] == [302] * 5 + [429] * 2
    plain = f"/oauth/authorize/?client_id={site.app.client_id}&state=s"
    assert (await site.live.ask(get(plain))).status == 302
    assert (await site.app.redeem(await site.code())).status == 200


@pytest.mark.parametrize(
    "header",
    [
        ("Authorization", "Basic"),
        ("Authorization", "Basic "),
        ("Authorization", "Basic %%%"),
        ("Authorization", "Basic YTpi, Basic YTpi"),
        ("Authorization", "Bearer Basic YTpi"),
        ("Authorization", "Negotiate YTpi"),
        ("Authorization", "Digest username=a"),
        basic("%41", "%zz"),
        basic("a:b", "c"),
        basic("a" * 3000, "b"),
    ],
)
async def test_issue_3_6_header_oddities_are_cheap_refusals(site: Site, header: tuple[str, str]) -> None:
    fields = form({"grant_type": "refresh_token", "refresh_token": "x"})
    answer = await site.live.ask(post("/oauth/token/", fields, "application/x-www-form-urlencoded", header))
    assert (answer.status, answer.error) == (401, "invalid_client")


async def test_issue_3_6_work_before_authentication_is_bounded(site: Site) -> None:
    for body in (b"a=" + b"x" * 70_000, b"&".join(b"a%d=1" % number for number in range(300))):
        assert (await site.live.ask(post("/oauth/token/", body))).error == "request_too_large"
    long = await site.app.ask_token(grant_type="refresh_token", refresh_token="x" * 600)
    assert long.error == "invalid_request"
    assert (await introspect(site.app, "x" * 17_000)).error == "invalid_request"


async def test_issue_3_6_an_attack_fills_neither_memory_nor_the_audit_record(open_site_with: OpenSite) -> None:
    settings = {**QUICK_HOUSEKEEPING, "housekeeping": {"every_s": 1.0}}
    site = await open_site_with(settings)
    for number in range(MAX_COUNTED + 40):
        stranger = AppSide(site.live, f"local.{number:014x}.00000000", "wrong")
        await stranger.refresh("x")

    async def all_counted() -> bool:
        entries = await audit(site, "client.refused")
        return sum(int(details(entry)["count"]) for entry in entries) == MAX_COUNTED + 40

    await until(all_counted)


def test_issue_3_6_what_is_counted_is_bounded_and_nothing_is_lost() -> None:
    failures = Failures(Throttle(BucketPolicy()), SetClock())
    for number in range(10 * MAX_COUNTED):
        failures.noted("client.refused", f"local.{number}", "192.0.2.1")
    entries = failures.take()
    assert len(entries) == MAX_COUNTED + 1
    assert sum(details(entry)["count"] for entry in entries) == 10 * MAX_COUNTED
    assert failures.take() == []


def test_issue_3_6_the_table_of_buckets_is_bounded() -> None:
    throttle = Throttle(BucketPolicy(capacity=1, rate=1, failure_cost=1), limit=100)
    for number in range(10_000):
        throttle.charge(("address", number), 0.0, failed=True)
    assert sum(throttle.wait_s(("address", number), 0.0) > 0 for number in range(10_000)) == 100


def test_issue_3_6_the_debt_is_bounded_and_a_clock_set_back_locks_nobody_out() -> None:
    throttle = Throttle(BucketPolicy(capacity=100, rate=10, failure_cost=20))
    for _ in range(1000):
        throttle.charge("key", 1_000_000.0, failed=True)
    assert throttle.wait_s("key", 1_000_000.0) == pytest.approx(2.1)
    assert throttle.wait_s("key", 900_000.0) == pytest.approx(2.1)
    throttle.charge("other", 1_000_000.0, failed=False)
    assert throttle.wait_s("other", 0.0) == 0


def test_issue_3_6_failures_weigh_more_than_what_is_served() -> None:
    failures = Failures(Throttle(BucketPolicy(capacity=100, rate=0.001, failure_cost=20)), SetClock())
    for _ in range(90):
        failures.served("client")
    failures.check("client")
    for _ in range(5):
        failures.failed("other", "client.refused", "local.x", "192.0.2.1")
    with pytest.raises(TooManyFailures):
        failures.check("other")


async def test_issue_3_6_a_swapped_id_and_secret_is_not_written_down(open_site_with: OpenSite) -> None:
    site = await open_site_with(QUICK_HOUSEKEEPING)
    swapped = AppSide(site.live, site.app.client_secret, site.app.client_id)
    assert (await swapped.refresh("x")).error == "invalid_client"
    (entry,) = await written_down(site, "client.refused")
    assert details(entry)["client_id"] == "?"
