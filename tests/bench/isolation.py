"""Promises: how long events of ten healthy handlers take beside a dead and a drip-feeding one, and without these.

Leans on: two relays asked in turn, so that what waits for the bad handlers burdens one of them only. A third turn
gives the same events to two more healthy handlers instead: what is above it is the bad ones' doing, not the load's.
Must never: give a relay a time-out so long that no call of the drip-feeding handler ends within the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.home import DEAD_HANDLER
from tests.bench.paced import PACE, event_call, for_seconds, paced
from tests.bench.processes import python
from tests.bench.relay_process import prepare, serving
from tests.bench.report import percentile_figure

if TYPE_CHECKING:
    from tests.bench.relay_process import RelayUnderTest
    from tests.bench.report import Figure
    from tests.bench.stage import Stage

HEALTHY = 10
AIM = "<= 1.2"
_TIMEOUT_S = 1.5
_RULES = f'[apps."*"]\ntimeout_s = {_TIMEOUT_S}\n'


async def isolation(stage: Stage) -> list[Figure]:
    """Each event goes to a healthy handler and, in the same call, to both bad ones."""
    alone: list[list[float]] = []
    beside_bad: list[list[float]] = []
    beside_well: list[list[float]] = []
    core = stage.cores.server
    async with (
        python("tests.bench.drip", core=stage.cores.sink) as drip,
        serving(await prepare(stage.folder / "well", more=_RULES), core) as well,
        serving(await prepare(stage.folder / "bad", more=_RULES), core) as bad,
    ):
        bad_handlers = [DEAD_HANDLER, f"http://127.0.0.1:{int(await drip.read_line())}/handler"]
        more_handlers = stage.handler_urls(HEALTHY + 2)[HEALTHY:]
        for _ in range(stage.options.rounds):
            alone.append(await _healthy_ms(stage, well, []))
            beside_bad.append(await _healthy_ms(stage, bad, bad_handlers))
            beside_well.append(await _healthy_ms(stage, well, more_handlers))
    return [
        percentile_figure(f"{HEALTHY} healthy beside 2 bad at {PACE}/s", percent, pairs, aim, note)
        for pairs, aim, note in (
            (list(zip(alone, beside_bad, strict=True)), AIM, "bare: the same relay without the bad ones"),
            (list(zip(beside_well, beside_bad, strict=True)), AIM, "bare: two healthy ones in their place"),
        )
        for percent in (50, 99)
    ]


async def _healthy_ms(stage: Stage, relay: RelayUnderTest, besides: list[str]) -> list[float]:
    """Milliseconds of each event of the healthy handlers; `besides` get every event too."""
    bodies = [event_call(relay, [url, *besides]) for url in stage.handler_urls(HEALTHY)]
    sent = await paced(stage, relay, bodies, for_seconds(stage.options.seconds))
    return await sent.took_ms(stage.board)
