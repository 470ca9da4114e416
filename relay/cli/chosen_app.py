"""The application that a command is about, by its client id.

Leans on the directory. Never picks one of several: a marketplace application may be at more than one portal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.failures import Failed

if TYPE_CHECKING:
    from relay.cli.terminal import Terminal
    from relay.core.model import App
    from relay.opened import Relay

ClientId = Annotated[
    str, typer.Argument(metavar="CLIENT_ID", help="The application's client id, as `relay app list` shows it.")
]
AtPortal = Annotated[
    str | None,
    typer.Option("--portal", metavar="PORTAL", help="At which portal, where several have it (number or address)."),
]


async def chosen_app(terminal: Terminal, relay: Relay, client_id: str, portal: str | None) -> App:
    """The application. Raises Failed for none or several, NotFound for a portal that is not there."""
    tr = terminal.tr
    only = await relay.portals.find(portal) if portal else None
    directory = await relay.portals.current()
    found = [app for app in directory.apps_by_client(client_id) if only is None or app.portal_id == only.id]
    if not found:
        raise Failed(
            tr(
                "There is no application {id}. `{relay} app list` shows those there are.",
                id=client_id,
                relay=terminal.relay,
            )
        )
    if len(found) > 1:
        numbers = ", ".join(str(app.portal_id) for app in found)
        raise Failed(tr("Several portals have this application: name one with --portal, {numbers}.", numbers=numbers))
    return found[0]
