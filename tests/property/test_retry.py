"""The retry schedule under any policy: it grows, stays within its bounds, and ends in a hold.

Leans on hypothesis. Must never find a delivery that is tried for ever or given up at once.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.core.retry import RetryPolicy, next_delay_s, next_due_ms
from tests.factories import NOW_MS

policies = st.builds(
    RetryPolicy,
    first_s=st.floats(0.1, 60),
    factor=st.floats(1, 10),
    cap_s=st.floats(1, 86400),
    jitter=st.floats(0, 0.99),
    budget_s=st.floats(1, 30 * 86400),
)
spreads = st.floats(0, 1, exclude_max=True)
attempts = st.integers(1, 10_000)


@given(policy=policies, attempt=attempts, spread=spreads)
def test_a_delay_is_never_shorter_than_the_one_before_at_the_same_spread(
    policy: RetryPolicy, attempt: int, spread: float
) -> None:
    assert next_delay_s(policy, attempt + 1, spread) >= next_delay_s(policy, attempt, spread)


@given(policy=policies, attempt=attempts, spread=spreads)
def test_a_delay_stays_within_the_jitter_around_first_and_cap(policy: RetryPolicy, attempt: int, spread: float) -> None:
    delay = next_delay_s(policy, attempt, spread)
    least = min(policy.first_s, policy.cap_s) * (1 - policy.jitter)
    assert least * (1 - 1e-9) <= delay <= policy.cap_s * (1 + policy.jitter) * (1 + 1e-9)


@given(policy=policies, attempt=attempts, spread=spreads, waited_ms=st.integers(0, 40 * 86400 * 1000))
def test_a_try_is_due_in_the_future_and_within_the_budget_or_never(
    policy: RetryPolicy, attempt: int, spread: float, waited_ms: int
) -> None:
    now_ms = NOW_MS + waited_ms
    due_ms = next_due_ms(policy, attempt=attempt, since_ms=NOW_MS, now_ms=now_ms, spread=spread)
    delay_ms = next_delay_s(policy, attempt, spread) * 1000
    if due_ms is None:
        assert waited_ms + delay_ms >= policy.budget_s * 1000 - 1
    else:
        assert now_ms <= due_ms <= NOW_MS + policy.budget_s * 1000
        assert abs(due_ms - now_ms - delay_ms) <= 1
