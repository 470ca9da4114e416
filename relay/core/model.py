"""The nouns of the relay: portals, applications, keys, grants, deliveries, as frozen values.

Leans on nothing. Times are unix seconds unless the name ends in `_ms`. Secrets appear here only as hashes or
sealed bytes; the clear text of one passes through a function and is never kept in a value that is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import md5
from urllib.parse import urlsplit

LOCAL_STATUS = "L"
SEALED_FORMAT = "sealed"
JWT_FORMAT = "jwt"
APP_STATUSES = frozenset("FDTPLS")


@dataclass(frozen=True, slots=True)
class Portal:
    """One announced portal.

    url: origin as announced, `scheme://host[:port]`, no slash. licence_md5: md5 of the licence key or None.
    window_until: until when a registration is taken. allow: extra hosts and CIDRs its handlers may be at.
    licence_pin: hash of the BX_LICENCE seen at the first registration. connect_hash: of its connection code.
    """

    id: int
    url: str
    licence_md5: str | None
    window_until: int
    allow: tuple[str, ...]
    client_id: str | None
    secret_hash: bytes | None
    secret_sealed: bytes | None
    licence_pin: bytes | None
    created_at: int
    registered_at: int | None
    connect_hash: bytes | None = None

    @property
    def member_id(self) -> str:
        """md5 of the portal's client id (protocol.md section 2); empty while unregistered."""
        return md5(self.client_id.encode(), usedforsecurity=False).hexdigest() if self.client_id else ""

    @property
    def host(self) -> str:
        """The host without its port, as the portal's own DOMAIN is written."""
        return urlsplit(self.url).hostname or ""

    @property
    def client_endpoint(self) -> str:
        """Where apps call the portal's REST, with the port (protocol.md section 5)."""
        return f"{self.url}/rest/"


@dataclass(frozen=True, slots=True)
class App:
    """One application of one portal. `number` is what sealed tokens carry and is never used twice.

    scope: comma list in the order it was given. status: one of F D T P L S. secret_hash: keyed hash.
    signing_keys_sealed: its webhook signing keys, newest first.
    old_secret_hash: the secret before a rotation, good until old_secret_until. token_format: "sealed" or "jwt".
    audience: further audiences of its JWTs, separated by spaces. post_only: no GET on the token endpoint.
    """

    number: int
    portal_id: int
    client_id: str
    secret_hash: bytes
    title: str
    redirect_uri: str
    scope: str
    status: str
    version: int
    installed: bool
    active: bool
    created_at: int
    date_finish: int | None = None
    deleted_at: int | None = None
    old_secret_hash: bytes | None = None
    old_secret_until: int | None = None
    signing_keys_sealed: bytes | None = None
    token_format: str = SEALED_FORMAT
    audience: str = ""
    post_only: bool = False

    @property
    def usable(self) -> bool:
        """Whether tokens may be issued and taken for it."""
        return self.active and self.installed and self.deleted_at is None

    @property
    def switched_off(self) -> bool:
        """Whether its events wait; those of a deleted one do not."""
        return not self.active and self.deleted_at is None


@dataclass(frozen=True, slots=True)
class SealingKey:
    """A key that seals one portal's access tokens, in the clear (only ever in memory).

    good_until: when the last token made with it ends; None while it has no successor.
    """

    portal_id: int
    key_id: int
    key: bytes
    active_from: int
    good_until: int | None = None


@dataclass(frozen=True, slots=True)
class Grant:
    """What a portal let one app do for one user; every refresh token of the family belongs to it.

    scope: the narrowed scope, or None for "all that the app has". event_session and tz_offset as sent.
    """

    id: int
    app_number: int
    user_id: int
    scope: str | None
    tz_offset: str | None
    created_at: int
    revoked_at: int | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One refresh token of a grant, known by its hash.

    replaced_at and successor_sealed are set together, once, when it is used: the pair that took its place,
    sealed under a key that only the old token's text gives.
    """

    hash: bytes
    grant: Grant
    generation: int
    expires: int
    replaced_at: int | None = None
    successor_sealed: bytes | None = None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """One code of `rest.code`, known by its hash; good once."""

    hash: bytes
    app_number: int
    user_id: int
    parameters: dict[str, str]
    expires: int
    used_at: int | None = None
    grant_id: int | None = None
    code_challenge: str | None = None


@dataclass(frozen=True, slots=True)
class Revocation:
    """What no longer counts. through: tokens whose expiry is at or before it; serial: one token only.

    Of portal, app and user the narrowest given is meant: an app, a user of the portal, or all of the portal.
    """

    portal_id: int
    through: int
    app_number: int | None = None
    user_id: int | None = None
    serial: int | None = None


def read_user_id(text: str) -> int:
    """A user's id as the portal writes it, 32 bits; 0 if it is none."""
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else 0
    return number if number < 1 << 32 else 0


class DeliveryState(StrEnum):
    """Where a delivery stands: accepted (behind its lane's head) → due → leased → done, or held, or dropped.

    `held` waits for a person (or for its handler to be well again), and only a person makes it `dropped`.
    """

    ACCEPTED = "accepted"
    DUE = "due"
    LEASED = "leased"
    DONE = "done"
    HELD = "held"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class EventItem:
    """One item of `rest.event.call`, as accepted (protocol.md section 5).

    form: QUERY_DATA in urlencoded form, names made top-level, otherwise untouched. auth: the item's auth block.
    item_id: the sender's own id of the item, where it gives one: such an item is stored once.
    auth_given: the auth block is finished and goes to the handler as it is.
    """

    client_id: str
    handler_url: str
    event: str
    form: str
    has_ts: bool
    auth: dict[str, str]
    send_auth: bool
    send_refresh_token: bool
    category: str = "default"
    entity: str | None = None
    item_id: str | None = None
    auth_given: bool = False

    @property
    def user_id(self) -> int:
        """LOCAL_USER, or 0 for none."""
        return read_user_id(self.auth.get("LOCAL_USER", ""))


@dataclass(frozen=True, slots=True)
class Delivery:
    """A leased delivery: one event on its way to one handler.

    attempt counts this try from 1, ever; retry_number counts it within the running retry budget, which began at
    tries_since_ms (a person's retry starts a new one). was_held: it had been held before this try.
    """

    id: int
    event_id: str
    portal_id: int
    handler_id: int
    item: EventItem
    attempt: int
    retry_number: int
    tries_since_ms: int
    lane: int | None = None
    replay: bool = False
    was_held: bool = False


class Verdict(StrEnum):
    """What a try came to, and what it means for the delivery."""

    DELIVERED = "delivered"
    RETRY = "retry"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one try. status: HTTP status or None. error: a short machine word, no user data.

    retry_after_s: what the handler asked for.
    """

    verdict: Verdict
    status: int | None
    error: str | None
    started_at_ms: int
    duration_ms: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Handler:
    """One URL of one application (empty client id: outgoing webhooks) of one portal, as deliveries know it."""

    id: int
    portal_id: int
    client_id: str
    url: str
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Replay:
    """A replay under way. total: matching when it was asked for; skipped: their payload is gone."""

    id: int
    rate: int
    total: int
    replayed: int
    skipped: int
    created_at: int
    finished_at: int | None
