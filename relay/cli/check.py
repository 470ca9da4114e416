"""`relay check`: whether a portal has all that an application needs, before it is installed there; exit 1 if not.

Leans on the facts that the portal's module reported, and on `relay.app.check` for the judgement. Never asks the portal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.app.check import MAX_DOCUMENT, Kind, Missing, compare, parse_requirements
from relay.cli.failures import FAILED, Failed
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home, PortalName
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso, span

if TYPE_CHECKING:
    from relay.core.model import Portal
    from relay.opened import Relay

EXAMPLES = """
relay check https://portal.example.com --require requirements.txt
relay check 1 --require requirements.json --json
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A portal and what its module said of it; facts is None if it said nothing yet."""

    portal: Portal
    facts: dict[str, Any] | None
    received_at: int | None
    now: int


def check(
    ctx: typer.Context,
    name: PortalName,
    require: Annotated[
        Path,
        typer.Option(
            "--require",
            metavar="FILE",
            help="What is needed: a method, event or scope a line; module:crm>=23.0; # begins a remark. Or JSON:"
            ' {"methods": [], "events": [], "scopes": [], "modules": {"crm": "23.0"}}',
        ),
    ],
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a portal has all that an application needs.

    It is compared with what the portal's module last reported. It ends with status 1 if anything is missing.
    """
    terminal = terminal_of(ctx, home, as_json)
    requirements = parse_requirements(_read(terminal, require))

    async def read(relay: Relay) -> Seen:
        portal = await relay.portals.find(name)
        found = await relay.store.find_facts(portal.id)
        facts, received_at = found or (None, None)
        return Seen(portal, facts, received_at, relay.clock.now_ms() // 1000)

    seen = with_relay(terminal, read)
    missing = None if seen.facts is None else compare(requirements, seen.facts)
    if terminal.as_json:
        terminal.document(_document(seen, len(requirements), missing))
    if missing is None:
        raise Failed(
            terminal.tr(
                "{url} has not said yet what it has: its module does so when it is connected, and once a day.",
                url=seen.portal.url,
            )
        )
    _tell(terminal, seen, len(requirements), missing)
    if missing:
        raise typer.Exit(FAILED)


def _read(terminal: Terminal, file: Path) -> str:
    with file.open("rb") as stream:
        read = stream.read(4 * MAX_DOCUMENT + 1)
    try:
        return read.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Failed(terminal.tr("{file} is not a text in UTF-8.", file=file)) from error


def _document(seen: Seen, required: int, missing: list[Missing] | None) -> dict[str, Any]:
    return {
        "ok": missing == [],
        "portal_id": seen.portal.id,
        "url": seen.portal.url,
        "facts_at": iso(seen.received_at, local=False),
        "required": required,
        "missing": [
            {
                "kind": str(one.requirement.kind),
                "name": one.requirement.name,
                "version": one.requirement.version,
                "module": one.module,
                "found": one.found,
            }
            for one in missing or ()
        ],
    }


def _tell(terminal: Terminal, seen: Seen, required: int, missing: list[Missing]) -> None:
    tr = terminal.tr
    age = span(seen.now - (seen.received_at or seen.now))
    for one in missing:
        terminal.say(_sentence(terminal, one))
    if missing:
        terminal.say()
        terminal.say(
            tr(
                "Missing at {url}: {missing} of {required}, by what it said {age} ago.",
                url=seen.portal.url,
                missing=len(missing),
                required=required,
                age=age,
            )
        )
    else:
        terminal.say(
            tr("{url} has all {required}, by what it said {age} ago.", url=seen.portal.url, required=required, age=age)
        )


def _sentence(terminal: Terminal, one: Missing) -> str:
    tr, wanted = terminal.tr, one.requirement
    if wanted.kind is Kind.MODULE:
        if one.found is None:
            return tr("The module {name} is not installed.", name=wanted.name)
        return tr(
            "The module {name} is of version {found}; {version} or newer is needed.",
            name=wanted.name,
            found=one.found,
            version=wanted.version,
        )
    says = {
        Kind.METHOD: tr("There is no method {name}.", name=wanted.name),
        Kind.EVENT: tr("There is no event {name}.", name=wanted.name),
        Kind.SCOPE: tr("There is no scope {name}.", name=wanted.name),
        Kind.NAME: tr("There is no method, event or scope {name}.", name=wanted.name),
    }[wanted.kind]
    if one.module is not None and one.found is not None:
        says += " " + tr("Its module {module} is there in version {version}.", module=one.module, version=one.found)
    return says
