"""Small worlds for tests: one portal, one application, one key, one event item, each with any field changed.

Leans on the relay's own values, made in this one place. Must never hide a field that a test is about: what matters
to a test stands in the test.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from relay.core.directory import Directory, Revocations
from relay.core.model import (
    App,
    AuthorizationCode,
    EventItem,
    Grant,
    Outcome,
    Portal,
    RefreshToken,
    SealingKey,
    Verdict,
)
from relay.core.vault import Vault, hash_token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = 1_795_000_000
NOW_MS = NOW * 1000
MASTER_KEY = bytes(range(32))
VAULT = Vault(MASTER_KEY)
PORTAL_URL = "https://portal.example:8443"
PORTAL_CLIENT = "portal.0011223344556677.00000001"
APP_CLIENT = "local.5c8bb1b0891cf2.87252039"
APP_SECRET = "s3cret" * 8
SEALING_KEY = bytes(range(100, 132))
WIRE = Path(__file__).parent / "wire"


def captured_body(name: str) -> str:
    """The body of a request that the real portal module sent, e.g. `rest.authorize`."""
    return (WIRE / f"{name}.http").read_bytes().partition(b"\r\n\r\n")[2].decode("ascii")


def captured_names() -> list[str]:
    """All captures, by name."""
    return sorted(path.stem for path in WIRE.glob("*.http"))


def counted_entropy(start: int = 0) -> Callable[[int], bytes]:
    """Randomness that can be foretold: every draw is another, the same ones for the same start."""
    counter = itertools.count(start)

    def draw(size: int, /) -> bytes:
        return hashlib.shake_256(str(next(counter)).encode()).digest(size)

    return draw


def portal(**changes: Any) -> Portal:
    """A registered portal."""
    made = Portal(
        id=1,
        url=PORTAL_URL,
        licence_md5=None,
        window_until=NOW + 86400,
        allow=(),
        client_id=PORTAL_CLIENT,
        secret_hash=VAULT.hash_secret("portal-secret"),
        secret_sealed=None,
        licence_pin=None,
        created_at=NOW,
        registered_at=NOW,
    )
    return replace(made, **changes)


def app(**changes: Any) -> App:
    """A local application of that portal, with scope crm,user."""
    made = App(
        number=1,
        portal_id=1,
        client_id=APP_CLIENT,
        secret_hash=VAULT.hash_secret(APP_SECRET),
        title="Test & App",
        redirect_uri="http://app.example/cb",
        scope="crm,user",
        status="L",
        version=1,
        installed=True,
        active=True,
        created_at=NOW,
    )
    return replace(made, **changes)


def sealing_key(portal_id: int = 1, key_id: int = 1, key: bytes = SEALING_KEY, since: int = NOW - 60) -> SealingKey:
    """A key that is in use since `since`."""
    return SealingKey(portal_id, key_id, key, since)


def directory(
    *,
    portals: Sequence[Portal] | None = None,
    apps: Sequence[App] | None = None,
    keys: Sequence[SealingKey] | None = None,
    revocations: Revocations | None = None,
) -> Directory:
    """A snapshot of one portal with one application and one key, unless others are given."""
    return Directory(
        portals=[portal()] if portals is None else portals,
        apps=[app()] if apps is None else apps,
        keys=[sealing_key()] if keys is None else keys,
        revocations=revocations,
    )


def grant(**changes: Any) -> Grant:
    """An open grant for user 67."""
    return replace(Grant(id=5, app_number=1, user_id=67, scope=None, tz_offset=None, created_at=NOW), **changes)


def refresh_token(text: str = "r" * 70, **changes: Any) -> RefreshToken:
    """An unused refresh token of that grant."""
    made = RefreshToken(hash=hash_token(text), grant=grant(), generation=1, expires=NOW + 180 * 86400)
    return replace(made, **changes)


def code(text: str = "c" * 32, **changes: Any) -> AuthorizationCode:
    """An unused code for user 67, good for 30 s."""
    made = AuthorizationCode(
        hash=hash_token(text), app_number=1, user_id=67, parameters={"LOCAL_USER": "67"}, expires=NOW + 30
    )
    return replace(made, **changes)


def item(**changes: Any) -> EventItem:
    """An event of user 67 for that application's handler, which asks for a token."""
    made = EventItem(
        client_id=APP_CLIENT,
        handler_url="http://app.example/ev",
        event="ONCRMDEALADD",
        form="event=ONCRMDEALADD&event_handler_id=11&data%5BFIELDS%5D%5BID%5D=5&ts=1795488336",
        has_ts=True,
        auth={
            "EVENT_SESSION": "7",
            "LOCAL_USER": "67",
            "application_token": "47ee90ad1637f2f2378c9adcf19ad54e",
            "domain": "portal.example",
            "member_id": "b61fc3e328f96185a0854ea5133d53c4",
        },
        send_auth=True,
        send_refresh_token=False,
    )
    return replace(made, **changes)


def outcome(verdict: Verdict = Verdict.DELIVERED, status: int | None = 200, error: str | None = None) -> Outcome:
    """The end of a try that began at NOW_MS and took 12 ms."""
    return Outcome(verdict, status, error, NOW_MS, 12)


@dataclass(slots=True)
class SetClock:
    """A clock that goes only when it is told to."""

    ms: int = NOW_MS

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self.ms

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += round(seconds * 1000)
