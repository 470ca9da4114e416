"""What happens in one history, drawn from its seed: settings, rules, handlers, posts, people and mishaps.

Leans on one random.Random. Times are virtual seconds since the beginning. Must never draw twice in another order: the
plan of a seed is the same for ever, as long as this file is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.app.settings import DeliverySettings
from relay.core.breaker import BreakerPolicy
from relay.core.lanes import Order
from relay.core.retry import RetryPolicy
from relay.core.rules import DeliveryRules
from tests.simulation.disk import APPS

if TYPE_CHECKING:
    from random import Random

LONG_EVERY = 40
HOUR = 3600.0
PROBE_S = 40.0
EVENTS = ("ONCRMDEALUPDATE", "ONCRMDEALUPDATE", "ONCRMDEALADD", "ONCRMCONTACTUPDATE", "ONAPPTEST")
MOODS = (
    "well",
    "well",
    "well",
    "flaky",
    "flaky",
    "error",
    "busy",
    "hang",
    "hang",
    "reset",
    "loses_answers",
    "slow",
    "slow",
    "slow",
    "gone",
    "refuses",
)


@dataclass(frozen=True, slots=True)
class HandlerPlan:
    """moods: (from when, how it is), by time. It is well before the first and after the storm."""

    client_id: str
    url: str
    moods: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Item:
    """marker: what it is known by in every record. has_id: whether its poster keeps an outbox."""

    marker: str
    handler: HandlerPlan
    event: str
    entity: str
    refresh: bool


@dataclass(frozen=True, slots=True)
class Post:
    """One batch of a portal. outbox: it has item ids, and is posted again until it is taken."""

    at: float
    outbox: bool
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Faults:
    """Chances that one call goes wrong. crash: of the process that makes it, right there."""

    store: float
    network: float
    crash: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One history. nodes: processes on one store; alone: the store is a file, which one process has for itself.

    acts: (when, what) a person does; mishaps: (when, what) befalls a process or all. long: it takes hours or days, and
    has no replays, whose steps would be most of it.
    """

    long: bool
    nodes: int
    alone: bool
    settings: DeliverySettings
    max_backlog: int
    encrypt: bool
    skew_ms: tuple[int, ...]
    rules: dict[str, DeliveryRules]
    handlers: tuple[HandlerPlan, ...]
    posts: tuple[Post, ...]
    acts: tuple[tuple[float, str], ...]
    mishaps: tuple[tuple[float, str], ...]
    faults: Faults
    storm_s: float
    drain_s: float


def draw_plan(rng: Random, seed: int) -> Plan:
    """The plan of a seed."""
    long = seed % LONG_EVERY == LONG_EVERY - 1
    storm_s = rng.uniform(2 * HOUR, 30 * HOUR) if long else rng.uniform(10.0, 45.0)
    alone = rng.random() < 0.4
    nodes = 1 if alone else rng.choice((1, 2, 2, 3))
    lease_s = 0.02 * storm_s if long else rng.choice((6.0, 12.0, 20.0))
    settings = DeliverySettings(
        concurrency=rng.choice((2, 4, 8, 16)),
        lease_s=lease_s,
        sweep_s=lease_s / rng.choice((1.5, 2, 4)),
        drain_s=rng.choice((1.0, 12.0)),
        probe_s=PROBE_S,
    )
    rules = {client_id: _rules(rng, long) for client_id in ("", *APPS)}
    handlers = _handlers(rng, storm_s)
    skews = tuple(round(rng.uniform(-0.02, 0.02) * lease_s * 1000) for _ in range(nodes))
    slowest = max(one.retry.cap_s + one.breaker.cap_s + one.retry_after_cap_s for one in rules.values())
    acts = _times(rng, rng.choice((0, 2, 5)), storm_s, ACTS)
    return Plan(
        long=long,
        nodes=nodes,
        alone=alone,
        settings=settings,
        max_backlog=rng.choice((10, 1000, 1000)),
        encrypt=rng.random() < 0.2,
        skew_ms=skews,
        rules=rules,
        handlers=handlers,
        posts=_posts(rng, handlers, storm_s),
        acts=tuple(act for act in acts if not (long and act[1] == "replay")),
        mishaps=_times(rng, rng.choice((0, 3, 6, 9)), storm_s, MISHAPS),
        faults=Faults(
            store=rng.choice((0.0, 0.01, 0.03, 0.1)),
            network=rng.choice((0.0, 0.03, 0.1)),
            crash=rng.choice((0.0, 0.0, 0.003, 0.01)),
        ),
        storm_s=storm_s,
        drain_s=300.0 + 3 * slowest + 4 * lease_s,
    )


ACTS = ("retry", "retry", "skip", "skip", "drop", "replay", "replay", "pause", "resume", "off", "on")
MISHAPS = (
    "kill",
    "kill",
    "stop",
    "stop",
    "short_stall",
    "long_stall",
    "long_stall",
    "small_jump",
    "jump_on",
    "jump_back",
    "outage",
    "cut_off",
    "cut_off",
    "slow_store",
    "slow_store",
)


def _rules(rng: Random, long: bool) -> DeliveryRules:
    quick = (RetryPolicy(1.0, 2.0, 20.0, 0.2, 60.0), RetryPolicy(0.5, 3.0, 10.0, 0.0, 30.0), RetryPolicy(2, 2, 60))
    return DeliveryRules(
        order=rng.choice((Order.LANE, Order.LANE, Order.LANE, Order.HANDLER, Order.NONE)),
        collapse=rng.random() < 0.3,
        skip_after=rng.choice((0, 0, 0, 2, 4)),
        concurrency=rng.choice((1, 2, 4)),
        rate=rng.choice((0.0, 0.0, 0.0, 3.0)) if not long else 0.0,
        timeout_s=rng.choice((5.0, 15.0, 40.0)),
        retry_after_cap_s=20.0,
        retry=rng.choice((RetryPolicy(), RetryPolicy(budget_s=2 * HOUR)) if long else quick),
        breaker=BreakerPolicy(rng.choice((1, 2, 5)), 2.0, rng.choice((10.0, 30.0))),
    )


def _handlers(rng: Random, storm_s: float) -> tuple[HandlerPlan, ...]:
    made = []
    for number in range(rng.choice((1, 2, 2, 3))):
        at = rng.uniform(0.0, 0.2) * storm_s
        moods = []
        while at < storm_s:
            moods.append((at, rng.choice(MOODS)))
            at += rng.uniform(0.05, 0.6) * storm_s
        client_id = rng.choice(("", *APPS))
        made.append(HandlerPlan(client_id, f"http://h{number}.example/ev", tuple(moods)))
    return tuple(made)


def _posts(rng: Random, handlers: tuple[HandlerPlan, ...], storm_s: float) -> tuple[Post, ...]:
    posts = []
    count = 0
    entities = rng.choice((1, 2, 4))
    for _ in range(rng.randint(2, 7)):
        at = rng.uniform(0.0, 0.9) * storm_s
        items = []
        for _ in range(rng.choice((1, 1, 2, 3, 6))):
            count += 1
            event = rng.choice(EVENTS)
            entity = str(rng.randint(1, entities)) if event != "ONAPPTEST" else ""
            items.append(Item(f"m{count}", rng.choice(handlers), event, entity, rng.random() < 0.05))
        posts.append(Post(at, rng.random() < 0.7, tuple(items)))
    return tuple(sorted(posts, key=lambda post: post.at))


def _times(rng: Random, most: int, storm_s: float, kinds: tuple[str, ...]) -> tuple[tuple[float, str], ...]:
    return tuple(sorted((rng.uniform(0.05, 1.0) * storm_s, rng.choice(kinds)) for _ in range(most)))
