"""Where there is no room for more events whole batches are refused, tokens go on, and it ends by itself.

Leans on a running relay, its health, log and metrics, and on the real disk. Must never see half a batch stored.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from tests.integration.live_relay import until
from tests.integration.sink import answering
from tests.integration.wire import get, send

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest

    from tests.integration.adapters import Adapter
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site
    from tests.integration.wire import Answer

MB = 1024 * 1024
CALL = {"QUERY[0][query][QUERY_URL]": "http://127.0.0.1:1/", "QUERY[0][query][QUERY_DATA][event]": "ONX"}


async def events(site: Site, count: int) -> Answer:
    """One call of so many events, a second after the one before it."""
    site.live.clock.advance(1)
    fields: dict[str, object] = {}
    for index in range(count):
        fields[f"QUERY[{index}][query][QUERY_URL]"] = f"{site.sink.url}/ev"
        fields[f"QUERY[{index}][query][QUERY_DATA][event]"] = "ONCRMDEALADD"
    return await site.portal.ask("rest.event.call", fields)


async def stored(site: Site) -> int:
    """How many events there are, in any state."""
    return sum((await site.live.relay.store.counts()).values())


async def metrics(site: Site) -> dict[str, float]:
    """What is said of room, and of calls that were refused."""
    text = (await send(site.live.admin, get("/metrics"))).body.decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def said(site: Site) -> tuple[Any, float, float]:
    """The warning of /readyz on both listeners, relay_warning and relay_refusing of /metrics."""
    ready = [(await send(address, get("/readyz"))) for address in (site.live.service, site.live.admin)]
    assert [answer.status for answer in ready] == [200, 200]  # or a load balancer would keep tokens away as well
    (warning,) = {answer.json.get("warning") for answer in ready}
    shown = await metrics(site)
    return warning, shown["relay_warning"], shown["relay_refusing"]


async def tokens_work(site: Site) -> bool:
    """Whether both grants, a refresh and both ways of checking go well."""
    given = await site.authorize()
    redeemed = (await site.app.redeem(await site.code())).json
    refreshed = (await site.app.refresh(given["refresh_token"])).json
    tokens = [pair["access_token"] for pair in (given, redeemed, refreshed)]
    answers = [await ask(token) for token in tokens for ask in (site.check, site.app.info)]
    return {answer.status for answer in answers} == {200} and (await site.check("0" * 70)).error == "invalid_token"


@contextmanager
def taken(folder: Path, size: int) -> Iterator[None]:
    """So many bytes less on that folder's disk."""
    path = folder / "ballast"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    try:
        yield
    finally:
        path.unlink()


async def test_beyond_the_backlog_whole_batches_are_refused_and_taken_again_later(
    adapter: Adapter, open_site_with: OpenSite
) -> None:
    site = await open_site_with({**adapter.settings, "delivery": {"max_backlog": 5}})
    site.sink.behaviour = answering(500)
    assert [(await events(site, count)).status for count in (3, 4)] == [200, 200]  # no batch is cut in two
    for count in (1, 5):
        refused = await events(site, count)
        assert (refused.status, refused.is_json) == (503, False)
    batch = await site.portal.ask(
        "batch", {"cmd[a]": "rest.event.call?" + "&".join(f"{k}={v}" for k, v in CALL.items())}
    )
    assert (batch.status, batch.is_json) == (503, False)
    assert await stored(site) == 7
    assert await tokens_work(site)
    assert (await metrics(site))['relay_requests_total{endpoint="/rest/rest.event.call",status="503"}'] == 2
    site.sink.behaviour = answering(200)
    await site.settled(done=7)
    assert (await events(site, 2)).status == 200
    await site.settled(done=9)
    assert len({call.event_id for call in site.sink.calls}) == 9


async def test_it_warns_well_before_and_says_what_happens_at_once(open_site_with: OpenSite) -> None:
    site = await open_site_with({"delivery": {"max_backlog": 10, "warn_at": 0.8}})
    site.sink.behaviour = answering(500)
    with structlog.testing.capture_logs() as log:
        seen = []
        for count in (7, 1, 2, 0):
            if count:
                assert (await events(site, count)).status == 200
            site.live.clock.advance(1)
            seen.append(await said(site))
        assert (await events(site, 1)).status == 503
        site.sink.behaviour = answering(200)
        await site.settled(done=10)
        site.live.clock.advance(1)
        seen.append(await said(site))
    full, low = ("no room for events", 1, 1), ("room is getting low", 1, 0)
    assert seen == [(None, 0, 0), low, full, full, (None, 0, 0)]
    told = [(line["event"], line.get("reason")) for line in log if line["event"].startswith("room.")]
    assert told == [
        ("room.getting_low", "8 events wait for delivery, 10 are the limit"),
        ("room.refusing", "10 events wait for delivery, 10 are the limit"),
        ("room.enough_again", None),
    ]
    refused = [line for line in log if line["event"] == "request.unavailable"]
    assert [line["reason"] for line in refused] == ["10 events wait for delivery, 10 are the limit"]


async def test_what_lasts_is_logged_once_a_minute(open_site_with: OpenSite) -> None:
    site = await open_site_with({"delivery": {"max_backlog": 1}})
    site.sink.behaviour = answering(500)
    with structlog.testing.capture_logs() as log:
        await events(site, 1)
        for _ in range(5):
            assert (await events(site, 1)).status == 503
        site.live.clock.advance(60)
        assert (await events(site, 1)).status == 503
    assert [line["event"] for line in log if line["event"].startswith("room.")] == ["room.refusing"] * 2


async def test_a_disk_that_is_nearly_full_refuses_and_goes_on_once_there_is_room(
    open_site_with: OpenSite, tmp_path: Path
) -> None:
    free = shutil.disk_usage(tmp_path).free
    some = min(300 * MB, free // 4)
    site = await open_site_with({"delivery": {"min_free_bytes": free - some, "warn_at": 1}})
    assert (await events(site, 1)).status == 200
    with taken(tmp_path, 2 * some):
        refused = await events(site, 3)
        assert (refused.status, refused.is_json) == (503, False)
        assert await said(site) == ("no room for events", 1, 1)
        assert await tokens_work(site)
        assert await stored(site) == 1

    async def goes_on() -> bool:
        return (await events(site, 2)).status == 200

    await until(goes_on)
    await site.settled(done=3)
    assert await said(site) == (None, 0, 0)


async def test_where_the_disk_is_smaller_than_the_least_nothing_is_ever_taken(open_site_with: OpenSite) -> None:
    site = await open_site_with({"delivery": {"min_free_bytes": 2**60}})
    assert (await events(site, 1)).status == 503
    assert await stored(site) == 0
    assert await tokens_work(site)


async def test_of_two_limits_the_one_that_refuses_is_named(open_site_with: OpenSite, tmp_path: Path) -> None:
    nearly = round(shutil.disk_usage(tmp_path).free * 0.85)
    site = await open_site_with({"delivery": {"max_backlog": 1, "min_free_bytes": nearly}})
    site.sink.behaviour = answering(500)
    with structlog.testing.capture_logs() as log:
        assert [(await events(site, 1)).status for _ in range(2)] == [200, 503]
    reasons = {line["event"]: line["reason"] for line in log if line["event"].startswith("room.")}
    assert "bytes are free on the disk" in reasons["room.getting_low"]
    assert reasons["room.refusing"] == "1 events wait for delivery, 1 are the limit"


async def test_room_is_looked_at_once_a_second_at_the_most(
    open_site_with: OpenSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = await open_site_with({"delivery": {"max_backlog": 1}})
    site.sink.behaviour = answering(500)
    store, looks = site.live.relay.store, [0]
    look = store.backlog

    async def counted() -> int:
        looks[0] += 1
        return await look()

    monkeypatch.setattr(store, "backlog", counted)
    began_ms = site.live.clock.now_ms()
    for _ in range(20):
        await site.portal.ask("rest.event.call", CALL)
    assert 1 <= looks[0] <= 1 + (site.live.clock.now_ms() - began_ms) / 1000
