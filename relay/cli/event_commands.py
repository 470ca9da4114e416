"""`relay event`: what became of the events, and trying held ones again.

Leans on the delivery store's filters. Shows no payload. Never retries everything by accident: a retry names an
event or at least one filter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.failures import Failed, WrongUsage
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_fields, show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso_ms, parse_moment
from relay.core.model import DeliveryState
from relay.ports import AttemptRow, DeliveryFilter, DeliveryRow, retried

if TYPE_CHECKING:
    from relay.build import Relay

EXAMPLES = """
relay event list --state held
relay event retry --state held --dry-run
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

_State = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only in this state, e.g. held or due,leased; may be given several times.",
    ),
]
_Handler = Annotated[
    str | None,
    typer.Option("--handler", metavar="URL", help="Only to handlers whose address is or contains this."),
]
_Event = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Only events of this name, e.g. ONCRMDEALADD.")
]
_Portal = Annotated[
    str | None,
    typer.Option("--portal", metavar="PORTAL", help="Only those of this portal (number or address)."),
]
_Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only accepted since then: an ISO date, or 2h for two hours ago."),
]
_Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Only accepted before then: an ISO date, or 2h for two hours ago."),
]
_MAX_LIMIT = 100_000


def event() -> None:
    """The events on their way to the applications."""


def list_events(
    ctx: typer.Context,
    state: _State = None,
    handler: _Handler = None,
    event: _Event = None,
    portal: _Portal = None,
    since: _Since = None,
    until: _Until = None,
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MAX_LIMIT, help="At most so many, 50 unless given.")
    ] = 50,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List events, the newest first."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> tuple[list[DeliveryRow], dict[int, str]]:
        wanted = await _filter(terminal, relay, state, handler, event, portal, since, until)
        directory = await relay.portals.current()
        urls = {portal.id: portal.url for portal in directory.portals.values()}
        return await relay.store.find(wanted, limit), urls

    rows, urls = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([_document(row, urls) for row in rows])
        return
    tr = terminal.tr
    if not rows:
        terminal.say(tr("No such events."))
        return
    headings = [tr("Accepted"), tr("Event"), tr("State"), tr("Tries"), tr("Last answer"), tr("Handler"), tr("Id")]
    show_table(
        terminal,
        headings,
        [
            [
                iso_ms(row.accepted_at_ms) or "",
                row.event or "–",
                state_name(terminal, row.state),
                str(row.attempts),
                _answer(row.last_status, row.last_error),
                row.handler_url,
                row.event_id,
            ]
            for row in rows
        ],
    )


def show(
    ctx: typer.Context,
    event_id: Annotated[str, typer.Argument(metavar="ID", help="The event's id, as `relay event list` shows it.")],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Show one event and every try to deliver it."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> tuple[DeliveryRow, list[AttemptRow], dict[int, str]]:
        directory = await relay.portals.current()
        urls = {portal.id: portal.url for portal in directory.portals.values()}
        return *await _found(terminal, relay, event_id), urls

    row, attempts, urls = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document(_document(row, urls) | {"tries": [_attempt_document(one) for one in attempts]})
        return
    tr = terminal.tr
    show_fields(
        terminal,
        [
            (tr("Id"), row.event_id),
            (tr("Event"), row.event or "–"),
            (tr("State"), state_name(terminal, row.state)),
            (tr("Portal"), urls.get(row.portal_id, str(row.portal_id))),
            (tr("Application"), row.client_id or "–"),
            (tr("Handler"), row.handler_url),
            (tr("Accepted"), iso_ms(row.accepted_at_ms) or ""),
            (tr("Next try"), (iso_ms(row.due_at_ms) or "") if row.state is DeliveryState.DUE else "–"),
            (tr("Delivered"), iso_ms(row.finished_at_ms) or "–"),
            (tr("Last answer"), _answer(row.last_status, row.last_error)),
        ],
    )
    if attempts:
        terminal.say()
        show_table(terminal, [tr("Try"), tr("Began"), tr("Took, ms"), tr("Answer")], _attempt_rows(attempts))


def retry(
    ctx: typer.Context,
    event_id: Annotated[str | None, typer.Argument(metavar="ID", help="One event; else at least one filter.")] = None,
    state: _State = None,
    handler: _Handler = None,
    event: _Event = None,
    portal: _Portal = None,
    since: _Since = None,
    until: _Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many events it would be.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Try events again now that are held or wait for their next try."""
    terminal = terminal_of(ctx, home, as_json)
    if not any((event_id, state, handler, event, portal, since, until)):
        raise WrongUsage(terminal.tr("Say which events: give an id or a filter, e.g. --state held."))

    async def run(relay: Relay) -> int:
        wanted = await _filter(terminal, relay, state, handler, event, portal, since, until)
        if event_id:
            row, _ = await _found(terminal, relay, event_id)
            _require_unfinished(terminal, row)
            wanted = replace(wanted, event_id=event_id)
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


COMMANDS = (("list", list_events, _LIST), ("show", show, _SHOW), ("retry", retry, _RETRY))


def state_name(terminal: Terminal, state: DeliveryState) -> str:
    """The state in words, with the word that `--state` takes."""
    tr = terminal.tr
    words = {
        DeliveryState.ACCEPTED: tr("waiting behind an earlier one"),
        DeliveryState.DUE: tr("waiting"),
        DeliveryState.LEASED: tr("being delivered"),
        DeliveryState.DONE: tr("delivered"),
        DeliveryState.HELD: tr("held for you"),
        DeliveryState.DROPPED: tr("dropped by you"),
    }
    return f"{words[state]} ({state})"


async def _filter(
    terminal: Terminal,
    relay: Relay,
    states: list[str] | None,
    handler: str | None,
    event: str | None,
    portal: str | None,
    since: str | None,
    until: str | None,
) -> DeliveryFilter:
    now_ms = relay.clock.now_ms()
    return DeliveryFilter(
        states=tuple(_state(terminal, name) for text in states or () for name in text.split(",")),
        handler=handler or "",
        event=event or "",
        portal_id=(await relay.portals.find(portal)).id if portal else None,
        since_ms=parse_moment(since, now_ms) if since else None,
        until_ms=parse_moment(until, now_ms) if until else None,
    )


def _state(terminal: Terminal, name: str) -> DeliveryState:
    try:
        return DeliveryState(name.strip().lower())
    except ValueError:
        states = ", ".join(DeliveryState)
        raise WrongUsage(terminal.tr("{name} is no state: it is one of {states}.", name=name, states=states)) from None


async def _found(terminal: Terminal, relay: Relay, event_id: str) -> tuple[DeliveryRow, list[AttemptRow]]:
    found = await relay.store.show(event_id)
    if found is None:
        raise Failed(
            terminal.tr(
                "There is no event {id}. `{relay} event list` shows those there are.", id=event_id, relay=terminal.relay
            )
        )
    return found


def _require_unfinished(terminal: Terminal, row: DeliveryRow) -> None:
    if row.state not in {DeliveryState.DUE, DeliveryState.HELD}:
        raise Failed(
            terminal.tr(
                "The event {id} cannot be tried again: it is {state}.",
                id=row.event_id,
                state=state_name(terminal, row.state),
            )
        )


def _document(row: DeliveryRow, urls: dict[int, str]) -> dict[str, Any]:
    return {
        "event_id": row.event_id,
        "event": row.event,
        "state": str(row.state),
        "portal_id": row.portal_id,
        "portal": urls.get(row.portal_id),
        "client_id": row.client_id or None,
        "handler": row.handler_url,
        "attempts": row.attempts,
        "accepted_at": iso_ms(row.accepted_at_ms, local=False),
        "due_at": iso_ms(row.due_at_ms, local=False) if row.state is DeliveryState.DUE else None,
        "finished_at": iso_ms(row.finished_at_ms, local=False),
        "last_status": row.last_status,
        "last_error": row.last_error,
    }


def _attempt_document(one: AttemptRow) -> dict[str, Any]:
    outcome = one.outcome
    return {
        "attempt": one.number,
        "started_at": iso_ms(outcome.started_at_ms, local=False),
        "duration_ms": outcome.duration_ms,
        "verdict": str(outcome.verdict),
        "status": outcome.status,
        "error": outcome.error,
    }


def _attempt_rows(attempts: list[AttemptRow]) -> list[list[str]]:
    return [
        [
            str(one.number),
            iso_ms(one.outcome.started_at_ms) or "",
            str(one.outcome.duration_ms),
            _answer(one.outcome.status, one.outcome.error),
        ]
        for one in attempts
    ]


def _answer(status: int | None, error: str | None) -> str:
    if status is not None:
        return str(status)
    return error or "–"
