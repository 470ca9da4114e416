"""Throttling: who fails too often waits, who does not never does, and the table of them is bounded.

Leans on nothing. Must never lock anybody out for longer than one failure costs.
"""

from __future__ import annotations

from relay.core.throttle import BucketPolicy, Throttle

POLICY = BucketPolicy(capacity=100, rate=10, failure_cost=20)
NOW_S = 1000.0


def spent(failures: int, limit: int = 10) -> Throttle:
    throttle = Throttle(POLICY, limit)
    for _ in range(failures):
        throttle.charge("a", NOW_S, failed=True)
    return throttle


def test_failures_use_the_budget_up_and_time_fills_it_again() -> None:
    assert spent(4).wait_s("a", NOW_S) == 0
    assert spent(5).wait_s("a", NOW_S) > 0
    assert spent(5).wait_s("a", NOW_S + 0.1) == 0


def test_what_is_owed_is_bounded_by_one_failure() -> None:
    assert spent(1000).wait_s("a", NOW_S) <= (POLICY.failure_cost + 1) / POLICY.rate


def test_another_key_does_not_wait() -> None:
    assert spent(1000).wait_s("b", NOW_S) == 0


def test_successes_cost_little() -> None:
    throttle = Throttle(POLICY)
    for _ in range(99):
        throttle.charge("a", NOW_S, failed=False)
    assert throttle.wait_s("a", NOW_S) == 0


def test_a_clock_that_is_set_back_locks_nobody_out() -> None:
    assert spent(5).wait_s("a", NOW_S - 10**6) <= (POLICY.failure_cost + 1) / POLICY.rate


def test_the_table_is_bounded_and_the_longest_unused_make_room() -> None:
    throttle = spent(5, limit=2)
    for key in ("b", "c"):
        throttle.charge(key, NOW_S, failed=True)
    assert throttle.wait_s("a", NOW_S) == 0
