"""`relay event`: what became of the events, and trying held ones again.

Leans on the delivery store's filters. Shows no payload. Never retries everything by accident: a retry names an
event or at least one filter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli import event_decisions, event_replay
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
    filter_of,
    find_event,
)
from relay.cli.event_view import (
    answer,
    attempt_document,
    attempt_rows,
    event_document,
    held_because,
    show_reasons,
    standing,
    state_name,
    what_to_do,
)
from relay.cli.failures import Failed
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_fields, show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso_ms
from relay.core.model import DeliveryState
from relay.records import retried

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.opened import Relay
    from relay.records import AttemptRow, DeliveryRow

EXAMPLES = """
relay event list --state held
relay event retry --state held --dry-run
relay event replay --since 2h --handler orders.example.com
"""
_LIST = """
relay event list
relay event list --state held --since 24h
relay event list --handler orders.example.com --event ONCRMDEALADD --limit 200 --json
"""
_SHOW = """
relay event show 0123456789abcdef0123456789abcdef
"""
_RETRY = """
relay event retry 0123456789abcdef0123456789abcdef
relay event retry --state held --handler orders.example.com --dry-run
relay event retry --state held --since 2026-05-01 --until 2026-05-02T12:00
"""
_MAX_LIMIT = 100_000


def event() -> None:
    """The events on their way to the applications."""


def list_events(
    ctx: typer.Context,
    state: States = None,
    handler: HandlerPart = None,
    event: EventName = None,
    portal: OfPortal = None,
    since: Since = None,
    until: Until = None,
    entity: Entity = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MAX_LIMIT, help="At most so many, 50 unless given.")
    ] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first."""
    terminal = terminal_of(ctx, home, as_json)
    asked = Asked(None, state, handler, event, portal, since, until, entity)

    async def read(relay: Relay) -> tuple[list[DeliveryRow], dict[int, str]]:
        wanted = await filter_of(terminal, relay, asked)
        return await relay.store.find(wanted, limit), await _portal_urls(relay)

    rows, urls = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([event_document(terminal, row, urls) for row in rows])
    elif rows:
        _show_list(terminal, rows, urls)
    else:
        terminal.say(terminal.tr("No such events."))


def show(ctx: typer.Context, event_id: EventId, home: Home = None, as_json: AsJson = False) -> None:
    """Show one event and every try to deliver it."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> tuple[DeliveryRow, list[AttemptRow], dict[int, str]]:
        return *await find_event(terminal, relay, event_id), await _portal_urls(relay)

    row, attempts, urls = with_relay(terminal, read)
    if terminal.as_json:
        document = event_document(terminal, row, urls)
        terminal.document(document | {"tries": [attempt_document(one) for one in attempts]})
        return
    tr = terminal.tr
    show_fields(terminal, _fields(terminal, row, urls))
    if attempts:
        terminal.say()
        show_table(terminal, [tr("Try"), tr("Began"), tr("Took, ms"), tr("Answer")], attempt_rows(attempts))


def retry(
    ctx: typer.Context,
    event_id: MaybeEventId = None,
    state: States = None,
    handler: HandlerPart = None,
    event: EventName = None,
    portal: OfPortal = None,
    since: Since = None,
    until: Until = None,
    entity: Entity = None,
    dry_run: DryRun = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try events again now that are held or wait for their next try."""
    terminal = terminal_of(ctx, home, as_json)
    asked = Asked(event_id, state, handler, event, portal, since, until, entity)
    asked.require_any(terminal)

    async def run(relay: Relay) -> int:
        if event_id:
            row, _ = await find_event(terminal, relay, event_id)
            _require_unfinished(terminal, row)
        wanted = await filter_of(terminal, relay, asked)
        if dry_run:
            return await relay.store.count(retried(wanted))
        return await relay.store.retry(wanted, relay.clock.now_ms())

    count = with_relay(terminal, run)
    if terminal.as_json:
        terminal.document({"dry_run": dry_run, "events": count, "retried": 0 if dry_run else count})
    elif dry_run:
        terminal.say(terminal.tr("Events that would be tried again: {count}", count=count))
    else:
        terminal.say(terminal.tr("Events that are tried again now: {count}", count=count))


GROUP = (
    ("list", list_events, _LIST),
    ("show", show, _SHOW),
    ("retry", retry, _RETRY),
    ("replay", event_replay.replay, event_replay.EXAMPLES),
    *event_decisions.COMMANDS,
)


async def _portal_urls(relay: Relay) -> dict[int, str]:
    directory = await relay.portals.current()
    return {portal.id: portal.url for portal in directory.portals.values()}


def _show_list(terminal: Terminal, rows: Sequence[DeliveryRow], urls: Mapping[int, str]) -> None:
    tr = terminal.tr
    headings = [
        tr("Accepted"),
        tr("Event"),
        tr("Entity"),
        tr("State"),
        tr("Tries"),
        tr("Last answer"),
        tr("Handler"),
        tr("Id"),
    ]
    cells = [
        [
            iso_ms(row.accepted_at_ms) or "",
            row.event or "–",
            row.entity or "–",
            standing(terminal, row),
            str(row.attempts),
            answer(terminal, row),
            row.handler_url,
            row.event_id,
        ]
        for row in rows
    ]
    show_table(terminal, headings, cells)
    show_reasons(terminal, rows, urls)


def _fields(terminal: Terminal, row: DeliveryRow, urls: Mapping[int, str]) -> list[tuple[str, str]]:
    tr = terminal.tr
    portal_url = urls.get(row.portal_id, str(row.portal_id))
    fields = [
        (tr("Id"), row.event_id),
        (tr("Event"), row.event or "–"),
        (tr("Entity"), row.entity or "–"),
        (tr("State"), standing(terminal, row)),
        (tr("Held because"), held_because(terminal, row)),
        (tr("What to do"), what_to_do(terminal, row, portal_url)),
        (tr("Replaced by"), row.collapsed_into or ""),
        (tr("Portal"), portal_url),
        (tr("Application"), row.client_id or "–"),
        (tr("Handler"), row.handler_url),
        (tr("Accepted"), iso_ms(row.accepted_at_ms) or ""),
        (tr("Replayed"), tr("yes") if row.replay else tr("no")),
        (tr("Next try"), (iso_ms(row.due_at_ms) or "") if row.state is DeliveryState.DUE else "–"),
        (tr("Delivered"), (iso_ms(row.finished_at_ms) or "–") if row.state is DeliveryState.DONE else "–"),
        (tr("Last answer"), answer(terminal, row)),
    ]
    return [field for field in fields if field[1]]


def _require_unfinished(terminal: Terminal, row: DeliveryRow) -> None:
    if row.state not in {DeliveryState.DUE, DeliveryState.HELD}:
        raise Failed(
            terminal.tr(
                "The event {id} cannot be tried again: it is {state}.",
                id=row.event_id,
                state=state_name(terminal, row.state),
            )
        )
