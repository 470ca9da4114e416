"""An application that is switched off, a handler that is paused: their events wait, whole and in order, and then go on.

Leans on the commands at a running relay. Must never see an event go out after the switch that was not on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.deals import DAY_S, NotedHandler, fire, gone_round, reached, rules, told

if TYPE_CHECKING:
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site

SWITCHES = [
    (("app", "set", "{client}", "--inactive"), ("app", "set", "{client}", "--active")),
    (("handler", "pause", "{handler}"), ("handler", "resume", "{handler}")),
]


async def switched(site: Site, arguments: tuple[str, ...]) -> None:
    """Give one of the commands above."""
    names = {"client": site.app.client_id, "handler": f"{site.sink.url}/ev"}
    await told(site, *(argument.format(**names) for argument in arguments))


@pytest.mark.parametrize(("off", "on"), SWITCHES, ids=["application", "handler"])
async def test_while_switched_off_events_wait_and_then_go_on_in_their_order(
    open_site_with: OpenSite, off: tuple[str, ...], on: tuple[str, ...]
) -> None:
    site = await open_site_with(rules(order="lane"))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 404
    await fire(site, "5a", "5b", "6a")
    await reached(site, "due", "accepted", "done")
    await switched(site, off)
    await reached(site, "due", "accepted", "done")
    handler.statuses.clear()
    calls = len(handler.notes)
    await fire(site, "5c", "7a", "7b")
    site.live.clock.advance(60)
    await gone_round(site)
    await reached(site, "due", "accepted", "done", "accepted", "due", "accepted")
    await switched(site, on)
    await reached(site, *["done"] * 6)
    after = handler.notes[calls:]
    assert sorted(after) == ["5a", "5b", "5c", "7a", "7b"]
    assert [note for note in after if note[0] == "5"] == ["5a", "5b", "5c"]


@pytest.mark.parametrize(("off", "on"), SWITCHES, ids=["application", "handler"])
async def test_what_is_in_hand_and_not_begun_when_it_is_switched_off_waits_too(
    open_site_with: OpenSite, off: tuple[str, ...], on: tuple[str, ...]
) -> None:
    site = await open_site_with(rules(order="none", rate=0.01))
    handler = NotedHandler(site.sink)
    await site.fire(count=6, **{"data][note": "5a"})
    await handler.called(1)
    await switched(site, off)
    await reached(site, "done", *["due"] * 5)
    site.live.clock.advance(4 * DAY_S)
    await gone_round(site)
    assert [row.attempts for row in await reached(site, "done", *["due"] * 5)] == [1, 0, 0, 0, 0, 0]
    handler.status = 404
    await switched(site, on)
    await handler.called(2)
    handler.status = 200
    for calls in range(3, 8):
        site.live.clock.advance(101)
        await handler.called(calls)
    await reached(site, *["done"] * 6)
    assert all("access_token" in call.body for call in site.sink.at("/ev"))


async def test_no_event_goes_out_without_its_token_once_its_application_is_switched_off(
    open_site_with: OpenSite,
) -> None:
    site = await open_site_with(rules(order="none", concurrency=1) | {"delivery": {"sweep_s": 3600}})
    handler = NotedHandler(site.sink)
    handler.gate.clear()
    await site.fire(count=3, **{"data][note": "5a"})
    await handler.called_for("5a")
    await switched(site, SWITCHES[0][0])
    handler.gate.set()
    assert [row.attempts for row in await reached(site, "done", "due", "due")] == [1, 0, 0]
    assert len(handler.notes) == 1
