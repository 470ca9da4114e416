"""Health on both listeners, and the administrator's listener behind its password.

Leans on the wire. Must never let a stranger read the status.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher

from relay import __version__
from tests.integration.live_relay import running_relay
from tests.integration.wire import get, send

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.live_relay import LiveRelay
    from tests.integration.site import Site

PASSWORD = "correct horse пароль"
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def basic(name: str, password: str | bytes) -> tuple[str, str]:
    raw = name.encode() + b":" + (password.encode() if isinstance(password, str) else password)
    return "Authorization", "Basic " + base64.b64encode(raw).decode()


async def test_both_listeners_say_that_the_process_lives_and_can_work(live: LiveRelay) -> None:
    for address in (live.service, live.admin):
        alive, ready = await send(address, get("/healthz")), await send(address, get("/readyz"))
        assert (alive.status, ready.status) == (200, 200)
        assert alive.json == {"status": "ok", "version": __version__}
        assert ready.json["status"] == "ready"


async def test_without_a_writable_store_the_process_lives_but_is_not_ready(live: LiveRelay) -> None:
    await live.relay.store.close()
    for address in (live.service, live.admin):
        assert (await send(address, get("/healthz"))).status == 200
        ready = await send(address, get("/readyz"))
        assert ready.status == 503
        assert str(live.relay.config.home) not in ready.body.decode()


async def test_a_stopping_relay_is_not_ready(live: LiveRelay) -> None:
    assert live.runtime is not None
    live.runtime.health.draining = True
    assert (await send(live.service, get("/readyz"))).status == 503
    assert (await send(live.service, get("/healthz"))).status == 200


async def test_the_service_listener_serves_nothing_of_the_administrators(live: LiveRelay) -> None:
    for path in ("/metrics", "/api/status", "/admin", "/rest/api/status"):
        assert (await live.ask(get(path))).status in {404, 405}


async def test_the_status_is_shown_to_the_administrator_only(site: Site) -> None:
    store, admin = site.live.relay.store, site.live.admin
    assert (await send(admin, get("/api/status", basic("admin", PASSWORD)))).status == 401
    await store.set_admin_password_hash(QUICK.hash(PASSWORD))
    shown = await send(admin, get("/api/status", basic("admin", PASSWORD)))
    assert shown.status == 200
    assert (shown.json["portals"], shown.json["apps"], shown.json["version"]) == (1, 1, __version__)


@pytest.mark.parametrize(
    "header",
    [
        basic("admin", "wrong"),
        basic("admin", ""),
        basic("root", PASSWORD),
        basic("", PASSWORD),
        basic("admin", b"\xff\xfe"),
        ("Authorization", "Basic"),
        ("Authorization", "Basic !!!"),
        ("Authorization", "Basic \xff"),
        ("Authorization", f"Bearer {PASSWORD.encode().hex()}"),
        ("X", "y"),
    ],
)
async def test_anybody_else_is_asked_for_the_password(live: LiveRelay, header: tuple[str, str]) -> None:
    await live.relay.store.set_admin_password_hash(QUICK.hash(PASSWORD))
    answer = await send(live.admin, get("/api/status", header))
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic")
    assert b"portals" not in answer.body


async def test_a_new_password_takes_the_old_ones_place(live: LiveRelay) -> None:
    await live.relay.store.set_admin_password_hash(QUICK.hash("old"))
    await live.relay.store.set_admin_password_hash(QUICK.hash(PASSWORD))
    assert (await send(live.admin, get("/api/status", basic("admin", "old")))).status == 401
    assert (await send(live.admin, get("/api/status", basic("admin", PASSWORD)))).status == 200


async def test_metrics_count_requests_and_deliveries_without_callers_words(site: Site) -> None:
    await site.fire()
    await site.settled(done=1)
    await site.live.ask(get("/some/path?secret=word"))
    shown = (await send(site.live.admin, get("/metrics"))).body.decode()
    assert 'relay_requests_total{endpoint="/rest/rest.event.call",status="200"} 1.0' in shown
    assert 'relay_deliveries{state="done"} 1.0' in shown
    assert 'relay_delivery_tries_total{verdict="delivered"} 1.0' in shown
    assert "some/path" not in shown
    assert "word" not in shown


async def test_an_unknown_address_is_a_json_404(live: LiveRelay) -> None:
    answer = await live.ask(get("/no/such/place"))
    assert (answer.status, answer.error) == (404, "not_found")
    assert (await send(live.admin, get("/no/such/place"))).status in {401, 404}


async def test_a_relay_starts_again_in_the_same_home_and_knows_everybody(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "home") as first:
        await first.relay.portals.announce("http://portal.test", window_s=60)
    async with running_relay(tmp_path / "home") as second:
        (portal,) = (await second.relay.store.directory()).portals.values()
        assert portal.url == "http://portal.test"
