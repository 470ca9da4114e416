"""Events out to RabbitMQ: what the broker confirms is delivered, and everything else waits like for any handler.

Leans on a real broker and a whole relay. Must never take an event for delivered that no queue has.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import aio_pika
import pytest

from relay.config import ConfigError, load_config
from relay.core.delivery import EVENT_ID_HEADER
from relay.core.model import Verdict
from relay.core.rules import DeliveryRules
from relay.core.urlpolicy import build_policy
from relay.queue.broker import Broker
from relay.queue.outbound import AmqpSender
from relay.records import Message
from tests.integration.live_relay import until
from tests.integration.sink import Sink
from tests.integration.wire import post

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

    from relay.core.model import Outcome
    from tests.integration.conftest import OpenSite
    from tests.integration.site import Site
    from tests.servers.rabbitmq import RabbitServer

PATIENCE_S = 30
PATH = "/to/orders"
EVENT_ID = "0" * 32
POLICY = build_policy(())
SOON = DeliveryRules(timeout_s=1)


@pytest.fixture
async def channel(rabbit_server: RabbitServer) -> AsyncIterator[AbstractChannel]:
    """A consumer's channel."""
    async with await aio_pika.connect(rabbit_server.url) as connection:
        yield await connection.channel()


@asynccontextmanager
async def running_sender(url: str) -> AsyncIterator[AmqpSender]:
    """A sender whose broker is connected."""
    broker = Broker(url, "publishing", os.urandom, operation_s=1, watch_s=0.5)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(broker.run())
        async with asyncio.timeout(PATIENCE_S):
            while not broker.connected:
                await asyncio.sleep(0.01)
        yield AmqpSender(broker)
        running.cancel()


@pytest.fixture
async def sender(rabbit_server: RabbitServer) -> AsyncIterator[AmqpSender]:
    """A sender."""
    async with running_sender(rabbit_server.url) as running:
        yield running


def fresh(kind: str) -> str:
    """A name that no other test uses."""
    return f"{kind}.{secrets.token_hex(4)}"


async def sent(sender: AmqpSender, target: str, **headers: str) -> Outcome:
    """Send one event to an exchange and key."""
    message = Message(1, f"amqp:{target}", b"event=X", {"Content-Type": "text/x", EVENT_ID_HEADER: EVENT_ID, **headers})
    return await sender.send(message, POLICY, SOON)


async def bound(channel: AbstractChannel, exchange: str, key: str) -> AbstractQueue:
    """A queue that gets what the exchange is sent under the key."""
    queue = await channel.declare_queue(exclusive=True)
    await queue.bind(await channel.declare_exchange(exchange, aio_pika.ExchangeType.TOPIC), key)
    return queue


async def taken(queue: AbstractQueue) -> AbstractIncomingMessage:
    """The next message."""
    return await queue.get(no_ack=True, timeout=PATIENCE_S)


async def test_a_confirmed_event_is_delivered_with_its_headers(sender: AmqpSender, channel: AbstractChannel) -> None:
    exchange = fresh("crm")
    queue = await bound(channel, exchange, "orders.#")
    outcome = await sent(sender, f"{exchange}/orders.new", **{"X-Relay-Attempt": "3"})
    assert (outcome.verdict, outcome.status, outcome.error) == (Verdict.DELIVERED, None, None)
    message = await taken(queue)
    assert message.body == b"event=X"
    assert message.headers == {EVENT_ID_HEADER: EVENT_ID, "X-Relay-Attempt": "3"}
    assert (message.content_type, message.message_id) == ("text/x", EVENT_ID)
    assert message.delivery_mode is aio_pika.DeliveryMode.PERSISTENT
    assert message.routing_key == "orders.new"


async def test_without_an_exchange_the_key_is_the_queue_s_name(sender: AmqpSender, channel: AbstractChannel) -> None:
    queue = await channel.declare_queue(exclusive=True)
    assert (await sent(sender, f"/{queue.name}")).verdict is Verdict.DELIVERED
    assert (await taken(queue)).body == b"event=X"


async def test_an_event_that_no_queue_takes_is_tried_again(sender: AmqpSender, channel: AbstractChannel) -> None:
    exchange = fresh("crm")
    await bound(channel, exchange, "orders")
    for target in (f"{exchange}/other", f"/{fresh('nowhere')}", f"{fresh('missing')}/orders"):
        outcome = await sent(sender, target)
        assert (outcome.verdict, outcome.error) == (Verdict.RETRY, "unroutable")


async def test_an_exchange_that_is_missing_disturbs_no_other_and_may_come(
    sender: AmqpSender, channel: AbstractChannel
) -> None:
    good, late = fresh("good"), fresh("late")
    await bound(channel, good, "#")
    outcomes = await asyncio.gather(*(sent(sender, f"{name}/x") for name in [good, late] * 20))
    assert [outcome.error for outcome in outcomes] == [None, "unroutable"] * 20
    await bound(channel, late, "#")
    assert (await sent(sender, f"{late}/x")).verdict is Verdict.DELIVERED


async def test_a_queue_that_is_full_and_says_so_is_tried_again(sender: AmqpSender, channel: AbstractChannel) -> None:
    queue = await channel.declare_queue(exclusive=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    outcomes = [await sent(sender, f"/{queue.name}") for _ in range(3)]
    assert [outcome.error for outcome in outcomes] == [None, "broker_refused", "broker_refused"]
    assert {outcome.verdict for outcome in outcomes[1:]} == {Verdict.RETRY}
    await taken(queue)
    assert (await sent(sender, f"/{queue.name}")).verdict is Verdict.DELIVERED


@pytest.mark.parametrize("target", ["crm", "crm/", ""])
async def test_a_target_that_is_none_is_held(sender: AmqpSender, target: str) -> None:
    outcome = await sent(sender, target)
    assert (outcome.verdict, outcome.error) == (Verdict.HOLD, "bad_url")


async def test_a_broker_that_hangs_is_tried_again_and_then_delivered_to(rabbit_server: RabbitServer) -> None:
    name = fresh("durable")
    async with await aio_pika.connect(rabbit_server.url) as connection:
        await (await connection.channel()).declare_queue(name, durable=True)
    async with running_sender(rabbit_server.url) as sender:
        rabbit_server.pause()
        try:
            hanging = await sent(sender, f"/{name}")
        finally:
            rabbit_server.resume()
        assert (hanging.verdict, hanging.error) == (Verdict.RETRY, "timeout")
        async with asyncio.timeout(PATIENCE_S):
            while (again := await sent(sender, f"/{name}")).verdict is not Verdict.DELIVERED:
                assert again.error in {"timeout", "broker_unreachable"}


async def test_what_is_under_way_when_the_broker_is_killed_is_tried_again(rabbit_server: RabbitServer) -> None:
    name = fresh("durable")
    async with await aio_pika.connect(rabbit_server.url) as connection:
        await (await connection.channel()).declare_queue(name, durable=True)
    async with running_sender(rabbit_server.url) as sender:
        rabbit_server.pause()  # so that none is confirmed before
        under_way = [asyncio.ensure_future(sent(sender, f"/{name}")) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.to_thread(rabbit_server.kill)
        try:
            outcomes = await asyncio.gather(*under_way)
        finally:
            await asyncio.to_thread(rabbit_server.start)
    assert {outcome.verdict for outcome in outcomes} == {Verdict.RETRY}
    assert {outcome.error for outcome in outcomes} <= {"broker_unreachable", "timeout"}


async def site_with_a_queue(open_site_with: OpenSite, rabbit_server: RabbitServer, target: str) -> tuple[Site, Site]:
    """A site, and the same one as the events see it that go to the broker: by a URL of the relay's own."""
    handler = "https://relay.test:8443/to/orders"
    site = await open_site_with({"queue": rabbit_server.url, "apps": {"*": {"amqp": {handler: target}}}})
    elsewhere = Sink()
    elsewhere.url = handler.removesuffix(PATH)
    return site, replace(site, sink=elsewhere)


async def test_an_event_reaches_the_queue_as_it_would_reach_a_handler(
    open_site_with: OpenSite, rabbit_server: RabbitServer, channel: AbstractChannel
) -> None:
    exchange = fresh("crm")
    queue = await bound(channel, exchange, "deals")
    _, site = await site_with_a_queue(open_site_with, rabbit_server, f"amqp:{exchange}/deals")
    await site.fire(PATH)
    await site.settled(done=1)
    message = await taken(queue)
    body = parse_qs(message.body.decode())
    assert body["event"] == ["ONCRMDEALADD"]
    assert (await site.check(body["auth[access_token]"][0])).status == 200
    (row,) = await site.deliveries()
    assert message.message_id == message.headers[EVENT_ID_HEADER] == row.event_id
    assert message.headers["X-Relay-Attempt"] == "1"
    assert message.content_type == "application/x-www-form-urlencoded"
    assert (row.handler_url, row.last_status, row.last_error) == (site.sink.url + PATH, None, None)


async def test_the_url_that_stands_for_a_queue_answers_404(
    open_site_with: OpenSite, rabbit_server: RabbitServer
) -> None:
    _, site = await site_with_a_queue(open_site_with, rabbit_server, "amqp:crm/deals")
    assert (await site.live.ask(post(PATH, b"event=X"))).status == 404


async def test_events_wait_for_their_queue_in_their_lane(
    open_site_with: OpenSite, rabbit_server: RabbitServer, channel: AbstractChannel
) -> None:
    exchange = fresh("crm")
    _, site = await site_with_a_queue(open_site_with, rabbit_server, f"amqp:{exchange}/deals")
    for number in range(3):
        await site.fire(PATH, **{"data][FIELDS][ID": "5", "number": str(number)})  # type: ignore[arg-type]

    async def tried() -> bool:
        return (await site.deliveries())[0].attempts > 1

    await until(tried)
    first, *behind = await site.deliveries()
    assert first.last_error == "unroutable"
    assert {str(row.state) for row in behind} == {"accepted"}
    queue = await bound(channel, exchange, "deals")
    await site.settled(done=3)
    numbers = [parse_qs((await taken(queue)).body.decode())["number"] for _ in range(3)]
    assert numbers == [["0"], ["1"], ["2"]]


async def test_while_the_broker_is_away_its_events_wait_and_others_do_not(
    open_site_with: OpenSite, rabbit_server: RabbitServer, channel: AbstractChannel
) -> None:
    name = fresh("durable")
    await channel.declare_queue(name, durable=True)
    site, to_broker = await site_with_a_queue(open_site_with, rabbit_server, f"amqp:/{name}")
    await asyncio.to_thread(rabbit_server.stop)
    try:
        await to_broker.fire(PATH)
        await site.fire("/ev", count=5)
        await site.sink.wait_for(5, "/ev")
        await site.settled(done=5, due=1)
        assert (await site.deliveries())[0].last_error == "broker_unreachable"
    finally:
        await asyncio.to_thread(rabbit_server.start)
    await site.settled(done=6)


@pytest.mark.parametrize(
    ("amqp", "fault"),
    [
        ({"https://relay.test/x": "amqp:crm/deals"}, "`queue` names one"),
        ({"https://relay.test/x": "crm/deals"}, "must be amqp:EXCHANGE/ROUTING-KEY"),
        ({"https://relay.test/x": "amqp:crm/" + "k" * 256}, "must be amqp:EXCHANGE/ROUTING-KEY"),
        ({"relay.test/x": "amqp:crm/deals"}, "is no handler"),
    ],
)
def test_a_rule_that_cannot_be_is_a_fault_of_the_configuration(
    amqp: dict[str, str], fault: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RELAY_APPS", json.dumps({"*": {"amqp": amqp}}))
    with pytest.raises(ConfigError, match=re.escape(fault)):
        load_config(tmp_path)
