"""Time that jumps: an event loop whose clock goes straight to the next thing that happens, and the processes on it.

Leans on asyncio's own tasks and futures, run in one fixed order. A process may be killed (nothing of it runs again) or
stalled (all of it runs later). Must never sleep, read the machine's clock, or depend on the order of a set.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

PROCESS: ContextVar[Process | None] = ContextVar("simulated process", default=None)
MOST_STEPS_AT_ONCE = 20_000
MOST_STEPS = 80_000
_Entry = tuple["Process | None", asyncio.Handle]


@dataclass(eq=False, slots=True)
class Process:
    """What a kill -9 ends: a set of tasks with a memory of their own."""

    name: str
    context: Context = field(default_factory=Context)
    dead: bool = False
    stalled: bool = False
    waiting: deque[_Entry] = field(default_factory=deque)


class Timeline(asyncio.BaseEventLoop):
    """The loop. `now` is virtual seconds since the beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.steps = 0
        self.failure: str | None = None
        self.world = Context()
        self._soon: deque[_Entry] = deque()
        self._timers: list[tuple[float, int, Process | None, asyncio.TimerHandle]] = []
        self._count = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._frozen: list[_Entry] = []
        self._over = False

    def process(self, name: str) -> Process:
        """A new process that runs nothing yet."""
        made = Process(name)
        made.context.run(PROCESS.set, made)
        return made

    def kill(self, process: Process) -> None:
        """Nothing of it runs any more, not even its clean-up."""
        process.dead = True

    def stall(self, process: Process, seconds: float) -> None:
        """Nothing of it runs for so long; then all that was due runs at once."""
        if process.stalled or process.dead:
            return
        process.stalled = True
        self.call_later(seconds, self._resume, process, context=self.world)

    def _resume(self, process: Process) -> None:
        process.stalled = False
        self._soon.extend(process.waiting)
        process.waiting.clear()

    def run(self, until: Callable[[], bool], deadline: float) -> bool:
        """Go on until `until` holds (True), or until the deadline, the end of all timers or a failure (False)."""
        asyncio._set_running_loop(self)
        steps_at_once, at = 0, self.now
        try:
            while self.failure is None:
                if until():
                    return True
                if not self._step(deadline):
                    return False
                steps_at_once = steps_at_once + 1 if self.now == at else 0
                at = self.now
                if steps_at_once > MOST_STEPS_AT_ONCE or self.steps > MOST_STEPS:
                    self.failure = f"spins: {self.steps} steps, {steps_at_once} of them at one moment"
            return False
        finally:
            asyncio._set_running_loop(None)

    def dispose(self) -> None:
        """End every task, dead ones too, so that nothing is left behind; nothing that runs now counts."""
        self._over = True
        asyncio._set_running_loop(self)
        try:
            for _ in range(50):
                pending = [task for task in self._tasks if not task.done()]
                if not pending:
                    break
                for task in pending:
                    task.cancel()
                self._soon.extend(self._frozen)
                self._frozen.clear()
                for _ in range(50):
                    while self._soon:
                        self._step(float("inf"))
                    if not self._step(float("inf")):
                        break
            else:
                raise AssertionError(f"tasks that cannot be ended: {pending}")
        finally:
            asyncio._set_running_loop(None)
            self._timers.clear()
            self._soon.clear()
            self._tasks.clear()
            self.close()

    def _step(self, deadline: float) -> bool:
        """Run one callback; False if there is none before the deadline."""
        if not self._soon:
            while self._timers and self._timers[0][3].cancelled():
                heapq.heappop(self._timers)
            if not self._timers or self._timers[0][0] > deadline:
                self.now = max(self.now, deadline) if deadline < float("inf") else self.now
                return False
            when, _, process, timer = heapq.heappop(self._timers)
            self.now = max(self.now, when)
            self._soon.append((process, timer))
        entry = self._soon.popleft()
        process, handle = entry
        if handle.cancelled():
            return True
        if process is not None and not self._over:
            if process.dead:
                self._frozen.append(entry)
                return True
            if process.stalled:
                process.waiting.append(entry)
                return True
        self.steps += 1
        handle._run()
        return True

    # What asyncio's tasks, futures and time-outs ask of a loop.

    def time(self) -> float:
        """Virtual seconds."""
        return self.now

    def get_debug(self) -> bool:
        """Never: debugging reads the machine's clock."""
        return False

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """After what is waiting already."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append((process, handle))
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """After so many virtual seconds."""
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """At that time; of two at one time the one that was asked for first."""
        process = PROCESS.get() if context is None else context.get(PROCESS)
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._timers, (when, self._count, process, timer))
        return timer

    def create_task(  # type: ignore[override]
        self,
        coro: Generator[Any, None, Any] | Coroutine[Any, Any, Any],
        *,
        name: str | None = None,
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        """A task that is remembered, for `dispose`."""
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name or "task", context=context)
        if len(self._tasks) > 500:
            self._tasks = [one for one in self._tasks if not one.done()]
        self._tasks.append(task)
        return task

    def start(self, process: Process, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine as part of a process."""
        context = process.context.run(copy_context)
        return self.create_task(coro, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """An error that nobody awaited ends the history."""
        if not self._over:
            self.failure = self.failure or f"unhandled: {context.get('message')}: {context.get('exception')!r}"

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""
