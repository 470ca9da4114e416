"""The rounds of a chaos test, and the table of all of them at the end.

Leans on `runs.py`. Must never print anything if no chaos test ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.runs import Chaos

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.chaos.runs import Rounds

CHAOS = pytest.StashKey[Chaos]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CHAOS] = Chaos(config.getoption("--long"))


def pytest_collection_modifyitems(config: pytest.Config, items: Sequence[pytest.Item]) -> None:
    """The hours of `--long` are shared by all tests that go in rounds."""
    sharing = sum("rounds" in getattr(item, "fixturenames", ()) for item in items)
    config.stash[CHAOS].tests = max(sharing, 1)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write(config.stash[CHAOS].table())


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> Rounds:
    """The rounds of this test, which is called what its first words say."""
    name = request.function.__name__.removeprefix("test_").replace("_", " ")
    return request.config.stash[CHAOS].rounds(name)
