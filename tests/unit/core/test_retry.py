"""Retries: growing delays within a bound, and a hold, never a drop, once the budget is used up.

Leans on nothing. Must never depend on a clock or on luck.
"""

from __future__ import annotations

import pytest

from relay.core.retry import RetryPolicy, next_delay_s, next_due_ms
from tests.factories import NOW_MS

EVEN = RetryPolicy(first_s=2, factor=2, cap_s=7200, jitter=0, budget_s=3 * 86400)


def test_delays_double_from_the_first_to_the_cap() -> None:
    delays = [next_delay_s(EVEN, attempt, 0.5) for attempt in range(1, 16)]
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 7200, 7200, 7200]


def test_any_number_of_tries_stays_at_the_cap() -> None:
    assert next_delay_s(EVEN, 10**6, 0.5) == 7200


@pytest.mark.parametrize(("spread", "delay"), [(0.0, 8.0), (0.5, 10.0), (1.0, 12.0)])
def test_the_spread_moves_a_delay_by_the_jitter_either_way(spread: float, delay: float) -> None:
    assert next_delay_s(RetryPolicy(first_s=10, jitter=0.2), 1, spread) == pytest.approx(delay)


def test_a_failed_try_is_due_after_its_delay() -> None:
    assert next_due_ms(EVEN, attempt=3, since_ms=NOW_MS, now_ms=NOW_MS + 5000, spread=0.5) == NOW_MS + 13_000


def test_the_last_moment_of_the_budget_is_still_tried_and_after_it_nothing_is() -> None:
    since_ms = NOW_MS + 2000 - 3 * 86400 * 1000
    assert next_due_ms(EVEN, attempt=1, since_ms=since_ms, now_ms=NOW_MS, spread=0.5) == NOW_MS + 2000
    assert next_due_ms(EVEN, attempt=1, since_ms=since_ms - 1, now_ms=NOW_MS, spread=0.5) is None


def test_by_default_tries_go_on_for_about_three_days() -> None:
    now_ms, attempt = NOW_MS, 0
    while True:
        attempt += 1
        due_ms = next_due_ms(RetryPolicy(), attempt=attempt, since_ms=NOW_MS, now_ms=now_ms, spread=0.5)
        if due_ms is None:
            break
        now_ms = due_ms
    assert 2.8 * 86400 < (now_ms - NOW_MS) / 1000 <= 3 * 86400
    assert 40 < attempt < 60
