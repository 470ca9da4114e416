"""How one application's events are delivered: order, budget, pace, and what its handlers are sent besides.

Leans on the retry schedule, lanes and the breaker. An application without rules of its own has the default ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.core.breaker import BreakerPolicy
from relay.core.lanes import Order
from relay.core.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "*"


@dataclass(frozen=True, slots=True)
class Transport:
    """How handlers are reached: paths of PEM files and a proxy's URL, each empty for none."""

    headers: Mapping[str, str] = field(default_factory=dict)
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryRules:
    """One application's rules.

    collapse: of several waiting updates of one entity only the newest is sent. skip_after: after that many tries a
    lane's head is held aside and the lane goes on (0: it waits). concurrency: calls at once of one handler.
    rate: calls a second of one handler (0: as many as go). timeout_s: the whole call, body included.
    retry_after_cap_s: a handler's Retry-After is honoured up to this. amqp: handler URL → `amqp:exchange/key`.
    """

    order: Order = Order.LANE
    collapse: bool = False
    skip_after: int = 0
    concurrency: int = 8
    rate: float = 0.0
    timeout_s: float = 30.0
    response_bytes: int = 64 * 1024
    retry_after_cap_s: float = 3600.0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)
    transport: Transport = field(default_factory=Transport)
    amqp: Mapping[str, str] = field(default_factory=dict)


class RuleBook:
    """The rules of all applications, by client id; `*` for those without their own."""

    def __init__(self, rules: Mapping[str, DeliveryRules]) -> None:
        self._rules = dict(rules)
        self._default = self._rules.get(DEFAULT, DeliveryRules())

    def of(self, client_id: str) -> DeliveryRules:
        """The rules for an application's events (empty client id: outgoing webhooks)."""
        return self._rules.get(client_id, self._default)
