"""How often a client or an address may fail: a token bucket as a pure function, and a bounded table of them.

Leans on nothing. Time is an argument. Never grows beyond its bound: the longest unused entry makes room.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    """capacity units at most, refilled at rate units a second; a failure costs failure_cost, a success one."""

    capacity: float = 5000.0
    rate: float = 1000.0
    failure_cost: float = 20.0


class Throttle:
    """Buckets by key, the `limit` most recently used of them."""

    def __init__(self, policy: BucketPolicy, limit: int = 10_000) -> None:
        self._policy = policy
        self._limit = limit
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait_s(self, key: Hashable, now_s: float) -> float:
        """Seconds until the key may be served again; 0 if it may now."""
        level = self._level(key, now_s)
        return 0.0 if level >= 1 else (1 - level) / self._policy.rate

    def charge(self, key: Hashable, now_s: float, *, failed: bool) -> None:
        """Take the cost of one request; the debt is bounded by one failure."""
        cost = self._policy.failure_cost if failed else 1.0
        level = max(self._level(key, now_s) - cost, -self._policy.failure_cost)
        self._buckets[key] = (level, now_s)
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._limit:
            self._buckets.popitem(last=False)

    def _level(self, key: Hashable, now_s: float) -> float:
        level, since_s = self._buckets.get(key, (self._policy.capacity, now_s))
        passed_s = max(now_s - since_s, 0)  # a clock that is set back must not lock anybody out
        return min(level + passed_s * self._policy.rate, self._policy.capacity)
