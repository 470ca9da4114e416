"""How handlers are called: what counts as taken, what is tried again, what is held, and that no one delays another.

Leans on real handlers that misbehave. Must never see an accepted event vanish.
"""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import pytest
from aiohttp import web

from relay.records import DeliveryFilter
from tests.integration.live_relay import running_relay, until
from tests.integration.sink import HangUp, answering, running_sink
from tests.integration.site import AppSide, PortalSide, Site

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import OpenSite
    from tests.integration.live_relay import LiveRelay
    from tests.integration.sink import Behaviour, Call, Sink


def failing(times: int, status: int = 500) -> Behaviour:
    """A handler that fails so many times, then takes what comes."""
    left = [times]

    async def answer(_call: Call) -> web.StreamResponse:
        left[0] -= 1
        return web.Response(status=status if left[0] >= 0 else 200)

    return answer


async def hanging(_call: Call) -> web.StreamResponse:
    """A handler that never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def dropping(call: Call) -> web.StreamResponse:
    """A handler that hangs up."""
    raise HangUp(call.path)


def token_of(call: Call) -> str:
    return parse_qs(call.body)["auth[access_token]"][0]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_counts_as_taken_and_is_never_sent_again(site: Site, status: int) -> None:
    site.sink.behaviour = answering(status)
    await site.fire()
    await site.settled(done=1)
    assert len(site.sink.calls) == 1
    (row,) = await site.deliveries()
    assert (row.attempts, row.last_status, row.last_error) == (1, status, None)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 403, 404, 429, 500, 502, 503])
async def test_any_other_answer_is_tried_again_until_it_is_taken(site: Site, status: int) -> None:
    site.sink.behaviour = failing(2, status)
    await site.fire()
    await site.settled(done=1)
    assert [call.attempt for call in site.sink.calls] == [1, 2, 3]
    assert len({call.event_id for call in site.sink.calls}) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", site.sink.calls[0].event_id)


async def test_the_body_is_the_same_on_every_try_but_for_its_token(site: Site) -> None:
    site.sink.behaviour = failing(1)
    await site.fire(data="значение")
    first, second = await site.sink.wait_for(2)
    assert first.body.partition("&auth%5B")[0] == second.body.partition("&auth%5B")[0]
    assert token_of(first) != token_of(second)
    for call in (first, second):
        assert (await site.check(token_of(call))).status == 200


async def test_a_redirect_is_not_followed(site: Site) -> None:
    site.sink.behaviours["/ev"] = answering(302, Location=f"{site.sink.url}/elsewhere")
    await site.fire("/ev")
    await site.sink.wait_for(2, "/ev")
    assert site.sink.at("/elsewhere") == []


async def test_a_handler_that_hangs_up_or_is_not_there_is_tried_again(site: Site) -> None:
    site.sink.behaviours["/drops"] = dropping
    await site.fire("/drops")
    await site.sink.wait_for(2, "/drops")
    async with running_sink() as gone:
        away = gone.url
    site.sink.url, here = away, site.sink.url
    await site.fire("/away")
    site.sink.url = here

    async def noted() -> bool:
        return {row.last_error for row in await site.deliveries()} == {"disconnected", "connection_refused"}

    await until(noted)


async def test_a_handler_that_hangs_is_given_up_after_its_time_and_tried_again(open_site_with: OpenSite) -> None:
    site = await open_site_with({"apps": {"*": {"timeout_s": 0.2}}})
    site.sink.behaviours["/hangs"] = hanging
    await site.fire("/hangs")
    await site.sink.wait_for(2, "/hangs")
    (row,) = await site.deliveries()
    assert row.last_error == "timeout"


async def test_a_handler_that_hangs_does_not_delay_another(site: Site) -> None:
    site.sink.behaviours["/hangs"] = hanging
    await site.fire("/hangs", count=50)
    await site.sink.wait_for(1, "/hangs")
    for number in range(3):
        await site.fire(f"/well/{number}", count=5)
        await site.sink.wait_for(5, f"/well/{number}")
    assert len(site.sink.at("/hangs")) <= 8


async def test_a_body_without_end_after_2xx_changes_nothing(open_site_with: OpenSite) -> None:
    site = await open_site_with({"apps": {"*": {"timeout_s": 0.3, "response_bytes": 1000}}})

    async def endless(_call: Call) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10**6
        return response

    async def flooding(_call: Call) -> web.StreamResponse:
        return web.Response(body=b"x" * 10**6)

    site.sink.behaviours = {"/endless": endless, "/flooding": flooding}
    await site.fire("/endless")
    await site.fire("/flooding")
    await site.settled(done=2)
    assert len(site.sink.calls) == 2


@pytest.mark.parametrize("value", ["²", "-1", "9" * 400, "soon", "Thu, 01 Jan 0001 00:00:00 GMT", "0", "\x80", "1e9"])
async def test_a_retry_after_of_any_content_only_delays(site: Site, value: str) -> None:
    site.sink.behaviour = answering(503, **{"Retry-After": value})
    await site.fire()
    await site.sink.wait_for(1)

    async def noted() -> bool:
        (row,) = await site.deliveries()
        return (row.last_status, row.last_error) == (503, "status")

    await until(noted)


async def test_past_its_budget_a_delivery_is_held_and_a_person_can_retry_it(open_site_with: OpenSite) -> None:
    site = await open_site_with({"apps": {"*": {"retry_budget_s": 1.5, "retry_cap_s": 3600}}})
    site.sink.behaviour = answering(500)
    await site.fire()
    await site.settled(held=1)
    (row,) = await site.deliveries()
    assert row.hold_reason == "budget"
    tried = len(site.sink.calls)
    assert tried >= 2
    site.sink.behaviour = answering(200)
    assert await site.live.relay.store.retry(DeliveryFilter(), site.live.clock.now_ms()) == 1
    await site.settled(done=1)
    assert site.sink.calls[-1].attempt == tried + 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://169.254.169.254/latest/meta-data/", "address_refused"),
        ("http://[::ffff:169.254.169.254]/", "address_refused"),
        ("http://[::1]:1/", "address_refused"),
        ("http://0.0.0.0:1/", "address_refused"),
        ("http://8.8.8.8/", "address_refused"),
        ("http://2130706433:1/", "bad_url"),
        ("http://127.1:1/", "bad_url"),
        ("http://0x7f.1:1/", "bad_url"),
        ("ftp://127.0.0.1/", "bad_url"),
        ("javascript:alert(1)", "bad_url"),
        ("not a url", "bad_url"),
        ("http://127.0.0.1:99999/", "bad_url"),
        ("", "bad_url"),
    ],
)
async def test_a_handler_at_a_forbidden_address_is_held_with_its_reason(site: Site, url: str, reason: str) -> None:
    assert await site.portal.result("rest.event.call", {"QUERY[0][query][QUERY_URL]": url})
    await site.settled(held=1)
    (row,) = await site.deliveries()
    assert (row.hold_reason, row.last_error, row.attempts) == (reason, reason, 1)


async def test_without_leave_a_handler_on_this_machine_is_held(live: LiveRelay, sink: Sink) -> None:
    await live.relay.portals.announce("http://portal.test:8080", window_s=60)
    portal = PortalSide(live)
    registered = (await portal.ask_registration()).json
    portal.client_id, portal.client_secret = registered["client_id"], registered["client_secret"]
    site = Site(live, portal, AppSide(live, "", ""), sink)
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "127.0.0.1."):
        url = f"http://{host}:{sink.url.rpartition(':')[2]}/ev"
        await portal.result("rest.event.call", {"QUERY[0][query][QUERY_URL]": url})
    await site.settled(held=4)
    assert {row.hold_reason for row in await site.deliveries()} == {"address_refused"}
    assert sink.calls == []


async def test_what_was_accepted_before_a_stop_is_delivered_after_the_next_start(
    tmp_path: Path, sink: Sink, open_site_with: OpenSite
) -> None:
    site = await open_site_with({"delivery": {"drain_s": 0.1}})
    sink.behaviour = hanging
    await site.fire(count=20)
    await sink.wait_for(1)
    await site.live.relay.store.close()
    seen = len(sink.calls)
    sink.behaviour = answering(200)
    async with running_relay(tmp_path / "home") as again:
        site.live = again
        await site.settled(done=20)
    assert len(sink.calls) >= seen + 12
    assert len({call.event_id for call in sink.calls}) == 20
