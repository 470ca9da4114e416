"""`relay migrate`: the database brought to the version this program needs; safe to run twice.

Leans on the migrations that `relay serve` applies too. Never changes a database that a relay of another version serves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from relay.cli.failures import Failed
from relay.cli.home import is_served
from relay.cli.opening import require_known_schema, schema_versions, with_relay
from relay.cli.options import AsJson, Home
from relay.cli.terminal import terminal_of

if TYPE_CHECKING:
    from relay.opened import Relay

EXAMPLES = """
relay migrate
relay migrate --home /var/lib/relay --json
"""


def migrate(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """Bring the database to the version that this program needs.

    `relay serve` does the same when it starts. Save the relay first: `relay backup`.
    """
    from relay.config import load_config  # noqa: PLC0415 - slow to import
    from relay.opened import require_database  # noqa: PLC0415

    terminal = terminal_of(ctx, home, as_json)
    tr = terminal.tr
    config = load_config(terminal.home)
    require_database(config)
    require_known_schema(config, upgrade=True)
    before, known = schema_versions(config)
    newest = known[-1]
    if before != newest:
        if not config.store and is_served(config.home):
            raise Failed(tr("A relay serves {home}: stop it first, or start it with this program.", home=terminal.home))
        with_relay(terminal, _look, upgrade=True)
    if terminal.as_json:
        terminal.document({"from": before, "to": newest, "migrated": before != newest})
    elif before != newest:
        terminal.say(tr("The database went from version {old} to {new}.", old=before or "–", new=newest))
    else:
        terminal.say(tr("The database has version {new} already.", new=newest))


async def _look(relay: Relay) -> None:
    """Opening it migrates it; reading shows that the master key fits."""
    await relay.store.directory()
