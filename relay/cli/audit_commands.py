"""`relay audit`: the record of what concerns security, as it was written, newest first.

Leans on the issuer store. Only reads: nothing changes or deletes an entry.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_table
from relay.cli.terminal import terminal_of
from relay.cli.times import iso, parse_moment

if TYPE_CHECKING:
    from relay.core.directory import Directory
    from relay.opened import Relay
    from relay.records import AuditEntry

EXAMPLES = """
relay audit list
relay audit list --since 7d --kind app
"""
_LIST = """
relay audit list
relay audit list --since 7d --kind grant.revoked
relay audit list --since 2026-05-01 --kind app --limit 1000 --json
"""
_MAX_LIMIT = 100_000


def audit() -> None:
    """The record of what concerns security."""


def list_entries(
    ctx: typer.Context,
    since: Annotated[
        str,
        typer.Option("--since", metavar="TIME", help="Only since then: an ISO date, or 24h (usual) for a day ago."),
    ] = "24h",
    kind: Annotated[
        str,
        typer.Option("--kind", metavar="KIND", help="Only of this kind, or of all that begin with it: app, key.made."),
    ] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, max=_MAX_LIMIT, help="At most so many, 200 unless given.")
    ] = 200,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """List the entries, the newest first."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> tuple[list[AuditEntry], Directory]:
        since_s = parse_moment(since, relay.clock.now_ms()) // 1000
        return await relay.store.list_audit(since_s, kind, limit), await relay.portals.current()

    entries, directory = with_relay(terminal, read)
    documents = [_document(entry, directory) for entry in entries]
    if terminal.as_json:
        terminal.document(documents)
        return
    tr = terminal.tr
    if not entries:
        terminal.say(tr("Nothing was recorded since then."))
        return
    headings = [tr("Time"), tr("Kind"), tr("Portal"), tr("Application"), tr("Details")]
    rows = [
        [
            iso(entry.at) or "",
            entry.kind,
            document["portal"] or ("–" if entry.portal_id is None else str(entry.portal_id)),
            document["client_id"] or "–",
            _details(entry),
        ]
        for entry, document in zip(entries, documents, strict=True)
    ]
    show_table(terminal, headings, rows)


GROUP = (("list", list_entries, _LIST),)


def _document(entry: AuditEntry, directory: Directory) -> dict[str, Any]:
    portal = directory.portals.get(entry.portal_id or 0)
    app = directory.apps.get(entry.app_number or 0)
    return {
        "at": iso(entry.at, local=False),
        "kind": entry.kind,
        "portal_id": entry.portal_id,
        "portal": portal.url if portal else None,
        "app_number": entry.app_number,
        "client_id": app.client_id if app else None,
        "details": dict(entry.details or {}),
    }


def _details(entry: AuditEntry) -> str:
    """`name=value` pairs; what is no plain text as JSON."""
    return ", ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in (entry.details or {}).items()
    )
