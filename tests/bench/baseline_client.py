"""Promises: the bare client the relay's delivery is compared with: POSTs of a handler's form, on aiohttp.

Leans on: aiohttp as it comes. Reads lines and answers each: `URL CONCURRENCY SECONDS` with posts a second,
`paced URL PACE SECONDS FIRST` with the times at which the events were to be sent (monotonic clock, nanoseconds).
Must never: do less than any aiohttp client must: send the form, read the answer.
"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp

from tests.bench.loop import run
from tests.bench.sample import handler_form

_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}


async def _post(session: aiohttp.ClientSession, url: str, body: bytes) -> None:
    async with session.post(url, data=body, headers=_HEADERS) as response:
        await response.read()
        response.raise_for_status()


async def full_speed(session: aiohttp.ClientSession, url: str, concurrency: int, seconds: float) -> float:
    """Posts a second with so many at a time."""
    body = handler_form(None)
    done = 0
    began = time.perf_counter()

    async def worker() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            await _post(session, url, body)
            done += 1

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return done / (time.perf_counter() - began)


async def paced(session: aiohttp.ClientSession, url: str, pace: int, seconds: float, first: int) -> list[int]:
    """Send `pace` events a second, numbered from `first`; when each was to be sent (monotonic clock)."""
    began_ns = time.monotonic_ns()
    due_ns = [began_ns + number * 1_000_000_000 // pace for number in range(int(pace * seconds))]
    posts = []
    for number, due in enumerate(due_ns):
        await asyncio.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
        posts.append(asyncio.create_task(_post(session, url, handler_form(first + number))))
    await asyncio.gather(*posts)
    return due_ns


async def _obey() -> None:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        while line := await asyncio.to_thread(sys.stdin.readline):
            words = line.split()
            if words[0] == "paced":
                times = await paced(session, words[1], int(words[2]), float(words[3]), int(words[4]))
                print(*times, flush=True)
            else:
                print(await full_speed(session, words[0], int(words[1]), float(words[2])), flush=True)


if __name__ == "__main__":
    run(_obey())
