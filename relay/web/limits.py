"""Bounds of requests, as the service listener is told them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.core.phpform import FormLimits
    from relay.web.peer import Network


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """Portal calls may be large, an app's are small; proxies: whose X-Forwarded-For is believed."""

    portal_form: FormLimits
    app_form: FormLimits
    body_timeout_s: float = 15.0
    proxies: tuple[Network, ...] = ()
