"""Promises of `relay handler`: how much waits for whom, how long it will take, and that a paused handler is left alone.

Leans on deliveries in a real SQLite file, on a running relay and on the real command.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from relay.core.model import DeliveryState
from relay.records import DeliveryFilter
from tests.integration.commands import command, is_one_sentence
from tests.integration.live_relay import until
from tests.integration.quiet import HANDLER
from tests.integration.stored import ME, ended

if TYPE_CHECKING:
    from relay.core.model import Delivery
    from relay.opened import Relay
    from relay.records import Finished
    from tests.integration.quiet import Quiet
    from tests.integration.sink import Call
    from tests.integration.site import Site

OTHER = "http://handlers.example.com/b"


def test_handlers_are_listed_with_what_waits_and_how_long_it_will_take(quiet: Quiet) -> None:
    now_ms = time.time_ns() // 1_000_000
    quiet.put(*["ONCRMDEALADD"] * 10, at_ms=now_ms - 3_600_000)
    quiet.put(*["ONCRMDEALADD"] * 4, url=OTHER, at_ms=now_ms - 60_000)

    async def deliver_some(opened: Relay) -> None:
        (first, *_rest) = [row.handler for row in await opened.store.list_handlers()]
        claimed = await opened.store.claim({first.id: 4}, now_ms=now_ms, lease_until_ms=now_ms + 1, owner=ME)
        await opened.store.finish([_ended_at(one.delivery, now_ms - 1000) for one in claimed], ME)

    quiet.do(deliver_some)
    first, second = quiet.ask("handler", "list")
    assert (first["handler"], first["waiting"], first["done"], first["done_lately"]) == (HANDLER, 6, 4, 4)
    assert first["left_s"] == 450  # 6 more, at 4 in five minutes
    assert 3600 <= first["oldest_age_s"] < 3700
    assert (second["handler"], second["waiting"], second["left_s"]) == (OTHER, 4, None)
    out = quiet.tell("handler", "list").out.splitlines()
    assert out[0].split() == ["No.", "Handler", "Waiting", "Oldest", "Held", "Done", "Left"]
    assert out[1].split()[1:] == [HANDLER, "6", "1h", "0", "4", "7m30s"]
    assert out[2].split()[-1] == "–"


def _ended_at(delivery: Delivery, at_ms: int) -> Finished:
    finished = ended(delivery, DeliveryState.DONE)
    return replace(finished, outcome=replace(finished.outcome, started_at_ms=at_ms))


def test_where_nothing_can_be_told_there_is_no_column_for_it(quiet: Quiet) -> None:
    assert "There are no handlers yet" in quiet.tell("handler", "list").out
    quiet.put("ONCRMDEALADD")
    assert quiet.tell("handler", "list").out.splitlines()[0].split()[-1] == "Done"
    assert quiet.ask("handler", "list", "--portal", 1)[0]["left_s"] is None


def test_a_handler_is_paused_and_goes_on_by_number_or_address(quiet: Quiet) -> None:
    quiet.put("ONCRMDEALADD")
    assert quiet.ask("handler", "pause", HANDLER)["paused"] is True
    assert quiet.ask("handler", "list")[0]["paused"] is True
    assert "Paused" in quiet.tell("handler", "list").out
    assert "handler resume 1" in quiet.tell("handler", "pause", 1).out
    assert quiet.ask("handler", "resume", 1) == {"handler_id": 1, "handler": HANDLER, "paused": False}
    kinds = [entry["kind"] for entry in quiet.ask("audit", "list", "--kind", "handler")]
    assert kinds == ["handler.resumed", "handler.paused", "handler.paused"]
    refused = quiet.tell("handler", "pause", "http://nobody.example.com/")
    assert (refused.status, is_one_sentence(refused.err)) == (1, True)


async def test_a_paused_handler_is_left_alone_although_much_waits_for_it(site: Site) -> None:
    home = site.live.relay.config.home
    let_go = asyncio.Event()

    async def wait(_call: Call) -> web.Response:
        await let_go.wait()
        return web.Response()

    site.sink.behaviours["/ev"] = wait
    await site.fire(count=100)
    await site.sink.wait_for(1, "/ev")
    (handler,) = (await command("handler", "list", "--home", home, "--json")).document
    assert (await command("handler", "pause", handler["handler_id"], "--home", home)).status == 0
    let_go.set()
    await until(lambda: _nothing_in_hand(site))
    taken = len(site.sink.at("/ev"))
    assert taken < 100
    # What is fired later is delivered, so the relay has looked for work since; the paused one had none.
    await site.fire("/other")
    await site.sink.wait_for(1, "/other")
    assert len(site.sink.at("/ev")) == taken
    assert (await site.live.relay.store.counts())["due"] == 100 - taken
    assert (await command("handler", "resume", handler["handler_id"], "--home", home)).status == 0
    await site.settled(done=101)
    assert len({call.event_id for call in site.sink.at("/ev")}) == 100


async def _nothing_in_hand(site: Site) -> bool:
    return await site.live.relay.store.count(DeliveryFilter(states=(DeliveryState.LEASED,))) == 0


@pytest.mark.parametrize("name", ["0", "99", HANDLER + "/nope"])
def test_a_handler_that_is_not_there_is_said(quiet: Quiet, name: str) -> None:
    quiet.put("ONCRMDEALADD")
    ran = quiet.tell("handler", "pause", name, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert "`relay --home" in ran.err
