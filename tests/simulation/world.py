"""One history: nodes on one store, portals that post, people who act, mishaps, and at last calm.

Leans on the engine as it is: Intake, Dispatcher, Attempts, Replays and the SQL store run unchanged. Must never let one
process see into another's memory: they share the disk, the network and the time, nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from relay.app.attempt import Attempts
from relay.app.dispatch import Dispatcher
from relay.app.intake import Intake
from relay.app.replay import Replays
from relay.app.room import Room
from relay.app.settings import IntakeSettings, IssuerSettings, RetentionSettings, RoomSettings
from relay.app.tokens import Tokens
from relay.core.errors import Conflict, Unavailable
from relay.core.phpform import Form
from relay.core.rules import RuleBook
from relay.store.sql_store import SqlStore
from tests.simulation.clocks import Clocks
from tests.simulation.database import Fate, Hooks, SimulatedChanges, SimulatedDatabase, Weather
from tests.simulation.disk import VAULT, open_key
from tests.simulation.ledger import Ledger
from tests.simulation.network import Handlers, SimulatedSender
from tests.simulation.oracle import Oracle
from tests.simulation.transitions import Transitions

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from random import Random

    from relay.store.database import Database
    from tests.simulation.disk import Disk
    from tests.simulation.plan import Item, Plan, Post
    from tests.simulation.report import Report
    from tests.simulation.timeline import Process, Timeline

EVERY_LEASE_MS = 10 * 365 * 86_400_000
ISSUER = IssuerSettings("https://relay.example")


@dataclass(frozen=True, slots=True)
class Parts:
    """The engine's parts, each of which a mutant may replace. prepare: changes the new database."""

    store: type[SqlStore] = SqlStore
    dispatcher: type[Dispatcher] = Dispatcher
    intake: type[Intake] = Intake
    attempts: type[Attempts] = Attempts
    prepare: Callable[[sqlite3.Connection], None] = lambda _: None


@dataclass(eq=False, slots=True)
class Node:
    """A process of the relay: intake, dispatcher and replays over one store."""

    process: Process
    store: SqlStore
    dispatcher: Dispatcher
    intake: Intake
    replays: Replays
    stopping: bool = False


class World:
    """Builds the processes and keeps them going."""

    def __init__(self, plan: Plan, rng: Random, disk: Disk, timeline: Timeline, report: Report, parts: Parts) -> None:
        self.plan = plan
        self.rng = rng
        self.timeline = timeline
        self.report = report
        self.weather = Weather(rng, plan.faults.store, plan.faults.network, plan.faults.crash)
        self.nodes: list[Node | None] = [None] * plan.nodes
        self._parts = parts
        self._disk = disk
        parts.prepare(disk.raw)
        self._rules = RuleBook(plan.rules)
        self._incarnations = 0
        lease_s = plan.settings.lease_s
        self.clocks = Clocks(timeline, 2 * lease_s + 5.0)
        self.ledger = Ledger(timeline, 0.7 * lease_s + 1.0, self.clocks, self.crash, report, alone=plan.alone)
        self.handlers = Handlers(timeline, rng, plan.handlers, self.ledger)
        self.oracle = Oracle(disk.raw, plan, self.ledger, report)
        self.oracle.transitions = Transitions(self.oracle, self.ledger, report, self.clocks, self.is_alive, plan.alone)
        self.accepted: set[str] = set()
        self._hooks = Hooks(self.oracle.committed, self._failed, self.crash, self._noted)
        self.person = timeline.process("person")
        self.clocks.add(self.person, 0)
        self.desk = self._store(self.person)

    def is_alive(self, name: str) -> bool:
        """Whether a process of that name runs."""
        return any(node is not None and node.process.name == name for node in self.nodes)

    def living(self) -> list[Node]:
        """The nodes that run now."""
        return [node for node in self.nodes if node is not None]

    def begin(self) -> None:
        """Start all nodes."""
        for number in range(self.plan.nodes):
            self._start(number)

    def crash(self, process: Process, where: str) -> None:
        """kill -9."""
        if process.dead or process is self.person:
            return
        self.report.crashes += 1
        self.report.note(process.name, f"crash: {where}")
        self._end(process)

    def stop(self, node: Node) -> None:
        """SIGTERM."""
        self.report.note(node.process.name, "is told to stop")
        node.stopping = True
        self.ledger.stopping.add(node.process)
        node.process.context.run(node.dispatcher.drain)

    def disturb(self, processes: list[Process], reason: str, over_at: float) -> None:
        """Their leases may truly end by then without their knowing."""
        for process in processes:
            self.ledger.disturbed(process, reason, over_at)

    async def post(self, post: Post) -> None:
        """A portal posts a batch; with an outbox until it is taken."""
        await asyncio.sleep(max(post.at - self.timeline.now, 0.0))
        while not await self._post_once(post) and post.outbox:
            await asyncio.sleep(self.rng.uniform(1.0, 5.0))

    async def _post_once(self, post: Post) -> bool:
        living = self.living()
        if not living:
            return False
        node = self.rng.choice(living)
        task = self.timeline.start(node.process, self._call(node, _form(post)))
        await asyncio.wait({task}, timeout=30.0)
        if not task.done() or not task.result():
            return False
        for item in post.items:
            self.report.events += 1
            if item.marker not in self.oracle.by_marker:
                self.report.lost += 1
                self.report.violated("nothing lost", f"{item.marker} was accepted and is not stored")
        self.accepted.update(item.marker for item in post.items)
        return True

    async def _call(self, node: Node, form: Form) -> bool:
        try:
            portal = (await node.store.directory()).portals[1]
            return await node.intake.event_call(portal, form)
        except (Unavailable, Conflict) as error:
            self.report.note(node.process.name, f"refuses a batch: {error.description}")
            return False

    def _start(self, number: int) -> None:
        self._incarnations += 1
        process = self.timeline.process(f"node{number}.{self._incarnations}")
        clock = self.clocks.add(process, self.plan.skew_ms[number])
        store, entropy, parts = self._store(process), self.rng.randbytes, self._parts
        tokens = Tokens(store, VAULT, clock, entropy, ISSUER)
        sender = SimulatedSender(self.timeline, process, clock, self.weather, self.handlers, self.ledger)
        attempts = parts.attempts(store, sender, tokens, VAULT, clock, entropy, ISSUER)
        dispatcher = parts.dispatcher(store, attempts, clock, entropy, self._rules, self.plan.settings, process.name)
        room = Room(store, clock, RoomSettings(max_backlog=self.plan.max_backlog), lambda: None)
        settings = IntakeSettings(encrypt_payloads=self.plan.encrypt)
        intake = parts.intake(store, VAULT, clock, entropy, settings, self._rules, dispatcher, room.refusal)
        node = Node(process, store, dispatcher, intake, Replays(store, clock, RetentionSettings()))
        self.nodes[number] = node
        self.report.note(process.name, "starts")
        self.timeline.start(process, self._live(node))

    async def _live(self, node: Node) -> None:
        """What `relay serve` does with these parts."""
        try:
            if self.plan.alone:
                now_ms = self.clocks.now_ms(node.process)
                while await node.store.release_leases(now_ms=now_ms + EVERY_LEASE_MS):
                    pass
            replaying = [] if self.plan.long else [asyncio.create_task(node.replays.run())]
            await node.dispatcher.run()
            for task in replaying:
                task.cancel()
        except Unavailable:
            self.report.note(node.process.name, "cannot start")
        except Exception as error:
            self.report.violated("alive", f"{node.process.name} ended: {error!r}")
        else:
            if not node.stopping:
                self.report.violated("alive", f"{node.process.name} ended by itself")
        self._end(node.process)

    def _end(self, process: Process) -> None:
        self.ledger.killed(process)
        self.timeline.kill(process)
        for number, node in enumerate(self.nodes):
            if node is not None and node.process is process:
                self.nodes[number] = None
                pause = self.rng.choice((0.3, 3.0, 0.5 * self.plan.settings.lease_s, 2 * self.plan.settings.lease_s))
                self.timeline.call_later(pause, self._start, number, context=self.timeline.world)

    def _store(self, process: Process) -> SqlStore:
        database = SimulatedDatabase(self._disk, self.timeline, process, self.weather, self._hooks)
        return self._parts.store(cast("Database", database), SimulatedChanges(self._disk), open_key)

    def _failed(self, process: Process, name: str, fate: Fate) -> None:
        self.report.faults += 1
        stopping = any(node is not None and node.process is process and node.stopping for node in self.nodes)
        late = name == "claim" and fate is Fate.SLOW
        if late or name == "extend_leases" or (stopping and name == "finish"):
            self.ledger.not_kept(process)

    def _noted(self, who: str, what: str) -> None:
        self.report.note(who, what)


def _form(post: Post) -> Form:
    """The batch as the portal's module sends it (protocol.md section 5)."""
    pairs: list[tuple[str, str]] = []
    for number, item in enumerate(post.items):
        data = [("event", item.event), ("ts", "1795000000"), ("marker", item.marker)]
        data += [("data][FIELDS][ID", item.entity)] if item.entity else []
        fields = [
            ("client_id", item.handler.client_id),
            ("additional][category", item.marker),
            ("additional][sendAuth", "1"),
            ("additional][sendRefreshToken", "1" if item.refresh else "0"),
            ("auth][LOCAL_USER", "67"),
            ("query][QUERY_URL", item.handler.url),
            *((f"query][QUERY_DATA][{name}", value) for name, value in data),
        ]
        fields += [("relay_item_id", item_id(item))] if post.outbox else []
        pairs += [(f"QUERY[{number}][{name}]", value) for name, value in fields]
    return Form(pairs)


def item_id(item: Item) -> str:
    """The outbox's own id of an item: 32 hexadecimal digits."""
    return item.marker[1:].rjust(32, "0")
