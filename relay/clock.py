"""The system's clock and randomness, where the use cases ask for them."""

from __future__ import annotations

import secrets
import time


class SystemClock:
    """Wall-clock time."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return time.time_ns() // 1_000_000


def system_entropy(size: int, /) -> bytes:
    """`size` bytes from the operating system."""
    return secrets.token_bytes(size)
