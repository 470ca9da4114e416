"""One connection to RabbitMQ that is watched and comes back by itself.

Leans on aio-pika's plain connection and on a watchdog of its own: heartbeats tell of a dead peer late, and of a hung
one never. Never waits without a limit, and says in the log once when the broker goes and once when it comes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import aio_pika
import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS

from relay.core.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_pika.abc import AbstractChannel, AbstractConnection

    from relay.ports import Entropy

T = TypeVar("T")
_log = structlog.get_logger(__name__)

OPERATION_S = 5.0
OPEN_S = 30.0
CLOSE_S = 2.0
WATCH_S = 5.0
HEARTBEAT_S = 10
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0


class BrokerUnreachable(Unavailable):
    """There is no connection, or the broker did not answer in time, or it went while it was asked."""


class Broker:
    """A connection, open as often as it can be while `run` runs.

    purpose: its name in the broker's list and in the log. on_open: what to do with each new connection before it
    counts as connected. probe: a question to ask it from time to time; raises what connections raise if it is amiss.
    """

    def __init__(
        self,
        url: str,
        purpose: str,
        entropy: Entropy,
        *,
        on_open: Callable[[AbstractConnection], Awaitable[None]] | None = None,
        probe: Callable[[AbstractConnection], Awaitable[None]] | None = None,
        operation_s: float = OPERATION_S,
        watch_s: float = WATCH_S,
    ) -> None:
        self._url = url
        self._purpose = purpose
        self._entropy = entropy
        self._on_open = on_open
        self._probe = probe or _open_channel
        self._operation_s = operation_s
        self._watch_s = watch_s
        self._connection: AbstractConnection | None = None
        self._told: bool | None = None
        self._suspicious = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None

    async def channel(self, **options: Any) -> AbstractChannel:
        """A new channel. Raises BrokerUnreachable."""
        connection = self._connection
        if connection is None:
            raise BrokerUnreachable("The broker is not connected.")

        async def opened() -> AbstractChannel:
            channel = connection.channel(**options)
            await channel.initialize(timeout=self._operation_s)
            return channel

        try:
            return await bounded(opened(), self._operation_s)
        except BrokerUnreachable:
            self.suspect()
            raise

    def suspect(self) -> None:
        """Somebody met a fault that may be the connection's: look at once."""
        self._suspicious.set()

    async def run(self) -> None:
        """Connect, watch, connect again; until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            connection: AbstractConnection | None = None
            try:
                connection = await bounded(self._connect(), self._operation_s)
                if self._on_open is not None:
                    await bounded(self._on_open(connection), OPEN_S)
                self._connection = connection
                self._tell(True, "")
                pause_s = FIRST_PAUSE_S
                reason = await self._watch(connection)
            except BrokerUnreachable as error:
                reason = error.description
            except Exception as error:  # a fault of the library's or ours must not end this for good
                _log.error("broker.failed", purpose=self._purpose, exc_info=error)
                reason = said(error)
            finally:
                self._connection = None
                if connection is not None:
                    await close_quietly(connection)
            self._tell(False, reason)
            # Nodes that lost the broker in one moment do not all come back in one moment.
            await asyncio.sleep(pause_s * (0.5 + self._entropy(1)[0] / 512))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    async def _connect(self) -> AbstractConnection:
        return await aio_pika.connect(
            self._url,
            timeout=self._operation_s,
            heartbeat=HEARTBEAT_S,
            client_properties={"connection_name": f"bitrix-relay {self._purpose}"},
        )

    async def _watch(self, connection: AbstractConnection) -> str:
        """Return the reason once the connection no longer serves."""
        gone = False

        def went(*_: Any) -> None:
            nonlocal gone
            gone = True
            self._suspicious.set()

        connection.close_callbacks.add(went)
        while True:
            try:
                async with asyncio.timeout(self._watch_s):
                    await self._suspicious.wait()
            except TimeoutError:
                pass
            self._suspicious.clear()
            if gone:
                return "the connection was closed"
            try:
                await bounded(self._probe(connection), self._operation_s)
            except BrokerUnreachable as error:
                return error.description

    def _tell(self, connected: bool, reason: str) -> None:
        if self._told == connected:
            return
        self._told = connected
        if connected:
            _log.info("broker.connected", purpose=self._purpose)
        else:
            _log.warning("broker.unreachable", purpose=self._purpose, reason=reason)


async def _open_channel(connection: AbstractConnection) -> None:
    """The smallest question there is."""
    channel = connection.channel(publisher_confirms=False)
    await channel.initialize(timeout=OPERATION_S)
    await channel.close()


async def bounded(work: Awaitable[T], limit_s: float) -> T:
    """What the work gives. Raises BrokerUnreachable if it takes longer, or fails as connections fail."""
    try:
        async with asyncio.timeout(limit_s):
            return await work
    except TimeoutError as error:
        raise BrokerUnreachable(f"no answer within {limit_s:g} s") from error
    except CONNECTION_EXCEPTIONS as error:
        raise BrokerUnreachable(said(error)) from error
    except asyncio.CancelledError as error:
        if is_cancelled(error):
            raise
        raise BrokerUnreachable("the connection went") from error


def is_cancelled(error: BaseException) -> bool:
    """Whether this task is to end: the library cancels whoever waits on a connection that goes, too."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling() > 0)


def said(error: BaseException) -> str:
    """An error's first line, or its name if it says nothing."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


async def close_quietly(what: AbstractConnection | AbstractChannel) -> None:
    """Close it; what cannot be closed in time ends by its connection's heartbeat."""
    with suppress(BrokerUnreachable):
        await bounded(what.close(), CLOSE_S)
