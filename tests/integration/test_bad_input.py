"""Bodies that are too large, too deep or too many, on what portals call, and requests that break off.

Leans on the wire. Must never take a part of what was refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.wire import Request, form, post

if TYPE_CHECKING:
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site
    from tests.integration.wire import Answer

TARGETS = ["/oauth/register/", "/rest/rest.event.call", "/rest/rest.check", "/rest/batch", "/rest/no.such.method"]


def too_large(answer: Answer) -> bool:
    """The clear error over a bound."""
    return (answer.status, answer.error) == (413, "request_too_large") and bool(answer.json["error_description"])


def nested(levels: int) -> bytes:
    """A field of so many levels, before good credentials."""
    return b"QUERY%5B0%5D%5Bquery%5D%5BQUERY_DATA%5D" + b"%5Ba%5D" * levels + b"=1&"


@pytest.mark.parametrize("target", TARGETS)
async def test_sixty_four_levels_are_refused(site: Site, target: str) -> None:
    assert too_large(await site.live.ask(post(target, nested(64) + form(site.portal.appended))))
    assert await site.deliveries() == []


async def test_twenty_levels_are_taken_and_go_on_as_they_came(site: Site) -> None:
    url = form({"QUERY[0][query][QUERY_URL]": f"{site.sink.url}/ev"}) + b"&"
    answer = await site.live.ask(post("/rest/rest.event.call", url + nested(20) + form(site.portal.appended)))
    assert answer.json["result"]
    (call,) = await site.sink.wait_for(1)
    assert call.body.startswith("a" + "%5Ba%5D" * 19 + "=1&")


@pytest.mark.parametrize("target", TARGETS)
async def test_a_body_announced_as_too_large_is_refused_before_it_comes(site: Site, target: str) -> None:
    raw = post(target, b"a=1").to_bytes().replace(b"Content-Length: 3", b"Content-Length: 17000000")
    assert too_large(await site.live.ask(raw))


async def test_a_body_that_grows_too_large_in_chunks_is_refused(open_site_with: OpenSite) -> None:
    site = await open_site_with({"limits": {"portal_body_bytes": 10_000}})
    chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
    headers = (("Host", "x"), ("Connection", "close"), ("Transfer-Encoding", "chunked"))
    raw = Request("POST", "/rest/rest.event.call", headers).to_bytes().replace(b"Content-Length: 0\r\n", b"")
    assert too_large(await site.live.ask(raw + chunk * 3 + b"0\r\n\r\n"))


async def test_a_body_of_the_greatest_size_is_taken(open_site_with: OpenSite) -> None:
    site = await open_site_with({"limits": {"portal_body_bytes": 10_000}})
    head = form({"TOKEN": "x", **site.portal.appended}) + b"&padding="
    assert (await site.live.ask(post("/rest/rest.check", head.ljust(10_000, b"a")))).error == "invalid_token"
    assert too_large(await site.live.ask(post("/rest/rest.check", head.ljust(10_001, b"a"))))


async def test_too_many_commands_of_a_batch_are_refused(site: Site) -> None:
    answer = await site.portal.ask("batch", {f"cmd[{number}]": "methods" for number in range(51)})
    assert too_large(answer)


async def test_a_body_that_is_no_gzip_although_it_says_so_is_a_clean_refusal(site: Site) -> None:
    body = form(site.portal.appended)
    answer = await site.live.ask(post("/rest/methods", body, "text/plain", ("Content-Encoding", "gzip")))
    assert answer.status == 400
