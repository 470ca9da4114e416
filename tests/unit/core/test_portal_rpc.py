"""A portal's calls are taken apart without loss, and an event is taken whatever it holds.

Leans on requests that the real portal module sent. Must never expect an item to be refused for its content.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.core.errors import InvalidRequest, RequestTooLarge
from relay.core.phpform import FormLimits, parse_form
from relay.core.portal_rpc import method_name, parse_batch, parse_event_call, split_path
from tests.factories import captured_body, captured_names

if TYPE_CHECKING:
    from relay.core.model import EventItem

LIMITS = FormLimits()
APP = "local.a7088e84e21e7e.7cc04201"
EVENTS = [name for name in captured_names() if name.startswith("rest.event.call")]


def read(text: str, most: int = 100) -> list[EventItem]:
    return parse_event_call(parse_form(text, LIMITS), most)


def only(text: str) -> EventItem:
    (item,) = read(text)
    return item


def query_data(body: str, index: int) -> str:
    """The item's QUERY_DATA, cut out of the request as text: what the handler must get."""
    prefix = f"QUERY%5B{index}%5D%5Bquery%5D%5BQUERY_DATA%5D%5B"
    fields = [field.removeprefix(prefix) for field in body.split("&") if field.startswith(prefix)]
    return "&".join(field.replace("%5D", "", 1) for field in fields)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/rest/application.add", ["rest", "application.add"]),
        ("/rest/application.add/", ["rest", "application.add"]),
        ("//oauth/token/", ["oauth", "token"]),
        ("/rest//oauth/token/", ["rest", "oauth", "token"]),
        ("/rest/methods/?bx24_request_id=abc%2B1", ["rest", "methods"]),
        ("/?a=/b", []),
        ("", []),
        ("*", ["*"]),
    ],
)
def test_a_path_is_the_same_with_and_without_slashes(path: str, parts: list[str]) -> None:
    assert split_path(path) == parts


@pytest.mark.parametrize("written", ["rest.check", "rest.check.json", "rest.check.xml"])
def test_a_method_is_the_same_with_and_without_its_format(written: str) -> None:
    assert method_name(written) == "rest.check"


@pytest.mark.parametrize("name", EVENTS)
def test_every_captured_items_data_goes_on_byte_for_byte(name: str) -> None:
    body = captured_body(name)
    items = read(body)
    assert [item.form for item in items] == [query_data(body, index) for index in range(len(items))]
    assert all(item.form for item in items)


def test_three_items_of_one_call_stay_apart() -> None:
    first, second, webhook = read(captured_body("rest.event.call-3-items"))
    assert (first.client_id, first.user_id) == (APP, 1)
    assert (second.client_id, second.user_id) == (APP, 2)
    assert webhook.client_id == ""


def test_an_ordinary_event_says_all_that_its_delivery_needs() -> None:
    item = only(captured_body("rest.event.call-rich-data"))
    assert item.event == "ONCRMDEALADD"
    assert item.handler_url == "http://127.0.0.1:18090/ev"
    assert item.category == "default"
    assert item.send_auth
    assert not item.send_refresh_token
    assert item.has_ts
    assert item.auth["EVENT_SESSION"] == "7"
    assert item.auth["application_token"] == "47ee90ad1637f2f2378c9adcf19ad54e"
    assert item.item_id is None
    assert not item.auth_given


@pytest.mark.parametrize(
    ("name", "send_auth", "refresh", "user", "category", "event"),
    [
        ("rest.event.call-no-auth-wanted", False, False, 1, "default", "ONCRMDEALADD"),
        ("rest.event.call-no-user", True, False, 0, "default", "ONCRMDEALADD"),
        ("rest.event.call-no-data", True, False, 1, "default", "ONCRMDEALADD"),
        ("rest.event.call-from-cron", True, False, 1, "default", "ONCRMDEALADD"),
        ("rest.event.call-event-test", True, True, 1, "default", "ONAPPTEST"),
        ("rest.event.call-onappinstall", True, True, 1, "important", "ONAPPINSTALL"),
        ("rest.event.call-onappuninstall", False, False, 0, "important", "ONAPPUNINSTALL"),
        ("rest.event.call-robot", True, True, 1, "bizproc", ""),
        ("rest.event.call-sms", True, False, 1, "default", ""),
        ("rest.event.call-sms-without-author", False, False, 0, "default", ""),
    ],
)
def test_each_kind_of_event_asks_for_what_it_needs(
    name: str, send_auth: bool, refresh: bool, user: int, category: str, event: str
) -> None:
    item = only(captured_body(name))
    assert (item.send_auth, item.send_refresh_token, item.user_id) == (send_auth, refresh, user)
    assert (item.category, item.event) == (category, event)


def test_an_sms_without_author_has_no_auth_at_all() -> None:
    assert only(captured_body("rest.event.call-sms-without-author")).auth == {}


def test_items_are_taken_in_the_order_they_came_whatever_their_indexes() -> None:
    items = read("QUERY[9][client_id]=a&QUERY[x][client_id]=b&QUERY[0][client_id]=c")
    assert [item.client_id for item in items] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "text",
    [
        "QUERY[0]=scalar",
        "QUERY[0][]=",
        "QUERY[",
        "QUERY[0][query][QUERY_URL]=not+a+url",
        "QUERY[0][query][QUERY_DATA][=1",
        "QUERY[0][query][QUERY_DATA][event][x]=1",
        "QUERY[0][auth][LOCAL_USER]=many",
        "QUERY[0][auth][LOCAL_USER]=99999999999999999999",
        "QUERY[0][client_id]=%FF",
    ],
)
def test_an_item_is_taken_whatever_it_holds(text: str) -> None:
    assert only(text).user_id == 0


def test_a_users_id_beyond_32_bits_is_nobody() -> None:
    assert only("QUERY[0][auth][LOCAL_USER]=4294967295").user_id == 4294967295
    assert only("QUERY[0][auth][LOCAL_USER]=4294967296").user_id == 0


def test_a_call_without_items_is_refused() -> None:
    for text in ("", "QUERY=1", "QUERYX[0][a]=1"):
        with pytest.raises(InvalidRequest, match="no QUERY items"):
            read(text)


def test_as_many_items_as_allowed_are_taken_and_one_more_is_refused() -> None:
    text = "&".join(f"QUERY[{index}][client_id]=a" for index in range(4))
    assert len(read(text, most=4)) == 4
    with pytest.raises(RequestTooLarge, match="more than 3 items"):
        read(text, most=3)


def test_a_long_or_undecodable_event_name_is_shortened_for_show_and_delivered_whole() -> None:
    item = only("QUERY[0][query][QUERY_DATA][event]=%FF" + "A" * 300)
    assert item.event == "�" + "A" * 199
    assert item.form == "event=%FF" + "A" * 300


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("http%3A%2F%2Fapp%2Fh%3Fa%3D%26b%23c", "http://app/h?a=&b#c"),
        ("http://app/h?q=Ж", "http://app/h?q=%D0%96"),
        ("http://app/%FF", "http://app/%FF"),
        ("http://сервер.local:81/путь", "http://xn--b1afb6bcb.local:81/%D0%BF%D1%83%D1%82%D1%8C"),
        ("http://１２７.0.0.1/", "http://127.0.0.1/"),
        ("ж", "%D0%B6"),
        ("http://%FF/x", "http://%FF/x"),
    ],
)
def test_a_handlers_url_is_kept_in_ascii_its_host_in_idna(written: str, url: str) -> None:
    assert only(f"QUERY[0][query][QUERY_URL]={written}").handler_url == url


def test_the_senders_own_item_id_and_finished_auth_are_known_by_their_marks() -> None:
    item = only(f"QUERY[0][relay_item_id]={'0af' * 10}01&QUERY[0][relay_auth]=given")
    assert item.item_id == "0af" * 10 + "01"
    assert item.auth_given
    for odd in ("0AF" * 10 + "01", "0af", "", "0af" * 11):
        assert only(f"QUERY[0][relay_item_id]={odd}").item_id is None


def test_a_batchs_commands_keep_their_keys_and_parameters() -> None:
    commands = parse_batch(parse_form(captured_body("batch"), LIMITS), 50)
    assert list(commands) == ["a", "b", "c"]
    assert commands["a"] == ("methods", "")
    assert commands["b"] == ("application.list", "")
    method, query = commands["c"]
    assert method == "rest.check"
    assert parse_form(query, LIMITS).get("TOKEN") == "кириллица &="


def test_a_batch_command_that_is_not_escaped_twice_is_read_too() -> None:
    _, query = parse_batch(parse_form("cmd[a]=application.add?TITLE=Сделка".encode(), LIMITS), 50)["a"]
    assert parse_form(query, LIMITS).get("TITLE") == "Сделка"


def test_a_batch_holds_as_many_commands_as_allowed_and_not_one_more() -> None:
    form = parse_form("&".join(f"cmd[{index}]=methods" for index in range(3)), LIMITS)
    assert len(parse_batch(form, 3)) == 3
    with pytest.raises(RequestTooLarge, match="2 commands"):
        parse_batch(form, 2)
