"""Promises: every process of the bench runs the event loop that the relay runs: uvloop where it is installed.

Leans on: asyncio, uvloop.
Must never: give the relay another loop than what it is compared with.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run to the end."""
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every system
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


async def until_stdin_ends() -> None:
    """Return when whoever started this process closes its standard input, or dies."""
    await asyncio.to_thread(sys.stdin.read)
