"""`relay key`: the keys that seal and sign tokens, and making new ones before it is time.

Leans on the plan of core/keyring.py. Shows ids and dates, never a key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso
from relay.core.keyring import active_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.core.directory import Directory
    from relay.core.keyring import Key
    from relay.opened import Relay

EXAMPLES = """
relay key list
relay key rotate
"""
_LIST = """
relay key list
relay key list --json
"""
_ROTATE = """
relay key rotate
relay key rotate --now
"""
PUBLISHED, ACTIVE, RETIRED = "published", "active", "retired"


@dataclass(frozen=True, slots=True)
class Standing:
    """A key and where it stands. owner: a portal's URL, or None for the relay's own signing keys."""

    owner: str | None
    portal_id: int | None
    key: Key
    state: str


def key() -> None:
    """The keys that seal and sign tokens."""


def list_keys(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """List the keys: published (known, not used yet), active, or retired (good for what was made with it)."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> list[Standing]:
        return _standings(await relay.portals.current(), relay.clock.now_ms() // 1000)

    found = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document([_document(one) for one in found])
    elif found:
        _show(terminal, found)
    else:
        terminal.say(terminal.tr("There are no keys yet: they are made when `relay serve` starts."))


def rotate(
    ctx: typer.Context,
    now: Annotated[
        bool, typer.Option("--now", help="Use the new keys at once, e.g. when an old one may be known to others.")
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make new keys; the old ones stay good for the tokens made with them.

    A new key is published first and used when every portal's module knows it. With --now it is used at once, and a
    module that has not heard of it asks the relay.
    """
    terminal = terminal_of(ctx, home, as_json)

    async def run(relay: Relay) -> tuple[int, list[Standing]]:
        made = await relay.keys.rotate(at_once=now)
        return made, _standings(await relay.portals.current(), relay.clock.now_ms() // 1000)

    made, found = with_relay(terminal, run)
    if terminal.as_json:
        terminal.document({"made": made, "now": now, "keys": [_document(one) for one in found]})
        return
    tr = terminal.tr
    if made:
        terminal.say(tr("New keys: {count}", count=made))
    else:
        terminal.say(tr("The next keys are published already; use them at once with --now."))
    terminal.say()
    _show(terminal, found)


GROUP = (("list", list_keys, _LIST), ("rotate", rotate, _ROTATE))


def key_states(keys: Sequence[Key], now: int) -> list[tuple[Key, str]]:
    """Where each of one owner's keys stands, the newest first; of two of one second that without a successor."""
    active = active_key(keys, now)
    return [
        (one, ACTIVE if one is active else PUBLISHED if one.active_from > now else RETIRED)
        for one in sorted(keys, key=lambda one: (one.active_from, one.good_until is None), reverse=True)
    ]


def _standings(directory: Directory, now: int) -> list[Standing]:
    found = [Standing(None, None, one, state) for one, state in key_states(directory.signing_keys, now)]
    for portal in sorted(directory.portals.values(), key=lambda portal: portal.id):
        keys = key_states(directory.sealing_keys(portal.id), now)
        found += [Standing(portal.url, portal.id, one, state) for one, state in keys]
    return found


def _document(one: Standing) -> dict[str, Any]:
    return {
        "kind": "signing" if one.portal_id is None else "sealing",
        "portal_id": one.portal_id,
        "portal": one.owner,
        "key_id": one.key.key_id,
        "state": one.state,
        "active_from": iso(one.key.active_from, local=False),
        "good_until": iso(one.key.good_until, local=False),
    }


def _show(terminal: Terminal, found: list[Standing]) -> None:
    tr = terminal.tr
    states = {PUBLISHED: tr("published"), ACTIVE: tr("active"), RETIRED: tr("retired")}
    headings = [tr("Key of"), tr("No."), tr("State"), tr("Active from"), tr("Good until")]
    rows = [
        [
            one.owner or tr("the relay (signatures)"),
            str(one.key.key_id),
            states[one.state],
            iso(one.key.active_from) or "",
            iso(one.key.good_until) or "–",
        ]
        for one in found
    ]
    show_table(terminal, headings, rows)
