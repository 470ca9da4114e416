"""Promises of revocation (issue 3, item 2): by token, application, user and portal, of whatever kind, obeyed at once.

Leans on a real relay over real HTTP. Must never let a token that was granted before outlive its revocation, nor one
that was granted after fall to it.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.site import Site
from tests.security.world import Verdicts, another_app, another_portal, audit, details, introspect, stored_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def _by_operator(site: Site) -> None:
    await site.live.relay.revocations.revoke_app(await stored_app(site), "lost laptop")


async def _by_user(site: Site) -> None:
    await site.live.relay.revocations.revoke_user(1, 67, "has left")


async def _by_portal(site: Site) -> None:
    await site.live.relay.revocations.revoke_portal(1, "restored from a copy")


WAYS: dict[str, Callable[[Site], Awaitable[None]]] = {"app": _by_operator, "user": _by_user, "portal": _by_portal}


@dataclass(slots=True)
class Held:
    """Everything that a client can hold at one time."""

    pair: dict[str, Any]
    refreshed: dict[str, Any]
    with_parameters: dict[str, Any]
    code: str

    @classmethod
    async def by(cls, site: Site) -> Held:
        """Have it granted."""
        pair = await site.authorize()
        refreshed = (await site.app.refresh(pair["refresh_token"])).json
        with_parameters = await site.authorize(SCOPE="crm", **{"PARAMS[place]": "x"})
        return cls(pair, refreshed, with_parameters, await site.code())

    @property
    def access_tokens(self) -> list[str]:
        """The access tokens of all of it."""
        return [answer["access_token"] for answer in (self.pair, self.refreshed, self.with_parameters)]

    @property
    def refresh_tokens(self) -> list[str]:
        """The refresh tokens of all of it."""
        return [answer["refresh_token"] for answer in (self.pair, self.refreshed, self.with_parameters)]


async def _is_over(site: Site, held: Held, verdict: str = "invalid_token") -> None:
    for token in held.access_tokens:
        assert await Verdicts(site).of(token) == verdict
    for token in held.refresh_tokens:
        assert (await site.app.refresh(token)).error == "invalid_grant"
    assert (await site.app.redeem(held.code)).error == "invalid_grant"


async def _works(site: Site, held: Held) -> None:
    for token in held.access_tokens:
        assert await Verdicts(site).of(token) == "good"
    for token in held.refresh_tokens:
        assert (await site.app.refresh(token)).status == 200
    assert (await site.app.redeem(held.code)).status == 200


@pytest.mark.parametrize("way", WAYS)
async def test_issue_3_2_everything_ends_at_once(issuing: Site, way: str) -> None:
    held = await Held.by(issuing)
    await WAYS[way](issuing)
    await _is_over(issuing, held)


@pytest.mark.parametrize("way", WAYS)
async def test_issue_3_2_what_is_granted_in_the_same_second_works(issuing: Site, way: str) -> None:
    await WAYS[way](issuing)
    await _works(issuing, await Held.by(issuing))


@pytest.mark.parametrize("ways", list(itertools.product(WAYS, WAYS)), ids="-".join)
async def test_issue_3_2_two_revocations_in_one_second(issuing: Site, ways: tuple[str, str]) -> None:
    """Granted between them: over. Granted after both: good."""
    first, second = ways
    before = await Held.by(issuing)
    await WAYS[first](issuing)
    between = await issuing.authorize()
    assert await Verdicts(issuing).of(between["access_token"]) == "good"
    await WAYS[second](issuing)
    assert await Verdicts(issuing).of(between["access_token"]) == "invalid_token"
    await _is_over(issuing, before)
    await _works(issuing, await Held.by(issuing))


async def test_issue_3_2_many_revocations_at_once_leave_what_comes_after_good(issuing: Site) -> None:
    before = await Held.by(issuing)
    await asyncio.gather(*(WAYS[way](issuing) for way in WAYS for _ in range(5)))
    await _is_over(issuing, before)
    await _works(issuing, await Held.by(issuing))


async def test_issue_3_2_revoking_many_users_does_not_lengthen_anybodys_tokens(site: Site) -> None:
    for user in range(100, 140):
        await site.live.relay.revocations.revoke_user(1, user, "left together")
    site.user = "139"
    assert (await site.authorize())["expires_in"] <= 3610
    site.user = "67"
    assert (await site.authorize())["expires_in"] <= 3600


@pytest.mark.parametrize("method", ["application.delete", "application.uninstall"])
async def test_issue_3_2_a_local_application_that_goes_takes_its_tokens_along(issuing: Site, method: str) -> None:
    held = await Held.by(issuing)
    await issuing.portal.result(method, {"CLIENT_ID": issuing.app.client_id})
    for token in held.access_tokens:
        assert (await issuing.check(token)).error == "APPLICATION_NOT_FOUND"
        assert (await issuing.app.info(token)).error == "APPLICATION_NOT_FOUND"
        assert (await introspect(issuing.app, token)).error == "invalid_client"
    for token in held.refresh_tokens:
        assert (await issuing.app.refresh(token)).error == "invalid_client"
    assert (await issuing.app.redeem(held.code)).error == "invalid_client"


async def test_issue_3_2_what_an_uninstalled_marketplace_application_had_stays_over(site: Site) -> None:
    portal = await site.live.relay.portals.find(site.portal.url)
    given = {"client_id": "app.0123456789abcd.01234567", "client_secret": "marketplace-secret"}
    await site.live.relay.applications.add(
        portal, title="Shop", redirect_uri="https://shop.test/", scope="crm,user", status="F", **given
    )
    site.app.client_id, site.app.client_secret = given["client_id"], given["client_secret"]
    install = {"CLIENT_ID": site.app.client_id, "VERSION": "1"}
    await site.portal.result("application.install", install)
    held = await Held.by(site)
    await site.portal.result("application.uninstall", install)
    await site.portal.result("application.install", install)
    await _is_over(site, held)
    await _works(site, await Held.by(site))


async def test_issue_3_2_an_application_switched_off_has_no_tokens_until_it_is_on_again(issuing: Site) -> None:
    token = (await issuing.authorize())["access_token"]
    app = await stored_app(issuing)
    await issuing.live.relay.applications.configure(app, active=False)
    assert await Verdicts(issuing).of(token) == "invalid_token"
    await issuing.live.relay.applications.configure(app, active=True)
    assert await Verdicts(issuing).of(token) == "good"


async def test_issue_3_2_a_revocation_reaches_as_far_as_it_says_and_no_further(site: Site) -> None:
    other, second = await another_app(site), await another_portal(site)
    neighbour = Site(site.live, site.portal, other, site.sink)
    colleague = Site(site.live, site.portal, site.app, site.sink, user="68")
    worlds = {"own": site, "other app": neighbour, "other user": colleague, "other portal": second}
    ended_by = {
        "app": {"own", "other user"},
        "user": {"own", "other app"},
        "portal": {"own", "other app", "other user"},
    }
    for way, ended in ended_by.items():
        tokens = {name: (await world.authorize())["access_token"] for name, world in worlds.items()}
        await WAYS[way](site)
        for name, world in worlds.items():
            assert (way, name, await Verdicts(world).of(tokens[name]) == "good") == (way, name, name not in ended)


async def test_issue_3_2_a_user_of_another_portal_with_the_same_number_is_somebody_else(site: Site) -> None:
    second = await another_portal(site)
    token = (await second.authorize())["access_token"]
    await _by_user(site)
    assert await Verdicts(second).of(token) == "good"


@pytest.mark.parametrize("way", WAYS)
async def test_issue_3_2_a_revocation_holds_until_the_last_token_it_ended(site: Site, way: str) -> None:
    token = (await site.authorize())["access_token"]
    await WAYS[way](site)
    site.live.clock.advance(3500)
    await site.live.relay.store.purge(site.live.now, 0, 100)
    assert (await site.check(token)).error == "invalid_token"
    site.live.clock.advance(100)
    await site.live.relay.store.purge(site.live.now, 0, 100)
    assert (await site.check(token)).error == "expired_token"


async def test_issue_3_2_shorter_tokens_do_not_shorten_the_revocation_of_longer_ones(site: Site) -> None:
    """The lifetime was lowered after a long-lived token had been granted: its revocation still reaches its end."""
    assert await site.live.relay.store.longest_access_s(86400) == 86400
    assert await site.live.relay.store.longest_access_s(60) == 86400


@pytest.mark.parametrize(
    ("way", "kind", "said"),
    [
        ("app", "app.revoked", {"reason": "lost laptop"}),
        ("user", "user.revoked", {"user_id": 67, "reason": "has left"}),
        ("portal", "portal.revoked", {"reason": "restored from a copy"}),
    ],
)
async def test_issue_3_7_every_revocation_is_written_down(
    site: Site, way: str, kind: str, said: dict[str, object]
) -> None:
    await WAYS[way](site)
    (entry,) = await audit(site, kind)
    assert details(entry) == said
    assert entry.portal_id == 1
