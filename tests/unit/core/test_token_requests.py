"""A token request is read from query, body and Basic header alike, and anything odd in it is a clean refusal.

Leans on RFC 6749 sections 2.3.1 and 3.2 and on protocol.md section 6. Must never see anything raised but a
RelayError.
"""

from __future__ import annotations

import base64

import pytest

from relay.core.errors import InvalidClient, InvalidRequest
from relay.core.oauth import MAX_PARAMETER_LENGTH, TokenRequest, read_token_request

QUERY = [("grant_type", "refresh_token"), ("client_id", "app"), ("client_secret", "word"), ("refresh_token", "r1")]
REQUEST = TokenRequest("refresh_token", "app", "word", "", "r1")


def basic(text: str | bytes) -> str:
    raw = text.encode() if isinstance(text, str) else text
    return "Basic " + base64.b64encode(raw).decode()


def test_parameters_are_taken_from_the_query_or_from_the_body() -> None:
    assert read_token_request(QUERY, [], None) == REQUEST
    assert read_token_request([], QUERY, None) == REQUEST


def test_query_and_body_are_merged() -> None:
    assert read_token_request(QUERY[:2], QUERY[2:], None) == REQUEST


def test_the_same_value_in_query_and_body_is_no_contradiction() -> None:
    assert read_token_request(QUERY, QUERY, None) == REQUEST


def test_different_values_in_query_and_body_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="client_id is given twice with different values"):
        read_token_request(QUERY, [("client_id", "other")], None)


@pytest.mark.parametrize("name", ["grant_type", "client_id", "client_secret", "code", "refresh_token", "code_verifier"])
def test_a_parameter_given_twice_is_refused_even_with_the_same_value(name: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} is given twice"):
        read_token_request([(name, "a"), (name, "a")], [], None)


def test_what_client_libraries_send_beside_is_ignored_even_twice() -> None:
    extra = [("redirect_uri", ""), ("scope", "crm"), ("auth", "old"), ("bx24_request_id", "1"), ("scope", "user")]
    assert read_token_request([*extra, *QUERY], extra, None) == REQUEST


def test_an_old_bearer_token_in_the_header_is_ignored() -> None:
    assert read_token_request(QUERY, [], "Bearer " + "a" * 70) == REQUEST


def test_a_basic_header_authenticates_the_client() -> None:
    rest = [QUERY[0], QUERY[3]]
    assert read_token_request(rest, [], basic("app:word")) == REQUEST
    assert read_token_request(rest, [], basic("app:word").replace("Basic", "bAsIc")) == REQUEST
    assert read_token_request([*rest, QUERY[1]], [], basic("app:word")) == REQUEST


def test_a_basic_header_is_form_encoded_within() -> None:
    read = read_token_request([], [], basic("a%3Ab:w+%2B"))
    assert (read.client_id, read.client_secret) == ("a:b", "w +")


def test_a_basic_header_beside_a_secret_or_another_client_is_refused() -> None:
    for beside in ([("client_secret", "word")], [("client_id", "other")]):
        with pytest.raises(InvalidRequest, match="one way only"):
            read_token_request(beside, [], basic("app:word"))


@pytest.mark.parametrize(
    "header",
    [
        "Basic !",
        "Basic YQ",
        "Basic \udcff\udcfe",
        basic(b"\xff\xfe:\xfd"),
        basic("приложение:слово"),
        basic("app:%D1%81"),
        basic("app:wo\nrd"),
    ],
)
def test_a_basic_header_that_cannot_be_read_is_a_refused_client(header: str) -> None:
    with pytest.raises(InvalidClient) as refused:
        read_token_request([], [], header)
    assert (refused.value.code, refused.value.status) == ("invalid_client", 401)


def test_an_empty_basic_header_names_no_client() -> None:
    assert read_token_request([], [], "Basic").client_id == ""


@pytest.mark.parametrize("value", ["кот", "a\x00b", "a\nb", "\udcff", "a\x7f", "\x1b[0m", "é"])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_credentials_that_are_not_printable_ascii_are_a_refused_client(name: str, value: str) -> None:
    with pytest.raises(InvalidClient):
        read_token_request([(name, value)], [], None)


@pytest.mark.parametrize("value", ["кот", "a\x00b", "\udcff", "x" * (MAX_PARAMETER_LENGTH + 1)])
@pytest.mark.parametrize("name", ["grant_type", "code", "refresh_token", "code_verifier"])
def test_other_parameters_that_are_not_printable_ascii_or_too_long_are_refused(name: str, value: str) -> None:
    with pytest.raises(InvalidRequest, match=f"{name} is malformed"):
        read_token_request([(name, value)], [], None)


def test_a_parameter_of_the_greatest_length_is_taken() -> None:
    assert read_token_request([("code", "x" * MAX_PARAMETER_LENGTH)], [], None).code == "x" * MAX_PARAMETER_LENGTH


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a'b", "a%b", "a<b>", "a{b}"])
def test_quotes_and_signs_are_read_as_they_are(value: str) -> None:
    assert read_token_request([("code", value)], [], None).code == value


def test_nothing_at_all_is_an_empty_request() -> None:
    assert read_token_request([], [], None) == TokenRequest("", "", "", "", "")
