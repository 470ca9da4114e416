"""PHP's form dialect is read without loss and written again byte for byte.

Leans on requests that the real portal module sent. Must never compare the codec only with itself.
"""

from __future__ import annotations

import pytest

from relay.core.errors import RequestTooLarge
from relay.core.phpform import Form, FormLimits, build_form, flatten, parse_form, readable, unbracket
from tests.factories import captured_body, captured_names

LIMITS = FormLimits(max_bytes=1000, max_fields=10, max_depth=4)
WIDE = FormLimits()


@pytest.mark.parametrize("name", captured_names())
def test_every_captured_request_is_written_again_byte_for_byte(name: str) -> None:
    body = captured_body(name)
    assert build_form(parse_form(body.encode(), WIDE).pairs) == body


def test_the_captures_are_there() -> None:
    assert len(captured_names()) == 27


@pytest.mark.parametrize(
    ("written", "pairs"),
    [
        ("a=1", [("a", "1")]),
        ("a=", [("a", "")]),
        ("a", [("a", "")]),
        ("=1", [("", "1")]),
        ("a=b=c", [("a", "b=c")]),
        ("&&a=1&&", [("a", "1")]),
        ("a+b=c+d", [("a b", "c d")]),
        ("a%2Bb=%2B", [("a+b", "+")]),
        ("a%5Bb%5D%5B0%5D=1", [("a[b][0]", "1")]),
        ("a[b][0]=1", [("a[b][0]", "1")]),
        ("k=%D0%B6", [("k", "ж")]),
        ("k=%", [("k", "%")]),
        ("k=%zz%4", [("k", "%zz%4")]),
        ("k=%26%3D", [("k", "&=")]),
        ("a=1&a=2", [("a", "1"), ("a", "2")]),
        ("", []),
    ],
)
def test_a_form_is_read_as_php_writes_it(written: str, pairs: list[tuple[str, str]]) -> None:
    assert parse_form(written.encode(), LIMITS).pairs == pairs


def test_raw_utf8_reads_as_the_same_text_in_bytes_and_in_a_decoded_query() -> None:
    expected = [("имя", "Сделка é")]
    assert parse_form("имя=Сделка é".encode(), LIMITS).pairs == expected
    assert parse_form("имя=Сделка é", LIMITS).pairs == expected


def test_bytes_that_are_no_utf8_survive_the_way_through() -> None:
    form = parse_form(b"k=%FF%C3&%80=x\xfe", LIMITS)
    assert build_form(form.pairs) == "k=%FF%C3&%80=x%FE"


def test_half_a_character_as_an_escape_and_half_raw_is_one_character() -> None:
    assert parse_form(b"k=%D0\xb6", LIMITS).get("k") == "ж"


@pytest.mark.parametrize(
    ("pairs", "written"),
    [
        ([("a b", "c d")], "a+b=c+d"),
        ([("a[b][0]", "[]")], "a%5Bb%5D%5B0%5D=%5B%5D"),
        ([("k", "~-_.!*'()")], "k=%7E-_.%21%2A%27%28%29"),
        ([("k", "Привет")], "k=%D0%9F%D1%80%D0%B8%D0%B2%D0%B5%D1%82"),
        ([("k", "")], "k="),
        ([("k", "\n\x00")], "k=%0A%00"),
    ],
)
def test_pairs_are_written_as_http_build_query_writes_them(pairs: list[tuple[str, str]], written: str) -> None:
    assert build_form(pairs) == written


def test_of_two_fields_of_one_name_the_last_counts() -> None:
    form = parse_form("a=1&a=2", LIMITS)
    assert form.get("a") == "2"
    assert "a" in form
    assert "b" not in form
    assert form.get("b", "none") == "none"


def test_members_of_an_array_become_names_of_their_own() -> None:
    form = parse_form("PARAMS[LOCAL_USER]=1&PARAMS[X][y]=2&PARAMSX[z]=3&PARAMS=4", LIMITS)
    assert form.members("PARAMS") == {"LOCAL_USER": "1", "X[y]": "2"}


def test_elements_keep_the_order_in_which_they_came_and_their_fields_apart() -> None:
    form = parse_form("Q[7][a]=1&Q[3][b]=2&Q[7][c][d]=3&QQ[7][a]=4&Q=5", LIMITS)
    assert list(form.elements("Q")) == [[("[a]", "1"), ("[c][d]", "3")], [("[b]", "2")]]


@pytest.mark.parametrize(
    ("tail", "name"),
    [
        ("[data][FIELDS][ID]", "data[FIELDS][ID]"),
        ("[data][FIELDS][k[]]", "data[FIELDS][k[]]"),
        ("[event]", "event"),
        ("[a b]", "a b"),
        ("[open", "open"),
        ("[]", ""),
    ],
)
def test_the_member_of_an_array_becomes_top_level_and_is_otherwise_untouched(tail: str, name: str) -> None:
    assert unbracket(tail) == name


def test_php_leaves_out_null_and_empty_arrays_and_writes_booleans_as_numbers() -> None:
    tree: dict[str, object] = {
        "t": True,
        "f": False,
        "n": None,
        "e": [],
        "d": {},
        "s": "",
        "fl": 1.5,
        "l": ["a", {"b": 1}],
    }
    assert list(flatten(tree)) == [
        ("t", "1"),
        ("f", "0"),
        ("s", ""),
        ("fl", "1.5"),
        ("l[0]", "a"),
        ("l[1][b]", "1"),
    ]


def test_a_body_at_the_limit_is_read_and_one_byte_more_is_refused() -> None:
    assert parse_form(b"a" * 1000, LIMITS).pairs == [("a" * 1000, "")]
    with pytest.raises(RequestTooLarge, match="larger than 1000 bytes"):
        parse_form(b"a" * 1001, LIMITS)


def test_as_many_fields_as_allowed_are_read_and_one_more_is_refused() -> None:
    assert len(parse_form("&".join(["a=1"] * 10), LIMITS).pairs) == 10
    with pytest.raises(RequestTooLarge, match="more than 10 fields"):
        parse_form("&".join(["a=1"] * 11), LIMITS)


@pytest.mark.parametrize("bracket", ["[", "%5B"])
def test_a_field_nested_deeper_than_allowed_is_refused_however_its_brackets_are_written(bracket: str) -> None:
    assert len(parse_form(f"a{f'{bracket}x]' * 3}=1", LIMITS).pairs) == 1
    with pytest.raises(RequestTooLarge, match="deeper than 4 levels"):
        parse_form(f"a{f'{bracket}x]' * 4}=1", LIMITS)


def test_a_refusal_has_a_code_and_a_status_of_its_own() -> None:
    with pytest.raises(RequestTooLarge) as refused:
        parse_form(b"a" * 1001, LIMITS)
    assert (refused.value.code, refused.value.status) == ("request_too_large", 413)


def test_text_that_is_shown_has_no_undecodable_bytes() -> None:
    assert readable("Сделка") == "Сделка"
    assert readable("a\udcff\udcc3b") == "a��b"


def test_a_form_of_pairs_is_asked_like_one_that_was_read() -> None:
    assert Form([("a", "1")]).get("a") == "1"
