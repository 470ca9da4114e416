"""A circuit breaker as a pure state machine: closed, open for a growing while, half-open with one probe.

Leans on nothing. Time is an argument. An open breaker stops calls, never deliveries: what is not called waits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum


class Circuit(StrEnum):
    """closed: calls go through; open: none does; half_open: one probe is under way."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """After `failures` in a row open for first_s, doubled with each failed probe up to cap_s."""

    failures: int = 5
    first_s: float = 2.0
    cap_s: float = 300.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """The state of one handler's circuit. opened counts how often it opened without closing in between."""

    circuit: Circuit = Circuit.CLOSED
    failures: int = 0
    opened: int = 0
    probe_at_ms: int = 0


def may_call(breaker: Breaker, now_ms: int) -> bool:
    """Whether a call may start now; on an open circuit whose time has come, one probe."""
    return breaker.circuit is Circuit.CLOSED or (breaker.circuit is Circuit.OPEN and now_ms >= breaker.probe_at_ms)


def on_call(breaker: Breaker) -> Breaker:
    """A call starts: on an open circuit it is the probe."""
    return replace(breaker, circuit=Circuit.HALF_OPEN) if breaker.circuit is Circuit.OPEN else breaker


def on_success(_breaker: Breaker) -> Breaker:
    """A call succeeded: the handler is well."""
    return Breaker()


def on_failure(breaker: Breaker, policy: BreakerPolicy, now_ms: int) -> Breaker:
    """A call failed for the handler's fault (not the event's)."""
    failures = breaker.failures + 1
    if breaker.circuit is Circuit.CLOSED and failures < policy.failures:
        return replace(breaker, failures=failures)
    if breaker.circuit is Circuit.OPEN:
        return replace(breaker, failures=failures)  # a call that began before it opened
    wait_s = min(policy.first_s * 2 ** min(breaker.opened, 32), policy.cap_s)
    return Breaker(Circuit.OPEN, failures, breaker.opened + 1, now_ms + round(wait_s * 1000))


def on_no_call(breaker: Breaker, now_ms: int) -> Breaker:
    """The probe did not take place: the circuit is open as before."""
    return (
        replace(breaker, circuit=Circuit.OPEN, probe_at_ms=now_ms) if breaker.circuit is Circuit.HALF_OPEN else breaker
    )
