"""Arbitrary fields in well-formed calls, with good credentials: answered or refused, never a failure inside.

Leans on hypothesis and on aiohttp's client, against a relay in the test's own process. Must never see a 5xx: the
store is well.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from yarl import URL

from tests.integration.wire import PATIENCE_S, form

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.site import Site

fuzzing = settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
METHODS = [
    "application.add",
    "application.update",
    "application.delete",
    "application.install",
    "application.uninstall",
    "application.usage.add",
    "batch",
    "relay.bundle",
    "relay.echo",
    "relay.facts",
    "rest.authorize",
    "rest.check",
    "rest.code",
    "rest.event.call",
    "app.info",
]
NAMES = [
    "TITLE",
    "REDIRECT_URI",
    "SCOPE",
    "VERSION",
    "TOKEN",
    "STATE",
    "ETAG",
    "FACTS",
    "PARAMS[LOCAL_USER]",
    "PARAMS[TZ_OFFSET]",
    "PARAMS[EVENT_SESSION]",
    "PARAMS[x][y]",
    "PARAMS[",
    "cmd[a]",
    "cmd[b]",
    "auth",
    "QUERY[0][client_id]",
    "QUERY[0][query][QUERY_URL]",
    "QUERY[0][query][QUERY_DATA][event]",
    "QUERY[0][query][QUERY_DATA][data][FIELDS][ID]",
    "QUERY[0][auth][LOCAL_USER]",
    "QUERY[1][relay_item_id]",
    "QUERY[",
]
anything = st.one_of(
    st.binary(max_size=30),
    st.text(max_size=15).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"",
            b"0",
            b"1",
            b"-1",
            b"9" * 400,
            b"4294967296",
            b"\x00",
            b"\xff" * 9,
            b"crm,user",
            b"L" * 3000,
            b"http://127.0.0.1:9/x",
            b"batch?cmd[a]=methods",
            b"rest.check?TOKEN=%FF",
            b"rest.authorize?CLIENT_ID=x&PARAMS[LOCAL_USER]=\xff",
            b'{"a":[1,{"b":null}]}',
        ]
    ),
)
fields = st.lists(st.tuples(st.sampled_from(NAMES), anything), max_size=8)
parameters = st.lists(
    st.tuples(
        st.sampled_from(
            ["grant_type", "client_id", "client_secret", "code", "refresh_token", "token", "code_verifier", "state"]
        ),
        anything | st.sampled_from([b"refresh_token", b"authorization_code"]),
    ),
    max_size=6,
)


@pytest.fixture
async def http(site: Site) -> AsyncIterator[aiohttp.ClientSession]:
    """A client with connections of its own."""
    timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
    async with aiohttp.ClientSession(f"http://{site.live.service}", timeout=timeout) as session:
        yield session


def escaped(pairs: list[tuple[str, bytes]]) -> bytes:
    """A form of any bytes."""
    return b"&".join(form({name: ""}) + b"".join(b"%%%02X" % byte for byte in value) for name, value in pairs)


async def answered(response: aiohttp.ClientResponse) -> int:
    """The status, once the answer is whole and, if it is JSON, is JSON that PHP can read."""
    body = await response.read()
    if response.content_type == "application/json":
        text = body.decode("ascii")
        assert "\\udc" not in text.lower().replace("\\ud83d\\udc", "")
        await response.json()
    return response.status


@fuzzing
@given(method=st.sampled_from(METHODS), given_fields=fields, known=st.booleans())
async def test_a_portals_calls_with_any_fields_are_answered_or_refused(
    site: Site, http: aiohttp.ClientSession, method: str, given_fields: list[tuple[str, bytes]], known: bool
) -> None:
    client = [("CLIENT_ID", site.app.client_id.encode())] if known and method != "application.delete" else []
    body = escaped([*client, *given_fields]) + b"&" + form(site.portal.appended)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    async with http.post(f"/rest/{method}", data=body, headers=headers) as response:
        assert await answered(response) < 500


@fuzzing
@given(
    path=st.sampled_from(["/oauth/token/", "/oauth/introspect", "/oauth/revoke", "/rest/app.info", "/oauth/authorize"]),
    query=parameters,
    body=parameters,
    known=st.booleans(),
    by_get=st.booleans(),
)
async def test_an_applications_calls_with_any_fields_are_answered_or_refused(
    site: Site,
    http: aiohttp.ClientSession,
    path: str,
    query: list[tuple[str, bytes]],
    body: list[tuple[str, bytes]],
    known: bool,
    by_get: bool,
) -> None:
    client = site.app.grant() if known else {}
    sent = escaped(body) + b"&" + form(client)
    target = f"{path}?{escaped(query).decode()}" + ("&" + sent.decode() if by_get else "")
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    url = URL(f"http://{site.live.service}{target}", encoded=True)
    call = (
        http.get(url, allow_redirects=False)
        if by_get
        else http.post(url, data=sent, headers=headers, allow_redirects=False)
    )
    async with call as response:
        assert await answered(response) < 500


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@fuzzing
@given(
    path=st.sampled_from(["/oauth/token/", "/rest/app.info", "/oauth/introspect"]),
    values=st.dictionaries(
        st.sampled_from(
            ["grant_type", "client_id", "client_secret", "code", "refresh_token", "auth", "access_token", "token"]
        ),
        json_values,
    ),
)
async def test_json_of_any_values_is_answered_or_refused(
    http: aiohttp.ClientSession, path: str, values: dict[str, object]
) -> None:
    async with http.post(path, json=values) as response:
        assert await answered(response) < 500


async def test_the_site_still_works_after_all_kinds_of_calls_at_once(site: Site, http: aiohttp.ClientSession) -> None:
    async def call(method: str, value: bytes) -> int:
        body = escaped([(name, value) for name in NAMES]) + b"&" + form(site.portal.appended)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        async with http.post(f"/rest/{method}", data=body, headers=headers) as response:
            return await answered(response)

    calls = [call(method, value) for method in METHODS for value in (b"", b"1", b"\xff", b"9" * 30)]
    assert max(await asyncio.gather(*calls)) < 500
    await site.fire()
    await site.sink.wait_for(1)
