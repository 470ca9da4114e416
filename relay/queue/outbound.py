"""Events to RabbitMQ instead of a URL: for consumers that would rather read a queue (an ESB, 1C).

A rule `amqp = {"https://relay.example.com/to/orders" = "amqp:crm/orders"}` of an application names the exchange and the
routing key that take a handler's place; `amqp:/NAME` is the queue of that name. The portal knows the handler by its
http URL, which should be one of the relay's own so that nobody else answers there; called directly it answers 404.

Leans on publisher confirms: delivered means that the broker has routed the event to a queue and taken it over.
Never counts an event as delivered that came back, and never lets one exchange's faults touch another's events.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import AMQPError, ChannelClosed, ChannelNotFoundEntity, DeliveryError, PublishError

from relay.core.delivery import EVENT_ID_HEADER
from relay.core.model import Outcome, Verdict
from relay.queue.broker import BrokerUnreachable, close_quietly, is_cancelled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio_pika.abc import AbstractChannel, FieldValue

    from relay.core.rules import DeliveryRules
    from relay.core.urlpolicy import UrlPolicy
    from relay.ports import Sender
    from relay.queue.broker import Broker
    from relay.records import Message

SCHEME = "amqp"
CONTENT_TYPE = "Content-Type"
RETIRE_S = 60.0
_TARGET = re.compile(r"amqp:(?P<exchange>[^/]*)/(?P<key>.+)", re.DOTALL)


class SenderByScheme:
    """The Sender port: each message goes to the sender of its URL's scheme."""

    def __init__(self, senders: Mapping[str, Sender], other: Sender) -> None:
        self._senders = dict(senders)
        self._other = other

    async def send(self, message: Message, policy: UrlPolicy, rules: DeliveryRules) -> Outcome:
        """Send once."""
        sender = self._senders.get(message.url.partition(":")[0], self._other)
        return await sender.send(message, policy, rules)


class AmqpSender:
    """The Sender port over a broker; a channel for each exchange."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._proven: dict[str, AbstractChannel] = {}
        self._proving: dict[str, asyncio.Lock] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, message: Message, policy: UrlPolicy, rules: DeliveryRules) -> Outcome:
        """Publish once. Confirmed is delivered; all else is tried again, but for a target that is none."""
        started_ms = time.time_ns() // 1_000_000
        began = time.perf_counter()
        target = _TARGET.fullmatch(message.url)
        if target is None:
            error: str | None = "bad_url"
        else:
            error = await self._publish(target["exchange"], target["key"], message, rules.timeout_s)
        verdict = Verdict.DELIVERED if error is None else Verdict.HOLD if target is None else Verdict.RETRY
        return Outcome(verdict, None, error, started_ms, round((time.perf_counter() - began) * 1000))

    async def _publish(self, exchange: str, key: str, message: Message, timeout_s: float) -> str | None:
        """Publish and wait for the confirmation. None, or the word for what went wrong."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._publish_once(exchange, key, _amqp_message(message))
        except PublishError:
            return "unroutable"
        except DeliveryError:
            return "broker_refused"
        except BrokerUnreachable:
            return "broker_unreachable"
        except (TimeoutError, AMQPError, OSError, RuntimeError, asyncio.CancelledError) as error:
            if is_cancelled(error):
                raise
            self._broker.suspect()
            return _word(error)
        return None

    async def _publish_once(self, exchange: str, key: str, message: aio_pika.Message) -> None:
        """On the exchange's channel; a new one is used alone first.

        The broker closes the channel on which something is asked of an exchange that is missing or not for us, and the
        whole connection if more follows on that channel.
        """
        channel = self._proven.get(exchange)
        if channel is None or channel.is_closed:
            async with self._proving.setdefault(exchange, asyncio.Lock()):
                channel = self._proven.get(exchange)
                if channel is None or channel.is_closed:
                    await self._prove(exchange, key, message)
                    return
        await self._publish_on(channel, exchange, key, message)

    async def _prove(self, exchange: str, key: str, message: aio_pika.Message) -> None:
        """Use a new channel, which the next ones share if it is answered on."""
        channel = await self._broker.channel(publisher_confirms=True, on_return_raises=True)
        try:
            await self._publish_on(channel, exchange, key, message)
        except DeliveryError:
            self._proven[exchange] = channel
            raise
        self._proven[exchange] = channel

    async def _publish_on(self, channel: AbstractChannel, exchange: str, key: str, message: aio_pika.Message) -> None:
        named = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        try:
            await named.publish(message, key, mandatory=True)
        except DeliveryError:  # an answer like any other, as far as the channel goes
            raise
        except BaseException:
            # A late answer on this channel must not be taken for that to a later try.
            self._retire(exchange, channel)
            raise

    def _retire(self, exchange: str, channel: AbstractChannel) -> None:
        """Use another channel from now on; this one is closed once others that are under way on it have ended."""
        shared = self._proven.get(exchange) is channel
        if shared:
            del self._proven[exchange]
        task = asyncio.create_task(_close_after(RETIRE_S if shared else 0.0, channel))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


async def _close_after(pause_s: float, channel: AbstractChannel) -> None:
    await asyncio.sleep(pause_s)
    await close_quietly(channel)


def _amqp_message(message: Message) -> aio_pika.Message:
    headers: dict[str, FieldValue] = {name: value for name, value in message.headers.items() if name != CONTENT_TYPE}
    return aio_pika.Message(
        message.body,
        content_type=message.headers.get(CONTENT_TYPE),
        headers=headers,
        message_id=message.headers.get(EVENT_ID_HEADER),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        app_id="bitrix-relay",
    )


def _word(error: BaseException) -> str:
    """The word for a publishing that failed."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ChannelNotFoundEntity):
        return "unroutable"
    return "broker_refused" if isinstance(error, ChannelClosed) else "broker_unreachable"
