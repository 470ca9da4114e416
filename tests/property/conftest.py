"""One PHP for all property tests.

Leans on `php.py`. Must never let a test see what another asked: PHP keeps nothing between two questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.property.php import Php

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def php() -> Iterator[Php]:
    """A running PHP."""
    with Php() as running:
        yield running
