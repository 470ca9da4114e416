"""A relay that is killed in the middle of its work: what it had answered is kept, and goes on after the next start.

Leans on SIGKILL and on one home for both lives. Must never miss an event that was accepted.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.integration.relay_process import operated, relay_process
from tests.integration.sink import answering
from tests.integration.site import open_site

if TYPE_CHECKING:
    from pathlib import Path

    from aiohttp import web

    from tests.integration.sink import Call, Sink


async def hanging(_call: Call) -> web.StreamResponse:
    """A handler that never answers."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def test_what_was_accepted_before_a_crash_is_delivered_after_it(
    tmp_path: Path, template: Path, sink: Sink
) -> None:
    home = tmp_path / "home"
    sink.behaviour = hanging
    with relay_process(home, template=template, crash=True) as first:
        async with operated(first) as live:
            site = await open_site(live, sink)
            given, code = await site.authorize(), await site.code()
            await site.fire("/hangs", count=20)
            await site.fire("/later", count=20)
            await sink.wait_for(1, "/hangs")
            await sink.wait_for(1, "/later")
    in_hand = len(sink.calls)
    sink.behaviour = answering(200)
    with relay_process(home, template=template) as second:
        async with operated(second) as live:
            site.live = site.portal.live = site.app.live = live
            await site.settled(done=40)
            assert (await site.check(given["access_token"])).status == 200
            assert (await site.app.refresh(given["refresh_token"])).status == 200
            assert (await site.app.redeem(code)).status == 200
    assert len({call.event_id for call in sink.calls}) == 40
    assert len(sink.calls) <= 40 + in_hand
