"""What a handler is sent, and what its answer means for the delivery (protocol.md section 5).

Leans on the real PHP-form codec for reading bodies. Must never let a token out that was not asked for.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from relay.core.delivery import (
    BUDGET,
    EventToken,
    Settled,
    handler_body,
    is_handlers_fault,
    settle,
    token_parameters,
    wants_token,
)
from relay.core.model import App, DeliveryState, EventItem, Verdict
from relay.core.phpform import FormLimits, parse_form
from relay.core.retry import RetryPolicy
from relay.core.rules import DeliveryRules
from tests.factories import APP_CLIENT, NOW, NOW_MS, app, item, outcome, portal

TOKEN = EventToken("a" * 70, NOW + 3600)
ENDPOINT = "https://relay.example/rest/"


def body(of: EventItem, by: App | None = None, token: EventToken | None = TOKEN) -> str:
    return handler_body(of, portal(), app() if by is None else by, token, server_endpoint=ENDPOINT, now=NOW).decode()


def fields(text: str) -> dict[str, str]:
    return dict(parse_form(text, FormLimits()).pairs)


def test_the_events_own_data_goes_first_and_untouched() -> None:
    assert body(item()).startswith(item().form + "&auth%5B")


def test_auth_holds_all_that_an_app_needs() -> None:
    sent = fields(body(item()))
    auth = {name: value for name, value in sent.items() if name.startswith("auth[")}
    assert auth == {
        "auth[access_token]": "a" * 70,
        "auth[expires]": str(NOW + 3600),
        "auth[expires_in]": "3600",
        "auth[scope]": "crm,user",
        "auth[status]": "L",
        "auth[user_id]": "67",
        "auth[domain]": "portal.example",
        "auth[client_endpoint]": "https://portal.example:8443/rest/",
        "auth[server_endpoint]": ENDPOINT,
        "auth[member_id]": portal().member_id,
        "auth[application_token]": "47ee90ad1637f2f2378c9adcf19ad54e",
    }


def test_domain_and_member_id_are_the_relays_knowledge_not_the_items() -> None:
    """From cron the portal does not know its own name."""
    from_cron = item(auth={"domain": "", "member_id": "", "LOCAL_USER": "67", "application_token": "t"})
    sent = fields(body(from_cron))
    assert sent["auth[domain]"] == "portal.example"
    assert sent["auth[member_id]"] == portal().member_id


def test_without_a_token_none_of_its_fields_are_there() -> None:
    sent = fields(body(item(), token=None))
    assert sorted(name for name in sent if name.startswith("auth[")) == [
        "auth[application_token]",
        "auth[client_endpoint]",
        "auth[domain]",
        "auth[member_id]",
        "auth[server_endpoint]",
    ]


def test_a_refresh_token_is_sent_only_where_there_is_one() -> None:
    assert "auth[refresh_token]" not in fields(body(item()))
    with_refresh = EventToken("a" * 70, NOW + 3600, "f" * 70)
    assert fields(body(item(), token=with_refresh))["auth[refresh_token]"] == "f" * 70


def test_an_expired_clock_never_gives_a_negative_lifetime() -> None:
    assert fields(body(item(), token=EventToken("a" * 70, NOW - 5)))["auth[expires_in]"] == "0"


def test_a_time_stamp_is_added_only_where_it_is_missing() -> None:
    assert fields(body(item()))["ts"] == "1795488336"
    without = item(form="event=ONX", has_ts=False)
    assert body(without).startswith(f"event=ONX&ts={NOW}&auth%5B")


def test_an_item_without_data_or_auth_still_has_a_body() -> None:
    sent = fields(body(item(form="", has_ts=False, auth={}, client_id=""), token=None))
    assert sent["ts"] == str(NOW)
    assert "auth[application_token]" not in sent
    assert sent["auth[domain]"] == "portal.example"


def test_an_auth_block_that_came_finished_goes_on_as_it_is() -> None:
    given = item(auth_given=True, auth={"access_token": "theirs", "a[b]": "c d", "LOCAL_USER": "67"})
    assert body(given, token=None).endswith(
        "&auth%5Baccess_token%5D=theirs&auth%5Ba%5D%5Bb%5D=c+d&auth%5BLOCAL_USER%5D=67"
    )


def test_bytes_that_are_no_utf8_go_through() -> None:
    given = item(auth={"application_token": "\udcff", "LOCAL_USER": "67"})
    assert "auth%5Bapplication_token%5D=%FF" in body(given)


@pytest.mark.parametrize(
    ("change", "application", "wanted"),
    [
        ({}, app(), True),
        ({"send_auth": False}, app(), False),
        ({"auth": {"LOCAL_USER": "0"}}, app(), False),
        ({"auth": {}}, app(), False),
        ({"auth_given": True}, app(), False),
        ({}, None, False),
        ({}, app(active=False), False),
        ({}, app(installed=False), False),
        ({}, app(deleted_at=NOW), False),
    ],
)
def test_a_token_is_made_only_for_a_user_and_an_application_that_asked(
    change: dict[str, object], application: App | None, wanted: bool
) -> None:
    assert wants_token(item(**change), application) is wanted


def test_a_token_carries_what_came_with_the_event_but_not_the_events_own_marks() -> None:
    robot = item(auth={**item().auth, "WORKFLOW_ID": "5f1.1", "CODE": "robo"})
    assert token_parameters(robot) == {"EVENT_SESSION": "7", "WORKFLOW_ID": "5f1.1", "CODE": "robo"}


RETRY = RetryPolicy(first_s=10, factor=2, cap_s=100, jitter=0, budget_s=60)
RULES = DeliveryRules(retry=RETRY, retry_after_cap_s=50)


def after(
    verdict: Verdict,
    rules: DeliveryRules = RULES,
    *,
    tries: int = 1,
    since_ms: int = NOW_MS,
    error: str | None = None,
    retry_after_s: float | None = None,
) -> Settled:
    ended = replace(outcome(verdict, 500, error), retry_after_s=retry_after_s)
    return settle(ended, rules, tries=tries, since_ms=since_ms, now_ms=NOW_MS, spread=0.5)


def test_a_taken_event_is_done_and_its_lane_goes_on() -> None:
    assert after(Verdict.DELIVERED) == Settled(DeliveryState.DONE, NOW_MS, blocks=False)


def test_a_failed_try_is_due_again_later_and_later() -> None:
    assert after(Verdict.RETRY) == Settled(DeliveryState.DUE, NOW_MS + 10_000)
    assert after(Verdict.RETRY, tries=2) == Settled(DeliveryState.DUE, NOW_MS + 20_000)


def test_past_the_budget_a_delivery_is_held_and_never_dropped() -> None:
    held = after(Verdict.RETRY, tries=3, since_ms=NOW_MS - 30_000)
    assert held == Settled(DeliveryState.HELD, NOW_MS + 100_000, BUDGET)


def test_what_needs_a_person_is_held_at_once_with_its_reason() -> None:
    assert after(Verdict.HOLD, error="address_refused") == Settled(DeliveryState.HELD, NOW_MS, "address_refused")
    assert after(Verdict.HOLD).hold_reason == "refused"


def test_a_handler_that_asks_for_time_gets_it_within_bounds() -> None:
    assert after(Verdict.RETRY, retry_after_s=30).due_at_ms == NOW_MS + 30_000
    assert after(Verdict.RETRY, retry_after_s=5).due_at_ms == NOW_MS + 10_000
    assert after(Verdict.RETRY, retry_after_s=10**6).due_at_ms == NOW_MS + 50_000


def test_a_lanes_head_steps_aside_after_as_many_tries_as_the_application_says() -> None:
    rules = replace(RULES, skip_after=2)
    assert after(Verdict.RETRY, rules).blocks
    aside = after(Verdict.RETRY, rules, tries=2)
    assert (aside.state, aside.hold_reason, aside.blocks) == (DeliveryState.HELD, BUDGET, False)


@pytest.mark.parametrize(
    ("verdict", "status", "fault"),
    [
        (Verdict.RETRY, None, True),
        (Verdict.RETRY, 500, True),
        (Verdict.RETRY, 503, True),
        (Verdict.RETRY, 429, True),
        (Verdict.RETRY, 404, False),
        (Verdict.RETRY, 302, False),
        (Verdict.HOLD, 410, False),
        (Verdict.DELIVERED, 200, False),
    ],
)
def test_a_failure_of_one_event_says_nothing_of_its_handler(verdict: Verdict, status: int | None, fault: bool) -> None:
    assert is_handlers_fault(outcome(verdict, status)) is fault


def test_an_outgoing_webhook_has_no_application_and_no_token() -> None:
    assert not wants_token(item(client_id=""), None)
    assert APP_CLIENT not in body(item(client_id=""), token=None)
