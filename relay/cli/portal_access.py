"""`relay portal adopt|revoke`: taking over a portal that lived with the cloud, and ending what was granted.

Leans on the adoption and revocation use cases. Never repeats a secret of what is handed over, and never revokes without
being told twice.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from relay.cli.confirming import Yes, confirm
from relay.cli.failures import Failed
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home, PortalName
from relay.cli.terminal import Terminal, terminal_of

if TYPE_CHECKING:
    from relay.core.model import Portal
    from relay.opened import Relay

_ADOPT = """
relay portal adopt portal.json
relay portal adopt - < portal.json
"""
_REVOKE = """
relay portal revoke https://portal.example.com
relay portal revoke 1 --user 67 --yes
"""
STANDARD_INPUT = "-"
BY_OPERATOR = "operator"
_MAX_USER = 2**32 - 1


def adopt(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What the portal's module wrote; - reads it from standard input.")
    ],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Take over a portal that has lived with the cloud, with its credentials and its applications' as they are.

    The portal must be announced (`relay portal add`). Its applications need not be installed again. Running it again
    adds what is new and changes nothing else.
    """
    terminal = terminal_of(ctx, home, as_json)
    document = _read(terminal, file)
    result = with_relay(terminal, lambda relay: relay.adoption.adopt_document(document))
    if terminal.as_json:
        terminal.document(result)
        return
    tr = terminal.tr
    terminal.say(tr("The portal is taken over; its member_id is {id}.", id=result["member_id"]))
    terminal.say(
        tr("Applications added: {added}, known already: {known}.", added=result["adopted"], known=result["known"])
    )
    if file != STANDARD_INPUT:
        terminal.say(tr("{file} holds secrets: delete it now.", file=file))


def _read(terminal: Terminal, file: str) -> str:
    """The document, its bytes as they are. Raises Failed for one that is too large, OSError."""
    from relay.app.adoption import MAX_DOCUMENT  # noqa: PLC0415 - slow to import

    most = MAX_DOCUMENT * 4  # bytes of UTF-8 at most
    if file == STANDARD_INPUT:
        read = sys.stdin.buffer.read(most + 1)
    else:
        with Path(file).open("rb") as stream:
            read = stream.read(most + 1)
    if len(read) > most:
        raise Failed(terminal.tr("{file} is too large for what a portal's module writes.", file=file))
    return read.decode("utf-8-sig", "surrogateescape")


def revoke(
    ctx: typer.Context,
    name: PortalName,
    user: Annotated[
        int | None,
        typer.Option("--user", metavar="ID", min=1, max=_MAX_USER, help="Only what this user of the portal granted."),
    ] = None,
    yes: Yes = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """End every token, grant and code of a portal, or of one of its users.

    The applications stay: whoever opens one again gives it new tokens. The portal's module learns it within a minute.
    """
    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    found = with_relay(terminal, lambda relay: relay.portals.find(name))
    if user is None:
        question = tr("End all tokens of {url}? Every application there must be opened anew.", url=found.url)
    else:
        question = tr("End all tokens of user {user} of {url}?", user=user, url=found.url)
    confirm(terminal, question, yes=yes)
    with_relay(terminal, lambda relay: _revoke(relay, found, user))
    if terminal.as_json:
        terminal.document({"revoked": True, "portal_id": found.id, "url": found.url, "user_id": user})
    elif user is None:
        terminal.say(tr("All tokens, grants and codes of {url} are ended.", url=found.url))
    else:
        terminal.say(tr("All tokens, grants and codes of user {user} of {url} are ended.", user=user, url=found.url))


async def _revoke(relay: Relay, portal: Portal, user: int | None) -> None:
    if user is None:
        await relay.revocations.revoke_portal(portal.id, BY_OPERATOR)
    else:
        await relay.revocations.revoke_user(portal.id, user, BY_OPERATOR)


COMMANDS = (("adopt", adopt, _ADOPT), ("revoke", revoke, _REVOKE))
