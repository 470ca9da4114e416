"""Promises of `relay event`: what is held is shown with its remedy; what a person decides is done and recorded.

Leans on deliveries stored in a real SQLite file and on the real command. Touches only a test's own folder.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from relay.records import AuditEntry
from tests.factories import NOW_MS
from tests.integration.commands import Ran, is_one_sentence
from tests.integration.quiet import HANDLER, PORTAL, Quiet
from tests.integration.stored import ME, claim, ended, new_delivery

if TYPE_CHECKING:
    from relay.opened import Relay
    from relay.records import NewDelivery


# list, show --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "error", "status", "because", "remedy"),
    [
        ("budget", "timeout", None, "its time for retries is used up; last answer: timeout", "raise timeout_s"),
        ("budget", "status", 500, "its time for retries is used up; last answer: 500", "read its log"),
        (
            "address_refused",
            None,
            None,
            "may not call the address",
            f"portal add {PORTAL} --allow handlers.example.com",
        ),
        ("bad_url", None, None, "is no http address", "correct it in the application"),
        ("gone", None, 410, "410 Gone", "register its handler again"),
        ("moon_phase", None, None, "moon_phase", "event retry --state held --handler handlers.example.com"),
    ],
)
def test_a_held_event_is_shown_with_its_reason_and_its_remedy(
    quiet: Quiet, reason: str, error: str | None, status: int | None, because: str, remedy: str
) -> None:
    (event_id,) = quiet.put("ONCRMDEALADD", entity="crm.deal:5")
    quiet.hold(reason, error, status)
    shown = quiet.ask("event", "show", event_id)
    assert (shown["state"], shown["hold_reason"], shown["entity"]) == ("held", reason, "crm.deal:5")
    assert remedy in shown["remedy"]
    for text in (quiet.tell("event", "show", event_id).out, quiet.tell("event", "list").out):
        assert because in text
        assert remedy in text
        assert "crm.deal:5" in text


def test_reasons_are_told_once_for_many_events(quiet: Quiet) -> None:
    quiet.put(*["ONCRMDEALADD"] * 5)
    quiet.hold("address_refused")
    out = quiet.tell("event", "list", "--state", "held").out
    assert out.count("Held for handlers.example.com: 5, because") == 1
    russian = quiet.tell("event", "list", RELAY_LANG="ru").out
    assert "Задержано для handlers.example.com: 5." in russian


def test_an_event_that_was_replaced_by_a_newer_one_is_never_called_delivered(quiet: Quiet) -> None:
    first, second, third = (
        new_delivery(lane=7, event="ONCRMDEALUPDATE", entity="crm.deal:5", handler_url=HANDLER) for _ in range(3)
    )
    for one in (first, second, third):
        quiet.do(partial(_accept, [replace(one, collapse=True)]))
    shown = quiet.ask("event", "show", second.event_id)
    assert (shown["state"], shown["collapsed_into"]) == ("done", third.event_id)
    text = quiet.tell("event", "show", second.event_id).out
    assert "replaced by a newer one (done)" in text
    assert f"Replaced by: {third.event_id}" in " ".join(text.split())


def test_events_are_found_by_their_entity(quiet: Quiet) -> None:
    (wanted,) = quiet.put("ONCRMCONTACTADD", entity="crm.contact:123")
    quiet.put("ONCRMCONTACTADD", entity="crm.contact:124")
    assert [row["event_id"] for row in quiet.ask("event", "list", "--entity", "CRM.Contact:123")] == [wanted]
    refused = quiet.tell("event", "list", "--entity", "123")
    assert (refused.status, is_one_sentence(refused.err)) == (2, True)


# drop --------------------------------------------------------------------------------------------------------


def test_events_are_dropped_with_a_reason_that_stays(quiet: Quiet) -> None:
    first, second = quiet.put("ONCRMDEALADD", "ONCRMLEADADD")
    dry = quiet.ask("event", "drop", "--event", "ONCRMDEALADD", "--reason", "too old", "--dry-run")
    assert (dry["dry_run"], dry["events"], dry["dropped"]) == (True, 1, 0)
    assert dry["counts"] == [{"state": "due", "handler": HANDLER, "events": 1}]
    assert quiet.states() == {"due": 2}
    done = quiet.ask("event", "drop", "--event", "ONCRMDEALADD", "--reason", "too old", "--yes")
    assert done["dropped"] == 1
    shown = quiet.ask("event", "show", first)
    assert (shown["state"], shown["last_error"]) == ("dropped", "too old")
    assert "dropped: too old" in quiet.tell("event", "show", first).out
    assert quiet.ask("event", "drop", second, "--reason", "by hand", "--yes")["dropped"] == 1
    entries = quiet.ask("audit", "list", "--kind", "event.dropped")
    assert [entry["details"] for entry in entries] == [
        {"states": ["accepted", "due", "held"], "event_id": second, "reason": "by hand"},
        {"states": ["accepted", "due", "held"], "event": "ONCRMDEALADD", "reason": "too old"},
    ]


def test_the_next_of_an_entity_goes_on_when_the_one_before_it_is_dropped(quiet: Quiet) -> None:
    first, _ = quiet.put("ONCRMDEALADD", "ONCRMDEALUPDATE", lane=9, entity="crm.deal:9")
    assert quiet.states() == {"due": 1, "accepted": 1}
    quiet.ask("event", "drop", first, "--reason", "broken", "--yes")
    assert quiet.states() == {"dropped": 1, "due": 1}


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--reason", "x"], 2, "Say which events"),
        (["--state", "due"], 2, "Missing option '--reason'"),
        (["--state", "due", "--reason", " "], 2, "The reason must be a text"),
        (["--state", "due", "--reason", "x"], 2, "This must be confirmed"),
        (["--state", "done", "--reason", "x", "--yes"], 1, "Only events that are accepted, due or held"),
        (["0" * 32, "--reason", "x", "--yes"], 1, "There is no event"),
        (["DONE", "--reason", "x", "--yes"], 1, "cannot be dropped"),
    ],
)
def test_nothing_is_dropped_by_accident(quiet: Quiet, arguments: list[str], status: int, says: str) -> None:
    (done,) = quiet.put("ONCRMDEALADD")
    quiet.finish()
    quiet.put("ONCRMDEALADD")
    typed = [done if one == "DONE" else one for one in arguments]
    ran = quiet.tell("event", "drop", *typed, "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (status, "", True)
    assert says in ran.err
    assert quiet.states() == {"done": 1, "due": 1}


# skip --------------------------------------------------------------------------------------------------------


def test_a_skipped_event_is_held_and_the_next_of_its_entity_goes_on(quiet: Quiet) -> None:
    first, second = quiet.put("ONCRMDEALADD", "ONCRMDEALUPDATE", lane=9, entity="crm.deal:9")
    refused = quiet.tell("event", "skip", second, "--json")
    assert (refused.status, refused.out, is_one_sentence(refused.err)) == (1, "", True)
    assert quiet.ask("event", "skip", first) == {"event_id": first, "skipped": True}
    assert quiet.states() == {"held": 1, "due": 1}
    assert "you set it aside" in quiet.tell("event", "show", first).out
    assert f"event retry {first}" in quiet.ask("event", "show", first)["remedy"]
    (entry,) = quiet.ask("audit", "list", "--kind", "event.skipped")
    assert (entry["portal"], entry["details"]) == (PORTAL, {"event_id": first, "entity": "crm.deal:9"})
    assert quiet.tell("event", "skip", "0" * 32).status == 1


# erase -------------------------------------------------------------------------------------------------------


def test_an_entitys_payloads_are_erased_everywhere_and_that_is_recorded(quiet: Quiet) -> None:
    quiet.put("ONCRMCONTACTADD", entity="crm.contact:123")
    quiet.finish()
    quiet.put("ONCRMCONTACTUPDATE", entity="crm.contact:123")
    quiet.put("ONCRMCONTACTADD", entity="crm.contact:1234")
    refused = quiet.tell("event", "erase", "--entity", "crm.contact:123")
    assert (refused.status, is_one_sentence(refused.err)) == (2, True)
    erased = quiet.ask("event", "erase", "--entity", "crm.contact:123", "--yes")
    assert erased == {"entity": "crm.contact:123", "events": 2, "erased": 2, "being_delivered": 0}
    assert quiet.states() == {"done": 1, "dropped": 1, "due": 1}
    assert quiet.do(lambda opened: opened.store.unerased("crm.contact:123")) == 0
    assert quiet.do(lambda opened: opened.store.unerased("crm.contact:1234")) == 1
    (entry,) = quiet.ask("audit", "list", "--kind", "event.erased")
    assert entry["details"] == {"entity": "crm.contact:123"}
    again = quiet.tell("event", "erase", "--entity", "crm.contact:123", "--yes")
    assert (again.status, "Payloads that are erased: 0" in again.out) == (0, True)
    raw = b"".join(path.read_bytes() for path in quiet.path.glob("relay.db*"))
    assert b"data%5BFIELDS%5D%5BID%5D=5" in raw  # the other contact's, so that the next line can fail
    assert raw.count(b"data%5BFIELDS%5D%5BID%5D=5") == 1


def test_what_is_being_delivered_is_erased_when_it_is_over(quiet: Quiet) -> None:
    quiet.put("ONCRMCONTACTADD", entity="crm.contact:5")

    async def erase_while_it_is_delivered(opened: Relay) -> Ran:
        (in_hand,) = await claim(opened.store, lease_s=10**7)
        erasing = asyncio.create_task(
            asyncio.to_thread(quiet.tell, "event", "erase", "--entity", "crm.contact:5", "--yes", "--json")
        )
        while not await opened.store.list_audit(0, "event.erased", 10):  # it has looked once
            await asyncio.sleep(0.01)
        assert await opened.store.unerased("crm.contact:5") == 1
        await opened.store.finish([ended(in_hand)], ME)
        return await erasing

    ran = quiet.do(erase_while_it_is_delivered)
    assert (ran.document["erased"], ran.document["being_delivered"]) == (1, 0)
    assert quiet.do(lambda opened: opened.store.unerased("crm.contact:5")) == 0


# audit -------------------------------------------------------------------------------------------------------


def test_the_record_is_listed_by_time_and_kind(quiet: Quiet) -> None:
    now = quiet.do(_now)
    entries = [
        AuditEntry("app.revoked", now - 10, 1, None, {"reason": "operator"}),
        AuditEntry("app.added", now - 5, None, None, {"count": 3}),
        AuditEntry("elsewhere", now - 7200, 9, 9, {}),
    ]
    quiet.do(lambda opened: opened.store.add_audit(entries))
    assert [entry["kind"] for entry in quiet.ask("audit", "list", "--since", "1h", "--kind", "app")] == [
        "app.added",
        "app.revoked",
    ]
    assert [entry["kind"] for entry in quiet.ask("audit", "list", "--kind", "else")] == ["elsewhere"]
    assert len(quiet.ask("audit", "list", "--limit", 1)) == 1
    out = quiet.tell("audit", "list", "--kind", "app").out
    assert "reason=operator" in out
    assert "count=3" in out
    assert PORTAL in out
    assert quiet.tell("audit", "list", "--since", "1s", "--kind", "none").out == "Nothing was recorded since then.\n"


async def _accept(made: list[NewDelivery], opened: Relay) -> None:
    await opened.store.accept(made, NOW_MS)


async def _now(opened: Relay) -> int:
    return opened.clock.now_ms() // 1000
