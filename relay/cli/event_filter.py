"""Which events a command is about: the options that say so, described once, and what they come to.

Leans on the delivery store's filter. Never guesses: a state that there is not, or an event that is not there, is said.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.failures import Failed, WrongUsage
from relay.cli.times import parse_moment
from relay.core.model import DeliveryState
from relay.records import DeliveryFilter

if TYPE_CHECKING:
    from relay.cli.terminal import Terminal
    from relay.opened import Relay
    from relay.records import AttemptRow, DeliveryRow

EventId = Annotated[str, typer.Argument(metavar="ID", help="The event's id, as `relay event list` shows it.")]
MaybeEventId = Annotated[str | None, typer.Argument(metavar="ID", help="One event; else at least one filter.")]
States = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        metavar="STATE",
        help="Only in this state, e.g. held or due,leased; may be given several times.",
    ),
]
HandlerPart = Annotated[
    str | None,
    typer.Option("--handler", metavar="URL", help="Only to handlers whose address is or contains this."),
]
EventName = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Only events of this name, e.g. ONCRMDEALADD.")
]
OfPortal = Annotated[
    str | None,
    typer.Option("--portal", metavar="PORTAL", help="Only those of this portal (number or address)."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only accepted since then: an ISO date, or 2h for two hours ago."),
]
Until = Annotated[
    str | None,
    typer.Option("--until", metavar="TIME", help="Only accepted before then: an ISO date, or 2h for two hours ago."),
]
Entity = Annotated[
    str | None, typer.Option("--entity", metavar="ENTITY", help="Only events of this entity, e.g. crm.contact:123.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say how many events it would be.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """The options as they were given."""

    event_id: str | None = None
    states: list[str] | None = None
    handler: str | None = None
    event: str | None = None
    portal: str | None = None
    since: str | None = None
    until: str | None = None
    entity: str | None = None

    def require_any(self, terminal: Terminal) -> None:
        """Raise WrongUsage unless something was said: nothing must happen to every event by accident."""
        if not any(astuple(self)):
            raise WrongUsage(terminal.tr("Say which events: give an id or a filter, e.g. --state held."))


async def filter_of(terminal: Terminal, relay: Relay, asked: Asked) -> DeliveryFilter:
    """What was asked, for the store. Raises Failed (no such id), NotFound, InvalidRequest, WrongUsage."""
    if asked.event_id:
        await find_event(terminal, relay, asked.event_id)
    now_ms = relay.clock.now_ms()
    return DeliveryFilter(
        states=tuple(_state(terminal, name) for text in asked.states or () for name in text.split(",")),
        event_id=asked.event_id or "",
        handler=asked.handler or "",
        event=asked.event or "",
        portal_id=(await relay.portals.find(asked.portal)).id if asked.portal else None,
        since_ms=parse_moment(asked.since, now_ms) if asked.since else None,
        until_ms=parse_moment(asked.until, now_ms) if asked.until else None,
        entity=entity_of(terminal, asked.entity) if asked.entity else "",
    )


async def find_event(terminal: Terminal, relay: Relay, event_id: str) -> tuple[DeliveryRow, list[AttemptRow]]:
    """One event with its tries. Raises Failed if there is none of that id."""
    found = await relay.store.show(event_id)
    if found is None:
        raise Failed(
            terminal.tr(
                "There is no event {id}. `{relay} event list` shows those there are.", id=event_id, relay=terminal.relay
            )
        )
    return found


def entity_of(terminal: Terminal, text: str) -> str:
    """An entity as the store names it: `CRM.Contact:123` → `crm.contact:123`. Raises WrongUsage."""
    kind, colon, identity = text.strip().partition(":")
    if not (kind and colon and identity):
        raise WrongUsage(
            terminal.tr("{text} is no entity: write it as `relay event show` does, e.g. crm.contact:123.", text=text)
        )
    return f"{kind.lower()}:{identity}"


def recorded(wanted: DeliveryFilter, **more: object) -> dict[str, Any]:
    """What was asked for, as the audit record keeps it."""
    given = {
        "states": list(map(str, wanted.states)),
        "event_id": wanted.event_id,
        "handler": wanted.handler,
        "event": wanted.event,
        "since_ms": wanted.since_ms,
        "until_ms": wanted.until_ms,
        "entity": wanted.entity,
    }
    return {name: value for name, value in given.items() if value} | more


def _state(terminal: Terminal, name: str) -> DeliveryState:
    try:
        return DeliveryState(name.strip().lower())
    except ValueError:
        states = ", ".join(DeliveryState)
        raise WrongUsage(terminal.tr("{name} is no state: it is one of {states}.", name=name, states=states)) from None
