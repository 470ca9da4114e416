"""Promises of `relay selftest` (issue 3, item 9): every one of its checks finds the fault it is there for, and has a
name in both languages.

Leans on a live relay and on tampering between it and the self-test. Must never pass a check that cannot fail.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from relay.app.selftest import CHECKS, SelfTest, judged
from relay.app.selftest_bed import Reply
from relay.cli.selftest import check_titles
from relay.cli.terminal import Terminal
from relay.clock import system_entropy
from relay.i18n import Translator
from tests.integration.live_relay import PUBLIC_URL
from tests.integration.wire import Request
from tests.security.sabotage import FAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.app.selftest_bed import Ask
    from tests.integration.live_relay import LiveRelay
    from tests.security.sabotage import Sabotage


def _asking(live: LiveRelay, sabotage: Sabotage | None = None) -> Ask:
    """Ask the live relay, through whoever tampers."""

    async def send(method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        sent = (("Host", "relay.test"), ("Connection", "close"), *headers.items())
        answer = await live.ask(Request(method, target, sent, body))
        return Reply(answer.status, answer.headers, answer.body)

    async def ask(method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        if sabotage is None:
            return await send(method, target, body, headers or {})
        return await sabotage(send, method, target, body, headers or {})

    return ask


def _selftest(live: LiveRelay) -> SelfTest:
    relay = live.relay
    return SelfTest(relay.portals, relay.applications, relay.store, relay.clock, system_entropy, PUBLIC_URL)


async def test_issue_3_9_every_check_finds_the_fault_it_is_there_for(live: LiveRelay) -> None:
    assert set(FAULTS) == {check.__name__ for check, _ in CHECKS}
    test = _selftest(live)
    async with test._bed(_asking(live)) as bed:
        for check, source in CHECKS:
            tampered = replace(bed, ask=_asking(live, FAULTS[check.__name__]))
            finding = await judged(check, source, tampered)
            assert (check.__name__, finding.passed) == (check.__name__, False)
            assert finding.expected
            assert finding.found


def test_issue_3_9_every_check_has_a_title() -> None:
    titles = check_titles(Terminal(Translator("ru"), home=Path()))
    assert set(titles) == {check.__name__ for check, _ in CHECKS}
    assert all(any("а" <= letter <= "я" for letter in title.lower()) for title in titles.values())
