"""Events as people and programs are shown them: states and reasons in words, with what to do about them.

Leans on the doctor's remedies, so that both say the same. Shows no payload.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from relay.app.doctor import remedy_of
from relay.app.observations import handler_host
from relay.cli.tables import show_table
from relay.cli.times import iso_ms
from relay.core.model import DeliveryState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from relay.cli.terminal import Terminal
    from relay.records import AttemptRow, DeliveryRow, Tally

BUDGET = "budget"


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


def standing(terminal: Terminal, row: DeliveryRow) -> str:
    """Where an event stands, in words: its state, and whether it is a replay or was replaced by a newer one."""
    tr = terminal.tr
    if row.collapsed_into and row.state is DeliveryState.DONE:
        return f"{tr('replaced by a newer one')} ({row.state})"
    name = state_name(terminal, row.state)
    return f"{name}, {tr('replay')}" if row.replay else name


def held_because(terminal: Terminal, row: DeliveryRow) -> str:
    """Why an event is held, in words; empty for one that is not."""
    if row.state is not DeliveryState.HELD:
        return ""
    tr = terminal.tr
    words = {
        BUDGET: tr("its time for retries is used up; last answer: {answer}", answer=answer(terminal, row)),
        "skipped": tr("you set it aside, so that the later events of its entity go on"),
        "address_refused": tr("the relay may not call the address of its handler"),
        "bad_url": tr("the address of its handler is no http address"),
        "gone": tr("its handler answered 410 Gone: it takes no more events"),
    }
    reason = row.hold_reason or ""
    return words.get(reason) or reason or "–"


def what_to_do(terminal: Terminal, row: DeliveryRow, portal_url: str) -> str:
    """What a person can do about a held event; empty for one that is not held."""
    if row.state is not DeliveryState.HELD:
        return ""
    tr = terminal.tr
    values: dict[str, Any] = {"relay": terminal.relay, "host": handler_host(row.handler_url)}
    match row.hold_reason:
        case "skipped":
            values = {"relay": terminal.relay, "id": row.event_id}
            return tr("{relay} event retry {id}, or: {relay} event drop {id} --reason TEXT", **values)
        case "gone":
            return tr(
                "Have the application register its handler again,"
                " or: {relay} event drop --state held --handler {host} --reason TEXT",
                **values,
            )
    reason = (row.last_error if row.hold_reason == BUDGET else row.hold_reason) or ""
    return tr(remedy_of(reason), **values, url=portal_url)


def show_reasons(terminal: Terminal, rows: Sequence[DeliveryRow], urls: Mapping[int, str]) -> None:
    """Below a list: why some of it is held and what to do, once for each reason and host."""
    first: dict[tuple[str, str], DeliveryRow] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        if row.state is DeliveryState.HELD:
            key = handler_host(row.handler_url), held_because(terminal, row)
            first.setdefault(key, row)
            counts[key] += 1
    for (host, because), count in counts.most_common():
        row = first[host, because]
        terminal.say()
        terminal.say(terminal.tr("Held for {host}: {count}, because {reason}.", host=host, count=count, reason=because))
        terminal.say("  " + what_to_do(terminal, row, urls.get(row.portal_id, "URL")))


def show_tallies(terminal: Terminal, tallies: Sequence[Tally]) -> None:
    """Counts by state and handler."""
    tr = terminal.tr
    rows = [[state_name(terminal, one.state), one.handler_url, str(one.count)] for one in tallies]
    show_table(terminal, [tr("State"), tr("Handler"), tr("Events")], rows)


def answer(terminal: Terminal, row: DeliveryRow) -> str:
    """A delivery's last answer: a status, or the word for why there was none."""
    if row.collapsed_into and row.state is DeliveryState.DONE:
        return "–"
    if row.state is DeliveryState.DROPPED and row.last_error:
        return terminal.tr("dropped: {reason}", reason=row.last_error)
    return status_or_error(row.last_status, row.last_error)


def status_or_error(status: int | None, error: str | None) -> str:
    """The status of a try, or the word for why there was none."""
    if status is not None:
        return str(status)
    return error or "–"


def tally_document(one: Tally) -> dict[str, Any]:
    """A count as JSON."""
    return {"state": str(one.state), "handler": one.handler_url, "events": one.count}


def event_document(terminal: Terminal, row: DeliveryRow, urls: Mapping[int, str]) -> dict[str, Any]:
    """An event as JSON."""
    held = row.state is DeliveryState.HELD
    return {
        "event_id": row.event_id,
        "event": row.event,
        "entity": row.entity,
        "state": str(row.state),
        "portal_id": row.portal_id,
        "portal": urls.get(row.portal_id),
        "client_id": row.client_id or None,
        "handler": row.handler_url,
        "attempts": row.attempts,
        "replay": row.replay,
        "collapsed_into": row.collapsed_into,
        "accepted_at": iso_ms(row.accepted_at_ms, local=False),
        "due_at": iso_ms(row.due_at_ms, local=False) if row.state is DeliveryState.DUE else None,
        "finished_at": iso_ms(row.finished_at_ms, local=False),
        "last_status": row.last_status,
        "last_error": row.last_error,
        "hold_reason": row.hold_reason if held else None,
        "remedy": what_to_do(terminal, row, urls.get(row.portal_id, "URL")) if held else None,
    }


def attempt_document(one: AttemptRow) -> dict[str, Any]:
    """A try as JSON."""
    outcome = one.outcome
    return {
        "attempt": one.number,
        "started_at": iso_ms(outcome.started_at_ms, local=False),
        "duration_ms": outcome.duration_ms,
        "verdict": str(outcome.verdict),
        "status": outcome.status,
        "error": outcome.error,
    }


def attempt_rows(attempts: Sequence[AttemptRow]) -> list[list[str]]:
    """Tries as rows of a table."""
    return [
        [
            str(one.number),
            iso_ms(one.outcome.started_at_ms) or "",
            str(one.outcome.duration_ms),
            status_or_error(one.outcome.status, one.outcome.error),
        ]
        for one in attempts
    ]
