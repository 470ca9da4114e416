"""What the use cases need from the outside world, as narrow protocols.

Leans on the core's values. Adapters implement these; the use cases and the tests know nothing else of them.
A store's write either is on disk when it returns or raises Unavailable and left nothing behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from relay.core.directory import Directory
    from relay.core.keyring import NextKey
    from relay.core.model import (
        AuthorizationCode,
        Handler,
        Outcome,
        RefreshToken,
        Replay,
        Revocation,
    )
    from relay.core.rules import DeliveryRules
    from relay.core.tokens import AccessToken, StoredParameters
    from relay.core.urlpolicy import UrlPolicy
    from relay.records import (
        AttemptRow,
        AuditEntry,
        DeliveryFilter,
        DeliveryRow,
        Finished,
        HandlerRow,
        Leased,
        Message,
        NewApp,
        NewDelivery,
        NewGrant,
        NewPortal,
        Rotation,
        Tally,
    )


class Clock(Protocol):
    """The time, as an argument."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...


class Entropy(Protocol):
    """Cryptographic randomness, as an argument."""

    def __call__(self, size: int, /) -> bytes:
        """`size` random bytes."""
        ...


class DirectoryStore(Protocol):
    """Portals, applications and keys; every change makes a new directory version."""

    async def directory(self) -> Directory:
        """The newest snapshot; cheap when nothing changed."""
        ...

    async def announce_portal(self, portal: NewPortal, now: int) -> int:
        """Store a portal, or renew the announcement of the one with that URL; its id."""
        ...

    async def register_portal(
        self,
        portal_id: int,
        client_id: str,
        secret_hash: bytes,
        secret_sealed: bytes,
        licence_pin: bytes | None,
        entry: AuditEntry,
    ) -> None:
        """Give an unregistered portal its credentials; nothing happens if another call came first."""
        ...

    async def pin_licence(self, portal_id: int, licence_pin: bytes) -> None:
        """Remember whose licence registered as this portal, where none is remembered."""
        ...

    async def remove_portal(self, portal_id: int) -> None:
        """Delete a portal with its applications, grants and finished deliveries; Conflict if any is unfinished."""
        ...

    async def add_app(self, app: NewApp, now: int) -> int:
        """Store an application; its number. Conflict if the portal has one of that client id."""
        ...

    async def update_app(self, number: int, changes: Mapping[str, object]) -> None:
        """Change title, redirect_uri, scope, installed, version or active."""
        ...

    async def delete_app(self, number: int, revocation: Revocation, entry: AuditEntry) -> None:
        """Mark an application deleted; its tokens, grants and codes are revoked with it."""
        ...


class PortalStore(Protocol):
    """Taking a portal over, and the facts its module reports."""

    async def adopt_portal(
        self,
        portal_id: int,
        client_id: str,
        secret_hash: bytes,
        secret_sealed: bytes,
        apps: Sequence[NewApp],
        entry: AuditEntry,
    ) -> None:
        """Give a portal the credentials it has already, with its applications; its connection code is spent."""
        ...

    async def set_connect_hash(self, portal_id: int, connect_hash: bytes) -> None:
        """Keep the hash of a new connection code, in place of a former one."""
        ...

    async def save_facts(self, portal_id: int, facts: dict[str, Any], now: int) -> None:
        """Keep what a portal offers, in place of what it said before."""
        ...

    async def find_facts(self, portal_id: int) -> tuple[dict[str, Any], int] | None:
        """What the portal said it offers, and when."""
        ...


class TokenStore(Protocol):
    """Grants, refresh tokens and codes, by their hashes."""

    async def find_refresh(self, token_hash: bytes) -> RefreshToken | None:
        """The refresh token with its grant."""
        ...

    async def find_code(self, code_hash: bytes) -> AuthorizationCode | None:
        """The code, used or not."""
        ...

    async def find_parameters(self, app_number: int, serial: int) -> StoredParameters | None:
        """The parameters stored for a flagged access token."""
        ...

    async def save_code(self, code: AuthorizationCode) -> None:
        """Keep a code until it is used or expires."""
        ...

    async def save_parameters(self, token: AccessToken) -> None:
        """Keep a flagged access token's parameters until it expires."""
        ...

    async def open_grant(self, grant: NewGrant, now: int) -> None:
        """Store a grant with its first refresh token."""
        ...

    async def redeem_code(self, code_hash: bytes, grant: NewGrant, now: int) -> bool:
        """Mark the code used and open its grant, both or neither; False if it was used already."""
        ...

    async def rotate_refresh(self, rotation: Rotation, now: int) -> bytes | None:
        """Swap (compare-and-swap). The sealed successor that won: this one, or that of the call that was first;
        None if the grant is gone or revoked."""
        ...

    async def revoke_grant(self, grant_id: int, entry: AuditEntry) -> None:
        """Revoke a family of refresh tokens and record why; nothing happens if it is revoked already."""
        ...


class IssuerStore(Protocol):
    """Keys, revocations, the audit record, and what ends by itself."""

    async def add_key(self, portal_id: int, key: NextKey, key_sealed: bytes, entry: AuditEntry) -> None:
        """Store a key (portal 0: a signing key) and set the end of those it follows; once."""
        ...

    async def forget_keys(self, portal_id: int, key_ids: Sequence[int]) -> None:
        """Delete keys whose last token has ended."""
        ...

    async def revoke(self, revocation: Revocation, entry: AuditEntry) -> None:
        """Revoke a token, or everything of an app, a user or a portal: sealed tokens, grants and codes alike."""
        ...

    async def longest_access_s(self, configured_s: int) -> int:
        """The longest life an access token was ever given here."""
        ...

    async def save_challenge(self, key_hash: bytes, code_challenge: str, expires: int) -> None:
        """Keep the challenge of an authorization request."""
        ...

    async def find_challenge(self, key_hash: bytes, now: int) -> str | None:
        """The challenge kept under the key, if it has not expired."""
        ...

    async def add_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Append security events that change nothing else."""
        ...

    async def list_audit(self, since: int, kind: str, limit: int) -> list[AuditEntry]:
        """The newest entries first, of one kind (or all kinds that begin with it) if given."""
        ...

    async def purge(self, now: int, used_before: int, most: int) -> dict[str, int]:
        """Delete up to `most` rows each of what has ended; how many, by table."""
        ...


class DeliveryStore(Protocol):
    """Deliveries on their way."""

    async def accept(self, deliveries: Sequence[NewDelivery], now_ms: int) -> list[Handler]:
        """Store a batch, all or nothing, items known by their item_id once; the handlers it is for."""
        ...

    async def claim(self, wanted: Mapping[int, int], *, now_ms: int, lease_until_ms: int, owner: str) -> list[Leased]:
        """Lease up to `wanted[handler id]` due deliveries of each handler, mostly the oldest."""
        ...

    async def finish(self, results: Sequence[Finished], owner: str) -> None:
        """Store how tries ended; a delivery whose lease was lost meanwhile keeps its newer state."""
        ...

    async def extend_leases(self, ids: Collection[int], *, owner: str, lease_until_ms: int) -> set[int]:
        """Prolong leases; those that are still the owner's."""
        ...

    async def give_back(self, ids: Collection[int], *, owner: str) -> None:
        """Make claimed deliveries that were never tried due again, as if they had not been claimed."""
        ...

    async def release_leases(self, *, now_ms: int) -> int:
        """Make deliveries whose lease is over due again; how many."""
        ...

    async def find_resting(self, handler_ids: Collection[int]) -> set[int]:
        """Those of the handlers that are paused, or whose application is switched off."""
        ...

    async def next_due(self) -> list[tuple[Handler, int]]:
        """The handlers that are not paused and have due deliveries, and when the first is due (milliseconds)."""
        ...

    async def probe_held(self, now_ms: int, pause_ms: int) -> int:
        """Make one delivery due of each handler whose budget was used up and whose time for a probe has come.

        The next one's comes pause_ms later.
        """
        ...

    async def release_held(self, handler_id: int, now_ms: int) -> int:
        """Make deliveries of a handler that were held for a used-up budget due; how many (call until 0)."""
        ...

    async def backlog(self) -> int:
        """How many deliveries are not over."""
        ...

    async def clock_ms(self) -> int | None:
        """Unix milliseconds by the clock that all who share the store have in common; None if nobody shares it."""
        ...

    async def latest_ms(self) -> int:
        """The latest time that is known to have been: of the newest delivery, or noted; 0 if none is."""
        ...

    async def note_clock(self, now_ms: int) -> None:
        """Note the time for `latest_ms`."""
        ...


class DeliveryDesk(Protocol):
    """What people see of deliveries and do with them."""

    async def find(self, wanted: DeliveryFilter, limit: int) -> list[DeliveryRow]:
        """The newest deliveries first."""
        ...

    async def show(self, event_id: str) -> tuple[DeliveryRow, list[AttemptRow]] | None:
        """One delivery with its tries."""
        ...

    async def count(self, wanted: DeliveryFilter) -> int:
        """How many there are."""
        ...

    async def tally(self, wanted: DeliveryFilter) -> list[Tally]:
        """How many there are, by state and handler."""
        ...

    async def done_since(self, since_ms: int) -> dict[int, int]:
        """How many deliveries of each handler were done since then; for a short time past."""
        ...

    async def counts(self) -> dict[str, int]:
        """How many deliveries are in each state, at the same cost for any backlog."""
        ...

    async def list_handlers(self) -> list[HandlerRow]:
        """Every handler with its counts."""
        ...

    async def pause_handler(self, handler_id: int, *, paused: bool) -> None:
        """Let a handler's events wait, or go on."""
        ...

    async def retry(self, wanted: DeliveryFilter, now_ms: int) -> int:
        """Make matching due or held deliveries due now, with a new retry budget; how many."""
        ...

    async def skip(self, event_id: str, entry: AuditEntry) -> bool:
        """Hold a lane's head aside, so that the lane goes on without it; False if it is no waiting head."""
        ...

    async def drop(self, wanted: DeliveryFilter, reason: str, now_ms: int, entry: AuditEntry) -> int:
        """Give up matching deliveries that are not over, by a person's decision; how many."""
        ...

    async def erase(self, entity: str, now_ms: int, entry: AuditEntry) -> int:
        """Overwrite the payloads of an entity everywhere; those still waiting are dropped; how many."""
        ...

    async def unerased(self, entity: str) -> int:
        """How many payloads of an entity are still there."""
        ...

    async def prune(self, *, payloads_before_ms: int, deliveries_before_ms: int, most: int) -> dict[str, int]:
        """Delete up to `most` payloads and deliveries that were over before; how many of each."""
        ...

    async def begin_replay(self, wanted: DeliveryFilter, rate: int, now: int, entry: AuditEntry) -> Replay:
        """Ask for a replay of matching deliveries; the relay works it off, `rate` a second."""
        ...

    async def replay_some(self, now_ms: int, most: int) -> Replay | None:
        """Make the next `most` deliveries of the oldest unfinished replay due; how it stands; None without one."""
        ...

    async def find_replay(self, replay_id: int) -> Replay | None:
        """How a replay stands."""
        ...


class Store(DirectoryStore, PortalStore, TokenStore, IssuerStore, DeliveryStore, DeliveryDesk, Protocol):
    """All of it, as one adapter gives it."""


class Bell(Protocol):
    """Tells workers that there is work: transport only, the store is the truth (design.md)."""

    def ring(self, handlers: Iterable[Handler]) -> None:
        """Say that these handlers have work that is due; never blocks, never fails."""
        ...


class Sender(Protocol):
    """Calls handlers."""

    async def send(self, message: Message, policy: UrlPolicy, rules: DeliveryRules) -> Outcome:
        """POST once and say what came of it; never raises for what a handler or network does."""
        ...
