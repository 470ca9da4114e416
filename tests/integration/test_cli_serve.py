"""Promises that `relay serve` says when it is ready, drains when it is told to stop, and refuses a second one.

Leans on the real command as a process, on real sockets and signals. Ends only processes that it started.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.commands import is_one_sentence, relay
from tests.integration.serving import WAIT_S, serving
from tests.integration.test_cli import PORTAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one announced portal whose handlers may be on this machine."""
    home = tmp_path_factory.mktemp("made") / "home"
    listen = ("--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--public-url", "https://relay.example.com")
    assert relay("init", "--home", home, *listen).status == 0
    assert relay("portal", "add", PORTAL, "--allow", "127.0.0.0/8", "--home", home).status == 0
    return home


@pytest.fixture
def home(made_home: Path, tmp_path: Path) -> Path:
    """A home of the test's own."""
    return shutil.copytree(made_home, tmp_path / "home")


@asynccontextmanager
async def handler() -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """A handler that answers when it is let: its URL, "it was called", "answer now"."""
    called, answer = asyncio.Event(), asyncio.Event()

    async def take(_request: web.Request) -> web.Response:
        called.set()
        await answer.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/handler", take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/handler", called, answer
    finally:
        answer.set()
        await runner.cleanup()


async def send_events(service: str, *handlers: str) -> None:
    """Register as the announced portal and hand over one event for each handler, as a portal does."""
    base = f"http://{service}"
    async with aiohttp.ClientSession() as client:
        licence = {"BX_TYPE": "CP", "BX_LICENCE": "a" * 32, "BX_HASH": "b" * 32}
        async with client.post(
            f"{base}/oauth/register/", data={"redirect_uri": PORTAL, "type": "B"} | licence
        ) as answer:
            credentials = await answer.json(content_type=None)
        form = {"client_redirect_uri": PORTAL, **credentials}
        for index, url in enumerate(handlers):
            query = f"QUERY[{index}][query]"
            form |= {f"{query}[QUERY_URL]": url, f"{query}[QUERY_DATA][event]": "ONCRMDEALADD"}
        async with client.post(f"{base}/rest/rest.event.call", data=form) as answer:
            assert (await answer.json(content_type=None)).get("result"), await answer.text()


async def events(home: Path, *arguments: str) -> Any:
    """`relay event … --json`."""
    return (await asyncio.to_thread(relay, "event", *arguments, "--home", home, "--json")).document


async def test_serve_says_ready_when_both_listeners_answer_and_stops_on_sigterm(home: Path) -> None:
    async with serving(home) as server:
        ready = await server.logged("ready")
        async with aiohttp.ClientSession() as client:
            for address in (ready["service"], ready["admin"]):
                async with client.get(f"http://{address}/readyz") as answer:
                    assert answer.status == 200
        server.signal(signal.SIGTERM)
        await server.logged("stopped")
        assert await server.status() == 0


async def test_sigint_stops_it_as_well(home: Path) -> None:
    async with serving(home) as server:
        await server.logged("ready")
        server.signal(signal.SIGINT)
        assert await server.status() == 0


async def test_a_stopping_relay_finishes_the_delivery_in_hand(home: Path) -> None:
    async with handler() as (url, called, answer), serving(home) as server:
        await send_events((await server.logged("ready"))["service"], url)
        async with asyncio.timeout(WAIT_S):
            await called.wait()
        server.signal(signal.SIGTERM)
        await server.logged("draining")
        answer.set()
        assert await server.status() == 0
    (event,) = await events(home, "list")
    shown = await events(home, "show", event["event_id"])
    assert (shown["state"], shown["attempts"], shown["last_status"]) == ("done", 1, 200)
    assert [one["verdict"] for one in shown["tries"]] == ["delivered"]


async def test_a_second_signal_ends_it_at_once_and_loses_nothing(home: Path) -> None:
    async with handler() as (url, called, answer):
        async with serving(home) as server:
            await send_events((await server.logged("ready"))["service"], url)
            async with asyncio.timeout(WAIT_S):
                await called.wait()
            server.signal(signal.SIGTERM)
            await server.logged("draining")
            server.signal(signal.SIGTERM)
            assert await server.status() == 128 + signal.SIGTERM
        answer.set()
        (event,) = await events(home, "list")
        assert event["state"] in {"leased", "due"}


async def test_two_servers_of_one_home_are_refused(home: Path) -> None:
    async with serving(home) as server:
        await server.logged("ready")
        second = await asyncio.to_thread(relay, "serve", "--home", home)
        assert (second.status, is_one_sentence(second.err)) == (1, True), second.err
        assert "Another relay serves" in second.err
        checked = (await asyncio.to_thread(relay, "portal", "list", "--home", home, "--json")).document
        assert len(checked) == 1
        server.signal(signal.SIGTERM)
        assert await server.status() == 0


@pytest.mark.parametrize("setting", ["listen", "admin_listen"])
def test_an_address_that_is_taken_is_one_sentence(home: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ran = relay("serve", "--home", home, **{f"RELAY_{setting.upper()}": address})
    assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran.err
    assert f"The address {address} is taken by another program" in ran.err
    assert f"`{setting}`" in ran.err


@pytest.mark.parametrize(
    ("public_url", "warning"),
    [
        ("", "public_url is not set: only programs on this machine can use the relay"),
        ("http://relay.example.com", "public_url is plain http: tokens and secrets cross the network unencrypted"),
    ],
)
async def test_a_public_url_that_is_not_safe_is_warned_of_in_the_log(home: Path, public_url: str, warning: str) -> None:
    async with serving(home, RELAY_PUBLIC_URL=public_url) as server:
        assert (await server.logged(warning))["level"] == "warning"
        await server.logged("ready")
        server.signal(signal.SIGTERM)
        assert await server.status() == 0


async def test_events_are_listed_filtered_and_tried_again(home: Path) -> None:
    async with serving(home) as server:
        # Nothing listens on port 9: these events stay due.
        await send_events((await server.logged("ready"))["service"], "http://127.0.0.1:9/one", "http://127.0.0.1:9/two")
        server.signal(signal.SIGTERM)
        assert await server.status() == 0
    second, first = await events(home, "list")
    assert [row["handler"][-3:] for row in (first, second)] == ["one", "two"]
    assert (first["event"], first["portal"], first["state"]) == ("ONCRMDEALADD", PORTAL, "due")
    assert await events(home, "list", "--limit", "1") == [second]
    assert await events(home, "list", "--handler", "/one", "--event", "oncrmdealadd") == [first]
    assert await events(home, "list", "--state", "held,done") == []
    assert await events(home, "list", "--until", "1h") == []
    assert len(await events(home, "list", "--since", "1h", "--portal", PORTAL)) == 2
    dry_run = await events(home, "retry", "--state", "due", "--dry-run")
    assert dry_run == {"dry_run": True, "events": 2, "retried": 0}
    assert await events(home, "retry", first["event_id"]) == {"dry_run": False, "events": 1, "retried": 1}
    told = relay("event", "list", "--home", home).out.splitlines()
    assert len(told) == 3
    assert second["event_id"] in told[1]


async def test_the_doctor_sees_a_running_relay_and_a_handler_that_is_refused(home: Path) -> None:
    async with serving(home) as server:
        ready = await server.logged("ready")
        await send_events(ready["service"], "http://203.0.113.9/handler")
        async with asyncio.timeout(WAIT_S):
            while not await events(home, "list", "--state", "held"):
                pass  # each look at the condition is a command of its own
        settings = {"RELAY_LISTEN": ready["service"], "RELAY_ADMIN_LISTEN": ready["admin"], "RELAY_PUBLIC_URL": ""}
        ran = await asyncio.to_thread(relay, "doctor", "--home", home, "--json", **settings)
        server.signal(signal.SIGTERM)
        assert await server.status() == 0
    assert ran.status == 1
    checks = json.loads(ran.out)["checks"]
    assert [check["result"] for check in checks if check["check"] == "listener"] == ["ok", "ok"]
    held = next(check for check in checks if check["check"] == "held_events")
    assert held["remedy"].startswith(f"relay --home {home} portal add {PORTAL} --allow 203.0.113.9")
