"""`relay event drop|skip|erase`: what only a person decides about an event, each recorded.

Leans on the delivery desk. Never gives anything up without a reason, or without being told twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.confirming import Yes, confirm
from relay.cli.event_filter import (
    Asked,
    DryRun,
    Entity,
    EventId,
    EventName,
    HandlerPart,
    MaybeEventId,
    OfPortal,
    Since,
    States,
    Until,
    entity_of,
    filter_of,
    find_event,
    recorded,
)
from relay.cli.event_view import show_tallies, state_name, tally_document
from relay.cli.failures import Failed, WrongUsage
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.terminal import Terminal, terminal_of
from relay.core.model import DeliveryState
from relay.records import AuditEntry, DeliveryFilter, dropped

if TYPE_CHECKING:
    from relay.opened import Relay
    from relay.records import Tally

_DROP = """
relay event drop 0123456789abcdef0123456789abcdef --reason "sent by hand"
relay event drop --state held --handler old.example.com --reason "the application is gone" --dry-run
relay event drop --event ONCRMDEALUPDATE --until 2026-05-01 --reason "too old" --yes
"""
_SKIP = """
relay event skip 0123456789abcdef0123456789abcdef
"""
_ERASE = """
relay event erase --entity crm.contact:123
relay event erase --entity crm.contact:123 --yes --json
"""
MAX_REASON = 200
_PATIENCE_MS = 60_000
_LOOK_S = 0.2


def drop(
    ctx: typer.Context,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it is kept with the events.")],
    event_id: MaybeEventId = None,
    state: States = None,
    handler: HandlerPart = None,
    event: EventName = None,
    portal: OfPortal = None,
    since: Since = None,
    until: Until = None,
    entity: Entity = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Give up events that wait or are held: they are not delivered.

    Until their payload is deleted they can be sent after all by `relay event replay`. What is being delivered right
    now is left alone.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    asked = Asked(event_id, state, handler, event, portal, since, until, entity)
    asked.require_any(terminal)
    if not reason.strip() or len(reason) > MAX_REASON:
        raise WrongUsage(tr("The reason must be a text of at most {most} signs.", most=MAX_REASON))
    wanted, tallies = with_relay(terminal, lambda relay: _droppable(terminal, relay, asked))
    count = sum(one.count for one in tallies)
    if not terminal.as_json and tallies:
        show_tallies(terminal, tallies)
        terminal.say()
    if dry_run or not count:
        if terminal.as_json:
            counts = [tally_document(one) for one in tallies]
            terminal.document({"dry_run": dry_run, "events": count, "dropped": 0, "counts": counts})
        terminal.say(tr("Events that would be dropped: {count}", count=count))
        return
    confirm(terminal, tr("Drop {count} events? They will not be delivered.", count=count), yes=yes)

    async def run(relay: Relay) -> int:
        now_ms = relay.clock.now_ms()
        details = recorded(wanted, reason=reason)
        entry = AuditEntry("event.dropped", now_ms // 1000, wanted.portal_id, None, details)
        return await relay.store.drop(wanted, reason, now_ms, entry)

    done = with_relay(terminal, run)
    if terminal.as_json:
        terminal.document({"dry_run": False, "events": count, "dropped": done})
    terminal.say(tr("Events that are dropped: {count}", count=done))


async def _droppable(terminal: Terminal, relay: Relay, asked: Asked) -> tuple[DeliveryFilter, list[Tally]]:
    if asked.event_id:
        row, _ = await find_event(terminal, relay, asked.event_id)
        if row.state in {DeliveryState.DONE, DeliveryState.DROPPED, DeliveryState.LEASED}:
            raise Failed(
                terminal.tr(
                    "The event {id} cannot be dropped: it is {state}.",
                    id=row.event_id,
                    state=state_name(terminal, row.state),
                )
            )
    wanted = dropped(await filter_of(terminal, relay, asked))
    return wanted, await relay.store.tally(wanted)


def skip(ctx: typer.Context, event_id: EventId, home: Home = None, as_json: AsJson = False) -> None:
    """Set an event aside, so that the later ones of its entity go on without it.

    It stays held: try it again with `relay event retry`, or drop it.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr

    async def run(relay: Relay) -> bool:
        row, _ = await find_event(terminal, relay, event_id)
        now = relay.clock.now_ms() // 1000
        details = {"event_id": event_id, "entity": row.entity}
        return await relay.store.skip(event_id, AuditEntry("event.skipped", now, row.portal_id, None, details))

    if not with_relay(terminal, run):
        raise Failed(
            tr("The event {id} is not at the head of waiting events of its entity: nothing waits for it.", id=event_id)
        )
    if terminal.as_json:
        terminal.document({"event_id": event_id, "skipped": True})
    terminal.say(tr("It is set aside; the later events of its entity go on."))
    terminal.say(f"{terminal.relay} event retry {event_id}")


def erase(
    ctx: typer.Context,
    entity: Annotated[
        str,
        typer.Option(
            "--entity", metavar="ENTITY", help="The entity, e.g. crm.contact:123, as `relay event show` names it."
        ),
    ],
    yes: Yes = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Overwrite what is stored of one entity's events, everywhere; a record of the erasure stays.

    Events of it that still wait are dropped. Those being delivered right now are waited for. Backups made before keep
    what they hold.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    named = entity_of(terminal, entity)
    stored = with_relay(terminal, lambda relay: relay.store.count(DeliveryFilter(entity=named)))
    if stored:
        question = tr(
            "Erase the payloads of {count} events of {entity}? This cannot be undone.", count=stored, entity=named
        )
        confirm(terminal, question, yes=yes)
    erased, left = with_relay(terminal, lambda relay: _erase(relay, named))
    if terminal.as_json:
        terminal.document({"entity": named, "events": stored, "erased": erased, "being_delivered": left})
    terminal.say(tr("Payloads that are erased: {count}", count=erased))
    if left:
        raise Failed(
            tr("Events of {entity} are still being delivered ({count}): run this again.", entity=named, count=left)
        )
    terminal.say(tr("Backups made before now still hold them: delete those too."))


async def _erase(relay: Relay, entity: str) -> tuple[int, int]:
    """Erase, and again what was being delivered meanwhile; how many payloads, and how many are left after a while."""
    under_way = DeliveryFilter(states=(DeliveryState.LEASED,), entity=entity)
    erased = await _erase_once(relay, entity)
    until_ms = relay.clock.now_ms() + _PATIENCE_MS
    while left := await relay.store.unerased(entity):
        if relay.clock.now_ms() >= until_ms:
            return erased, left
        if await relay.store.count(under_way) < left:
            erased += await _erase_once(relay, entity)
        else:
            await asyncio.sleep(_LOOK_S)
    return erased, 0


async def _erase_once(relay: Relay, entity: str) -> int:
    now_ms = relay.clock.now_ms()
    entry = AuditEntry("event.erased", now_ms // 1000, None, None, {"entity": entity})
    return await relay.store.erase(entity, now_ms, entry)


COMMANDS = (("drop", drop, _DROP), ("skip", skip, _SKIP), ("erase", erase, _ERASE))
