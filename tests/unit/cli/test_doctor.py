"""Promises that the doctor calls what is wrong by its name and gives a remedy that can be carried out.

Leans on observations that the tests make up: no file, socket or clock.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from relay.app.doctor import Finding, Result, examine
from relay.app.observations import (
    DatabaseState,
    FileMode,
    HandlerHost,
    HeldEvents,
    Observed,
    Probe,
    handler_host,
)
from tests.factories import portal

NOW = 1_780_000_000
READY = Probe(reached=True, status=200, is_relay=True)
URL = "https://relay.example.com"
REACHED = Probe(reached=True, status=200, clock_offset_s=1.0)
REGISTERED = portal(id=1, url="https://portal.example.com", registered_at=NOW - 100, allow=())
WELL = Observed(
    home="/home",
    relay="relay",
    now=NOW,
    modes=(FileMode("/home", 0o700, 0o700),),
    database=DatabaseState("0001", "0001"),
    free_bytes=10**11,
    min_free_bytes=200 * 2**20,
    listeners={"http://127.0.0.1:8080": READY, "http://127.0.0.1:8081": READY},
    public_url=URL,
    public=replace(READY, certificate_left_s=1e7),
    portals=(REGISTERED,),
    portal_probes={1: REACHED},
    counts={"due": 3, "leased": 1, "held": 0, "done": 9, "dropped": 0},
    handler_hosts=(HandlerHost(1, "app.example.com", ("10.0.0.5",)),),
)


def _one(check: str, **changes: Any) -> Finding:
    found = [finding for finding in examine(replace(WELL, **changes)) if finding.check == check]
    return max(found, key=lambda finding: list(Result).index(finding.result))


def _said(finding: Finding) -> str:
    return finding.says.text.format(**finding.says.values)


def _remedy(finding: Finding) -> str:
    assert finding.remedy is not None
    return finding.remedy.text.format(**finding.remedy.values)


def test_all_is_well_where_nothing_is_wrong() -> None:
    assert {finding.result for finding in examine(WELL)} == {Result.OK}


def test_a_finding_that_is_not_ok_always_has_a_remedy() -> None:
    sick = Observed(
        home="/home",
        relay="relay --home /home",
        now=NOW,
        modes=(FileMode("/home", 0o755, 0o700), FileMode("/home/master.key", 0o644, 0o600)),
        database=DatabaseState(fault="file is not a database"),
        free_bytes=0,
        min_free_bytes=2**20,
        listeners={"a": Probe(reached=True), "b": Probe(reached=False), "c": replace(READY, status=503)},
        public_url="",
    )
    found = [finding for finding in examine(sick) if finding.result is not Result.OK]
    assert {f.check for f in found} == {"permissions", "database", "disk", "listener", "public_url"}
    assert all(_remedy(finding) for finding in found)


def test_open_permissions_fail_with_the_command_that_closes_them() -> None:
    finding = _one("permissions", modes=(FileMode("/home/master.key", 0o640, 0o600),))
    assert (finding.result, _remedy(finding)) == (Result.FAILED, "chmod 0600 /home/master.key")
    assert _one("permissions", modes=(FileMode("/home/master.key", 0o400, 0o600),)).result is Result.OK


def test_a_database_of_another_version_fails() -> None:
    finding = _one("database", database=DatabaseState("0001", "0002"))
    assert (finding.result, "0002" in _said(finding)) == (Result.FAILED, True)


@pytest.mark.parametrize(
    ("free", "result"), [(10**11, Result.OK), (500 * 2**20, Result.WARNING), (2**20, Result.FAILED)]
)
def test_little_space_warns_and_none_fails(free: int, result: Result) -> None:
    assert _one("disk", free_bytes=free).result is result


@pytest.mark.parametrize(
    ("probe", "result"),
    [
        (READY, Result.OK),
        (Probe(reached=False), Result.WARNING),
        (Probe(reached=True, status=200), Result.FAILED),
        (replace(READY, status=503), Result.FAILED),
    ],
)
def test_a_listener_is_ready_or_off_or_another_programs(probe: Probe, result: Result) -> None:
    assert _one("listener", listeners={"http://127.0.0.1:8080": probe}).result is result


@pytest.mark.parametrize(
    ("url", "probe", "result"),
    [
        (URL, replace(READY, certificate_left_s=86400.0), Result.WARNING),
        (URL, Probe(reached=True, certificate_fault="self-signed certificate"), Result.FAILED),
        (URL, Probe(reached=False, fault="no connection"), Result.FAILED),
        (URL, Probe(reached=True, status=502), Result.FAILED),
        ("http://relay.example.com", READY, Result.WARNING),
        ("", None, Result.WARNING),
    ],
)
def test_the_public_address_must_be_https_lead_here_and_verify(url: str, probe: Probe | None, result: Result) -> None:
    assert _one("public_url", public_url=url, public=probe).result is result


def test_the_public_address_of_a_relay_that_is_off_is_only_a_warning() -> None:
    off = {"http://127.0.0.1:8080": Probe(reached=False)}
    bad_gateway = Probe(reached=True, status=502)
    assert _one("public_url", listeners=off, public=bad_gateway).result is Result.WARNING


@pytest.mark.parametrize(
    ("offset", "result"), [(5.0, Result.OK), (-45.0, Result.WARNING), (3600.0, Result.FAILED), (None, Result.OK)]
)
def test_clocks_that_differ_are_named(offset: float | None, result: Result) -> None:
    assert _one("clock", portal_probes={1: replace(REACHED, clock_offset_s=offset)}).result is result


@pytest.mark.parametrize(
    ("registered_at", "window_until", "result"),
    [
        (NOW - 1, NOW - 1, Result.OK),
        (None, NOW + 60, Result.WARNING),
        (None, NOW, Result.FAILED),
    ],
)
def test_a_portal_must_register_in_its_time(registered_at: int | None, window_until: int, result: Result) -> None:
    one = replace(REGISTERED, registered_at=registered_at, window_until=window_until)
    finding = _one("portal", portals=(one,))
    assert finding.result is result
    if result is Result.FAILED:
        assert _remedy(finding) == "relay portal add https://portal.example.com"


def test_a_portal_that_cannot_be_reached_is_a_warning() -> None:
    assert _one("portal_reachable", portal_probes={1: Probe(reached=False, fault="no connection")}).result is (
        Result.WARNING
    )


def test_no_portal_is_a_warning() -> None:
    assert _one("portal", portals=(), portal_probes={}).result is Result.WARNING


def test_a_refused_handler_host_fails_with_the_command_that_allows_it() -> None:
    finding = _one("handler_host", handler_hosts=(HandlerHost(1, "app.example.com", ("203.0.113.7",)),))
    assert finding.result is Result.FAILED
    assert _remedy(finding) == "relay portal add https://portal.example.com --allow app.example.com"


def test_an_allowed_handler_host_is_well() -> None:
    hosts = (HandlerHost(1, "app.example.com", ("203.0.113.7",)),)
    allowing = replace(REGISTERED, allow=("app.example.com",))
    assert _one("handler_host", portals=(allowing,), handler_hosts=hosts).result is Result.OK


def test_a_handler_host_without_an_address_fails() -> None:
    assert _one("handler_host", handler_hosts=(HandlerHost(1, "app.example.com", None),)).result is Result.FAILED


def test_held_events_fail_and_are_counted_by_reason() -> None:
    held = (
        HeldEvents(1, "app.example.com", "status", 500, 2),
        HeldEvents(1, "other.example.com", "address_refused", None, 7),
    )
    found = [finding for finding in examine(replace(WELL, held=held)) if finding.check == "held_events"]
    assert [finding.result for finding in found] == [Result.FAILED, Result.FAILED]
    assert _said(found[0]) == "Held events: 7, because of: address_refused"
    assert _remedy(found[0]) == (
        "relay portal add https://portal.example.com --allow other.example.com"
        " and then: relay event retry --state held --handler other.example.com"
    )
    assert _said(found[1]) == "Held events: 2, because of: 500"


def test_a_reason_that_is_not_known_still_has_a_remedy() -> None:
    finding = _one("held_events", held=(HeldEvents(1, "app.example.com", "moon_phase", None, 1),))
    assert "relay event retry --state held --handler app.example.com" in _remedy(finding)


@pytest.mark.parametrize(
    ("url", "host"),
    [("https://App.example.com:8443/x", "app.example.com"), ("nonsense", "nonsense"), ("http://[::1", "http://[::1")],
)
def test_the_host_of_a_handler(url: str, host: str) -> None:
    assert handler_host(url) == host
