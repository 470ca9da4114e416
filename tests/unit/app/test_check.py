"""Promises that what an application needs is read without guessing, and that what a portal lacks is named.

Leans on lists and facts that the tests make up: no file, socket or clock.
"""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.app.check import Kind, Missing, Requirement, compare, is_at_least, parse_requirements
from relay.core.errors import InvalidRequest

FACTS = {
    "methods": ["crm.deal.list", "user.get", "batch", "tasks.task.get"],
    "events": ["ONCRMDEALADD", "OnTaskAdd"],
    "scopes": ["crm", "user", "sign.b2e"],
    "modules": {"crm": "24.100.0", "tasks": "23.500.0", "im": "24.0.0", "imbot": "24.1.0"},
}
LINES = """
# what Orders needs
crm.deal.list            # a remark
method: user.get
event:ONCRMDEALADD
  scope:crm
module:crm>=24.9
module: tasks

crm.deal.list
"""
DOCUMENT = {
    "methods": ["crm.deal.list", "user.get"],
    "events": ["ONCRMDEALADD"],
    "scopes": ["crm"],
    "modules": {"crm": ">=24.9", "tasks": None},
}


def missing(*lines: str) -> list[Missing]:
    """What the portal of FACTS lacks of these lines."""
    return compare(parse_requirements("\n".join(lines)), FACTS)


def test_lines_are_read_each_once_with_remarks_left_out() -> None:
    assert parse_requirements(LINES) == [
        Requirement(Kind.NAME, "crm.deal.list"),
        Requirement(Kind.METHOD, "user.get"),
        Requirement(Kind.EVENT, "ONCRMDEALADD"),
        Requirement(Kind.SCOPE, "crm"),
        Requirement(Kind.MODULE, "crm", "24.9"),
        Requirement(Kind.MODULE, "tasks"),
    ]


def test_a_json_object_says_the_same() -> None:
    assert parse_requirements(json.dumps(DOCUMENT)) == [
        Requirement(Kind.METHOD, "crm.deal.list"),
        Requirement(Kind.METHOD, "user.get"),
        Requirement(Kind.EVENT, "ONCRMDEALADD"),
        Requirement(Kind.SCOPE, "crm"),
        Requirement(Kind.MODULE, "crm", "24.9"),
        Requirement(Kind.MODULE, "tasks"),
    ]
    assert parse_requirements('{"modules": ["crm >= 24.9"]}') == [Requirement(Kind.MODULE, "crm", "24.9")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "requires nothing"),
        ("# nothing\n\n", "requires nothing"),
        ("{}", "requires nothing"),
        ("crm deal list", "line 1 is not"),
        ("\nmodule:crm>=new", "line 2 is not"),
        ("module:crm<=24", "line 1 is not"),
        ("webhook:x", "line 1 is not"),
        ("method:", "line 1 is not"),
        ("{", "not a JSON document"),
        ("[]", "line 1 is not"),
        ('{"method": []}', "no list of that name: method"),
        ('{"methods": [1]}', "methods has something that does not belong there: 1"),
        ('{"methods": "crm"}', ""),
        ("x" * 2_000_000, "larger than"),
    ],
)
def test_what_is_not_understood_is_never_taken_for_met(text: str, says: str) -> None:
    if not says:
        assert parse_requirements(text) == [Requirement(Kind.METHOD, "crm")]
        return
    with pytest.raises(InvalidRequest) as refused:
        parse_requirements(text)
    assert says in refused.value.description


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(InvalidRequest) as refused:
        parse_requirements("a b\nok\nc d\n")
    assert [line.split(" is not")[0] for line in refused.value.description.splitlines()[1:]] == [
        "  - line 1",
        "  - line 3",
    ]


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidRequest):
        assert parse_requirements(text)


def test_a_portal_that_has_everything_lacks_nothing() -> None:
    assert missing(*LINES.splitlines(), "CRM.Deal.LIST", "oncrmdealadd", "sign.b2e", "ontaskadd", "batch") == []


@pytest.mark.parametrize(
    ("line", "module", "found"),
    [
        ("crm.item.list", "crm", "24.100.0"),
        ("method:tasks.task.list", "tasks", "23.500.0"),
        ("event:ONCRMDEALUPDATE", "crm", "24.100.0"),
        ("event:ONTASKUPDATE", "tasks", "23.500.0"),
        ("event:ONIMBOTMESSAGEADD", "imbot", "24.1.0"),
        ("scope:tasks", "tasks", "23.500.0"),
        ("event:ONSALEORDERSAVED", None, None),
        ("department.get", None, None),
        ("module:sale", "sale", None),
        ("module:sale>=1", "sale", None),
        ("module:crm>=24.100.1", "crm", "24.100.0"),
    ],
)
def test_what_is_missing_is_told_with_the_module_it_comes_with(
    line: str, module: str | None, found: str | None
) -> None:
    (one,) = missing(line)
    assert (one.module, one.found) == (module, found)


def test_a_kind_that_is_named_is_the_only_one_that_counts() -> None:
    assert [one.requirement.name for one in missing("event:user.get", "scope:crm.deal.list", "method:crm")] == [
        "user.get",
        "crm.deal.list",
        "crm",
    ]


@pytest.mark.parametrize(
    ("found", "wanted", "is_enough"),
    [
        ("24.100.0", "24.9", True),
        ("24.9", "24.9.0", True),
        ("24.9.0", "24.9", True),
        ("24.8.999", "24.9", False),
        ("9.0", "10", False),
        ("", "1", False),
        ("", "0", True),
    ],
)
def test_versions_are_compared_number_by_number(found: str, wanted: str, is_enough: bool) -> None:
    assert is_at_least(found, wanted) is is_enough


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=4), st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
def test_of_two_versions_one_is_enough_for_the_other(first: list[int], second: list[int]) -> None:
    one, other = (".".join(map(str, numbers)) for numbers in (first, second))
    assert is_at_least(one, other) or is_at_least(other, one)
    assert is_at_least(one, one)
