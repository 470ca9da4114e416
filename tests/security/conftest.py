"""Fixtures of the security tests: the integration tests' own relay and site, and nothing made up.

Leans on `tests.integration`. Must never replace a part of the relay: every promise here is kept over real HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.conftest import (
    _bare_environment,
    adapter,
    live,
    open_site_with,
    sink,
    site,
    store,
    template,
)
from tests.security.world import Verdicts, as_jwt

if TYPE_CHECKING:
    from tests.integration.site import Site

__all__ = [
    "_bare_environment",
    "adapter",
    "live",
    "open_site_with",
    "sink",
    "site",
    "store",
    "template",
]


@pytest.fixture(params=["sealed", "jwt"])
async def issuing(request: pytest.FixtureRequest, site: Site) -> Site:
    """A site whose application is given sealed tokens, and one whose application is given JWTs."""
    if request.param == "jwt":
        await as_jwt(site)
    return site


@pytest.fixture
def verdicts(site: Site) -> Verdicts:
    """Asks every face of the relay what it says of a token."""
    return Verdicts(site)
