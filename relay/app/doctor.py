"""What is wrong with a relay and what to do about it, decided from observations that somebody else made.

Leans on the URL policy. Pure: no file, socket or clock; every finding has a check, a result and, unless all is
well, a remedy that a person can carry out. Never says what it was not told.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from relay.core.urlpolicy import allows, build_policy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from relay.app.observations import Observed, Probe
    from relay.core.model import Portal

LITTLE_SPACE_BYTES = 1024**3
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


def examine(seen: Observed) -> list[Finding]:
    """Every check's finding, in the order a person should read them."""
    return [
        *_permissions(seen),
        _database(seen),
        *_disk(seen),
        *_listeners(seen),
        _public_url(seen),
        _clock(seen),
        *_portals(seen),
        *_handler_hosts(seen),
        *_events(seen),
    ]


def _found(check: str, result: Result, says: str, remedy: str = "", subject: str = "", **values: object) -> Finding:
    return Finding(check, result, Message(says, values), Message(remedy, values) if remedy else None, subject)


def _permissions(seen: Observed) -> Iterator[Finding]:
    for file in seen.modes:
        if file.mode & ~file.allowed:
            yield _found(
                "permissions",
                Result.FAILED,
                "Others on this machine may read it (mode {mode}).",
                "chmod {allowed} {path}",
                file.path,
                mode=f"{file.mode:04o}",
                allowed=f"{file.allowed:04o}",
                path=file.path,
            )
        else:
            yield _found("permissions", Result.OK, "Only its owner can read it.", subject=file.path)


def _database(seen: Observed) -> Finding:
    state = seen.database
    if state.fault:
        remedy = "See that the disk has space and that {home} belongs to the relay's user."
        if state.elsewhere:
            remedy = "See that the database server answers and that `store` in relay.toml is right."
        says = "The database cannot be used: {reason}."
        return _found("database", Result.FAILED, says, remedy, reason=state.fault, home=seen.home)
    if state.found != state.newest:
        return _found(
            "database",
            Result.FAILED,
            "The database has version {found}, this program needs {newest}.",
            "Run `{relay} migrate` with the newest program.",
            found=state.found or "–",
            newest=state.newest or "–",
            relay=seen.relay,
        )
    return _found("database", Result.OK, "It opens, is up to date and takes a write.")


def _disk(seen: Observed) -> Iterator[Finding]:
    if seen.free_bytes is None:
        return
    megabytes = seen.free_bytes // 1024**2
    if seen.free_bytes >= max(LITTLE_SPACE_BYTES, 2 * seen.min_free_bytes):
        yield _found("disk", Result.OK, "{megabytes} MB are free.", megabytes=megabytes)
        return
    yield _found(
        "disk",
        Result.FAILED if seen.free_bytes < seen.min_free_bytes else Result.WARNING,
        "{megabytes} MB are free.",
        "Make room on the disk of {home}: without it no event can be accepted.",
        megabytes=megabytes,
        home=seen.home,
    )


def _listeners(seen: Observed) -> Iterator[Finding]:
    for address, probe in seen.listeners.items():
        if probe.is_relay and probe.status == 200:
            yield _found("listener", Result.OK, "The relay answers and is ready.", subject=address)
        elif probe.is_relay:
            yield _found(
                "listener",
                Result.FAILED,
                "The relay answers, but it is not ready (status {status}).",
                "Read the relay's log: it says what the store did not take.",
                address,
                status=probe.status,
            )
        elif probe.reached:
            yield _found(
                "listener",
                Result.FAILED,
                "Another program answers at this address.",
                "Stop that program, or set another address in relay.toml.",
                address,
            )
        else:
            yield _found(
                "listener",
                Result.WARNING,
                "Nothing answers: the relay is not running.",
                "Start it: {relay} serve",
                address,
                relay=seen.relay,
            )


def _public_url(seen: Observed) -> Finding:
    probe = seen.public
    if not seen.public_url or probe is None:
        return _found(
            "public_url",
            Result.WARNING,
            "It is not set: only programs on this machine can use the relay.",
            "{relay} init --public-url https://relay.example.com",
            relay=seen.relay,
        )
    if probe.certificate_fault:
        return _found(
            "public_url",
            Result.FAILED,
            "Its certificate does not verify: {reason}.",
            "Give it a certificate for this name, and have the portal's server trust who issued it.",
            seen.public_url,
            reason=probe.certificate_fault,
        )
    if not probe.is_relay:
        return _public_url_elsewhere(seen, probe)
    left_s = probe.certificate_left_s
    if left_s is not None and left_s < CERTIFICATE_WARNING_S:
        return _found(
            "public_url",
            Result.WARNING,
            "Its certificate ends in {days} days.",
            "Renew the certificate of {url}.",
            seen.public_url,
            days=int(left_s // 86400),
            url=seen.public_url,
        )
    if seen.public_url.startswith("http://"):
        return _found(
            "public_url",
            Result.WARNING,
            "It is plain http: tokens and secrets cross the network unencrypted.",
            "Put a web server with a certificate before the relay and set its https address.",
            seen.public_url,
        )
    return _found("public_url", Result.OK, "It leads to this relay.", subject=seen.public_url)


def _public_url_elsewhere(seen: Observed, probe: Probe) -> Finding:
    if not any(listener.is_relay for listener in seen.listeners.values()):
        return _found(
            "public_url",
            Result.WARNING,
            "It cannot be checked while the relay is not running.",
            "Start it: {relay} serve",
            seen.public_url,
            relay=seen.relay,
        )
    lead = "See that the name, the firewall and the web server before the relay lead to it."
    if probe.reached:
        says = "Something else answers there (status {status})."
    else:
        says = "It cannot be reached from here: {reason}."
    return _found(
        "public_url", Result.FAILED, says, lead, seen.public_url, status=probe.status or "–", reason=probe.fault
    )


def _clock(seen: Observed) -> Finding:
    offsets = [p.clock_offset_s for p in seen.portal_probes.values() if p.clock_offset_s is not None]
    if not offsets:
        return _found("clock", Result.OK, "There was no other clock to compare with.")
    worst_s = max(map(abs, offsets))
    says = "It differs from the portal's by {seconds} s at most."
    if worst_s < CLOCK_WARNING_S:
        return _found("clock", Result.OK, says, seconds=round(worst_s))
    return _found(
        "clock",
        Result.FAILED if worst_s >= CLOCK_FAILURE_S else Result.WARNING,
        says,
        "Have both servers take their time from one source (NTP): tokens live for an hour only.",
        seconds=round(worst_s),
    )


def _portals(seen: Observed) -> Iterator[Finding]:
    if seen.counts is not None and not seen.portals:
        yield _found("portal", Result.WARNING, "No portal is announced.", "{relay} portal add URL", relay=seen.relay)
    for portal in seen.portals:
        yield _registration(seen, portal)
        probe = seen.portal_probes.get(portal.id)
        if probe is not None and not probe.reached:
            # The relay itself never calls the portal, so this stops nothing; but apps have to reach it.
            yield _found(
                "portal_reachable",
                Result.WARNING,
                "It cannot be reached from here: {reason}.",
                "See that its name resolves here and that the firewall lets the relay through.",
                portal.url,
                reason=probe.fault,
            )
        elif probe is not None:
            yield _found("portal_reachable", Result.OK, "It answers.", subject=portal.url)


def _registration(seen: Observed, portal: Portal) -> Finding:
    values = {"url": portal.url, "relay": seen.relay}
    if portal.registered_at is not None:
        return _found("portal", Result.OK, "It is registered.", subject=portal.url)
    if seen.now < portal.window_until:
        remedy = "`{relay} portal add {url}` shows what to set in it."
        return _found("portal", Result.WARNING, "It has not registered yet.", remedy, portal.url, **values)
    says = "It has not registered, and its time to do so is over."
    return _found("portal", Result.FAILED, says, "{relay} portal add {url}", portal.url, **values)


def _handler_hosts(seen: Observed) -> Iterator[Finding]:
    portals = {portal.id: portal for portal in seen.portals}
    for one in seen.handler_hosts:
        portal = portals.get(one.portal_id)
        if portal is None:
            continue
        if one.addresses is None:
            yield _found(
                "handler_host",
                Result.FAILED,
                "Events wait for this host, but its name does not resolve.",
                "Make the name known to this server (DNS or /etc/hosts).",
                one.host,
            )
        elif not any(allows(build_policy(portal.allow), one.host, address) for address in one.addresses):
            yield _found(
                "handler_host",
                Result.FAILED,
                "Events wait for this host, but {addresses} is not allowed.",
                "{relay} portal add {url} --allow {host}",
                one.host,
                addresses=", ".join(one.addresses),
                relay=seen.relay,
                url=portal.url,
                host=one.host,
            )
        else:
            yield _found("handler_host", Result.OK, "It is allowed.", subject=one.host)


def _events(seen: Observed) -> Iterator[Finding]:
    if seen.counts is None:
        return
    waiting = sum(seen.counts.get(state, 0) for state in ("accepted", "due", "leased"))
    yield _found("events", Result.OK, "Events under way: {count}", count=waiting)
    urls = {portal.id: portal.url for portal in seen.portals}
    groups: Counter[tuple[int, str, str, int | None]] = Counter()
    for held in seen.held:
        groups[held.portal_id, held.host, held.reason, held.status] += held.count
    # Of very many held events only the newest were looked at.
    more = "≥ " if seen.counts.get("held", 0) > groups.total() else ""
    for (portal_id, host, reason, status), count in groups.most_common():
        yield _found(
            "held_events",
            Result.FAILED,
            "Held events: {count}, because of: {reason}",
            remedy_of(reason),
            host,
            count=f"{more}{count}",
            reason=str(status) if status is not None else reason or "–",
            host=host,
            url=urls.get(portal_id, "URL"),
            relay=seen.relay,
        )


def remedy_of(reason: str) -> str:
    """What to do about events held for this reason; wants `relay`, `host` and `url` filled in."""
    return _REMEDIES.get(reason, _OTHER_REMEDY)


# What to do about held events, by the word that the sender gave for the last try.
_OTHER_REMEDY = "Look at the handler, then: {relay} event retry --state held --handler {host}"
_REMEDIES = {
    "address_refused": "{relay} portal add {url} --allow {host}"
    " and then: {relay} event retry --state held --handler {host}",
    "bad_url": "The handler's address is no http address: correct it in the application.",
    "status": "The handler refuses them: read its log, then: {relay} event retry --state held --handler {host}",
    "timeout": "The handler takes too long: speed it up or raise timeout_s in relay.toml,"
    " then: {relay} event retry --state held --handler {host}",
    "name_not_resolved": "Make the name {host} known to this server,"
    " then: {relay} event retry --state held --handler {host}",
    "tls_failed": "Have this server trust the certificate of {host},"
    " then: {relay} event retry --state held --handler {host}",
    "connection_refused": "Start the program at {host}, then: {relay} event retry --state held --handler {host}",
    "connection_failed": "See that this server reaches {host}, then: {relay} event retry --state held --handler {host}",
    "internal_error": "Read the relay's log, then: {relay} event retry --state held --handler {host}",
}
