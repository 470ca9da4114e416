"""Requests of any content are read or refused, and nothing else: token requests, event calls, batches.

Leans on hypothesis. Must never see an exception but RelayError.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, TypeVar

from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.errors import RelayError
from relay.core.oauth import MAX_PARAMETER_LENGTH, PARAMETERS, read_token_request
from relay.core.phpform import Form, FormLimits, build_form, parse_form
from relay.core.portal_rpc import method_name, parse_batch, parse_event_call, split_path

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
anything = st.text(max_size=20) | st.text(st.characters(codec=None, categories=["Cs", "Cc", "L", "P"]), max_size=10)
# What a form can hold: any bytes, those that are no UTF-8 as surrogates. JSON can hold more.
from_a_form = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
pairs = st.lists(st.tuples(st.sampled_from(PARAMETERS) | anything, anything), max_size=8)
headers = st.one_of(
    st.none(),
    anything,
    anything.map(lambda text: f"Basic {text}"),
    st.binary(max_size=30).map(lambda raw: "Basic " + base64.b64encode(raw).decode()),
)


def made_or_status(make: Callable[[], T]) -> T | int:
    """What was made, or the status of the refusal; anything else that is raised fails the test."""
    try:
        return make()
    except RelayError as error:
        return error.status


@given(query=pairs, body=pairs, authorization=headers)
@example(query=[("client_id", "\ud800")], body=[], authorization=None)
@example(query=[], body=[], authorization="Basic \udcff")
def test_a_token_request_of_any_text_is_read_or_refused(
    query: list[tuple[str, str]], body: list[tuple[str, str]], authorization: str | None
) -> None:
    read = made_or_status(lambda: read_token_request(query, body, authorization))
    if isinstance(read, int):
        assert read in {400, 401}
        return
    for value in (read.grant_type, read.client_id, read.client_secret, read.code, read.refresh_token):
        assert value.isascii()
        assert value.isprintable()
        assert len(value) <= MAX_PARAMETER_LENGTH


names = st.lists(
    st.sampled_from(
        ["QUERY", "[0]", "[1]", "[", "]", "[query]", "[QUERY_DATA]", "[QUERY_URL]", "[auth]", "[event]", "x"]
    ),
    max_size=6,
).map("".join)
whole_names = st.sampled_from(
    ["QUERY[0][query][QUERY_DATA][event]", "QUERY[0][query][QUERY_DATA][a][b]", "QUERY[1][query][QUERY_URL]"]
)
fields = st.lists(st.tuples(names | whole_names, from_a_form), max_size=10)


@given(given_pairs=fields)
def test_an_event_call_of_any_fields_is_taken_or_refused(given_pairs: list[tuple[str, str]]) -> None:
    items = made_or_status(lambda: parse_event_call(Form(given_pairs), 5))
    if isinstance(items, int):
        assert items in {400, 413}
        return
    assert 0 < len(items) <= 5
    for item in items:
        assert 0 <= item.user_id < 2**32
        assert item.form.isascii()
        assert item.handler_url.isascii()
        assert len(item.event) <= 200


@given(written=st.binary(max_size=80))
def test_an_event_calls_data_goes_on_in_full(written: bytes) -> None:
    data = parse_form(written, FormLimits(max_depth=10**6)).pairs
    named = [(name, value) for name, value in data if name and not set(name) & set("[]")]
    came = build_form((f"QUERY[0][query][QUERY_DATA][{name}]", value) for name, value in named)
    if named:
        (item,) = parse_event_call(parse_form(came, FormLimits()), 1)
        assert item.form == build_form(named)


@given(given_pairs=st.lists(st.tuples(names.map("cmd{}".format), from_a_form), max_size=8))
def test_a_batch_of_any_fields_is_read_or_refused(given_pairs: list[tuple[str, str]]) -> None:
    commands = made_or_status(lambda: parse_batch(Form(given_pairs), 3))
    assert commands == 413 if isinstance(commands, int) else len(commands) <= 3


@given(path=anything)
def test_any_path_has_parts_without_slashes(path: str) -> None:
    parts = split_path(path)
    assert all(part and "/" not in part for part in parts)
    assert all(isinstance(method_name(part), str) for part in parts)
