"""A client in a process of its own: on the word `go` it refreshes one token many times at once, and says what it got.

Leans on asyncio's streams. Must never try again: every answer is the first one.

    python -m tests.security.refresher HOST:PORT COUNT      the form's body comes on standard input
"""

from __future__ import annotations

import asyncio
import json
import sys

from tests.integration.wire import post, send


async def main() -> None:
    """Read the body, wait for the word, refresh, print one line of JSON."""
    address, count = sys.argv[1], int(sys.argv[2])
    body = sys.stdin.readline().strip().encode("ascii")
    print("ready", flush=True)
    sys.stdin.readline()
    answers = await asyncio.gather(*(send(address, post("/oauth/token/", body)) for _ in range(count)))
    print(json.dumps([[answer.status, answer.body.decode()] for answer in answers]))


if __name__ == "__main__":
    asyncio.run(main())
