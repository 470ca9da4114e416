"""Sites whose relay is started again with other settings, as an operator does after a change of relay.toml.

Leans on `live_relay.py` and `site.py`. Must never run two relays on one home at a time.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.integration.live_relay import running_relay
from tests.integration.site import Site, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.integration.sink import Sink


class Restarting:
    """One home whose relay runs only within `running`; what was registered stays."""

    def __init__(self, home: Path, template: Path, sink: Sink) -> None:
        self.home = home
        self._template = template
        self._sink = sink
        self._site: Site | None = None

    @asynccontextmanager
    async def running(self, settings: Mapping[str, Any] | None = None) -> AsyncIterator[Site]:
        """The site, with a relay of these settings."""
        async with running_relay(self.home, settings, self._template) as live:
            if self._site is None:
                self._site = await open_site(live, self._sink)
            self._site.live = self._site.portal.live = self._site.app.live = live
            yield self._site
