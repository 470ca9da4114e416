"""A process that refreshes one token many times at once: several of them stand for the nodes of a relay.

Leans on the relay's own use cases over a home directory. Reads one JSON document from standard input, says `ready`,
and begins at the next line. Must never try again: every call has to succeed the first time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from relay.config import load_config
from relay.core.oauth import TokenRequest
from relay.opened import open_relay


async def refresh(home: str, count: int, client_id: str, client_secret: str, refresh_token: str) -> list[Any]:
    """The pairs that `count` refreshes at once gave."""
    relay = open_relay(load_config(Path(home)))
    request = TokenRequest("refresh_token", client_id, client_secret, refresh_token=refresh_token)
    try:
        await relay.store.directory()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        answers = await asyncio.gather(*(relay.tokens.token(request) for _ in range(count)))
    finally:
        await relay.store.close()
    return [(answer["access_token"], answer["refresh_token"]) for answer in answers]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(refresh(**json.loads(sys.stdin.readline())))))
