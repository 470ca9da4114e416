"""A disk that takes nothing more: 503 without JSON, nothing half written, and all goes on once there is room.

Leans on a relay in a process of its own whose files may not grow. Must never let it stop, spin, or lie.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from relay.config import DATABASE_FILE
from tests.integration.live_relay import until
from tests.integration.relay_process import RelayProcess, operated, relay_process
from tests.integration.sink import answering
from tests.integration.site import open_site
from tests.integration.wire import get, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.integration.sink import Sink
    from tests.integration.site import Site
    from tests.integration.wire import Answer

BIG = "x" * 300_000


@pytest.fixture
def process(tmp_path: Path, template: Path) -> Iterator[RelayProcess]:
    """A relay in a process of its own."""
    with relay_process(tmp_path / "home", template=template) as running:
        yield running


@pytest.fixture
async def site(process: RelayProcess, sink: Sink) -> AsyncIterator[Site]:
    """A site at that process."""
    async with operated(process) as live:
        yield await open_site(live, sink)


async def events(site: Site, count: int = 3) -> Answer:
    """A call of some large events, answered whatever it may be."""
    fields: dict[str, object] = {}
    for index in range(count):
        fields[f"QUERY[{index}][query][QUERY_URL]"] = f"{site.sink.url}/ev"
        fields[f"QUERY[{index}][query][QUERY_DATA][data]"] = BIG
    return await site.portal.ask("rest.event.call", fields)


async def fill_up(process: RelayProcess, site: Site) -> int:
    """Leave room for a few calls and send events until one does not fit; how many did."""
    process.fill_disk(room=3_000_000)
    for taken in range(100):
        answer = await events(site)
        if answer.status != 200:
            assert (answer.status, answer.is_json) == (503, False)
            assert taken > 0
            return taken
    raise AssertionError("the disk never became full")


async def test_on_a_full_disk_every_write_is_503_without_json(process: RelayProcess, site: Site) -> None:
    code = await site.code()
    refresh = (await site.authorize())["refresh_token"]
    await fill_up(process, site)
    for answer in (
        await site.replay("application.add", **{"Test": BIG}),
        await site.replay("rest.event.call-rich-data"),
        await events(site, 1),
        await site.app.redeem(code),
        await site.app.refresh(refresh),
    ):
        if answer.status != 200:  # what still fits between two pages may be taken
            assert (answer.status, answer.is_json) == (503, False)
    assert (await events(site)).status == 503
    assert (await send(process.service, get("/readyz"))).status in {200, 503}
    assert await process.is_alive()


async def test_on_a_full_disk_tokens_are_still_checked(process: RelayProcess, site: Site) -> None:
    given = await site.authorize()
    await fill_up(process, site)
    assert (await site.check(given["access_token"])).status == 200
    assert (await site.app.info(given["access_token"])).status == 200
    assert (await site.check("0" * 70)).error == "invalid_token"


async def test_nothing_is_half_written_and_all_goes_on_once_there_is_room(process: RelayProcess, site: Site) -> None:
    taken = await fill_up(process, site)
    assert (await events(site)).status == 503
    with closing(sqlite3.connect(process.home / DATABASE_FILE)) as onlooker:
        assert onlooker.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        stored = onlooker.execute("SELECT count(*) FROM deliveries").fetchone()[0]
        assert stored == onlooker.execute("SELECT count(*) FROM payloads").fetchone()[0]
    assert stored == 3 * taken
    process.free_disk()
    assert (await events(site)).status == 200
    await site.settled(done=3 * taken + 3)
    assert len({call.event_id for call in site.sink.calls}) == 3 * taken + 3


async def test_a_full_disk_is_not_asked_in_a_tight_loop_and_what_was_under_way_goes_on(
    process: RelayProcess, site: Site
) -> None:
    site.sink.behaviour = answering(500)
    await site.fire(count=5)
    await site.sink.wait_for(5)
    process.fill_disk()

    async def trouble_is_seen() -> bool:
        return process.log.count("dispatch.") >= 5

    await until(trouble_is_seen)
    before, began = process.log.count("dispatch."), time.monotonic()
    for _ in range(100):
        assert (await site.check("0" * 70)).error == "invalid_token"
    lines_a_second = (process.log.count("dispatch.") - before) / (time.monotonic() - began)
    assert lines_a_second < 60  # three parts of the dispatcher, each every sweep_s = 0.1 s
    site.sink.behaviour = answering(200)
    process.free_disk()
    await site.settled(done=5)
    assert len({call.event_id for call in site.sink.calls}) == 5


async def test_a_log_that_takes_nothing_more_changes_no_answer(process: RelayProcess, site: Site) -> None:
    given = await site.authorize()
    process.fill_disk(log_too=True)
    written = process.log
    answer = await events(site)
    assert (answer.status, answer.is_json) == (503, False)
    assert (await site.check("0" * 70)).error == "invalid_token"
    assert (await site.check(given["access_token"])).status == 200
    assert await process.is_alive()
    assert process.log == written
    process.free_disk()
    assert (await events(site)).status == 200
    await site.settled(done=3)
