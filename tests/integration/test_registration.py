"""Registration: only an announced portal, at its address, in its window, with its licence, and always the same pair.

Leans on the wire (protocol.md sections 1 to 3). Must never let `{}` or an answer inside `result` out: both wreck a
portal's registration.
"""

from __future__ import annotations

import asyncio
from hashlib import md5
from typing import TYPE_CHECKING

import pytest

from tests.integration.site import PORTAL_URL, PortalSide
from tests.integration.wire import Answer, captured, form, post, with_values

if TYPE_CHECKING:
    from tests.integration.live_relay import LiveRelay

KEY = "AB-CDEF-123456"
KEY_MD5 = md5(KEY.encode()).hexdigest()
LICENCE = md5(f"BITRIX{KEY}LICENCE".encode()).hexdigest()


def signed(fields: dict[str, str], key: str = KEY) -> dict[str, str]:
    """The fields with BX_HASH, as protocol.md section 2 says."""
    inner = md5("|".join(fields.values()).encode()).hexdigest()
    return {**fields, "BX_HASH": md5((inner + md5(key.encode()).hexdigest()).encode()).hexdigest()}


def registering(url: str = PORTAL_URL, key: str = KEY, **more: str) -> dict[str, str]:
    return signed({"redirect_uri": url, "type": "B", **more, "BX_TYPE": "CP", "BX_LICENCE": LICENCE}, key)


def refused(answer: Answer) -> bool:
    """A clean refusal: JSON with a non-empty error, at top level."""
    return answer.is_json and bool(answer.error) and answer.status == 403


async def ask(live: LiveRelay, fields: dict[str, str]) -> Answer:
    return await live.ask(post("/oauth/register/", form(fields)))


async def test_an_announced_portal_gets_its_credentials_at_top_level(live: LiveRelay) -> None:
    await PortalSide(live).announce()
    answer = await ask(live, registering())
    assert answer.status == 200
    assert set(answer.json) == {"client_id", "client_secret"}
    assert 0 < len(answer.json["client_id"]) <= 128
    assert 0 < len(answer.json["client_secret"]) <= 100
    assert answer.json["client_secret"].isalnum()


@pytest.mark.parametrize("name", ["oauth-register-first", "oauth-register-again"])
async def test_the_real_modules_registration_is_taken(live: LiveRelay, name: str) -> None:
    await PortalSide(live).announce()
    answer = await live.ask(with_values(captured(name), {"http://127.0.0.1:18081": PORTAL_URL}))
    assert answer.status == 200
    assert answer.json["client_id"]


async def test_a_portal_that_was_not_announced_is_refused(live: LiveRelay) -> None:
    await PortalSide(live).announce()
    assert refused(await ask(live, registering("http://other.test")))
    assert refused(await ask(live, registering("http://portal.test")))
    assert refused(await ask(live, registering("https://portal.test:8080")))


async def test_the_refusal_says_which_command_announces_the_portal(live: LiveRelay) -> None:
    answer = await ask(live, registering("http://other.test:81"))
    assert "relay portal add http://other.test:81" in answer.json["error_description"]


async def test_after_its_window_a_portal_is_refused_until_it_is_announced_again(live: LiveRelay) -> None:
    portal = PortalSide(live)
    await portal.announce(window_s=60)
    first = (await ask(live, registering())).json
    live.clock.advance(61)
    assert refused(await ask(live, registering()))
    await portal.announce(window_s=60)
    assert (await ask(live, registering())).json == first


async def test_the_same_portal_gets_the_same_pair_again(live: LiveRelay) -> None:
    await PortalSide(live).announce()
    first = (await ask(live, registering())).json
    again = (await ask(live, registering(member_id=md5(first["client_id"].encode()).hexdigest()))).json
    assert again == first


async def test_a_portal_that_registers_many_times_at_once_gets_one_pair(live: LiveRelay) -> None:
    await PortalSide(live).announce()
    answers = await asyncio.gather(*(ask(live, registering()) for _ in range(20)))
    assert len({(answer.json["client_id"], answer.json["client_secret"]) for answer in answers}) == 1


async def test_many_portals_that_register_at_once_get_a_pair_each(live: LiveRelay) -> None:
    portals = [PortalSide(live, url=f"http://portal{number}.test") for number in range(10)]
    await asyncio.gather(*(portal.announce() for portal in portals))
    answers = await asyncio.gather(*(ask(live, registering(portal.url)) for portal in portals))
    assert len({answer.json["client_id"] for answer in answers}) == 10


async def test_with_a_known_licence_only_a_hash_made_with_it_is_taken(live: LiveRelay) -> None:
    await PortalSide(live).announce(licence_md5=KEY_MD5)
    assert refused(await ask(live, registering(key="ANOTHER")))
    assert refused(await ask(live, {**registering(), "BX_HASH": ""}))
    assert refused(await ask(live, {**registering(), "BX_HASH": "ж"}))
    assert refused(await ask(live, {**registering(), "type": "C"}))
    assert (await ask(live, registering())).status == 200


async def test_without_a_known_licence_the_first_one_that_registered_is_kept_to(live: LiveRelay) -> None:
    portal = PortalSide(live)
    await portal.announce()
    first = (await ask(live, registering())).json
    other = {**registering(), "BX_LICENCE": "0" * 32}
    assert refused(await ask(live, other))
    assert refused(await ask(live, {**registering(), "BX_LICENCE": ""}))
    await portal.announce()
    assert (await ask(live, other)).json == first


async def test_from_cron_a_portal_is_known_by_its_member_id(live: LiveRelay) -> None:
    await PortalSide(live).announce()
    first = (await ask(live, registering())).json
    member_id = md5(first["client_id"].encode()).hexdigest()
    for nameless in ("http://", "https://", "http:", ""):
        assert (await ask(live, registering(nameless, member_id=member_id))).json == first
        assert refused(await ask(live, registering(nameless, member_id="0" * 32)))
        assert refused(await ask(live, registering(nameless)))
        assert refused(await ask(live, registering(nameless, member_id="")))


async def test_from_cron_a_portal_that_never_registered_is_refused(live: LiveRelay) -> None:
    await PortalSide(live).announce()
    assert refused(await ask(live, registering("http://", member_id="")))


async def test_nothing_a_call_says_replaces_the_announced_address(live: LiveRelay) -> None:
    portal = PortalSide(live)
    await portal.register()
    portal.url = "http://"
    await portal.result("methods")
    (stored,) = (await live.relay.store.directory()).portals.values()
    assert stored.url == PORTAL_URL


@pytest.mark.parametrize("target", ["/oauth/register", "//oauth/register/", "/oauth//register/?bx24_request_id=1"])
async def test_registration_is_found_however_its_path_is_written(live: LiveRelay, target: str) -> None:
    await PortalSide(live).announce()
    assert (await live.ask(post(target, form(registering())))).status == 200


@pytest.mark.parametrize("garbage", [b"", b"redirect_uri", b"redirect_uri=%FF", b"redirect_uri=ftp://x", b"\x00" * 99])
async def test_a_registration_that_makes_no_sense_is_a_json_error(live: LiveRelay, garbage: bytes) -> None:
    answer = await live.ask(post("/oauth/register/", garbage))
    assert answer.status in {400, 403}
    assert answer.error


async def test_a_portal_announced_with_another_port_or_scheme_is_another_portal(live: LiveRelay) -> None:
    first, second = PortalSide(live), PortalSide(live, url="https://portal.test")
    await first.register()
    await second.register()
    assert first.client_id != second.client_id
    again = await second.ask_registration({"redirect_uri": "https://portal.test:443/"})
    assert again.json["client_id"] == second.client_id
