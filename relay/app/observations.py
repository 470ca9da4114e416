"""What `relay doctor` looks at, as frozen values: files, database, addresses, portals, hosts, held events.

Leans on the model. Filled in by whoever does the looking, judged by `doctor.py`. Holds no payload and no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.model import Portal


@dataclass(frozen=True, slots=True)
class FileMode:
    """A file or directory of the home: the permissions it has, and those it may have at most."""

    path: str
    mode: int
    allowed: int


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """found, newest: schema versions. fault: why it could not be opened or written. elsewhere: on a server."""

    found: str | None = None
    newest: str | None = None
    fault: str = ""
    elsewhere: bool = False


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
    free_bytes: int | None
    min_free_bytes: int
    listeners: Mapping[str, Probe]
    public_url: str
    public: Probe | None = None
    portals: tuple[Portal, ...] = ()
    portal_probes: Mapping[int, Probe] = field(default_factory=dict)
    counts: Mapping[str, int] | None = None
    handler_hosts: tuple[HandlerHost, ...] = ()
    held: tuple[HeldEvents, ...] = ()


def handler_host(url: str) -> str:
    """The host of a handler's URL, or the URL itself if it has none."""
    try:
        return (urlsplit(url).hostname or url[:200]).lower()
    except ValueError:
        return url[:200]
