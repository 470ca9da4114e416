"""The bell of a node that delivers nothing and has no broker: whoever delivers finds the work by its own sweep.

Leans on nothing. Never does anything; where one process does everything the dispatcher itself is the bell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.core.model import Handler


class NoBell:
    """The Bell port, silent."""

    def ring(self, handlers: Iterable[Handler]) -> None:
        """Nothing."""
