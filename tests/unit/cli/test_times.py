"""Promises that people's ways of writing times are understood, and that every time shown has its zone.

Leans on fixed moments only. Must never look at a clock.
"""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.cli.times import iso, iso_ms, parse_duration, parse_moment, span
from relay.core.errors import InvalidRequest

NOW_MS = 1_780_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("2w", 1209600), ("1d12h", 129600), (" 24H ", 86400)],
)
def test_a_duration_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "0m", "24 h", "٣h", "1y", "99999w", "1h" * 20])
def test_anything_else_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a length of time"):
        parse_duration(text)


@given(st.text(max_size=40))
def test_no_text_breaks_the_parsers(text: str) -> None:
    for parse in (parse_duration, lambda value: parse_moment(value, NOW_MS)):
        try:
            assert isinstance(parse(text), int)
        except InvalidRequest as error:
            assert error.description  # noqa: PT017 - either outcome is right


def test_a_moment_is_a_duration_ago() -> None:
    assert parse_moment("2h", NOW_MS) == NOW_MS - 7_200_000


@pytest.mark.parametrize("text", ["2026-05-01T10:00:00+03:00", "2026-05-01T07:00:00Z"])
def test_a_moment_is_an_iso_date(text: str) -> None:
    assert parse_moment(text, NOW_MS) == 1_777_618_800_000


def test_a_date_without_a_zone_is_local() -> None:
    local = datetime(2026, 5, 1, 10, 0).astimezone()
    assert parse_moment("2026-05-01T10:00", NOW_MS) == local.timestamp() * 1000


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "9999-99-99", "10:00"])
def test_a_moment_that_is_none_is_refused_in_words(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not a time"):
        parse_moment(text, NOW_MS)


def test_every_date_shown_has_its_zone() -> None:
    assert iso(1_777_618_800, local=False) == "2026-05-01T07:00:00+00:00"
    assert iso_ms(1_777_618_800_999, local=False) == "2026-05-01T07:00:00+00:00"
    assert datetime.fromisoformat(iso(1_777_618_800) or "").tzinfo is not None
    assert iso(None) is None
    assert iso_ms(None) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-5, "0s"),
        (45.4, "45s"),
        (60, "1m"),
        (725, "12m5s"),
        (12_000, "3h20m"),
        (3600, "1h"),
        (3605, "1h"),
        (86_400, "1d"),
        (86_400 * 5 + 4 * 3600 + 59, "5d4h"),
    ],
)
def test_a_length_of_time_is_shown_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


@given(st.integers(1, 10**8))
def test_a_length_of_time_that_is_shown_can_be_typed(seconds: int) -> None:
    assert parse_duration(span(seconds)) == pytest.approx(seconds, rel=0.05)
