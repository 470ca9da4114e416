"""Arbitrary bytes against the listeners: an answer or a closed connection in time, never a 5xx, and the process lives.

Leans on hypothesis over raw sockets to a relay in a process of its own. Must never wait without a bound.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.relay_process import RelayProcess, relay_process
from tests.integration.wire import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

fuzzing = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
IMPATIENT = {"limits": {"body_timeout_s": 0.5, "portal_body_bytes": 1_000_000}}
TARGETS = [
    "/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/api/status",
    "/oauth/register/",
    "/oauth/token/",
    "/rest//oauth/token/",
    "/oauth/authorize/",
    "/oauth/introspect",
    "/oauth/revoke",
    "/.well-known/jwks.json",
    "/.well-known/oauth-authorization-server",
    "/rest/app.info",
    "/rest/application.add",
    "/rest/rest.authorize",
    "/rest/rest.check",
    "/rest/rest.event.call",
    "/rest/batch",
    "/rest/methods.json",
    "/rest/no.such.method",
    "*",
    "http://elsewhere.example/rest/methods",
    "elsewhere.example:443",
]
methods = st.sampled_from(["GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "TRACE", "PATCH", "X"])
junk = st.binary(max_size=30).filter(lambda raw: b"\r" not in raw and b"\n" not in raw)
targets = st.builds(
    lambda target, rest: target.encode() + rest,
    st.sampled_from(TARGETS),
    st.just(b"") | junk.map(lambda raw: b"?" + raw) | junk,
)
known_headers = st.sampled_from(
    [
        (b"Host", b"relay.local"),
        (b"Host", b""),
        (b"Connection", b"keep-alive"),
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Upgrade", b"h2c"),
        (b"Expect", b"100-continue"),
        (b"Expect", b"the unexpected"),
        (b"Content-Type", b"application/json"),
        (b"Content-Type", b"application/x-www-form-urlencoded; charset=utf-7"),
        (b"Content-Type", b"multipart/form-data; boundary=x"),
        (b"Content-Type", b"\xff/\xfe;;=;charset"),
        (b"Content-Encoding", b"gzip"),
        (b"Content-Encoding", b"deflate"),
        (b"Content-Encoding", b"br"),
        (b"Content-Encoding", b"zstd"),
        (b"Content-Encoding", b"nonsense"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Transfer-Encoding", b"gzip, chunked"),
        (b"Content-Length", b"5"),
        (b"Content-Length", b"-1"),
        (b"Content-Length", b"99999999999999999999"),
        (b"Authorization", b"Basic \xff\xfe"),
        (b"Authorization", b"Bearer \x00"),
        (b"Range", b"bytes=0-"),
        (b"Cookie", b'a="\xff;;'),
        (b"X-Forwarded-For", b"127.0.0.1, \xff"),
    ]
)
headers = st.lists(known_headers | st.tuples(junk, junk), max_size=6)
bodies = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=100).map(gzip.compress),
    st.binary(max_size=100).map(zlib.compress),
    st.binary(max_size=60).map(lambda raw: b"%x\r\n%b\r\n0\r\n\r\n" % (len(raw), raw)),
    st.binary(max_size=60).map(lambda raw: b"FFFFFFFFFFFFFFFFF\r\n" + raw),
    st.sampled_from([b"{", b"[" * 5000, b'{"a":"\\ud800"}', b"a[" * 200 + b"=1", b"QUERY[0][query][QUERY_DATA][a]=1"]),
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Iterator[RelayProcess]:
    """A relay in a process of its own, which has to bear all of these tests."""
    with relay_process(tmp_path_factory.mktemp("fuzzed") / "home", IMPATIENT, template) as running:
        yield running


@pytest.fixture(autouse=True)
async def _afterwards_all_is_well(process: RelayProcess) -> AsyncIterator[None]:
    """After each test the process answers, and nothing broke inside."""
    yield
    assert await process.is_alive()
    assert "request.failed" not in process.log


async def statuses(address: str, raw: bytes) -> list[int]:
    """Send, say that no more will come, and read whatever is answered until the connection ends."""
    host, _, port = address.rpartition(":")
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(raw)
            writer.write_eof()
            answered = await reader.read()
        except (ConnectionResetError, BrokenPipeError):
            return []
        finally:
            writer.close()
    lines = answered.split(b"\r\n")
    return [int(line.split(b" ")[1]) for line in lines if line.startswith((b"HTTP/1.0 ", b"HTTP/1.1 "))]


async def bear(process: RelayProcess, raw: bytes) -> None:
    """Both listeners bear it."""
    for address in (process.service, process.admin):
        for status in await statuses(address, raw):
            assert status < 500, raw


@fuzzing
@given(raw=st.binary(max_size=300))
async def test_arbitrary_bytes_are_borne(process: RelayProcess, raw: bytes) -> None:
    await bear(process, raw)


@fuzzing
@given(method=methods, target=targets, given_headers=headers, body=bodies)
async def test_arbitrary_requests_are_borne(
    process: RelayProcess, method: str, target: bytes, given_headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    lines = [b"%b %b HTTP/1.1" % (method.encode(), target), *(b"%b: %b" % header for header in given_headers), b"", b""]
    await bear(process, b"\r\n".join(lines) + body)


@fuzzing
@given(target=st.sampled_from(TARGETS), body=bodies, encoding=st.sampled_from(["gzip", "deflate", "br", "zstd", "x"]))
async def test_bodies_in_any_encoding_are_borne(process: RelayProcess, target: str, body: bytes, encoding: str) -> None:
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(body)}\r\n\r\n"
    await bear(process, head.encode() + body)


@fuzzing
@given(target=st.sampled_from(TARGETS), pieces=st.lists(st.binary(max_size=40), max_size=5), end=st.binary(max_size=10))
async def test_chunks_of_any_kind_are_borne(
    process: RelayProcess, target: str, pieces: list[bytes], end: bytes
) -> None:
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    await bear(process, head + chunks + end)


@pytest.mark.parametrize("target", ["/oauth/token/", "/rest/rest.event.call", "/rest/app.info", "/oauth/register/"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_unpacks_to_a_hundred_megabytes_is_refused(
    process: RelayProcess, target: str, encoding: str
) -> None:
    bomb = gzip.compress(bytes(10**8), 9) if encoding == "gzip" else zlib.compress(bytes(10**8), 9)
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {encoding}\r\nContent-Length: {len(bomb)}\r\n\r\n"
    assert await statuses(process.service, head.encode() + bomb) in ([413], [400], [])


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /oauth/token/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\ngrant_type=",
        b"POST /rest/rest.check HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nTOKEN=",
        b"POST /rest/rest.check HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nTOK",
    ],
)
async def test_a_body_that_does_not_come_is_not_waited_for(process: RelayProcess, raw: bytes) -> None:
    host, _, port = process.service.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(PATIENCE_S):
        writer.write(raw)
        line = await reader.readline()
    writer.close()
    assert line.split(b" ")[1] == b"408"


async def test_a_client_that_goes_away_in_the_middle_hurts_nobody(process: RelayProcess) -> None:
    host, _, port = process.service.rpartition(":")
    for cut in range(0, 120, 7):
        raw = b"POST /rest/rest.event.call HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n" + b"QUERY[0]=x" * 5
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(raw[:cut])
        await writer.drain()
        writer.transport.abort()
    assert await process.is_alive()


async def test_many_connections_that_say_nothing_leave_room_for_others(process: RelayProcess) -> None:
    host, _, port = process.service.rpartition(":")
    silent = [await asyncio.open_connection(host, int(port)) for _ in range(200)]
    assert await process.is_alive()
    for _, writer in silent:
        writer.close()
