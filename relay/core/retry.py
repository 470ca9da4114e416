"""When a failed delivery is tried again, as a pure function of its count of tries.

Leans on nothing. The random part is an argument. Never gives up by itself: past the budget the answer is
"hold", and a person decides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """first_s doubles (factor) up to cap_s, each spread by ± jitter; after budget_s the delivery is held.

    The defaults try after about 2, 4, 8 … seconds, from the 13th failure on every 2 hours, for 3 days.
    """

    first_s: float = 2.0
    factor: float = 2.0
    cap_s: float = 7200.0
    jitter: float = 0.2
    budget_s: float = 72 * 3600.0


def next_delay_s(policy: RetryPolicy, attempt: int, spread: float) -> float:
    """Seconds to wait after failed try number `attempt` (from 1); `spread` is a random number in [0, 1)."""
    grown = policy.first_s * policy.factor ** min(attempt - 1, 64)
    return min(grown, policy.cap_s) * (1 + policy.jitter * (2 * spread - 1))


def next_due_ms(policy: RetryPolicy, *, attempt: int, since_ms: int, now_ms: int, spread: float) -> int | None:
    """When to try again, unix milliseconds, or None once the budget since `since_ms` is used up."""
    due_ms = now_ms + round(next_delay_s(policy, attempt, spread) * 1000)
    return due_ms if due_ms - since_ms <= policy.budget_s * 1000 else None
