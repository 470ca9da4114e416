"""`relay app rotate-secret|revoke|set|signing-key`: an application's secrets, tokens and switches.

Leans on the use cases of applications, revocations and signing keys. A secret is shown once, when it is made. Never
ends an application's tokens without being told twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.chosen_app import AtPortal, ClientId, chosen_app
from relay.cli.confirming import Yes, confirm
from relay.cli.failures import Failed, WrongUsage
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.portal_access import BY_OPERATOR
from relay.cli.terminal import terminal_of
from relay.cli.times import iso, parse_duration

if TYPE_CHECKING:
    from relay.core.model import App
    from relay.opened import Relay

_ROTATE = """
relay app rotate-secret local.5c8bb1b0891cf2.87252039
relay app rotate-secret local.5c8bb1b0891cf2.87252039 --overlap 7d
relay app rotate-secret app.0123456789abcd.01234567 --portal 2 --overlap 0
"""
_REVOKE = """
relay app revoke local.5c8bb1b0891cf2.87252039
relay app revoke local.5c8bb1b0891cf2.87252039 --yes
"""
_SET = """
relay app set local.5c8bb1b0891cf2.87252039 --token-format jwt --audience https://reports.example.com
relay app set local.5c8bb1b0891cf2.87252039 --post-only
relay app set local.5c8bb1b0891cf2.87252039 --inactive
"""
_SIGNING_KEY = """
relay app signing-key local.5c8bb1b0891cf2.87252039
relay app signing-key local.5c8bb1b0891cf2.87252039 --retire-old
"""
_AT_ONCE = {"0", "0s"}


def rotate_secret(
    ctx: typer.Context,
    client_id: ClientId,
    portal: AtPortal = None,
    overlap: Annotated[
        str,
        typer.Option("--overlap", metavar="TIME", help="How long the old secret stays good: 24h (usual), 7d, or 0."),
    ] = "24h",
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a new client secret and show it, once; the old one stays good for a while."""
    terminal = terminal_of(ctx, home, as_json)
    overlap_s = 0 if overlap.strip() in _AT_ONCE else parse_duration(overlap)

    async def run(relay: Relay) -> tuple[str, int]:
        app = await chosen_app(terminal, relay, client_id, portal)
        secret = await relay.applications.rotate_secret(app, overlap_s)
        return secret, relay.clock.now_ms() // 1000 + overlap_s

    secret, until = with_relay(terminal, run)
    if terminal.as_json:
        old_until = iso(until, local=False) if overlap_s else None
        terminal.document({"client_id": client_id, "client_secret": secret, "old_secret_until": old_until})
        return
    tr = terminal.tr
    terminal.say(tr("Enter the new secret in the application:"))
    terminal.say(f"  client_id:     {client_id}")
    terminal.say(f"  client_secret: {secret}")
    terminal.say(tr("Write the secret down now: it is not shown again."))
    if overlap_s:
        terminal.say(tr("The old secret stays good until {moment}.", moment=iso(until)))
    else:
        terminal.say(tr("The old secret is of no use any more."))


def revoke(
    ctx: typer.Context,
    client_id: ClientId,
    portal: AtPortal = None,
    yes: Yes = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End every token, grant and code of an application.

    The application stays: whoever opens it again gives it new tokens; `relay app set --inactive` stops that too. The
    portal's module learns it within a minute.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    app = with_relay(terminal, lambda relay: chosen_app(terminal, relay, client_id, portal))
    question = tr("End all tokens of {title} ({id})? It must be opened anew.", title=app.title, id=client_id)
    confirm(terminal, question, yes=yes)
    with_relay(terminal, lambda relay: relay.revocations.revoke_app(app, BY_OPERATOR))
    if terminal.as_json:
        terminal.document({"revoked": True, "client_id": client_id, "portal_id": app.portal_id})
    terminal.say(tr("All tokens, grants and codes of {id} are ended.", id=client_id))


def set_app(
    ctx: typer.Context,
    client_id: ClientId,
    portal: AtPortal = None,
    token_format: Annotated[
        str | None,
        typer.Option(
            "--token-format",
            metavar="sealed|jwt",
            help="sealed: 70 signs as from the cloud (usual); jwt: RFC 9068, for services that check it by themselves.",
        ),
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option("--audience", metavar="LIST", help="Whom its jwt tokens are for beside the portal, by spaces."),
    ] = None,
    post_only: Annotated[
        bool | None,
        typer.Option("--post-only/--any-method", help="Whether the token endpoint refuses GET from it."),
    ] = None,
    active: Annotated[
        bool | None,
        typer.Option("--active/--inactive", help="Whether it gets tokens and events; while inactive, its events wait."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Set an application's switches; what is not named stays as it is."""
    terminal = terminal_of(ctx, home, as_json)
    given = {"token_format": token_format, "audience": audience, "post_only": post_only, "active": active}
    if all(value is None for value in given.values()):
        raise WrongUsage(terminal.tr("Say what to set, e.g. --post-only."))

    async def run(relay: Relay) -> App:
        app = await chosen_app(terminal, relay, client_id, portal)
        cleaned = None if audience is None else " ".join(audience.split())
        await relay.applications.configure(
            app, token_format=token_format, audience=cleaned, post_only=post_only, active=active
        )
        return (await relay.portals.current()).apps[app.number]

    app = with_relay(terminal, run)
    switches = {
        "token_format": app.token_format,
        "audience": app.audience,
        "post_only": app.post_only,
        "active": app.active,
    }
    if terminal.as_json:
        terminal.document({"client_id": client_id, "portal_id": app.portal_id} | switches)
        return
    terminal.say(terminal.tr("The application {id} is set:", id=client_id))
    yes_no = {True: terminal.tr("yes"), False: terminal.tr("no")}
    for name, value in switches.items():
        terminal.say(f"  {name}: {yes_no[value] if isinstance(value, bool) else value or '–'}")


def signing_key(
    ctx: typer.Context,
    client_id: ClientId,
    portal: AtPortal = None,
    retire_old: Annotated[
        bool, typer.Option("--retire-old", help="Make no key: sign with the newest only from now on.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a key that the events for an application are signed with, and show it, once.

    Its handlers can then verify them with any library for Standard Webhooks. The key before it signs too, until it is
    retired with --retire-old or another one is made.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr

    async def run(relay: Relay) -> str | None:
        app = await chosen_app(terminal, relay, client_id, portal)
        if not retire_old:
            return await relay.webhook_keys.rotate(app)
        if app.signing_keys_sealed is None:
            raise Failed(tr("The application {id} has no signing key yet.", id=client_id))
        await relay.webhook_keys.retire_old(app)
        return None

    made = with_relay(terminal, run)
    if terminal.as_json:
        terminal.document({"client_id": client_id, "signing_key": made})
    elif made is None:
        terminal.say(tr("Events for {id} are signed with the newest key only.", id=client_id))
    else:
        terminal.say(tr("Enter this key where the application verifies events:"))
        terminal.say(f"  {made}")
        terminal.say(tr("Write the key down now: it is not shown again."))


COMMANDS = (
    ("rotate-secret", rotate_secret, _ROTATE),
    ("revoke", revoke, _REVOKE),
    ("set", set_app, _SET),
    ("signing-key", signing_key, _SIGNING_KEY),
)
