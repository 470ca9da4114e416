"""`relay handler`: the addresses that events go to, how much waits for each, and letting one wait or go on.

Leans on the delivery desk's kept counts. Estimates nothing that cannot be told from what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.event_filter import OfPortal
from relay.cli.failures import Failed
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso_ms, span
from relay.records import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.model import Handler
    from relay.opened import Relay
    from relay.records import HandlerRow

EXAMPLES = """
relay handler list
relay handler pause 3
"""
_LIST = """
relay handler list
relay handler list --portal 1 --json
"""
_PAUSE = """
relay handler pause 3
relay handler pause https://orders.example.com/handler
"""
_RESUME = """
relay handler resume 3
relay handler resume https://orders.example.com/handler
"""
WINDOW_MS = 300_000
_WAITING = ("accepted", "due", "leased")

HandlerName = Annotated[
    str, typer.Argument(metavar="HANDLER", help="The handler's number, as `relay handler list` shows it, or its URL.")
]


@dataclass(frozen=True, slots=True)
class Load:
    """A handler with how much it has had of late. done: deliveries within the last WINDOW_MS."""

    row: HandlerRow
    done: int

    @property
    def waiting(self) -> int:
        """Deliveries that are not over and not held."""
        return sum(self.row.counts.get(state, 0) for state in _WAITING)

    @property
    def left_s(self) -> int | None:
        """Seconds until nothing waits, at the rate of the last minutes; None if that cannot be told."""
        if not self.waiting or not self.done or self.row.handler.paused:
            return None
        return max(round(self.waiting * WINDOW_MS / self.done / 1000), 1)


def handler() -> None:
    """The handlers that events are delivered to."""


def list_handlers(
    ctx: typer.Context,
    portal: OfPortal = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the handlers: how much waits for each, since when, and how long it will take.

    How long is told from how many events it took in the last five minutes.
    """
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> tuple[list[Load], dict[int, str], int]:
        only = (await relay.portals.find(portal)).id if portal else None
        now_ms = relay.clock.now_ms()
        done = await relay.store.done_since(now_ms - WINDOW_MS)
        loads = [
            Load(row, done.get(row.handler.id, 0))
            for row in await relay.store.list_handlers()
            if only is None or row.handler.portal_id == only
        ]
        directory = await relay.portals.current()
        return loads, {one.id: one.url for one in directory.portals.values()}, now_ms

    loads, urls, now_ms = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([_document(load, urls, now_ms) for load in loads])
    elif loads:
        _show(terminal, loads, now_ms)
    else:
        terminal.say(terminal.tr("There are no handlers yet: one is known from its first event on."))


def pause(ctx: typer.Context, name: HandlerName, home: Home = None, as_json: AsJson = False) -> None:
    """Let a handler's events wait. What is being delivered to it right now is still finished."""
    _set(terminal_of(ctx, home, as_json), name, paused=True)


def resume(ctx: typer.Context, name: HandlerName, home: Home = None, as_json: AsJson = False) -> None:
    """Let a paused handler's events go on."""
    _set(terminal_of(ctx, home, as_json), name, paused=False)


GROUP = (("list", list_handlers, _LIST), ("pause", pause, _PAUSE), ("resume", resume, _RESUME))


def _set(terminal: Terminal, name: str, *, paused: bool) -> None:
    async def run(relay: Relay) -> Handler:
        found = _named(terminal, name, [row.handler for row in await relay.store.list_handlers()])
        await relay.store.pause_handler(found.id, paused=paused)
        kind = "handler.paused" if paused else "handler.resumed"
        details = {"handler_id": found.id, "url": found.url}
        entry = AuditEntry(kind, relay.clock.now_ms() // 1000, found.portal_id, None, details)
        await relay.store.add_audit([entry])
        return found

    found = with_relay(terminal, run)
    if terminal.as_json:
        terminal.document({"handler_id": found.id, "handler": found.url, "paused": paused})
    elif paused:
        terminal.say(terminal.tr("Events for {url} wait now.", url=found.url))
        terminal.say(f"{terminal.relay} handler resume {found.id}")
    else:
        terminal.say(terminal.tr("Events for {url} go on.", url=found.url))


def _named(terminal: Terminal, name: str, handlers: list[Handler]) -> Handler:
    """The handler of that number or URL. Raises Failed for none, or for several applications' of one URL."""
    found = [one for one in handlers if str(one.id) == name] or [one for one in handlers if one.url == name]
    tr = terminal.tr
    if not found:
        raise Failed(
            tr(
                "There is no handler {name}. `{relay} handler list` shows those there are.",
                name=name,
                relay=terminal.relay,
            )
        )
    if len(found) > 1:
        numbers = ", ".join(str(one.id) for one in found)
        raise Failed(tr("Several handlers have this address: name one by its number, {numbers}.", numbers=numbers))
    return found[0]


def _document(load: Load, urls: Mapping[int, str], now_ms: int) -> dict[str, Any]:
    row = load.row
    oldest_ms = row.oldest_accepted_at_ms
    return {
        "handler_id": row.handler.id,
        "handler": row.handler.url,
        "portal_id": row.handler.portal_id,
        "portal": urls.get(row.handler.portal_id),
        "client_id": row.handler.client_id or None,
        "paused": row.handler.paused,
        "waiting": load.waiting,
        "oldest_accepted_at": iso_ms(oldest_ms, local=False),
        "oldest_age_s": None if oldest_ms is None else max(now_ms - oldest_ms, 0) // 1000,
        "held": row.counts.get("held", 0),
        "done": row.counts.get("done", 0),
        "dropped": row.counts.get("dropped", 0),
        "done_lately": load.done,
        "lately_s": WINDOW_MS // 1000,
        "left_s": load.left_s,
    }


def _show(terminal: Terminal, loads: list[Load], now_ms: int) -> None:
    tr = terminal.tr
    headings = [tr("No."), tr("Handler"), tr("Waiting"), tr("Oldest"), tr("Held"), tr("Done"), tr("Left")]
    rows = [[str(load.row.handler.id), load.row.handler.url, *_figures(load, now_ms)] for load in loads]
    if all(load.left_s is None for load in loads):
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    if any(load.row.handler.paused for load in loads):
        headings.append(tr("Paused"))
        rows = [[*row, tr("yes") if load.row.handler.paused else ""] for row, load in zip(rows, loads, strict=True)]
    show_table(terminal, headings, rows)


def _figures(load: Load, now_ms: int) -> list[str]:
    row = load.row
    oldest_ms = row.oldest_accepted_at_ms
    return [
        str(load.waiting),
        "–" if oldest_ms is None else span((now_ms - oldest_ms) / 1000),
        str(row.counts.get("held", 0)),
        str(row.counts.get("done", 0)),
        "–" if load.left_s is None else span(load.left_s),
    ]
