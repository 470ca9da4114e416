"""Settings and servers that every test runs under, and the option that lets the chaos suite go on for hours.

Leans on hypothesis: no deadline, because two busy cores make any deadline a coin toss. Must never start anything by
itself: a server runs once a test asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import settings

from tests.servers.fixtures import postgres_server, postgres_url, rabbit_server

if TYPE_CHECKING:
    import pytest

__all__ = ["postgres_server", "postgres_url", "rabbit_server"]

settings.register_profile("relay", deadline=None, print_blob=True)
settings.load_profile("relay")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--long`, for tests/chaos."""
    about = "let the chaos suite go on for so many hours (1 if none are given), with a new seed each round"
    parser.addoption("--long", metavar="HOURS", type=float, nargs="?", const=1.0, default=0.0, help=about)
