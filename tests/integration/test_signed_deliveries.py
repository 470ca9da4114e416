"""Signed deliveries, verified by the Standard Webhooks project's own library, while keys are made and retired.

Leans on a running relay, its command, and standardwebhooks. Must never compute a signature here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.integration.commands import command
from tests.integration.restarting import Restarting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.integration.adapters import Adapter
    from tests.integration.conftest import OpenSite
    from tests.integration.sink import Call, Sink
    from tests.integration.site import Site

SIGNED = {"webhook-id", "webhook-timestamp", "webhook-signature"}


async def signing_key(site: Site, *arguments: str) -> Any:
    """`relay app signing-key`: the new key, or None."""
    home, client_id = site.live.relay.config.home, site.app.client_id
    ran = await command("app", "signing-key", client_id, *arguments, "--home", home, "--json")
    return ran.document["signing_key"]


async def deliver(site: Site, path: str, **data: str) -> Call:
    """Fire one event and wait until it has come."""
    await site.fire(path, count=1, **data)
    (call,) = await site.sink.wait_for(1, path)
    return call


def verifies(key: str, call: Call, *, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bool:
    """Whether the library takes the call for genuine."""
    raw = call.body.encode("latin-1") if body is None else body
    try:
        Webhook(key).verify(raw, {**call.headers, **(headers or {})}, json_parse=False)
    except WebhookVerificationError:
        return False
    return True


async def test_each_active_key_verifies_and_no_other(adapter: Adapter, open_site_with: OpenSite) -> None:
    site = await open_site_with(adapter.settings)
    unsigned = await deliver(site, "/unsigned")
    assert not SIGNED & unsigned.headers.keys()
    first = await signing_key(site)
    by_first = await deliver(site, "/first")
    assert by_first.headers["webhook-id"] == by_first.event_id
    second = await signing_key(site)
    by_both = await deliver(site, "/both")
    assert await signing_key(site, "--retire-old") is None
    by_second = await deliver(site, "/second")
    third, fourth = await signing_key(site), await signing_key(site)
    by_newest = await deliver(site, "/newest")
    calls = (by_first, by_both, by_second, by_newest)
    assert [[verifies(key, call) for call in calls] for key in (first, second, third, fourth)] == [
        [True, True, False, False],
        [False, True, True, False],
        [False, False, False, True],
        [False, False, False, True],
    ]
    assert [len(call.headers["webhook-signature"].split()) for call in calls] == [1, 2, 1, 2]


async def test_the_id_is_the_events_on_every_try_and_each_try_is_signed_as_it_is_sent(site: Site) -> None:
    key = await signing_key(site)
    answers = iter((500, 503, 200))

    async def answer(_call: Call) -> web.StreamResponse:
        return web.Response(status=next(answers))

    site.sink.behaviour = answer
    await site.fire()
    calls = await site.sink.wait_for(3)
    await site.settled(done=1)
    (row,) = await site.deliveries()
    assert {call.headers["webhook-id"] for call in calls} == {row.event_id}
    assert all(verifies(key, call) for call in calls)
    assert len({call.body for call in calls}) == 3  # a token of its own for each try
    first, second, _ = calls
    assert not verifies(key, first, body=second.body.encode("latin-1"))
    signatures = {call.headers["webhook-signature"] for call in calls}
    assert len(signatures) == 3


async def test_a_replay_has_the_first_deliverys_id_and_a_signature_of_its_own(site: Site) -> None:
    key = await signing_key(site)
    await deliver(site, "/ev")
    await site.settled(done=1)
    home = site.live.relay.config.home
    await command("event", "replay", "--state", "done", "--no-wait", "--home", home)
    first, again = await site.sink.wait_for(2, "/ev")
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert (again.headers["x-relay-replay"], verifies(key, again)) == ("1", True)


@pytest.mark.parametrize("value", ["", "значение & = % + \x00", "€" * 20_000])
async def test_what_is_signed_is_the_body_to_the_last_byte(site: Site, value: str) -> None:
    key = await signing_key(site)
    call = await deliver(site, "/ev", **{"data][FIELDS][TITLE": value})
    body = call.body.encode("latin-1")
    assert verifies(key, call)
    for changed in (body[:-1], body + b"&", body.replace(b"event=", b"Event=", 1), b""):
        assert not verifies(key, call, body=changed)


@pytest.mark.parametrize("name", sorted(SIGNED))
async def test_id_and_time_are_signed_as_well(site: Site, name: str) -> None:
    key = await signing_key(site)
    call = await deliver(site, "/ev")
    head, last = call.headers[name][:-8], call.headers[name][-8:]
    changed = head + last.translate(str.maketrans("0123456789ABC", "1234567890BCA"))
    other = changed if name != "webhook-timestamp" else str(int(call.headers[name]) - 1)
    assert verifies(key, call)
    assert not verifies(key, call, headers={name: other})


async def test_only_the_application_that_has_a_key_gets_signatures(site: Site) -> None:
    await signing_key(site)
    other = await site.portal.result("application.add", {"TITLE": "Other", "REDIRECT_URI": site.sink.url})
    signed = await deliver(site, "/signed")
    site.app.client_id = other["client_id"]
    unsigned = await deliver(site, "/unsigned")
    await site.portal.result("rest.event.call", {"QUERY[0][query][QUERY_URL]": f"{site.sink.url}/webhook"})
    (webhook,) = await site.sink.wait_for(1, "/webhook")
    assert signed.headers.keys() >= SIGNED
    assert not SIGNED & {*unsigned.headers, *webhook.headers}


async def test_keys_outlive_a_restart(tmp_path: Path, template: Path, sink: Sink) -> None:
    home = Restarting(tmp_path / "home", template, sink)
    async with home.running() as site:
        key = await signing_key(site)
    async with home.running() as site:
        assert verifies(key, await deliver(site, "/ev"))
    raw = b"".join(path.read_bytes() for path in home.home.glob("relay.db*"))  # nobody has them open
    assert key.removeprefix("whsec_").encode() not in raw
