"""Promises of keys (issue 3, item 3): published, active, retired, gone; no live token is broken at any moment.

Leans on the real use cases over real SQLite with a clock that is moved, and on hypothesis for the times. Must never
sleep.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.app.keys import Keys
from relay.app.settings import IssuerSettings
from relay.clock import system_entropy
from relay.core.keyring import active_key
from relay.core.sealed import SealedClaims, peek, seal
from tests.factories import VAULT, SetClock
from tests.integration.stored import new_portal
from tests.integration.wire import get
from tests.security.key_world import ACCESS_S, BUNDLE_S, ISSUER, ROTATE_S, KeyWorld, key_world
from tests.security.world import Verdicts, audit, details

if TYPE_CHECKING:
    from tests.integration.adapters import Adapter
    from tests.integration.site import Site

ROOT = Path(__file__).parents[2]
Step = tuple[str, int]
waits = st.sampled_from([0, 1, 60, ACCESS_S - 1, ACCESS_S, BUNDLE_S, BUNDLE_S + 301, ROTATE_S, 3 * ROTATE_S])
steps = st.lists(
    st.tuples(st.sampled_from(["tend", "tend", "tend", "rotate", "rotate now"]), waits | st.integers(0, 2 * ROTATE_S)),
    min_size=4,
    max_size=12,
)


async def _live_through(template: Path, lived: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with key_world(template, Path(folder)) as world:
            for action, seconds in lived:
                await world.mint()
                # Housekeeping comes every minute; between two rounds the clock goes on without it.
                world.clock.advance(seconds)
                await world.mint()
                await world.look()
                if action == "tend":
                    await world.keys.tend()
                else:
                    await world.keys.rotate(at_once=action == "rotate now")
                await world.look()
                await world.mint()
                await world.look()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lived=steps)
@example(lived=[("rotate", 0), ("rotate now", BUNDLE_S), ("rotate", BUNDLE_S), ("tend", 0)])
@example(lived=[("rotate now", 0), ("rotate now", 0), ("rotate", ACCESS_S), ("tend", BUNDLE_S)])
def test_issue_3_3_no_live_token_is_broken_at_any_moment(template: Path, lived: list[Step]) -> None:
    asyncio.run(_live_through(template, lived))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(1, 900), minutes=st.integers(10, 60))
def test_issue_3_3_a_key_that_comes_by_itself_was_published_for_a_bundles_life(
    template: Path, offset: int, minutes: int
) -> None:
    """Whoever keeps a bundle or a key set that long knows every key before the first token made with it."""

    async def live() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with key_world(template, Path(folder)) as world:
                first = await world.active_since()
                assert first == [0, 0]
                seen = set()
                for _ in range(3 * ROTATE_S // (minutes * 60)):
                    world.clock.advance(minutes * 60 + offset)
                    await world.mint()
                    await world.keys.tend()
                    await world.look()
                    since = await world.active_since()
                    seen.add((await world.store.directory()).signing_keys[-1].kid)
                    assert all(published >= min(BUNDLE_S, world.now - _start(world)) for published in since)
                assert len(seen) >= 2

    asyncio.run(live())


def _start(world: KeyWorld) -> int:
    return min(world.published.values())


async def test_issue_3_3_published_then_active_then_retired_then_gone(template: Path, tmp_path: Path) -> None:
    async with key_world(template, tmp_path) as world:
        first = (await world.directory()).sealing_keys(1)[0].key
        seen = []
        for _ in range(ROTATE_S // 600 + 20):
            world.clock.advance(600)
            await world.keys.tend()
            known = {key.key for key in (await world.directory()).sealing_keys(1)}
            active = active_key((await world.directory()).sealing_keys(1), world.now)
            assert active is not None
            seen.append((len(known), first in known, active.key == first))
        assert list(dict.fromkeys(seen)) == [
            (1, True, True),  # alone
            (2, True, True),  # its successor is published
            (2, True, False),  # retired: what it made goes on being good
            (1, False, False),  # gone
        ]


async def test_issue_3_3_a_token_by_a_retired_key_is_good_to_its_end_and_not_after(
    template: Path, tmp_path: Path
) -> None:
    async with key_world(template, tmp_path) as world:
        await world.mint()
        ends = dict(world.live)
        assert await world.keys.rotate(at_once=True) == 2
        world.clock.advance(ACCESS_S - 1)
        await world.keys.tend()
        assert [await world.verdict(token) for token in ends] == ["good", "good"]
        world.clock.advance(1)
        assert [await world.verdict(token) for token in ends] == ["expired_token", "expired_token"]


async def test_issue_3_3_a_retired_key_makes_nothing_that_outlives_it(template: Path, tmp_path: Path) -> None:
    """A key that was stolen before it was rotated away ends with its time, whatever is sealed with it."""
    async with key_world(template, tmp_path) as world:
        (stolen,) = (await world.directory()).sealing_keys(1)
        await world.keys.rotate(at_once=True)
        (retired,) = [key for key in (await world.directory()).sealing_keys(1) if key.key == stolen.key]
        assert retired.good_until is not None
        claims = SealedClaims(retired.good_until, stolen.key_id, 67, world.formats["sealed"], 1)
        forged = replace(claims, expires=retired.good_until + 1)
        assert await world.verdict(seal(claims, stolen.key)) == "good"
        assert await world.verdict(seal(forged, stolen.key)) == "invalid_token"
        world.clock.advance(retired.good_until - world.now + 1)
        await world.keys.tend()
        assert await world.verdict(seal(replace(claims, expires=world.now + 60), stolen.key)) == "invalid_token"


async def test_issue_3_3_rotating_now_drops_the_key_that_was_only_published(template: Path, tmp_path: Path) -> None:
    async with key_world(template, tmp_path) as world:
        await world.keys.rotate(at_once=False)
        (_, waiting) = (await world.directory()).sealing_keys(1)
        await world.keys.rotate(at_once=True)
        directory = await world.directory()
        assert waiting.key not in {key.key for key in directory.sealing_keys(1)}
        newest = active_key(directory.sealing_keys(1), world.now)
        assert newest is not None
        world.clock.advance(ROTATE_S - BUNDLE_S - 1)
        await world.keys.tend()
        assert active_key((await world.directory()).sealing_keys(1), world.now) == newest


async def test_issue_3_3_rotating_twice_in_one_second_uses_the_second(template: Path, tmp_path: Path) -> None:
    async with key_world(template, tmp_path) as world:
        for _ in range(3):
            await world.keys.rotate(at_once=True)
        keys = (await world.directory()).sealing_keys(1)
        active = active_key(keys, world.now)
        assert active is not None
        assert active.good_until is None
        assert len(keys) == 4


async def test_issue_3_3_tending_is_idempotent(template: Path, tmp_path: Path) -> None:
    async with key_world(template, tmp_path) as world:
        for seconds in (0, ROTATE_S - BUNDLE_S, 0, 0, BUNDLE_S, 0, BUNDLE_S + 301, 0):
            world.clock.advance(seconds)
            await world.keys.tend()
            version = (await world.directory()).version
            assert await world.keys.tend() == 0
            assert (await world.directory()).version == version


@pytest.mark.parametrize("moment_s", [0, ROTATE_S])
async def test_issue_3_3_concurrent_tending_makes_one_key(adapter: Adapter, moment_s: int) -> None:
    here, there = await adapter.open(), await adapter.open()
    clock = SetClock()
    issuer = IssuerSettings(ISSUER, key_rotate_s=ROTATE_S, bundle_life_s=BUNDLE_S)
    both = [Keys(store, VAULT, clock, system_entropy, issuer) for store in (here, there)]
    await here.announce_portal(new_portal(), clock.now_ms() // 1000)
    if moment_s:
        await both[0].tend()
        clock.advance(moment_s)
    before = await here.directory()
    await asyncio.gather(*(keys.tend() for keys in both for _ in range(4)))
    after = await there.directory()
    assert len(after.signing_keys) - len(before.signing_keys) in {0, 1}
    assert len({key.key_id for key in after.signing_keys}) == len(after.signing_keys)
    made = await here.list_audit(0, "key.made", 100)
    named = [(entry.portal_id, details(entry)["key_id"]) for entry in made]
    assert len(named) == len(set(named))
    assert await both[0].tend() == 0


TEND = """
import asyncio, sys
from pathlib import Path
from relay.config import load_config
from relay.opened import open_relay
from tests.integration.live_relay import MovableClock

async def main():
    relay = open_relay(load_config(Path(sys.argv[1])), clock=MovableClock(int(sys.argv[2])))
    await relay.store.directory()
    print("loaded", flush=True)
    sys.stdin.readline()
    print(await relay.keys.tend(), flush=True)
    await relay.store.close()

asyncio.run(main())
"""


async def test_issue_3_3_two_processes_that_tend_at_once_make_one_key(site: Site) -> None:
    """When a rotation is due, and the relay and a command come to it in the same moment."""
    home = site.live.relay.config.home
    before = (await site.live.relay.store.directory()).signing_keys
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", TEND, str(home), str(31 * 86400 * 1000)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"loaded\n"
    for process in processes:
        await process.communicate(b"go\n")
    assert [process.returncode for process in processes] == [0, 0]
    after = (await site.live.relay.store.directory()).signing_keys
    assert len(after) == len(before) + 1
    made = await audit(site, "key.made")
    assert len([entry for entry in made if entry.portal_id is None]) == len(after)


async def test_issue_3_3_rotation_over_http_breaks_no_token_of_either_kind(issuing: Site) -> None:
    """`relay key rotate --now` while the relay serves: old tokens, new tokens, the published keys."""
    old = await issuing.authorize()
    for at_once in (False, True, True):
        await issuing.live.relay.keys.rotate(at_once=at_once)
        new = await issuing.authorize()
        for pair in (old, new):
            assert await Verdicts(issuing).of(pair["access_token"]) == "good"
    jwks = (await issuing.live.ask(get("/.well-known/jwks.json"))).json["keys"]
    assert len({key["kid"] for key in jwks}) == len(jwks) == 3
    claims = peek(new["access_token"])
    if claims is not None:
        assert claims.key_id == 4


async def test_issue_3_7_every_rotation_is_written_down(site: Site) -> None:
    before = len(await audit(site, "key.made"))
    await site.live.relay.keys.rotate(at_once=True)
    entries = (await audit(site, "key.made"))[before:]
    assert {entry.portal_id for entry in entries} == {None, 1}
    assert all(set(details(entry)) == {"key_id", "active_from"} for entry in entries)


async def test_issue_3_3_keys_are_sealed_at_rest(site: Site) -> None:
    directory = await site.live.relay.store.directory()
    stored = b"".join(path.read_bytes() for path in site.live.relay.config.home.glob("relay.db*"))
    for key in directory.sealing_keys(1):
        assert key.key not in stored
    for signing in directory.signing_keys:
        secret = signing.private_key.private_numbers().private_value.to_bytes(32, "big")
        assert secret not in stored
