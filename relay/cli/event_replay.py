"""`relay event replay`: sending events once more that are over, paced, while somebody watches or not.

Leans on the relay itself, which works a replay off and keeps its place; this only asks for one and looks at how it
stands. Never replays everything by accident, and going away never stops a replay.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.event_filter import (
    Asked,
    DryRun,
    Entity,
    EventName,
    HandlerPart,
    MaybeEventId,
    OfPortal,
    Since,
    States,
    Until,
    filter_of,
    recorded,
)
from relay.cli.event_view import show_tallies, tally_document
from relay.cli.failures import INTERRUPTED
from relay.cli.home import is_served
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.progress import progress
from relay.cli.terminal import Terminal, terminal_of
from relay.core.errors import Unavailable
from relay.records import AuditEntry, replayed

if TYPE_CHECKING:
    from relay.core.model import Replay
    from relay.opened import Relay
    from relay.records import Tally

EXAMPLES = """
relay event replay --since 2h --handler orders.example.com --dry-run
relay event replay --since 2026-05-01 --until 2026-05-02T12:00 --event ONCRMDEALADD
relay event replay --state held,dropped --portal 1 --rate 20 --no-wait
"""
MAX_RATE = 10_000
_LOOK_S = 0.3


def replay(
    ctx: typer.Context,
    event_id: MaybeEventId = None,
    state: States = None,
    handler: HandlerPart = None,
    event: EventName = None,
    portal: OfPortal = None,
    since: Since = None,
    until: Until = None,
    entity: Entity = None,
    rate: Annotated[
        int, typer.Option("--rate", metavar="N", min=1, max=MAX_RATE, help="So many a second, 100 unless given.")
    ] = 100,
    dry_run: DryRun = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait until all are on their way again.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Send events once more that were delivered, held or dropped.

    The running relay does it, also after a restart, with the same event ids, the header X-Relay-Replay: 1 and a full
    retry budget. Events whose payload is no longer kept are passed over.
    """
    terminal = terminal_of(ctx, home, as_json)
    asked = Asked(event_id, state, handler, event, portal, since, until, entity)
    asked.require_any(terminal)
    tallies, begun = with_relay(terminal, lambda relay: _begin(terminal, relay, asked, rate, dry_run))
    if dry_run or begun is None:
        _show_counts(terminal, tallies, dry_run)
        return
    try:
        if not no_wait and _can_wait(terminal):
            begun = with_relay(terminal, partial(_follow, terminal, begun))
        _show_standing(terminal, begun)
    except KeyboardInterrupt:
        now = with_relay(terminal, partial(_standing, begun))
        _show_standing(terminal, now)
        done = now.replayed + now.skipped
        terminal.remark(
            terminal.tr("The relay goes on with it by itself: {done} of {count} so far.", done=done, count=now.total)
        )
        raise typer.Exit(INTERRUPTED) from None


async def _begin(
    terminal: Terminal, relay: Relay, asked: Asked, rate: int, dry_run: bool
) -> tuple[list[Tally], Replay | None]:
    wanted = replayed(await filter_of(terminal, relay, asked))
    tallies = await relay.store.tally(wanted)
    if dry_run or not tallies:
        return tallies, None
    now = relay.clock.now_ms() // 1000
    entry = AuditEntry("event.replayed", now, wanted.portal_id, None, recorded(wanted, rate=rate))
    return tallies, await relay.store.begin_replay(wanted, rate, now, entry)


def _can_wait(terminal: Terminal) -> bool:
    """Whether anybody works the replay off; on a database of several relays that is not known, and taken for so."""
    from relay.config import load_config  # noqa: PLC0415 - slow to import

    config = load_config(terminal.home)
    if config.store or is_served(config.home):
        return True
    terminal.remark(
        terminal.tr("The relay is not running: the replay begins when it does ({relay} serve).", relay=terminal.relay)
    )
    return False


async def _follow(terminal: Terminal, begun: Replay, relay: Relay) -> Replay:
    """Wait until every event of the replay is on its way again."""
    with progress(terminal, terminal.tr("Replaying")) as report:
        while True:
            try:
                now = await _standing(begun, relay)
            except Unavailable:
                now = begun  # a passing failure of the store only delays
            report(now.replayed + now.skipped, now.total)
            if now.finished_at is not None:
                return now
            await asyncio.sleep(_LOOK_S)


async def _standing(begun: Replay, relay: Relay) -> Replay:
    return await relay.store.find_replay(begun.id) or begun


def _show_counts(terminal: Terminal, tallies: list[Tally], dry_run: bool) -> None:
    count = sum(one.count for one in tallies)
    if terminal.as_json:
        counts = [tally_document(one) for one in tallies]
        terminal.document({"dry_run": dry_run, "events": count, "replay_id": None, "counts": counts})
        return
    if tallies:
        show_tallies(terminal, tallies)
        terminal.say()
    terminal.say(terminal.tr("Events that would be replayed: {count}", count=count))


def _show_standing(terminal: Terminal, now: Replay) -> None:
    tr = terminal.tr
    finished = now.finished_at is not None
    if terminal.as_json:
        terminal.document(
            {
                "dry_run": False,
                "replay_id": now.id,
                "events": now.total,
                "replayed": now.replayed,
                "skipped": now.skipped,
                "finished": finished,
            }
        )
    elif finished:
        terminal.say(tr("Events that are on their way again: {count}", count=now.replayed))
        if now.skipped:
            terminal.say(tr("Passed over, because their payload is no longer kept: {count}", count=now.skipped))
    else:
        terminal.say(tr("The replay {number} of {count} events is under way.", number=now.id, count=now.total))
