"""`relay portal`: announcing portals, listing, showing and removing them, with the next step in plain words.

Leans on the `Portals` use case. Never prints a portal's secret, and never removes one without being told twice.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.failures import Failed, WrongUsage
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home, PortalName
from relay.cli.tables import show_fields, show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso, parse_duration

if TYPE_CHECKING:
    from relay.build import Relay
    from relay.config import Config
    from relay.core.model import Portal

EXAMPLES = """
relay portal add https://portal.example.com
relay portal list
"""
_ADD = """
relay portal add https://portal.example.com
relay portal add https://portal.example.com --licence-md5 0123456789abcdef0123456789abcdef
relay portal add https://portal.example.com --window 7d --allow apps.example.com --allow 203.0.113.0/24
"""
_LIST = """
relay portal list
relay portal list --json
"""
_SHOW = """
relay portal show 1
relay portal show https://portal.example.com
"""
_REMOVE = """
relay portal remove https://portal.example.com
relay portal remove 1 --yes
"""


def portal() -> None:
    """The portals that this relay serves."""


def add(
    ctx: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="The portal's address, as in the browser.")],
    licence_md5: Annotated[
        str | None,
        typer.Option(
            "--licence-md5",
            metavar="HEX",
            help="md5 of the portal's licence key: then only the portal with that key can register.",
        ),
    ] = None,
    window: Annotated[
        str,
        typer.Option("--window", metavar="TIME", help="How long the portal may register: 30m, 24h (usual), 7d."),
    ] = "24h",
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="HOST|CIDR",
            help="A host or network where handlers may be, beside the private networks; may be given several times.",
        ),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Announce a portal, so that it may register here, and say what to set in it.

    For a portal that is known already it opens the time to register again and adds to what is allowed.
    """
    terminal = terminal_of(ctx, home, as_json)
    seconds = parse_duration(window)

    async def announce(relay: Relay) -> tuple[Portal, Config]:
        portal = await relay.portals.announce(url, licence_md5=licence_md5, window_s=seconds, allow=allow or ())
        return portal, relay.config

    announced, config = with_relay(terminal, announce)
    _warn(terminal, announced, config.public_url)
    if terminal.as_json:
        terminal.document(_document(announced) | {"oauth_url": config.origin})
    else:
        _tell_next_step(terminal, announced, config.origin)


def list_portals(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """List the portals."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> list[Portal]:
        directory = await relay.portals.current()
        return sorted(directory.portals.values(), key=lambda portal: portal.id)

    portals = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([_document(portal) for portal in portals])
        return
    tr = terminal.tr
    if not portals:
        terminal.say(tr("No portal is announced yet. Announce one: {relay} portal add URL", relay=terminal.relay))
        return
    headings = [tr("No."), tr("Portal"), tr("Registered"), tr("May register until")]
    rows = [
        [str(portal.id), portal.url, _when(terminal, portal.registered_at), iso(portal.window_until) or ""]
        for portal in portals
    ]
    show_table(terminal, headings, rows)


def show(ctx: typer.Context, name: PortalName, home: Home = None, as_json: AsJson = False) -> None:
    """Show one portal: whether it is registered, until when it may be, where its handlers may be."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> tuple[Portal, int, str]:
        portal = await relay.portals.find(name)
        directory = await relay.portals.current()
        apps = [a for a in directory.apps.values() if a.portal_id == portal.id and a.deleted_at is None]
        return portal, len(apps), relay.config.origin

    found, apps, oauth_url = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document(_document(found) | {"oauth_url": oauth_url, "apps": apps})
        return
    tr = terminal.tr
    show_fields(
        terminal,
        [
            (tr("No."), str(found.id)),
            (tr("Portal"), found.url),
            (tr("Registered"), _when(terminal, found.registered_at)),
            (tr("May register until"), iso(found.window_until) or ""),
            (tr("Licence is checked"), tr("yes") if found.licence_md5 else tr("no")),
            (tr("Client id"), found.client_id or "–"),
            (tr("Member id"), found.member_id or "–"),
            (tr("Applications"), str(apps)),
            (tr("Handlers may be at"), ", ".join([tr("private networks"), *found.allow])),
            (tr("rest/oauth_server is to be"), oauth_url),
        ],
    )


def remove(
    ctx: typer.Context,
    name: PortalName,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Forget a portal with its applications and tokens.

    Refused while events of it wait for delivery.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    found = with_relay(terminal, lambda relay: relay.portals.find(name))
    if not yes:
        if terminal.as_json or not sys.stdin.isatty():
            raise WrongUsage(tr("Removing a portal must be confirmed: add --yes."))
        question = tr("Remove {url} with its applications and tokens? This cannot be undone.", url=found.url)
        if not _confirmed(terminal, question):
            raise Failed(tr("Nothing was removed."))
    with_relay(terminal, lambda relay: relay.portals.remove(found))
    if terminal.as_json:
        terminal.document({"removed": True, "portal_id": found.id, "url": found.url})
    terminal.say(tr("{url} is removed.", url=found.url))


COMMANDS = (
    ("add", add, _ADD),
    ("list", list_portals, _LIST),
    ("show", show, _SHOW),
    ("remove", remove, _REMOVE),
)


def _document(portal: Portal) -> dict[str, Any]:
    return {
        "portal_id": portal.id,
        "url": portal.url,
        "registered": portal.registered_at is not None,
        "registered_at": iso(portal.registered_at, local=False),
        "window_until": iso(portal.window_until, local=False),
        "licence_checked": portal.licence_md5 is not None,
        "allow": list(portal.allow),
        "client_id": portal.client_id,
        "member_id": portal.member_id or None,
        "created_at": iso(portal.created_at, local=False),
    }


def _warn(terminal: Terminal, portal: Portal, public_url: str) -> None:
    tr = terminal.tr
    if portal.url.startswith("http://"):
        terminal.remark(tr("Warning: {url} is plain http: its tokens cross the network unencrypted.", url=portal.url))
    if not public_url:
        terminal.remark(
            tr(
                "Warning: public_url is not set, so only a portal on this machine can reach the relay:"
                " {relay} init --public-url https://relay.example.com",
                relay=terminal.relay,
            )
        )


def _tell_next_step(terminal: Terminal, portal: Portal, oauth_url: str) -> None:
    tr, say = terminal.tr, terminal.say
    until = iso(portal.window_until)
    say(tr("{url} is announced as portal {number}.", url=portal.url, number=portal.id))
    say(tr("It may register until {until}.", until=until))
    say()
    say(tr("What to do next, in the portal:"))
    if oauth_url.startswith("https://"):
        say(
            "  1. "
            + tr(
                "The portal's server must reach {relay} and trust its certificate: if your own authority issued it,"
                " add that authority to the certificates of the portal's server.",
                relay=oauth_url,
            )
        )
    else:
        say("  1. " + tr("The portal's server must reach {relay}.", relay=oauth_url))
    say("  2. " + tr("As its administrator, run this PHP line (Settings → Tools → PHP command line):"))
    say(f"     \\Bitrix\\Main\\Config\\Option::set('rest','oauth_server','{oauth_url}');")
    say("  3. " + tr("Open any page that uses REST, e.g. the list of applications: the portal then registers itself."))
    say("  4. " + tr("Check:") + f"  {terminal.relay} portal show {portal.id}")


def _when(terminal: Terminal, unix_s: int | None) -> str:
    return iso(unix_s) or terminal.tr("not yet")


def _confirmed(terminal: Terminal, question: str) -> bool:
    # Asked on standard error: standard output is for results.
    print(f"{question} [{terminal.tr('yes')}/{terminal.tr('no')}] ", end="", file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip().lower() in {"y", "yes", "д", "да"}
