"""Promises of `relay selftest` (issue 3, item 9): it passes on a sound relay, fails on another, and leaves nothing
behind however it ends.

Leans on the real commands as processes. Ends only processes that it started.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from yarl import URL

from relay.app.selftest import CHECKS
from tests.e2e.relay_process import RelayProcess
from tests.integration.live_relay import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

APPEND_ONLY = {"audit", "sqlite_sequence", "meta"}
ENDS_BY_ITSELF = {"code_challenges"}
PASSED_ON = {"WWW-Authenticate", "Retry-After"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def process(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RelayProcess]:
    """A relay that serves, for all of these tests: each leaves it as it was."""
    async with RelayProcess.running(tmp_path_factory.mktemp("selftest") / "home") as running:
        yield running


def _rows(home: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(home / "relay.db")) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}


def _portals(home: Path) -> list[str]:
    with closing(sqlite3.connect(home / "relay.db")) as database:
        return [row[0] for row in database.execute("SELECT url FROM portals")]


async def _has_rows(home: Path, table: str) -> None:
    """Wait until it has."""

    async def there() -> bool:
        return _rows(home)[table] > 0

    await until(there)


@asynccontextmanager
async def _started(home: Path, *arguments: str, **environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "relay.cli", "selftest", "--home", str(home), *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**inherited, **environment},
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_issue_3_9_a_sound_relay_passes_and_nothing_is_left_behind(process: RelayProcess) -> None:
    before = _rows(process.home)
    document = await process.command("selftest")
    assert document["ok"] is True
    assert [check["result"] for check in document["checks"]] == ["ok"] * len(CHECKS)
    assert len(document["checks"]) >= 35
    assert all(check["source"].startswith("RFC ") and check["title"] for check in document["checks"])
    after = _rows(process.home)
    changed = {name for name, count in after.items() if count != before.get(name)}
    assert changed <= APPEND_ONLY | ENDS_BY_ITSELF
    assert _portals(process.home) == []
    assert await process.command("portal", "list") == []


async def test_issue_3_9_portals_and_apps_of_others_are_let_be(process: RelayProcess) -> None:
    portal = (await process.announce("http://portal.test"))["url"]
    app = ("--title", "A", "--redirect-uri", "https://a.test/", "--scope", "crm")
    added = await process.command("app", "add", "--portal", portal, *app)
    before = _rows(process.home)
    assert (await process.command("selftest"))["ok"] is True
    after = _rows(process.home)
    assert {name for name in after if after[name] != before[name]} <= APPEND_ONLY | ENDS_BY_ITSELF
    assert [app["client_id"] for app in await process.command("app", "list")] == [added["client_id"]]
    await process.command("portal", "remove", portal, "--yes")


async def test_issue_3_9_the_table_is_rfc_tagged_and_in_the_users_language(process: RelayProcess) -> None:
    for language, words in {"en": "All 35 checks passed", "ru": "Все проверки пройдены: 35"}.items():
        async with _started(process.home, RELAY_LANG=language) as command:
            output, errors = await command.communicate()
        assert (command.returncode, errors) == (0, b"")
        text = output.decode()
        assert words in text
        for source in ("RFC 9700 4.1.3", "RFC 8725 3.1", "RFC 7662 2.2", "RFC 9068 4"):
            assert source in text


@pytest.mark.parametrize(
    ("number", "table"),
    [
        (signal.SIGTERM, "portals"),
        (signal.SIGINT, "apps"),
        (signal.SIGHUP, "grants"),
        (signal.SIGINT, "revocations"),
    ],
)
async def test_issue_3_9_stopped_in_the_middle_it_still_cleans_up(
    process: RelayProcess, number: signal.Signals, table: str
) -> None:
    async with _started(process.home) as command:
        await _has_rows(process.home, table)
        command.send_signal(number)
        _, errors = await command.communicate()
    assert command.returncode == (130 if number == signal.SIGINT else 1)
    assert b"Traceback" not in errors
    rows = _rows(process.home)
    for name in ("portals", "apps", "grants", "refresh_tokens", "codes", "token_parameters", "revocations"):
        assert (name, rows[name]) == (name, 0)


async def test_issue_3_9_what_a_killed_run_left_goes_with_the_next(process: RelayProcess) -> None:
    async with _started(process.home) as command:
        await _has_rows(process.home, "portals")
        command.kill()
        await command.communicate()
    assert len(_portals(process.home)) == 1
    assert (await process.command("selftest"))["ok"] is True
    assert len(_portals(process.home)) == 1  # it may still be running, for all that this one knows
    with closing(sqlite3.connect(process.home / "relay.db")) as database, database:
        database.execute("UPDATE portals SET window_until = 1")
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'directory'")
    assert (await process.command("selftest"))["ok"] is True
    assert _portals(process.home) == []


async def test_issue_3_9_without_a_running_relay_it_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    relay = await RelayProcess.create(tmp_path / "home")
    async with _started(relay.home) as command:
        output, errors = await command.communicate()
    assert (command.returncode, output) == (1, b"")
    assert errors.decode().startswith(f"No relay answers at {relay.url}. Start it:")
    assert _portals(relay.home) == []


async def test_issue_3_9_the_relay_of_another_home_is_told_apart(process: RelayProcess, tmp_path: Path) -> None:
    other = await RelayProcess.create(tmp_path / "other")
    async with _started(other.home, "--url", process.url) as command:
        _, errors = await command.communicate()
    assert command.returncode == 1
    assert b"does not use this home directory" in errors
    assert _portals(other.home) == []


@asynccontextmanager
async def _caching_front(url: str) -> AsyncIterator[str]:
    """A reverse proxy that passes everything on, but lets every answer be kept."""
    async with aiohttp.ClientSession(auto_decompress=False) as onward:

        async def pass_on(request: web.Request) -> web.StreamResponse:
            target = URL(url + request.raw_path, encoded=True)
            headers = {name: value for name, value in request.headers.items() if name != "Host"}
            async with onward.request(
                request.method, target, data=await request.read(), headers=headers, allow_redirects=False
            ) as answer:
                kept = {name: answer.headers[name] for name in ("Content-Type", "Location") if name in answer.headers}
                kept |= {"Cache-Control": "max-age=60"}
                kept |= {name: value for name, value in answer.headers.items() if name in PASSED_ON}
                return web.Response(status=answer.status, body=await answer.read(), headers=kept)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", pass_on)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            yield f"http://{host}:{port}"
        finally:
            await runner.cleanup()


async def test_issue_3_9_a_failed_check_is_exit_status_1_and_shown(process: RelayProcess) -> None:
    """A reverse proxy in front that lets answers be cached."""
    async with _caching_front(process.url) as front, _started(process.home, "--url", front, "--json") as command:
        output, _ = await command.communicate()
    document: dict[str, Any] = json.loads(output)
    assert (command.returncode, document["ok"]) == (1, False)
    failed = {check["check"]: check for check in document["checks"] if check["result"] == "failed"}
    assert set(failed) == {"no_store"}
    assert (failed["no_store"]["expected"], failed["no_store"]["found"]) == ("{'no-store'}", "{'max-age=60'}")
    assert _portals(process.home) == []
