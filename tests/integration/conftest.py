"""Fixtures of the integration tests: a relay, a handler, a site, and relays with settings of their own.

Leans on `live_relay.py`, `sink.py` and `site.py`. Must never share a relay between two tests.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from relay.config import DATABASE_FILE
from tests.integration.adapters import ADAPTERS, Adapter
from tests.integration.commands import relay
from tests.integration.live_relay import LiveRelay, make_home, running_relay
from tests.integration.quiet import PORTAL, Quiet
from tests.integration.sink import Sink, running_sink
from tests.integration.site import Site, open_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from pathlib import Path

    from relay.store.sql_store import SqlStore


OpenSite: TypeAlias = "Callable[[Mapping[str, Any]], Awaitable[Site]]"


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No RELAY_ variable of whoever runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("RELAY_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a relay that knows nobody, made once."""
    home = tmp_path_factory.mktemp("template")

    async def make() -> None:
        async with running_relay(home):
            pass

    asyncio.run(make())
    return home / DATABASE_FILE


@pytest.fixture
async def live(tmp_path: Path, template: Path) -> AsyncIterator[LiveRelay]:
    """A running relay that knows nobody."""
    async with running_relay(tmp_path / "home", template=template) as running:
        yield running


@pytest.fixture(params=sorted(ADAPTERS))
async def adapter(request: pytest.FixtureRequest, template: Path) -> AsyncIterator[Adapter]:
    """An empty database of each kind."""
    async with AsyncExitStack() as stack:
        yield ADAPTERS[request.param](request, template, stack)


@pytest.fixture
async def store(adapter: Adapter) -> SqlStore:
    """The open store over it."""
    return await adapter.open()


@pytest.fixture(scope="session")
def announced(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """The database of a relay that knows one portal, made once."""
    home = make_home(tmp_path_factory.mktemp("announced") / "home", template=template)
    assert relay("portal", "add", PORTAL, "--home", home).status == 0
    return home / DATABASE_FILE


@pytest.fixture
def quiet(tmp_path: Path, announced: Path) -> Quiet:
    """A home with one portal that nobody serves."""
    return Quiet(make_home(tmp_path / "quiet", template=announced))


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """A running handler."""
    async with running_sink() as running:
        yield running


@pytest.fixture
async def site(live: LiveRelay, sink: Sink) -> Site:
    """A running relay with a portal, an application and a handler."""
    return await open_site(live, sink)


@pytest.fixture
async def open_site_with(tmp_path: Path, template: Path, sink: Sink) -> AsyncIterator[OpenSite]:
    """Opens a site on a relay with settings of its own."""
    async with AsyncExitStack() as stack:

        async def opened(settings: Mapping[str, Any]) -> Site:
            live = await stack.enter_async_context(running_relay(tmp_path / "home", settings, template))
            return await open_site(live, sink)

        yield opened
