"""What an application's rules say of its events: their order, which are replaced, which are set aside, and until when.

Leans on the real relay with rules of its own. Must never see an event vanish that a rule sets aside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.deals import NotedHandler, answered, fire, gone_round, reached, rows_of, rules, told
from tests.integration.site import AppSide

if TYPE_CHECKING:
    from tests.integration.conftest import OpenSite

PROBE_PAUSE_S = 600


async def test_by_lane_only_the_events_of_the_failing_entity_wait(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(order="lane"))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 404
    await fire(site, "5a", "5b", "6a", "6b", "5c")
    await reached(site, "due", "accepted", "done", "done", "accepted")
    await handler.called_for("5a", 3)
    assert not {"5b", "5c"} & set(handler.notes)
    handler.statuses.clear()
    await site.settled(done=5)
    assert [note for note in handler.notes if note != "5a"] == ["6a", "6b", "5b", "5c"]


async def test_by_handler_all_its_events_wait_in_order_and_no_other_handlers(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(order="handler"))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 404
    await fire(site, "5a", "6a", "5b", "7a")
    await gone_round(site)
    await handler.called_for("5a", 3)
    assert set(handler.notes) == {"5a"}
    await reached(site, "due", "accepted", "accepted", "accepted")
    handler.statuses.clear()
    await reached(site, "done", "done", "done", "done")
    assert list(dict.fromkeys(handler.notes)) == ["5a", "6a", "5b", "7a"]
    assert handler.most == 1


async def test_without_order_nobody_waits_for_a_failing_event(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(order="none"))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 404
    await fire(site, "5a", "5b", "6a", "5c")
    await reached(site, "due", "done", "done", "done")
    await handler.called_for("5a", 3)
    handler.statuses.clear()
    await site.settled(done=4)


async def test_of_waiting_updates_only_the_newest_is_sent_and_the_others_say_into_which(
    open_site_with: OpenSite,
) -> None:
    site = await open_site_with(rules(collapse=True))
    handler = NotedHandler(site.sink)
    handler.gate.clear()
    await fire(site, "5a")
    await handler.called_for("5a")
    await fire(site, "5b", "5c", "5d")
    handler.gate.set()
    await site.settled(done=4)
    assert handler.notes == ["5a", "5d"]
    taken, second, third, newest = [row.event_id for row in await rows_of(site)]
    shown = {one: await told(site, "event", "show", one) for one in (taken, second, third, newest)}
    into = [shown[one]["collapsed_into"] for one in shown]
    assert into == [None, third, newest, None]
    assert [shown[one]["attempts"] for one in shown] == [1, 0, 0, 1]


async def test_of_one_call_with_many_updates_the_first_and_the_newest_are_sent(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(collapse=True))
    await site.fire(count=4, event="ONCRMDEALUPDATE", **{"data][FIELDS][ID": "5"})
    await site.settled(done=4)
    first, *others, newest = [row.event_id for row in await site.deliveries()]
    assert [call.event_id for call in site.sink.calls] == [first, newest]
    assert {row.collapsed_into for row in await site.deliveries() if row.event_id in others} == {newest}


async def test_other_entities_and_other_events_are_never_collapsed(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(order="handler", collapse=True))
    handler = NotedHandler(site.sink)
    handler.gate.clear()
    await fire(site, "4a")
    await handler.called_for("4a")
    await fire(site, "5a", "6a")
    await fire(site, "5b", event="ONCRMDEALDELETE")
    await fire(site, "5c", event="ONCRMLEADUPDATE")
    await fire(site, "5d")
    handler.gate.set()
    await site.settled(done=6)
    assert handler.notes == ["4a", "6a", "5b", "5c", "5d"]


async def test_an_update_that_was_tried_or_delivered_is_not_collapsed(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(collapse=True))
    handler = NotedHandler(site.sink)
    await fire(site, "5a")
    await site.settled(done=1)
    handler.statuses["5b"] = 404
    await fire(site, "5b")
    await handler.called_for("5b", 2)
    await fire(site, "5c", "5d")
    handler.statuses.clear()
    await site.settled(done=4)
    assert list(dict.fromkeys(handler.notes)) == ["5a", "5b", "5d"]
    assert [row.collapsed_into is None for row in await rows_of(site)] == [True, True, False, True]


async def test_without_collapse_every_update_is_sent(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(collapse=False))
    handler = NotedHandler(site.sink)
    await fire(site, "5a", "5b", "5c")
    await site.settled(done=3)
    assert handler.notes == ["5a", "5b", "5c"]


async def test_after_so_many_tries_a_head_is_set_aside_until_a_person_retries_it(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(skip_after=2, retry_factor=100_000))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 404
    await fire(site, "5a", "5b", "5c")
    aside, *_ = await reached(site, "held", "done", "done")
    assert handler.notes == ["5a", "5a", "5b", "5c"]
    shown = await told(site, "event", "show", aside.event_id)
    assert (shown["hold_reason"], shown["attempts"], shown["last_status"]) == ("budget", 2, 404)
    handler.statuses.clear()
    assert (await told(site, "event", "retry", aside.event_id))["events"] == 1
    await site.settled(done=3)
    assert [call.attempt for call in site.sink.calls if call.event_id == aside.event_id] == [1, 2, 3]


async def test_what_was_set_aside_is_delivered_with_no_persons_help_once_it_is_taken(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(skip_after=1, retry_first_s=60))
    handler = NotedHandler(site.sink)
    handler.status = 404
    await fire(site, "5a", "5b", "6a")
    await reached(site, "held", "held", "held")
    handler.status = 200
    await gone_round(site)
    assert len(handler.notes) == 3
    site.live.clock.advance(61)
    await reached(site, "done", "done", "done")
    assert len(handler.notes) == 6


async def test_past_its_budget_all_is_held_and_a_probe_finds_out_when_the_handler_is_well(
    open_site_with: OpenSite,
) -> None:
    site = await open_site_with(rules(retry_first_s=60, retry_budget_s=100, retry_cap_s=300))
    handler = NotedHandler(site.sink)
    handler.status = 500
    await fire(site, "5a", "5b", "6a", "6b")
    await answered(site, 500, None, 500, None)
    site.live.clock.advance(60)
    rows = await reached(site, "held", "accepted", "held", "accepted")
    assert [(row.hold_reason, row.attempts) for row in rows] == [("budget", 2), (None, 0)] * 2

    site.live.clock.advance(301)
    await handler.called(5)
    await gone_round(site)
    await reached(site, "held", "accepted", "held", "accepted")
    assert len(handler.notes) == 5, "one probe for the whole handler"

    handler.status = 200
    site.live.clock.advance(PROBE_PAUSE_S - 60)
    await gone_round(site)
    assert len(handler.notes) == 5, "no probe before its time"

    site.live.clock.advance(60)
    await reached(site, "done", "done", "done", "done")
    delivered = handler.notes[5:]
    assert sorted(delivered) == ["5a", "5b", "6a", "6b"]
    assert delivered.index("5a") < delivered.index("5b")
    assert delivered.index("6a") < delivered.index("6b")


async def test_a_later_event_of_a_lane_that_is_held_waits_and_other_lanes_go_on(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(retry_budget_s=0.01))
    handler = NotedHandler(site.sink)
    handler.statuses["5a"] = 404
    await fire(site, "5a")
    await reached(site, "held")
    await fire(site, "5b", "6a")
    await reached(site, "held", "accepted", "done")
    assert handler.notes == ["5a", "6a"]


async def test_an_applications_section_goes_over_the_common_one_key_by_key(open_site_with: OpenSite) -> None:
    own = {"local.lanes": {"order": "lane"}, "local.patient": {"skip_after": 2, "retry_first_s": 0.05}}
    common = {"order": "none", "skip_after": 1, "retry_first_s": 60, "retry_factor": 100_000}
    site = await open_site_with({"apps": {"*": common, **own}})
    (portal,) = (await site.live.relay.portals.current()).portals.values()
    tries = {}
    for client_id in (site.app.client_id, *own):
        if client_id in own:
            await site.live.relay.applications.add(
                portal, title="Own", redirect_uri=site.sink.url, scope="crm", client_id=client_id
            )
        site.app = AppSide(site.live, client_id, "")
        path = f"/{client_id}"
        handler = NotedHandler(site.sink, path)
        handler.gate.clear()
        handler.statuses["5a"] = 404
        await fire(site, "5a", "5b", path=path)
        await reached(site, "leased", "accepted" if client_id == "local.lanes" else "leased", path=path)
        handler.gate.set()
        (head, _) = await reached(site, "held", "done", path=path)
        tries[client_id] = head.attempts
    assert list(tries.values()) == [1, 1, 2]


async def test_what_is_held_for_its_budget_goes_out_once_the_handler_takes_anything(open_site_with: OpenSite) -> None:
    site = await open_site_with(rules(retry_budget_s=0.01))
    handler = NotedHandler(site.sink)
    handler.status = 500
    await fire(site, "5a", "6a")
    await reached(site, "held", "held")
    handler.status = 200
    await fire(site, "7a")
    await reached(site, "done", "done", "done")
    assert handler.notes[2] == "7a"
    assert sorted(handler.notes[3:]) == ["5a", "6a"]
