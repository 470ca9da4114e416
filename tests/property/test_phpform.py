"""The form codec loses nothing, whatever the bytes, and fails in one way only.

Leans on nothing. Must never see an exception but RequestTooLarge.
"""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from relay.core.errors import RequestTooLarge
from relay.core.phpform import FormLimits, build_form, parse_form, readable

WIDE = FormLimits(max_bytes=10**6, max_fields=10**6, max_depth=10**6)
TIGHT = FormLimits(max_bytes=40, max_fields=5, max_depth=3)
words = st.binary(max_size=10).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
bodies = st.one_of(
    st.binary(max_size=80),
    st.text(st.sampled_from("a=&%+[]5Bж\udcff"), max_size=60).map(lambda made: made.encode("utf-8", "surrogateescape")),
)


@given(pairs=st.lists(st.tuples(words, words).filter(lambda pair: pair != ("", "")), max_size=8))
def test_pairs_of_any_bytes_come_back_from_their_form(pairs: list[tuple[str, str]]) -> None:
    assert parse_form(build_form(pairs), WIDE).pairs == pairs


@given(body=bodies)
@example(body=b"%D0\xb6=%")
def test_reading_and_writing_any_bytes_settles_after_one_round(body: bytes) -> None:
    once = build_form(parse_form(body, WIDE).pairs)
    assert once.isascii()
    assert build_form(parse_form(once, WIDE).pairs) == once


@given(body=bodies)
def test_bytes_and_their_text_are_read_alike(body: bytes) -> None:
    assert parse_form(body, WIDE).pairs == parse_form(body.decode("utf-8", "surrogateescape"), WIDE).pairs


@given(body=bodies)
def test_over_a_limit_a_form_is_too_large_and_nothing_else_goes_wrong(body: bytes) -> None:
    try:
        form = parse_form(body, TIGHT)
    except RequestTooLarge:
        fields = list(body.split(b"&"))
        deepest = max(name.count("[") for name, _ in [*parse_form(body, WIDE).pairs, ("", "")])
        assert len(body) > TIGHT.max_bytes or len(fields) > TIGHT.max_fields or deepest >= TIGHT.max_depth
    else:
        assert len(form.pairs) <= TIGHT.max_fields
        assert all(name.count("[") < TIGHT.max_depth for name, _ in form.pairs)


@given(body=bodies)
def test_members_and_elements_never_fail(body: bytes) -> None:
    form = parse_form(b"Q[" + body + b"&" + body, WIDE)
    assert set(form.members("Q").values()) <= {value for _, value in form.pairs}
    fields = [field for element in form.elements("Q") for field in element]
    assert len(fields) == sum(name.startswith("Q[") for name, _ in form.pairs)


@given(raw=st.binary(max_size=20))
def test_what_is_shown_can_always_be_written_as_utf8(raw: bytes) -> None:
    shown = readable(raw.decode("utf-8", "surrogateescape"))
    assert shown == raw.decode("utf-8", "replace")
