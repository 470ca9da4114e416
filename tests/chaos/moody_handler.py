"""Promises: handlers that treat each call by a mood drawn anew: well, slow, failing, or one of the bad ways.

Leans on asyncio streams; a call is recorded once its whole body is there, and taken once a 2xx goes out in time.
Must never: let a mood outlast the relay's connection.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.chaos.hostile_handler import CHUNK, ENDLESS
from tests.servers.streams import serving

if TYPE_CHECKING:
    import random
    from collections.abc import AsyncIterator

ANSWERS = {
    "well": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "slow": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "fails": b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n",
}
GARBAGE = b"\x00\xff<html>\r\n\r\n"
DRIP = b"HTTP/1.1 200 OK\r\nX-Drip: " + b"." * 10_000
SLOWEST_S = 0.1
ALL_MOODS = {
    "well": 20,
    "slow": 6,
    "fails": 3,
    "resets": 1,
    "garbage": 1,
    "hangs": 0.5,
    "late": 0.5,
    "endless": 0.5,
    "drips": 0.5,
}
MILD_MOODS = {"well": 2, "slow": 2, "fails": 0.2}
_LANE_AND_NUMBER = re.compile(rb"data%5BFIELDS%5D%5BID%5D=(\d+).*?%5BNUMBER%5D=(\d+)")
_RESET = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class MoodyHandler:
    """arrived: the numbers of each lane's events in the order of their tries. taken: how often each was taken.

    moods: each with its weight. patience_s: how long the relay waits for an answer.
    """

    chance: random.Random
    moods: dict[str, float]
    patience_s: float
    origin: str = ""
    arrived: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    arrived_at: dict[tuple[int, int], float] = field(default_factory=dict)
    taken: dict[tuple[int, int], int] = field(default_factory=lambda: defaultdict(int))

    @classmethod
    @asynccontextmanager
    async def running(
        cls, chance: random.Random, moods: dict[str, float], patience_s: float = 30.0
    ) -> AsyncIterator[Self]:
        """Serve on a free port; at the end every connection is dropped."""
        handler = cls(chance, moods, patience_s)
        async with serving(handler._serve) as port:
            handler.origin = f"http://127.0.0.1:{port}"
            yield handler

    @property
    def duplicates(self) -> int:
        """How often an event was taken beyond the first time."""
        return sum(self.taken.values()) - len(self.taken)

    def urls(self, count: int) -> list[str]:
        """So many handlers, all here."""
        return [f"{self.origin}/{number}" for number in range(count)]

    def calm(self) -> None:
        """From now on every call is answered well and at once."""
        self.moods = {"well": 1}

    def check_order(self) -> None:
        """No event of a lane was tried after a later one of that lane."""
        for lane, numbers in self.arrived.items():
            assert numbers == sorted(numbers), (lane, numbers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await self._treat(reader, writer):
            pass

    async def _treat(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One call; whether the connection can be used for another."""
        event = await self._read(reader)
        mood = self.chance.choices(list(self.moods), list(self.moods.values()))[0]
        if mood == "slow":
            await asyncio.sleep(self.chance.uniform(0, SLOWEST_S))
        if mood in ANSWERS:
            if mood != "fails":
                self.taken[event] += 1
            writer.write(ANSWERS[mood])
            await writer.drain()
            return True
        if mood == "endless":  # delivered, by its status
            self.taken[event] += 1
        await self._misbehave(mood, reader, writer)
        return False

    async def _read(self, reader: asyncio.StreamReader) -> tuple[int, int]:
        """The lane and number of the event that comes next."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
        found = _LANE_AND_NUMBER.search(await reader.readexactly(int(headers["Content-Length"])))
        assert found is not None
        lane, number = int(found[1]), int(found[2])
        self.arrived[lane].append(number)
        self.arrived_at.setdefault((lane, number), time.monotonic())
        return lane, number

    async def _misbehave(self, mood: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if mood == "resets":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
        elif mood == "garbage":
            writer.write(GARBAGE)
            await writer.drain()
        elif mood == "hangs":
            await reader.read()
        elif mood == "late":
            await asyncio.sleep(self.patience_s + 0.5)
            writer.write(ANSWERS["well"])
            await writer.drain()
        elif mood == "endless":
            writer.write(ENDLESS)
            while not reader.at_eof():
                writer.write(CHUNK)
                await writer.drain()
        else:
            for byte in DRIP:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.05)
