"""`relay portal show`: one portal, what its module said of it and when, and what is revoked.

Leans on the directory, the facts and the audit record. Never shows a portal's secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home, PortalName
from relay.cli.tables import show_fields
from relay.cli.terminal import Terminal, terminal_of
from relay.cli.times import iso, span

if TYPE_CHECKING:
    from relay.core.directory import Directory
    from relay.core.model import Portal
    from relay.opened import Relay

EXAMPLES = """
relay portal show 1
relay portal show https://portal.example.com
"""
_REVOKED = "portal.revoked"
_MOST_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class Seen:
    """What there is to show. facts: with when they came. revoked_at: when all of it was last revoked."""

    portal: Portal
    directory: Directory
    oauth_url: str
    facts: tuple[dict[str, Any], int] | None
    revoked_at: int | None
    now: int

    @property
    def apps(self) -> int:
        """How many applications it has."""
        return len(self.directory.apps_of(self.portal.id))

    def revocations(self) -> dict[str, Any]:
        """What is revoked and not over yet."""
        marks, portal_id = self.directory.revocations, self.portal.id
        numbers = {app.number for app in self.directory.apps.values() if app.portal_id == portal_id}
        whole = marks.portals.get(portal_id, 0) >= self.now
        return {
            "portal_at": iso(self.revoked_at, local=False) if whole else None,
            "portal_through": iso(marks.portals[portal_id], local=False) if whole else None,
            "apps": sum(through >= self.now and number in numbers for number, through in marks.apps.items()),
            "users": sum(through >= self.now and owner == portal_id for (owner, _), through in marks.users.items()),
            "tokens": sum(through >= self.now and number in numbers for (number, _), through in marks.tokens.items()),
        }


def show(ctx: typer.Context, name: PortalName, home: Home = None, as_json: AsJson = False) -> None:
    """Show one portal: whether it is registered, where its handlers may be, what it offers, what is revoked."""
    terminal = terminal_of(ctx, home, as_json)

    async def read(relay: Relay) -> Seen:
        portal = await relay.portals.find(name)
        entries = await relay.store.list_audit(0, _REVOKED, _MOST_ENTRIES)
        return Seen(
            portal,
            await relay.portals.current(),
            relay.config.origin,
            await relay.store.find_facts(portal.id),
            next((entry.at for entry in entries if entry.portal_id == portal.id), None),
            relay.clock.now_ms() // 1000,
        )

    seen = with_relay(terminal, read)
    if terminal.as_json:
        terminal.document(_document(seen))
    else:
        show_fields(terminal, _fields(terminal, seen))


def portal_document(portal: Portal) -> dict[str, Any]:
    """A portal as JSON."""
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


def when(terminal: Terminal, unix_s: int | None) -> str:
    """A moment, or that it has not come."""
    return iso(unix_s) or terminal.tr("not yet")


def _document(seen: Seen) -> dict[str, Any]:
    facts = None
    if seen.facts is not None:
        given, received_at = seen.facts
        facts = {
            "received_at": iso(received_at, local=False),
            "age_s": max(seen.now - received_at, 0),
            "methods": len(given.get("methods", [])),
            "events": len(given.get("events", [])),
            "scopes": len(given.get("scopes", [])),
            "modules": given.get("modules", {}),
            "php": given.get("php", ""),
            "sm_version": given.get("sm_version", ""),
        }
    return portal_document(seen.portal) | {
        "oauth_url": seen.oauth_url,
        "apps": seen.apps,
        "facts": facts,
        "revocations": seen.revocations(),
    }


def _fields(terminal: Terminal, seen: Seen) -> list[tuple[str, str]]:
    tr, portal = terminal.tr, seen.portal
    return [
        (tr("No."), str(portal.id)),
        (tr("Portal"), portal.url),
        (tr("Registered"), when(terminal, portal.registered_at)),
        (tr("May register until"), iso(portal.window_until) or ""),
        (tr("Licence is checked"), tr("yes") if portal.licence_md5 else tr("no")),
        (tr("Client id"), portal.client_id or "–"),
        (tr("Member id"), portal.member_id or "–"),
        (tr("Applications"), str(seen.apps)),
        (tr("Handlers may be at"), ", ".join([tr("private networks"), *portal.allow])),
        (tr("rest/oauth_server is to be"), seen.oauth_url),
        (tr("Told by its module"), _facts(terminal, seen)),
        (tr("Revoked"), _revoked(terminal, seen)),
    ]


def _facts(terminal: Terminal, seen: Seen) -> str:
    if seen.facts is None:
        return terminal.tr("nothing yet")
    given, received_at = seen.facts
    return terminal.tr(
        "{age} ago: {methods} methods, {events} events, {scopes} scopes, {modules} modules, main {version}, PHP {php}",
        age=span(seen.now - received_at),
        methods=len(given.get("methods", [])),
        events=len(given.get("events", [])),
        scopes=len(given.get("scopes", [])),
        modules=len(given.get("modules", {})),
        version=given.get("sm_version") or "–",
        php=given.get("php") or "–",
    )


def _revoked(terminal: Terminal, seen: Seen) -> str:
    tr, marks = terminal.tr, seen.revocations()
    parts = []
    if marks["portal_through"]:
        parts.append(tr("everything granted until {moment}", moment=iso(seen.revoked_at) or "–"))
    if marks["apps"]:
        parts.append(tr("applications: {count}", count=marks["apps"]))
    if marks["users"]:
        parts.append(tr("users: {count}", count=marks["users"]))
    if marks["tokens"]:
        parts.append(tr("single tokens: {count}", count=marks["tokens"]))
    return "; ".join(parts) or tr("nothing")
