"""A home that nobody serves: commands are run on it, and its store is opened to put things in and to look.

Leans on the real command and on a real SQLite file. Must never keep the store open between two calls.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from relay.config import load_config
from relay.core.model import DeliveryState, Verdict
from relay.opened import Relay, open_relay
from tests.factories import NOW_MS
from tests.integration.commands import Ran, relay
from tests.integration.stored import ME, claim, ended, new_delivery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")
PORTAL = "https://portal.example.com"
HANDLER = "http://handlers.example.com/a"


@dataclass(frozen=True)
class Quiet:
    """The home, with one portal."""

    path: Path

    def do(self, work: Callable[[Relay], Awaitable[T]]) -> T:
        """Do something with its opened store."""

        async def run() -> T:
            opened = open_relay(load_config(self.path, {}))
            try:
                return await work(opened)
            finally:
                await opened.store.close()

        return asyncio.run(run())

    def tell(self, *arguments: object, **settings: str) -> Ran:
        """Run a command on it."""
        return relay(*arguments, "--home", self.path, **settings)

    def ask(self, *arguments: object) -> Any:
        """Run a command on it, for its JSON document."""
        return self.tell(*arguments, "--json").document

    def states(self) -> dict[str, int]:
        """How many events are in each state."""
        return {state: count for state, count in self.do(lambda opened: opened.store.counts()).items() if count}

    def put(
        self, *names: str, lane: int | None = None, entity: str | None = None, url: str = HANDLER, at_ms: int = NOW_MS
    ) -> list[str]:
        """Store events of these names for one handler; their ids."""
        made = [new_delivery(lane=lane, event=name, handler_url=url, entity=entity) for name in names]
        self.do(lambda opened: opened.store.accept(made, at_ms))
        return [one.event_id for one in made]

    def finish(self, state: DeliveryState = DeliveryState.DONE, *, now_ms: int = NOW_MS, **changes: Any) -> None:
        """Claim everything that is due, and end it like this."""

        async def run(opened: Relay) -> None:
            claimed = await claim(opened.store, now_ms=now_ms)
            await opened.store.finish([ended(one, state, **changes) for one in claimed], ME)

        self.do(run)

    def hold(self, reason: str, error: str | None = None, status: int | None = None) -> None:
        """Have everything that is due end up held."""
        verdict = Verdict.RETRY if reason == "budget" else Verdict.HOLD
        self.finish(DeliveryState.HELD, verdict=verdict, hold_reason=reason, error=error or reason, status=status)
