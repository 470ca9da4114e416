"""What is wrong with a relay and what to do about it, decided from observations that somebody else made.

Leans on the URL policy. Pure: no file, socket or clock; every finding has a check, a result and, unless all is
well, a remedy that a person can carry out. Never says what it was not told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relay.core.urlpolicy import allows, build_policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relay.core.model import Portal

LITTLE_SPACE_BYTES = 1024**3
NO_SPACE_BYTES = 100 * 1024**2
CLOCK_WARNING_S = 30
CLOCK_FAILURE_S = 300
CERTIFICATE_WARNING_S = 14 * 86400


class Result(StrEnum):
    """How a check went; only `failed` makes the whole examination fail."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Message:
    """A text for people with its values beside it, so that it can be said in any language."""

    text: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result. subject: what was checked, where there are several (a portal, a file)."""

    check: str
    result: Result
    says: Message
    remedy: Message | None = None
    subject: str = ""


@dataclass(frozen=True, slots=True)
class FileMode:
    """A file or directory of the home: the permissions it has, and those it may have at most."""

    path: str
    mode: int
    allowed: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """found, newest: schema versions. fault: why it could not be opened or written."""

    found: str | None = None
    newest: str | None = None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Probe:
    """What an address answered. clock_offset_s: its clock minus ours. certificate_left_s: until its end."""

    reached: bool
    status: int | None = None
    is_relay: bool = False
    fault: str = ""
    certificate_fault: str = ""
    clock_offset_s: float | None = None
    certificate_left_s: float | None = None


@dataclass(frozen=True, slots=True)
class HandlerHost:
    """A host that unfinished events go to. addresses: what its name leads to; None if it leads nowhere."""

    portal_id: int
    host: str
    addresses: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class HeldEvents:
    """Held events of one portal, host and reason (`last_error` and status)."""

    portal_id: int
    host: str
    reason: str
    status: int | None
    count: int


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything that was looked at; what could not be looked at is None or empty.

    relay: how a command of this relay begins (`relay`, or `relay --home …`).
    """

    home: str
    relay: str
    now: int
    modes: tuple[FileMode, ...]
    database: DatabaseState
    free_bytes: int
    listeners: Mapping[str, Probe]
    public_url: str
    public: Probe | None = None
    portals: tuple[Portal, ...] = ()
    portal_probes: Mapping[int, Probe] = field(default_factory=dict)
    counts: Mapping[str, int] | None = None
    handler_hosts: tuple[HandlerHost, ...] = ()
    held: tuple[HeldEvents, ...] = ()


def examine(seen: Observed) -> list[Finding]:
    """Every check's finding, in the order a person should read them."""
    return [
        *_permissions(seen),
        _database(seen),
        _disk(seen),
        *_listeners(seen),
        _public_url(seen),
        _clock(seen),
        *_portals(seen),
        *_handler_hosts(seen),
        *_events(seen),
    ]


def _permissions(seen: Observed) -> Iterator[Finding]:
    for file in seen.modes:
        if file.mode & ~file.allowed:
            yield Finding(
                "permissions",
                Result.FAILED,
                Message("Others on this machine may read it (mode {mode}).", {"mode": f"{file.mode:04o}"}),
                Message("chmod {mode} {path}", {"mode": f"{file.allowed:04o}", "path": file.path}),
                file.path,
            )
        else:
            yield Finding("permissions", Result.OK, Message("Only its owner can read it."), subject=file.path)


def _database(seen: Observed) -> Finding:
    state, relay = seen.database, {"relay": seen.relay}
    if state.fault:
        return Finding(
            "database",
            Result.FAILED,
            Message("The database cannot be used: {reason}.", {"reason": state.fault}),
            Message("See that the disk has space and that {home} belongs to the relay's user.", {"home": seen.home}),
        )
    if state.found != state.newest:
        versions = {"found": state.found or "–", "newest": state.newest or "–"}
        return Finding(
            "database",
            Result.FAILED,
            Message("The database has version {found}, this program needs {newest}.", versions),
            Message("Run `{relay} init` with the newest program.", relay),
        )
    return Finding("database", Result.OK, Message("It opens, is up to date and takes a write."))


def _disk(seen: Observed) -> Finding:
    says = Message("{megabytes} MB are free.", {"megabytes": seen.free_bytes // 1024**2})
    remedy = Message("Make room on the disk of {home}: without it no event can be accepted.", {"home": seen.home})
    if seen.free_bytes < NO_SPACE_BYTES:
        return Finding("disk", Result.FAILED, says, remedy)
    if seen.free_bytes < LITTLE_SPACE_BYTES:
        return Finding("disk", Result.WARNING, says, remedy)
    return Finding("disk", Result.OK, says)


def _listeners(seen: Observed) -> Iterator[Finding]:
    for address, probe in seen.listeners.items():
        if probe.is_relay and probe.status == 200:
            yield Finding("listener", Result.OK, Message("The relay answers and is ready."), subject=address)
        elif probe.is_relay:
            yield Finding(
                "listener",
                Result.FAILED,
                Message("The relay answers, but it is not ready (status {status}).", {"status": probe.status}),
                Message("Read the relay's log: it says what the store did not take."),
                address,
            )
        elif probe.reached:
            yield Finding(
                "listener",
                Result.FAILED,
                Message("Another program answers at this address."),
                Message("Stop that program, or set another address in relay.toml."),
                address,
            )
        else:
            yield Finding(
                "listener",
                Result.WARNING,
                Message("Nothing answers: the relay is not running."),
                Message("Start it: {relay} serve", {"relay": seen.relay}),
                address,
            )


def _public_url(seen: Observed) -> Finding:
    set_it = Message("{relay} init --public-url https://relay.example.com", {"relay": seen.relay})
    url = {"url": seen.public_url}
    if not seen.public_url:
        return Finding(
            "public_url",
            Result.WARNING,
            Message("It is not set: only programs on this machine can use the relay."),
            set_it,
        )
    probe = seen.public
    if probe is not None and probe.certificate_fault:
        return Finding(
            "public_url",
            Result.FAILED,
            Message("Its certificate does not verify: {reason}.", {"reason": probe.certificate_fault}),
            Message("Give it a certificate for this name, and have the portal's server trust who issued it."),
            seen.public_url,
        )
    if probe is not None and not probe.is_relay:
        return _public_url_elsewhere(seen, probe)
    left_s = probe.certificate_left_s if probe else None
    if left_s is not None and left_s < CERTIFICATE_WARNING_S:
        return Finding(
            "public_url",
            Result.WARNING,
            Message("Its certificate ends in {days} days.", {"days": int(left_s // 86400)}),
            Message("Renew the certificate of {url}.", url),
            seen.public_url,
        )
    if seen.public_url.startswith("http://"):
        return Finding(
            "public_url",
            Result.WARNING,
            Message("It is plain http: tokens and secrets cross the network unencrypted."),
            Message("Put a web server with a certificate before the relay and set its https address."),
            seen.public_url,
        )
    return Finding("public_url", Result.OK, Message("It leads to this relay."), subject=seen.public_url)


def _public_url_elsewhere(seen: Observed, probe: Probe) -> Finding:
    running = any(listener.is_relay for listener in seen.listeners.values())
    if not running:
        says = Message("It cannot be checked while the relay is not running.")
        remedy = Message("Start it: {relay} serve", {"relay": seen.relay})
        return Finding("public_url", Result.WARNING, says, remedy, seen.public_url)
    if probe.reached:
        says = Message("Something else answers there (status {status}).", {"status": probe.status or "–"})
    else:
        says = Message("It cannot be reached from here: {reason}.", {"reason": probe.fault})
    remedy = Message("See that the name, the firewall and the web server before the relay lead to it.")
    return Finding("public_url", Result.FAILED, says, remedy, seen.public_url)


def _clock(seen: Observed) -> Finding:
    probes = [p for p in [seen.public, *seen.portal_probes.values()] if p is not None]
    offsets = [probe.clock_offset_s for probe in probes if probe.clock_offset_s is not None]
    if not offsets:
        return Finding("clock", Result.OK, Message("There was no other clock to compare with."))
    worst = max(offsets, key=abs)
    says = Message("It differs from the portal's by {seconds} s at most.", {"seconds": round(abs(worst))})
    if abs(worst) < CLOCK_WARNING_S:
        return Finding("clock", Result.OK, says)
    result = Result.FAILED if abs(worst) >= CLOCK_FAILURE_S else Result.WARNING
    remedy = Message("Have both servers take their time from one source (NTP): tokens live for an hour only.")
    return Finding("clock", result, says, remedy)


def _portals(seen: Observed) -> Iterator[Finding]:
    if seen.counts is not None and not seen.portals:
        yield Finding(
            "portal",
            Result.WARNING,
            Message("No portal is announced."),
            Message("{relay} portal add URL", {"relay": seen.relay}),
        )
    for portal in seen.portals:
        yield _registration(seen, portal)
        probe = seen.portal_probes.get(portal.id)
        if probe is not None and not probe.reached:
            # The relay itself never calls the portal, so this stops nothing; but apps have to reach it.
            yield Finding(
                "portal_reachable",
                Result.WARNING,
                Message("It cannot be reached from here: {reason}.", {"reason": probe.fault}),
                Message("See that its name resolves here and that the firewall lets the relay through."),
                portal.url,
            )
        elif probe is not None:
            yield Finding("portal_reachable", Result.OK, Message("It answers."), subject=portal.url)


def _registration(seen: Observed, portal: Portal) -> Finding:
    if portal.registered_at is not None:
        return Finding("portal", Result.OK, Message("It is registered."), subject=portal.url)
    if seen.now < portal.window_until:
        return Finding(
            "portal",
            Result.WARNING,
            Message("It has not registered yet."),
            Message("`{relay} portal add {url}` shows what to set in it.", {"url": portal.url, "relay": seen.relay}),
            portal.url,
        )
    return Finding(
        "portal",
        Result.FAILED,
        Message("It has not registered, and its time to do so is over."),
        Message("{relay} portal add {url}", {"url": portal.url, "relay": seen.relay}),
        portal.url,
    )


def _handler_hosts(seen: Observed) -> Iterator[Finding]:
    portals = {portal.id: portal for portal in seen.portals}
    for one in seen.handler_hosts:
        portal = portals.get(one.portal_id)
        if portal is None:
            continue
        if one.addresses is None:
            yield Finding(
                "handler_host",
                Result.FAILED,
                Message("Events wait for this host, but its name does not resolve."),
                Message("Make the name known to this server (DNS or /etc/hosts)."),
                one.host,
            )
        elif not any(allows(build_policy(portal.allow), one.host, address) for address in one.addresses):
            yield Finding(
                "handler_host",
                Result.FAILED,
                Message(
                    "Events wait for this host, but {addresses} is not allowed.",
                    {"addresses": ", ".join(one.addresses)},
                ),
                Message(
                    "{relay} portal add {url} --allow {host}",
                    {"url": portal.url, "host": one.host, "relay": seen.relay},
                ),
                one.host,
            )
        else:
            yield Finding("handler_host", Result.OK, Message("It is allowed."), subject=one.host)


def _events(seen: Observed) -> Iterator[Finding]:
    if seen.counts is None:
        return
    waiting = seen.counts.get("due", 0) + seen.counts.get("leased", 0)
    yield Finding("events", Result.OK, Message("Events under way: {count}", {"count": waiting}))
    urls = {portal.id: portal.url for portal in seen.portals}
    groups: Counter[tuple[int, str, str, int | None]] = Counter()
    for held in seen.held:
        groups[held.portal_id, held.host, held.reason, held.status] += held.count
    for (portal_id, host, reason, status), count in groups.most_common():
        shown = str(status) if status is not None else reason
        yield Finding(
            "held_events",
            Result.FAILED,
            Message("Held events: {count}, because of: {reason}", {"count": count, "reason": shown or "–"}),
            _remedy(seen, reason, host, urls.get(portal_id, "URL")),
            host,
        )


def _remedy(seen: Observed, reason: str, host: str, url: str) -> Message:
    """What to do about held events, by the word that the sender gave for the last try."""
    values = {"host": host, "url": url, "relay": seen.relay}
    return Message(_REMEDIES.get(reason, _OTHER_REMEDY), values)


_OTHER_REMEDY = "Look at the handler, then: {relay} event retry --state held --handler {host}"
_REMEDIES = {
    "address_refused": "{relay} portal add {url} --allow {host}"
    " and then: {relay} event retry --state held --handler {host}",
    "bad_url": "The handler's address is no http address: correct it in the application.",
    "status": "The handler refuses them: read its log, then: {relay} event retry --state held --handler {host}",
    "timeout": "The handler takes too long: speed it up or raise delivery.timeout_s,"
    " then: {relay} event retry --state held --handler {host}",
    "name_not_resolved": "Make the name {host} known to this server,"
    " then: {relay} event retry --state held --handler {host}",
    "tls_failed": "Have this server trust the certificate of {host},"
    " then: {relay} event retry --state held --handler {host}",
    "connection_refused": "Start the program at {host}, then: {relay} event retry --state held --handler {host}",
    "connection_failed": "See that this server can reach {host}, then: {relay} event retry --state held --handler {host}",
    "internal_error": "Read the relay's log, then: {relay} event retry --state held --handler {host}",
}


def handler_host(url: str) -> str:
    """The host of a handler's URL, or the URL itself if it has none."""
    try:
        return (urlsplit(url).hostname or url[:200]).lower()
    except ValueError:
        return url[:200]
