"""`relay app`: the applications of the portals, as the operator adds and lists them.

Leans on the `Applications` use case. An application's secret is shown once, when it is added, and stored only as
a hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli import app_changes
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso

if TYPE_CHECKING:
    from relay.core.model import App, Portal
    from relay.opened import Relay

EXAMPLES = """
relay app add --portal 1 --title Orders --redirect-uri https://orders.example.com/oauth --scope crm,user
relay app list
"""
_ADD = """
relay app add --portal 1 --title Orders --redirect-uri https://orders.example.com/oauth --scope crm,user
relay app add --portal 1 --title Shop --redirect-uri https://shop.example.com/ --scope crm \\
    --client-id app.0123456789abcd.01234567 --client-secret SECRET --status F
"""
_LIST = """
relay app list
relay app list --portal https://portal.example.com --json
"""


def app() -> None:
    """The applications of the portals."""


def add(
    ctx: typer.Context,
    portal: Annotated[str, typer.Option("--portal", metavar="PORTAL", help="The portal's number or its address.")],
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="What the application is called.")],
    redirect_uri: Annotated[
        str,
        typer.Option("--redirect-uri", metavar="URL", help="Where the browser is sent after authorization."),
    ],
    scope: Annotated[
        str,
        typer.Option("--scope", metavar="LIST", help="What it may use, as a comma list: crm,user"),
    ],
    client_id: Annotated[
        str | None,
        typer.Option(
            "--client-id", metavar="ID", help="The id of an application that already lives elsewhere; else one is made."
        ),
    ] = None,
    client_secret: Annotated[
        str | None,
        typer.Option("--client-secret", metavar="SECRET", help="The secret that belongs to the given id."),
    ] = None,
    status: Annotated[
        str,
        typer.Option(
            "--status", metavar="L|F", help="L: a local application (usual); F: a free one of the marketplace."
        ),
    ] = "L",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Add an application to a portal and show its client id and secret, once."""
    terminal = terminal_of(ctx, home, as_json)

    async def store(relay: Relay) -> tuple[str, str]:
        return await relay.applications.add(
            await relay.portals.find(portal),
            title=title,
            redirect_uri=redirect_uri,
            scope=scope,
            client_id=client_id,
            client_secret=client_secret,
            status=status,
        )

    made_id, secret = with_relay(terminal, store)
    if terminal.as_json:
        terminal.document({"client_id": made_id, "client_secret": secret})
        return
    tr = terminal.tr
    terminal.say(tr("The application is added. Enter these in it:"))
    terminal.say(f"  client_id:     {made_id}")
    terminal.say(f"  client_secret: {secret}")
    terminal.say(tr("Write the secret down now: it is not shown again."))


def list_apps(
    ctx: typer.Context,
    portal: Annotated[
        str | None,
        typer.Option("--portal", metavar="PORTAL", help="Only those of this portal (number or address)."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the applications."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> list[tuple[App, Portal]]:
        only = await relay.portals.find(portal) if portal else None
        directory = await relay.portals.current()
        apps = (app for app in directory.apps.values() if app.deleted_at is None)
        return [
            (app, directory.portals[app.portal_id])
            for app in sorted(apps, key=lambda app: app.number)
            if only is None or app.portal_id == only.id
        ]

    found = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([_document(app, portal) for app, portal in found])
    else:
        _show(terminal, found)


GROUP = (("add", add, _ADD), ("list", list_apps, _LIST), *app_changes.COMMANDS)


def _document(app: App, portal: Portal) -> dict[str, Any]:
    return {
        "client_id": app.client_id,
        "title": app.title,
        "portal_id": portal.id,
        "portal": portal.url,
        "redirect_uri": app.redirect_uri,
        "scope": app.scope,
        "status": app.status,
        "version": app.version,
        "installed": app.installed,
        "active": app.active,
        "token_format": app.token_format,
        "audience": app.audience,
        "post_only": app.post_only,
        "signed_events": app.signing_keys_sealed is not None,
        "created_at": iso(app.created_at, local=False),
    }


def _show(terminal: Terminal, found: list[tuple[App, Portal]]) -> None:
    tr = terminal.tr
    if not found:
        terminal.say(tr("There are no applications yet."))
        return
    headings = [tr("Client id"), tr("Title"), tr("Portal"), tr("Scope"), tr("Status"), tr("Installed")]
    yes_no = {True: tr("yes"), False: tr("no")}
    rows = [
        [app.client_id, app.title, portal.url, app.scope, app.status, yes_no[app.installed and app.active]]
        for app, portal in found
    ]
    show_table(terminal, headings, rows)
