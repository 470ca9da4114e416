"""Promises of refreshing under a crowd (issue 3, "what it must show" 1): 200 requests with one token from 8 processes
get one successor pair, all of them; on SQLite and PostgreSQL alike.

Leans on the real relay over each kind of database and on clients in processes of their own. Ends only what it started.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.live_relay import running_relay
from tests.integration.site import open_site
from tests.integration.wire import form
from tests.security.world import Verdicts, as_jwt, audit, details

if TYPE_CHECKING:
    from tests.integration.adapters import Adapter
    from tests.integration.sink import Sink

ROOT = Path(__file__).parents[2]
PROCESSES, EACH = 8, 25


async def _crowd(address: str, body: bytes) -> list[tuple[int, dict[str, Any]]]:
    """What 8 clients of 25 requests each are answered."""
    clients = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.security.refresher", address, str(EACH)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(PROCESSES)
    ]
    for client in clients:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(body + b"\n")
        assert await client.stdout.readline() == b"ready\n"
    outputs = await asyncio.gather(*(client.communicate(b"go\n") for client in clients))
    assert {client.returncode for client in clients} == {0}
    return [(status, json.loads(text)) for output, _ in outputs for status, text in json.loads(output)]


@pytest.mark.parametrize("kind", ["sealed", "jwt"])
async def test_issue_3_show_1_two_hundred_refreshes_at_once_have_one_successor(
    adapter: Adapter, sink: Sink, tmp_path: Path, kind: str
) -> None:
    async with running_relay(tmp_path / "home", adapter.settings) as live:
        site = await open_site(live, sink)
        if kind == "jwt":
            await as_jwt(site)
        first = await site.authorize()
        fields = site.app.grant(grant_type="refresh_token", refresh_token=first["refresh_token"])
        answers = await _crowd(live.service, form(fields))
        assert [status for status, _ in answers] == [200] * (PROCESSES * EACH)
        pairs = {(answer["access_token"], answer["refresh_token"]) for _, answer in answers}
        assert len(pairs) == 1
        ((access, refresh),) = pairs
        assert await Verdicts(site).of(access) == "good"
        assert len({json.dumps(sorted(answer)) for _, answer in answers}) == 1

        # Past the window the same token is reuse: the family is dead, and it is written down.
        live.clock.advance(61)
        second = (await site.app.refresh(refresh)).json
        assert (await site.app.refresh(first["refresh_token"])).error == "invalid_grant"
        assert (await site.app.refresh(second["refresh_token"])).error == "invalid_grant"
        assert await Verdicts(site).of(access) == "invalid_token"
        (entry,) = await audit(site, "grant.reused")
        assert details(entry)["generation"] == 1
