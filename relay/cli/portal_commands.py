"""`relay portal`: announcing portals, listing, showing and removing them, with the next step in plain words.

Leans on the `Portals` use case. Never prints a portal's secret, and never removes one without being told twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli import portal_access, portal_show
from relay.cli.ca_file import read_ca
from relay.cli.confirming import Yes, confirm
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home, PortalName
from relay.cli.portal_show import portal_document, when
from relay.cli.tables import show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso, parse_duration

if TYPE_CHECKING:
    from relay.config import Config
    from relay.core.model import Portal
    from relay.opened import Relay

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

    For a portal that is known already it opens the time to register again and adds to what is allowed. Each time it
    shows a new connection code for the portal's module, which takes the place of the one before.
    """
    terminal = terminal_of(ctx, home, as_json)
    seconds = parse_duration(window)

    async def announce(relay: Relay) -> tuple[Portal, Config, str]:
        config = relay.config
        ca_pem = read_ca(terminal, config)
        portal = await relay.portals.announce(url, licence_md5=licence_md5, window_s=seconds, allow=allow or ())
        return portal, config, await relay.portals.connection_code(portal, config.origin, ca_pem)

    announced, config, connect = with_relay(terminal, announce)
    _warn(terminal, announced, config.public_url)
    if terminal.as_json:
        terminal.document(portal_document(announced) | {"oauth_url": config.origin, "connection_code": connect})
    else:
        _tell_next_step(terminal, announced, config, connect)


def list_portals(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """List the portals."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> list[Portal]:
        directory = await relay.portals.current()
        return sorted(directory.portals.values(), key=lambda portal: portal.id)

    portals = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([portal_document(portal) for portal in portals])
        return
    tr = terminal.tr
    if not portals:
        terminal.say(tr("No portal is announced yet. Announce one: {relay} portal add URL", relay=terminal.relay))
        return
    headings = [tr("No."), tr("Portal"), tr("Registered"), tr("May register until")]
    rows = [
        [str(portal.id), portal.url, when(terminal, portal.registered_at), iso(portal.window_until) or ""]
        for portal in portals
    ]
    show_table(terminal, headings, rows)


def remove(
    ctx: typer.Context,
    name: PortalName,
    yes: Yes = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Forget a portal with its applications and tokens.

    Refused while events of it wait for delivery.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    found = with_relay(terminal, lambda relay: relay.portals.find(name))
    question = tr("Remove {url} with its applications and tokens? This cannot be undone.", url=found.url)
    confirm(terminal, question, yes=yes)
    with_relay(terminal, lambda relay: relay.portals.remove(found))
    if terminal.as_json:
        terminal.document({"removed": True, "portal_id": found.id, "url": found.url})
    terminal.say(tr("{url} is removed.", url=found.url))


GROUP = (
    ("add", add, _ADD),
    ("list", list_portals, _LIST),
    ("show", portal_show.show, portal_show.EXAMPLES),
    *portal_access.COMMANDS,
    ("remove", remove, _REMOVE),
)


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


def _tell_next_step(terminal: Terminal, portal: Portal, config: Config, connect: str) -> None:
    tr, say, oauth_url = terminal.tr, terminal.say, config.origin
    until = iso(portal.window_until)
    say(tr("{url} is announced as portal {number}.", url=portal.url, number=portal.id))
    say(tr("It may register until {until}.", until=until))
    say()
    say(tr("With the relay's module: install it in the portal and paste this connection code on its settings page."))
    say(tr("It tells the portal where the relay is and whom to trust, and lets it hand over its applications, once:"))
    say()
    say(connect)
    say()
    if oauth_url.startswith("https://") and not config.ca_file:
        say(
            tr(
                "If your own authority issued the relay's certificate, set `ca_file` in relay.toml and run this again:"
                " the code then carries it."
            )
        )
        say()
    say(tr("Without the module, in the portal:"))
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
