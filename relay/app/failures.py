"""Failed authentications: counted for the audit record and throttled, so that a broken client costs little.

Leans on the core's token buckets. Valid credentials are never held up by somebody else's failures from the same
address; what is held up is the failing, and it is told when to come back.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from relay.core.errors import RelayError
from relay.records import AuditEntry

if TYPE_CHECKING:
    from collections.abc import Hashable

    from relay.core.throttle import Throttle
    from relay.ports import Clock

MAX_COUNTED = 200
MAX_SUBJECT = 64


class TooManyFailures(RelayError):
    """This client or address asked, or failed, too often; wait_s: when to come back."""

    code = "slow_down"
    status = 429

    def __init__(self, wait_s: float) -> None:
        super().__init__("Too many requests, please slow down.")
        self.wait_s = wait_s


class Failures:
    """Counts and throttles failures by kind and address."""

    def __init__(self, throttle: Throttle, clock: Clock) -> None:
        self._throttle = throttle
        self._clock = clock
        self._counted: Counter[tuple[str, str, str]] = Counter()

    def check(self, *keys: Hashable) -> None:
        """Raise TooManyFailures while any of the keys is over its budget."""
        wait_s = max(self._throttle.wait_s(key, self._clock.now_ms() / 1000) for key in keys)
        if wait_s > 0:
            raise TooManyFailures(wait_s)

    def served(self, key: Hashable) -> None:
        """A request of somebody who is known."""
        self._throttle.charge(key, self._clock.now_ms() / 1000, failed=False)

    def weighed(self, key: Hashable) -> None:
        """A request of somebody unknown that costs the relay as much as a failure. Raises TooManyFailures."""
        self.check(key)
        self._throttle.charge(key, self._clock.now_ms() / 1000, failed=True)

    def failed(self, key: Hashable, kind: str, subject: str, address: str) -> None:
        """A request that failed to authenticate. subject: who it said it was."""
        self._throttle.charge(key, self._clock.now_ms() / 1000, failed=True)
        self.noted(kind, subject, address)

    def noted(self, kind: str, subject: str, address: str) -> None:
        """A security event that is written down with how often it happened, not each by itself."""
        counted = (kind, subject[:MAX_SUBJECT], address)
        if counted not in self._counted and len(self._counted) >= MAX_COUNTED:
            counted = (kind, "", "")  # so many at once are an attack, of which the number is enough
        self._counted[counted] += 1

    def take(self) -> list[AuditEntry]:
        """The events since the last call, as audit entries, one a kind, subject and address."""
        counted, self._counted = self._counted, Counter()
        now = self._clock.now_ms() // 1000
        return [
            AuditEntry(kind, now, None, None, {"client_id": subject, "address": address, "count": count})
            for (kind, subject, address), count in counted.items()
        ]


def shown_client_id(client_id: str) -> str:
    """A client id as the audit record may hold it: what has no dot is none, and might be a secret in its place."""
    return client_id if "." in client_id else "?"
