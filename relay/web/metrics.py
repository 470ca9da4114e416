"""What is counted, for Prometheus.

Leans on prometheus-client, with a registry of its own. Labels come from fixed sets only: no host, path or id that a
caller could make up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

if TYPE_CHECKING:
    from relay.core.model import Delivery, DeliveryState, Outcome

_CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The relay's metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("relay_requests", "Requests answered.", ["endpoint", "status"], registry=self.registry)
        self._request_s = Histogram("relay_request_seconds", "Time to answer.", ["endpoint"], registry=self.registry)
        self._tries = Counter("relay_delivery_tries", "Calls of handlers.", ["verdict"], registry=self.registry)
        self._try_s = Histogram("relay_delivery_try_seconds", "Time of one call.", registry=self.registry)
        self._purged = Counter(
            "relay_purged_rows", "Ended rows deleted by housekeeping.", ["table"], registry=self.registry
        )
        self._of_request: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._deliveries = Gauge("relay_deliveries", "Deliveries stored, by state.", ["state"], registry=self.registry)
        self._warning = Gauge("relay_warning", "1 while room for events is low or gone.", registry=self.registry)
        self._refusing = Gauge("relay_refusing", "1 while events are refused for want of room.", registry=self.registry)

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        counted = self._of_request.get((endpoint, status))
        if counted is None:
            counted = self._requests.labels(endpoint, str(status)), self._request_s.labels(endpoint)
            self._of_request[endpoint, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    def outcome(self, _delivery: Delivery, outcome: Outcome, _state: DeliveryState) -> None:
        """Count one try."""
        self._tries.labels(str(outcome.verdict)).inc()
        self._try_s.observe(outcome.duration_ms / 1000)

    def purged(self, counts: dict[str, int]) -> None:
        """Count rows that housekeeping deleted, by table."""
        for table, count in counts.items():
            self._purged.labels(table).inc(count)

    def exposition(self, counts: dict[str, int], *, warning: bool, refusing: bool) -> tuple[bytes, str]:
        """The text Prometheus reads, and its content type; counts: deliveries by state."""
        self._warning.set(warning)
        self._refusing.set(refusing)
        for state, count in counts.items():
            self._deliveries.labels(state).set(count)
        return generate_latest(self.registry), _CONTENT_TYPE
