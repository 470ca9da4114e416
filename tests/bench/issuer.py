"""Promises: `python -m tests.bench.issuer`: `rest.check` and introspection with a million live grants and ten thousand
revocations, beside an empty database, in one run; the ratio is what counts.

Leans on: two relays of the bench on one core, asked in turn; one of them filled by SQL before it is asked.
Must never: fail for being slow; a wrong answer is what fails it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from tests.bench.connection import Connection, form_post
from tests.bench.cores import pin, share_out
from tests.bench.issuer_fill import count, fill
from tests.bench.load import Load, full_load
from tests.bench.loop import run
from tests.bench.relay_process import relay_process
from tests.bench.report import Figure, document, rate_figure, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.load import Script
    from tests.bench.relay_process import RelayUnderTest

AIM = 0.9


@dataclass(frozen=True, slots=True)
class Options:
    """grants, revocations: of the full relay. seconds, rounds, connections: as of the other benches."""

    grants: int = 1_000_000
    revocations: int = 10_000
    seconds: float = 3.0
    rounds: int = 5
    connections: int = 32


@dataclass(frozen=True, slots=True)
class Asked:
    """One kind of request, ready to be sent, and how every good answer to it begins."""

    name: str
    request: bytes
    expected: bytes


async def measure(options: Options) -> tuple[list[Figure], str]:
    """Start both relays, fill one, ask both in turn; the figures and what they were measured on."""
    cores = share_out()
    pin(0, cores.load)
    with tempfile.TemporaryDirectory(prefix="relay-bench-") as name:
        empty_folder, full_folder = Path(name) / "empty", Path(name) / "full"
        empty_folder.mkdir()
        full_folder.mkdir()
        async with (
            relay_process(empty_folder, cores.server, 1, 0) as empty,
            relay_process(full_folder, cores.server, 1, 0) as full,
        ):
            fill_s = fill(full_folder / "home", options.grants, options.revocations)
            stored = count(full_folder / "home")
            figures = await _compare(empty, full, options)
    heading = (
        f"{os.cpu_count()} cores, Python {platform.python_version()}; {cores}; {options.connections} connections, "
        f"{options.rounds} turns of {options.seconds} s. relay: {stored['grants']:,} live grants and "
        f"{stored['revocations']:,} revocations (filled in {fill_s:.0f} s); bare: the same relay without"
    )
    return figures, heading


async def _compare(empty: RelayUnderTest, full: RelayUnderTest, options: Options) -> list[Figure]:
    kinds = list(zip(await _requests(empty), await _requests(full), strict=True))
    pairs: list[list[tuple[Load, Load]]] = [[] for _ in kinds]
    for _ in range(options.rounds):
        for found, (without, with_grants) in zip(pairs, kinds, strict=True):
            bare = await _load(empty, without, options)
            found.append((bare, await _load(full, with_grants, options)))
    return [rate_figure(kind.name, "per s", found, AIM) for found, (kind, _) in zip(pairs, kinds, strict=True)]


async def _requests(relay: RelayUnderTest) -> list[Asked]:
    """A check of a token that says all itself, of one whose parameters are stored, and introspection of both."""
    narrowed = await _narrowed_token(relay)
    own = {"client_id": relay.app.client_id, "client_secret": relay.app.client_secret}
    asked = []
    for label, token in (("", relay.app.access_token), (", stored parameters", narrowed)):
        check = urlencode([("TOKEN", token), *relay.portal.pairs()]).encode()
        asked.append(Asked(f"rest.check{label}", form_post("/rest/rest.check", check), b'{"result":{"access_token":'))
    for label, token in (("", relay.app.access_token), (", stored parameters", narrowed)):
        body = urlencode({**own, "token": token}).encode()
        asked.append(Asked(f"introspection{label}", form_post("/oauth/introspect", body), b'{"active":true,'))
    return asked


async def _narrowed_token(relay: RelayUnderTest) -> str:
    fields = [("CLIENT_ID", relay.app.client_id), ("SCOPE", "crm"), ("PARAMS[LOCAL_USER]", "1")]
    connection = await Connection.open(relay.port)
    try:
        body = urlencode([*fields, *relay.portal.pairs()]).encode()
        answer = await connection.exchange(form_post("/rest/rest.authorize", body))
    finally:
        connection.close()
    return str(json.loads(answer)["result"]["access_token"])


async def _load(relay: RelayUnderTest, asked: Asked, options: Options) -> Load:
    scripts = [_repeat(asked) for _ in range(options.connections)]
    return await full_load(relay.port, relay.pid, scripts, options.seconds)


def _repeat(asked: Asked) -> Script:
    while True:
        answer = yield asked.request
        if not answer.startswith(asked.expected):
            raise RuntimeError(f"unexpected answer to {asked.name}: {answer[:200]!r}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, print."""
    usual = Options()
    parser = argparse.ArgumentParser(prog="python -m tests.bench.issuer", description=__doc__)
    parser.add_argument("--grants", type=int, default=usual.grants, help="live grants of the full relay")
    parser.add_argument("--revocations", type=int, default=usual.revocations)
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="of one measurement of one side")
    parser.add_argument("--rounds", type=int, default=usual.rounds, help="turns of empty and full")
    parser.add_argument("--connections", type=int, default=usual.connections)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args(arguments)
    options = Options(given.grants, given.revocations, given.seconds, given.rounds, given.connections)
    figures, heading = run(measure(options))
    print((document if given.json else table)(figures, heading))


if __name__ == "__main__":
    main()
