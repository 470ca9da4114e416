"""The circuit breaker: closed while a handler is well, open for a growing while when it is not, one probe at a time.

Leans on nothing. Must never stay open for ever, nor let a second probe through.
"""

from __future__ import annotations

from relay.core.breaker import Breaker, BreakerPolicy, Circuit, may_call, on_call, on_failure, on_no_call, on_success
from tests.factories import NOW_MS

POLICY = BreakerPolicy(failures=3, first_s=2, cap_s=10)


def failed(breaker: Breaker, times: int = 1, now_ms: int = NOW_MS) -> Breaker:
    for _ in range(times):
        breaker = on_failure(breaker, POLICY, now_ms)
    return breaker


def test_a_few_failures_change_nothing_and_a_success_forgets_them() -> None:
    shaken = failed(Breaker(), 2)
    assert may_call(shaken, NOW_MS)
    assert failed(on_success(shaken), 2).circuit is Circuit.CLOSED


def test_after_as_many_failures_in_a_row_nothing_is_called_for_a_while() -> None:
    opened = failed(Breaker(), 3)
    assert opened.circuit is Circuit.OPEN
    assert not may_call(opened, NOW_MS + 1999)
    assert may_call(opened, NOW_MS + 2000)


def test_then_one_probe_goes_and_no_second() -> None:
    probing = on_call(failed(Breaker(), 3))
    assert probing.circuit is Circuit.HALF_OPEN
    assert not may_call(probing, NOW_MS + 10**9)


def test_a_probe_that_succeeds_closes_the_circuit() -> None:
    assert on_success(on_call(failed(Breaker(), 3))) == Breaker()


def test_each_probe_that_fails_doubles_the_wait_up_to_its_cap() -> None:
    breaker, waits = failed(Breaker(), 3), []
    for _ in range(5):
        waits.append((breaker.probe_at_ms - NOW_MS) / 1000)
        breaker = failed(on_call(breaker))
    assert waits == [2, 4, 8, 10, 10]


def test_a_probe_that_did_not_take_place_may_be_made_again() -> None:
    again = on_no_call(on_call(failed(Breaker(), 3)), NOW_MS + 5000)
    assert may_call(again, NOW_MS + 5000)
    assert on_no_call(Breaker(), NOW_MS) == Breaker()


def test_a_late_failure_of_a_call_from_before_does_not_lengthen_the_wait() -> None:
    opened = failed(Breaker(), 3)
    assert failed(opened, now_ms=NOW_MS + 1000).probe_at_ms == opened.probe_at_ms
