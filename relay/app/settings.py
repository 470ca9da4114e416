"""What the use cases may be told, as frozen values; `config.py` fills them from relay.toml and the environment.

Leans on the core's own policies. Every limit has its default here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from relay.core.tokens import Lifetimes


@dataclass(frozen=True, slots=True)
class IssuerSettings:
    """public_url: the origin apps and portals reach the relay at, no slash at the end.

    bundle_life_s: how long a portal's module may go on without the relay. key_rotate_s: how long a key is used.
    housekeeping_s: time between rounds of housekeeping, each of at most purge_rounds batches of purge_batch rows.
    """

    public_url: str
    lifetimes: Lifetimes = field(default_factory=Lifetimes)
    bundle_life_s: int = 86400
    key_rotate_s: int = 30 * 86400
    housekeeping_s: float = 60.0
    purge_batch: int = 500
    purge_rounds: int = 20

    @property
    def server_endpoint(self) -> str:
        """What answers call `server_endpoint` (protocol.md section 6)."""
        return f"{self.public_url}/rest/"

    @property
    def host(self) -> str:
        """The relay's host, which token answers call `domain` (protocol.md section 6)."""
        return urlsplit(self.public_url).hostname or ""


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """Bounds of one `rest.event.call`. encrypt_payloads: whether what it holds is sealed at rest."""

    max_items: int = 5000
    max_batch_commands: int = 50
    encrypt_payloads: bool = False


@dataclass(frozen=True, slots=True)
class DeliverySettings:
    """How a worker delivers: calls at once in all, how long a claim lasts unless it is prolonged.

    sweep_s: how often the store is asked for due work that nobody announced (another process's, an expired lease).
    drain_s: how long a stopping worker waits for calls under way. probe_s: how often a handler is tried whose events
    are held for a used-up budget.
    """

    concurrency: int = 512
    lease_s: float = 30.0
    sweep_s: float = 1.0
    drain_s: float = 20.0
    probe_s: float = 600.0


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """Days that payloads and the rest of what is over are kept, and how they are deleted; how replays are paced."""

    payload_days: float = 14.0
    delivery_days: float = 14.0
    batch: int = 500
    replay_step_s: float = 0.5


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """When new events are refused: deliveries that wait, bytes free on the disk. warn_at: the share to warn of."""

    max_backlog: int = 5_000_000
    min_free_bytes: int = 200 * 1024 * 1024
    warn_at: float = 0.8
