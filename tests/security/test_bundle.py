"""Promises of the validation bundle (issue 3, items 1 and 4): tokens are checked with the relay away, by its contract
alone.

Leans on the reference validator, which shares no code with the relay, and on the vectors that PHP uses as well. Must
never ask the relay once it has stopped.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from relay.app.settings import IssuerSettings
from relay.clock import system_entropy
from relay.core.tokens import mint_access_token
from tests.integration.live_relay import PUBLIC_URL, running_relay
from tests.integration.site import open_site
from tests.integration.wire import get
from tests.security.reference_validator import BundleRefusedError, ReferenceValidator, Token, from_vectors
from tests.security.world import another_app, another_portal, revoke, stored_app

if TYPE_CHECKING:
    from tests.integration.sink import Sink
    from tests.integration.site import Site

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "bundle.json").read_text("ascii"))
DAY_S = 86400


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a portal's module keeps: the last answer with a bundle, and the key set."""

    bundle: str
    etag: str
    jwks: dict[str, Any]
    member_id: str
    client_secret: str

    @classmethod
    async def by(cls, site: Site) -> Fetched:
        """Fetch both."""
        result = await site.portal.result("relay.bundle")
        assert result["not_modified"] is False
        jwks = (await site.live.ask(get("/.well-known/jwks.json"))).json
        member_id = (await site.live.relay.portals.find(site.portal.url)).member_id
        return cls(result["bundle"], result["etag"], jwks, member_id, site.portal.client_secret)

    def validator(self, now: int) -> ReferenceValidator:
        """Open it."""
        return ReferenceValidator(
            self.bundle,
            self.jwks,
            issuer=PUBLIC_URL,
            member_id=self.member_id,
            client_secret=self.client_secret,
            now=now,
        )


@pytest.mark.parametrize("case", VECTORS["bundles"], ids=lambda case: case["name"])
def test_bundle_vectors_are_believed_or_refused(case: dict[str, Any]) -> None:
    if case["accepted"]:
        from_vectors(VECTORS, case["jws"])
    else:
        with pytest.raises(BundleRefusedError):
            from_vectors(VECTORS, case["jws"])


@pytest.mark.parametrize("case", VECTORS["tokens"], ids=lambda case: case["name"])
def test_token_vectors_have_the_verdict_that_their_bundle_leads_to(case: dict[str, Any]) -> None:
    validator = from_vectors(VECTORS, VECTORS["bundles"][0]["jws"])
    assert validator.verdict(case["token"], VECTORS["now"]) == case["verdict"]


async def test_issue_3_4_the_relay_stopped_for_an_hour(sink: Sink, tmp_path: Path, template: Path) -> None:
    """Live tokens go on being accepted; revoked, expired and forged ones go on being refused."""
    async with running_relay(tmp_path / "home", {"tokens": {"access_s": 2 * 3600}}, template) as live:
        site = await open_site(live, sink)
        other = await another_app(site)
        gone = (await site.authorize())["access_token"]
        live.clock.advance(3600 + 60)
        tokens = {
            "good": (await site.authorize(**{"PARAMS[EVENT_SESSION]": "7"}))["access_token"],
            "by token": (await site.authorize())["access_token"],
            "incomplete": (await site.authorize(SCOPE="crm"))["access_token"],
        }
        site.user = "68"
        tokens["by user"] = (await site.authorize())["access_token"]
        site.user = "67"
        tokens["by app"] = await _token_of(site, other.client_id)
        await revoke(site.app, tokens["by token"])
        await live.relay.revocations.revoke_user(1, 68, "left")
        await site.portal.result("application.delete", {"CLIENT_ID": other.client_id})
        tokens["after a revocation"] = (await site.authorize())["access_token"]
        fetched, stopped_at = await Fetched.by(site), live.now
    now = stopped_at + 3600
    validator = fetched.validator(now)
    verdicts = {name: validator.verdict(token, now) for name, token in tokens.items()}
    assert verdicts == {
        "good": "good",
        "after a revocation": "good",
        "incomplete": "incomplete",
        "by token": "revoked",
        "by user": "revoked",
        "by app": "revoked",
    }
    assert validator.verdict(gone, now) == "expired"
    forged = tokens["good"][:-1] + ("0" if tokens["good"][-1] != "0" else "1")
    for other_than in (forged, tokens["good"].upper(), "0" * 70, "", tokens["good"] + "00"):
        assert validator.verdict(other_than, now) in {"forged", "no_key"}


async def _token_of(site: Site, client_id: str) -> str:
    fields = {"CLIENT_ID": client_id, "PARAMS[LOCAL_USER]": "67"}
    return str((await site.portal.result("rest.authorize", fields))["access_token"])


async def test_issue_3_4_past_its_end_a_bundle_says_nothing(site: Site) -> None:
    token = (await site.authorize())["access_token"]
    fetched = await Fetched.by(site)
    validator = fetched.validator(site.live.now)
    assert DAY_S - 60 <= validator.valid_until - site.live.now <= DAY_S
    assert validator.verdict(token, validator.valid_until) == "stale"
    with pytest.raises(BundleRefusedError):
        fetched.validator(validator.valid_until)


async def test_issue_3_1_a_bundle_is_for_one_portal_alone(site: Site) -> None:
    second = await another_portal(site)
    mine, theirs = await Fetched.by(site), await Fetched.by(second)
    with pytest.raises(BundleRefusedError):
        Fetched(theirs.bundle, "", theirs.jwks, mine.member_id, theirs.client_secret).validator(site.live.now)
    own, token = (await site.authorize())["access_token"], (await second.authorize())["access_token"]
    locked = Fetched(mine.bundle, "", mine.jwks, mine.member_id, theirs.client_secret).validator(site.live.now)
    assert locked.verdict(own, site.live.now) == "no_key"
    assert mine.validator(site.live.now).verdict(own, site.live.now) == "good"
    assert mine.validator(site.live.now).verdict(token, site.live.now) == "forged"
    assert theirs.validator(site.live.now).verdict(token, site.live.now) == "good"
    said = jwt.decode(mine.bundle, options={"verify_signature": False})
    assert [app[1] for app in said["apps"]] == [site.app.client_id]


async def test_issue_3_1_no_sealing_key_is_in_the_clear(site: Site) -> None:
    said = jwt.decode((await Fetched.by(site)).bundle, options={"verify_signature": False})
    (key,) = (await site.live.relay.portals.current()).sealing_keys(1)
    assert key.key.hex() not in json.dumps(said)
    assert len(said["keys"]) == 1
    again = jwt.decode((await Fetched.by(site)).bundle, options={"verify_signature": False})
    assert again["keys"] != said["keys"]  # another nonce each time


async def test_issue_3_1_ten_thousand_live_tokens_and_two_hundred_revocations_in_64_kb(site: Site) -> None:
    directory, app, now = await site.live.relay.portals.current(), await stored_app(site), site.live.now
    settings = IssuerSettings(PUBLIC_URL)
    tokens = [
        mint_access_token(  # as for an event
            directory,
            app,
            1 + number % 500,
            parameters={"EVENT_SESSION": "7"},
            scope=None,
            now=now,
            issuer=PUBLIC_URL,
            lifetimes=settings.lifetimes,
            entropy=system_entropy,
        ).text
        for number in range(10_000)
    ]
    revoked = set(tokens[::50])
    assert len(revoked) == 200
    turn = asyncio.Semaphore(8)

    async def end(token: str) -> int:
        async with turn:
            return (await revoke(site.app, token)).status

    assert set(await asyncio.gather(*map(end, revoked))) == {200}
    answer = await site.portal.ask("relay.bundle")
    assert len(answer.body) < 64 * 1024
    validator = (await Fetched.by(site)).validator(now)
    verdicts = {token: validator.verdict(token, now) for token in tokens}
    assert {token for token, verdict in verdicts.items() if verdict == "revoked"} == revoked
    assert {verdict for token, verdict in verdicts.items() if token not in revoked} == {"good"}


async def _ask(site: Site, etag: str) -> dict[str, Any]:
    result: dict[str, Any] = await site.portal.result("relay.bundle", {"ETAG": etag})
    return result


async def test_issue_3_1_nothing_is_sent_again_while_nothing_changed(site: Site) -> None:
    etag = (await _ask(site, ""))["etag"]
    await site.authorize()
    assert await _ask(site, etag) == {"not_modified": True, "etag": etag}
    assert len((await site.portal.ask("relay.bundle", {"ETAG": etag})).body) < 200


async def test_issue_3_1_half_a_bundles_life_is_always_left(site: Site) -> None:
    etag = (await _ask(site, ""))["etag"]
    site.live.clock.advance(DAY_S // 2 - 60)
    assert (await _ask(site, etag))["not_modified"] is True
    site.live.clock.advance(60)
    renewed = await _ask(site, etag)
    assert renewed["not_modified"] is False
    assert renewed["etag"] != etag
    said = jwt.decode(renewed["bundle"], options={"verify_signature": False})
    assert said["exp"] - site.live.now >= DAY_S - 60


async def test_issue_3_1_every_change_that_matters_is_sent(site: Site) -> None:
    seen = [(await _ask(site, ""))["etag"]]
    token = (await site.authorize())["access_token"]
    app, relay = await stored_app(site), site.live.relay

    async def changed(what: str) -> None:
        answer = await _ask(site, seen[-1])
        assert (what, answer["not_modified"]) == (what, False)
        seen.append(answer["etag"])
        assert (await _ask(site, seen[-1]))["not_modified"] is True

    await revoke(site.app, token)
    await changed("a token revoked")
    await relay.revocations.revoke_user(1, 67, "left")
    await changed("a user revoked")
    await relay.revocations.revoke_app(app, "lost")
    await changed("an application revoked")
    await relay.revocations.revoke_portal(1, "restored")
    await changed("the portal revoked")
    await relay.applications.configure(app, active=False)
    await changed("an application switched off")
    await another_app(site)
    await changed("an application added")
    await site.portal.result("application.update", {"CLIENT_ID": app.client_id, "SCOPE": "crm"})
    await changed("a scope changed")
    await relay.keys.rotate(at_once=False)
    await changed("a key published")


async def test_issue_3_1_what_concerns_another_portal_changes_nothing(site: Site) -> None:
    second = await another_portal(site)
    etag = (await _ask(site, ""))["etag"]
    await revoke(second.app, (await second.authorize())["access_token"])
    await second.live.relay.revocations.revoke_portal(2, "restored")
    assert (await _ask(site, etag))["not_modified"] is True


@pytest.mark.parametrize(
    "etag", ["x", ".", "{known}", "{known}.", "{known}.x", "{known}.99999999999", "{known}.0", "{known}.-1", "é" * 999]
)
async def test_issue_3_1_an_etag_of_a_callers_making_gets_the_bundle(site: Site, etag: str) -> None:
    known = (await _ask(site, ""))["etag"].partition(".")[0]
    assert (await _ask(site, etag.format(known=known)))["not_modified"] is False


async def test_issue_3_1_the_bundle_needs_the_portals_credentials(site: Site) -> None:
    site.portal.client_secret = "wrong"
    answer = await site.portal.ask("relay.bundle")
    assert (answer.status, answer.error) == (401, "invalid_client")


async def test_issue_3_1_a_rotated_signing_key_verifies_the_bundles_it_signed(site: Site) -> None:
    before = await Fetched.by(site)
    await site.live.relay.keys.rotate(at_once=True)
    after = await Fetched.by(site)
    Fetched(before.bundle, "", after.jwks, before.member_id, before.client_secret).validator(site.live.now)
    assert jwt.get_unverified_header(before.bundle)["kid"] != jwt.get_unverified_header(after.bundle)["kid"]


async def test_issue_3_3_a_retired_keys_tokens_are_good_by_the_bundle_to_their_end(site: Site) -> None:
    old = (await site.authorize())["access_token"]
    await site.live.relay.keys.rotate(at_once=True)
    new = (await site.authorize())["access_token"]
    now = site.live.now
    validator = (await Fetched.by(site)).validator(now)
    assert {Token.read(old).key_id, Token.read(new).key_id} == {1, 2}  # type: ignore[union-attr]
    assert [validator.verdict(token, now) for token in (old, new)] == ["good", "good"]
    assert [validator.verdict(token, now + 3601) for token in (old, new)] == ["expired", "expired"]
