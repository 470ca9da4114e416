"""Handlers as the sender meets them: well, failing, hanging, resetting, gone, losing their answers.

Leans on the timeline for when a request arrives and is answered, which happens whether or not the caller still lives.
Must never tell a caller more than a real network would.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.core.model import Outcome, Verdict

if TYPE_CHECKING:
    from random import Random

    from relay.core.rules import DeliveryRules
    from relay.core.urlpolicy import UrlPolicy
    from relay.ports import Clock
    from relay.records import Message
    from tests.simulation.database import Weather
    from tests.simulation.ledger import Call, Ledger
    from tests.simulation.plan import HandlerPlan
    from tests.simulation.timeline import Process, Timeline


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler does with a request. status None: no answer comes; error: what the caller sees then."""

    took: bool
    status: int | None
    after_s: float
    error: str | None = None
    retry_after_s: float | None = None


WELL = Answer(took=True, status=200, after_s=0.02)
_HANG = 1e6


def _answer(mood: str, rng: Random, timeout_s: float) -> Answer:
    """One answer in that mood."""
    quick = rng.random() * 0.1
    if mood == "flaky":
        mood = rng.choice(("well", "well", "error", "reset", "loses_answers", "hang", "busy", "refuses", "garbage"))
    answers = {
        "error": Answer(took=False, status=rng.choice((500, 503)), after_s=quick),
        "refuses": Answer(took=False, status=404, after_s=quick),
        "busy": Answer(took=False, status=429, after_s=quick, retry_after_s=float(rng.choice((1, 7, 40)))),
        "gone": Answer(took=False, status=410, after_s=quick),
        "hang": Answer(took=False, status=None, after_s=_HANG),
        "reset": Answer(took=False, status=None, after_s=quick, error="reset"),
        "garbage": Answer(took=False, status=None, after_s=quick, error="bad_answer"),
        "loses_answers": Answer(took=True, status=None, after_s=rng.choice((quick, _HANG)), error="reset"),
        "slow": Answer(took=True, status=200, after_s=rng.uniform(0.1, 1.3) * timeout_s),
    }
    return answers.get(mood) or Answer(took=True, status=200, after_s=quick)


class Handlers:
    """All handlers of one history. well: whether they have all become well, and stay so."""

    def __init__(self, timeline: Timeline, rng: Random, plans: tuple[HandlerPlan, ...], ledger: Ledger) -> None:
        self._timeline = timeline
        self._rng = rng
        self._plans = {plan.url: plan for plan in plans}
        self._ledger = ledger
        self.well = False

    def arrive(self, call: Call, timeout_s: float, future: asyncio.Future[Answer]) -> None:
        """A request reaches its handler."""
        answer = WELL if self.well else _answer(self._mood(call.url), self._rng, timeout_s)
        if answer.took:
            told = answer.status is not None and self._timeline.now + answer.after_s < call.until
            self._ledger.taken(call, told=told)
        if answer.after_s < _HANG:
            self._timeline.call_later(answer.after_s, self._give, future, answer)

    def _give(self, future: asyncio.Future[Answer], answer: Answer) -> None:
        if not future.done():
            future.set_result(answer)

    def _mood(self, url: str) -> str:
        now = self._timeline.now
        past = [mood for at, mood in self._plans[url].moods if at <= now]
        return past[-1] if past else "well"


class SimulatedSender:
    """The Sender port of one process."""

    def __init__(
        self,
        timeline: Timeline,
        process: Process,
        clock: Clock,
        weather: Weather,
        handlers: Handlers,
        ledger: Ledger,
    ) -> None:
        self._timeline = timeline
        self._process = process
        self._clock = clock
        self._weather = weather
        self._handlers = handlers
        self._ledger = ledger

    async def send(self, message: Message, policy: UrlPolicy, rules: DeliveryRules) -> Outcome:
        """POST once and say what came of it."""
        started_ms, began = self._clock.now_ms(), self._timeline.now
        call = self._ledger.begin(self._process, message, until=began + rules.timeout_s)
        try:
            verdict, status, error, retry_after_s = await self._post(call, rules)
        except BaseException:
            self._ledger.end(call, None)
            raise
        duration_ms = round((self._timeline.now - began) * 1000)
        outcome = Outcome(verdict, status, error, started_ms, duration_ms, retry_after_s)
        self._ledger.end(call, outcome)
        return outcome

    async def _post(  # noqa: PLR0911
        self, call: Call, rules: DeliveryRules
    ) -> tuple[Verdict, int | None, str | None, float | None]:
        rng, weather = self._weather.rng, self._weather
        mishap = rng.choice(("refused", "reset", "crash", "loss")) if rng.random() < weather.network else ""
        future: asyncio.Future[Answer] = self._timeline.create_future()
        delay = rng.random() * 0.01
        if mishap in {"refused", "reset"}:
            await asyncio.sleep(delay)
            return Verdict.RETRY, None, "connection_refused", None
        self._timeline.call_later(
            delay, self._handlers.arrive, call, rules.timeout_s, future, context=self._timeline.world
        )
        if mishap == "crash" and weather.crash:
            self._timeline.call_later(rng.random() * 0.05, self._ledger.crash, self._process, "during a call")
        try:
            async with asyncio.timeout_at(call.until):
                answer = await future
        except TimeoutError:
            return Verdict.RETRY, None, "timeout", None
        if mishap == "loss":
            self._ledger.answer_lost(call)
            return Verdict.RETRY, None, "reset", None
        if answer.status is None:
            return Verdict.RETRY, None, answer.error, None
        if 200 <= answer.status < 300:
            return Verdict.DELIVERED, answer.status, None, None
        if answer.status == 410:
            return Verdict.HOLD, answer.status, "gone", None
        return Verdict.RETRY, answer.status, "status", answer.retry_after_s
