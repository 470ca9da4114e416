"""Promises of `relay check`: exit 0 only if a portal said that it has everything; else what is missing, in plain words.

Leans on facts in a real SQLite file and on the real command.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.commands import is_one_sentence
from tests.integration.quiet import PORTAL

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.quiet import Quiet

FACTS: dict[str, Any] = {
    "methods": ["crm.deal.list"],
    "events": ["ONCRMDEALADD"],
    "scopes": ["crm"],
    "modules": {"crm": "22.100.0", "main": "24.0.0"},
}


@pytest.fixture
def knowing(quiet: Quiet) -> Quiet:
    """A home whose portal said an hour ago what it has."""
    received_at = int(time.time()) - 3600
    quiet.do(lambda opened: opened.store.save_facts(1, FACTS, received_at))
    return quiet


def required(folder: Path, text: str) -> Path:
    """A file of requirements."""
    path = folder / "requirements.txt"
    path.write_text(text, encoding="utf-8-sig")
    return path


def test_a_portal_that_has_everything_passes(knowing: Quiet, tmp_path: Path) -> None:
    file = required(tmp_path, "crm.deal.list\nONCRMDEALADD\ncrm # a scope\nmodule:crm>=22.9\n")
    ran = knowing.tell("check", PORTAL, "--require", file)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == f"{PORTAL} has all 4, by what it said 1h ago.\n"
    document = knowing.ask("check", 1, "--require", file)
    assert (document["ok"], document["required"], document["missing"]) == (True, 4, [])


def test_what_is_missing_is_named_with_the_module_that_is_there(knowing: Quiet, tmp_path: Path) -> None:
    file = required(tmp_path, "crm.item.list\nevent:ONTASKADD\nscope:tasks\nmodule:crm>=23.0\nmodule:sale\nnonsense\n")
    ran = knowing.tell("check", 1, "--require", file)
    assert (ran.status, ran.err) == (1, "")
    assert ran.out.splitlines() == [
        "There is no method, event or scope crm.item.list. Its module crm is there in version 22.100.0.",
        "There is no event ONTASKADD.",
        "There is no scope tasks.",
        "The module crm is of version 22.100.0; 23.0 or newer is needed.",
        "The module sale is not installed.",
        "There is no method, event or scope nonsense.",
        "",
        f"Missing at {PORTAL}: 6 of 6, by what it said 1h ago.",
    ]
    ran = knowing.tell("check", 1, "--require", file, "--json")
    document = json.loads(ran.out)
    assert (ran.status, document["ok"], len(document["missing"])) == (1, False, 6)
    assert document["missing"][3] == {
        "kind": "module",
        "name": "crm",
        "version": "23.0",
        "module": "crm",
        "found": "22.100.0",
    }
    assert "Модуль sale не установлен." in knowing.tell("check", 1, "--require", file, RELAY_LANG="ru").out


def test_a_portal_that_said_nothing_does_not_pass(quiet: Quiet, tmp_path: Path) -> None:
    ran = quiet.tell("check", 1, "--require", required(tmp_path, "crm"), "--json")
    document = json.loads(ran.out)
    assert (ran.status, document["ok"], document["facts_at"]) == (1, False, None)
    assert is_one_sentence(ran.err)
    assert "has not said yet what it has" in ran.err


def test_a_list_that_is_not_understood_is_refused_with_its_lines(knowing: Quiet, tmp_path: Path) -> None:
    ran = knowing.tell("check", 1, "--require", required(tmp_path, "crm\na b\nmodule:x>=y"), RELAY_LANG="ru")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err.splitlines() == [
        "В списке ошибки:",
        "  - строка 2 — не метод, не событие, не право и не модуль: a b",
        "  - строка 3 — не метод, не событие, не право и не модуль: module:x>=y",
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["1", "--require", "nowhere.txt"], "nowhere.txt cannot be used"),
        (["9", "--require", "FILE"], "No portal 9 is announced here"),
    ],
)
def test_what_cannot_be_checked_is_said(knowing: Quiet, tmp_path: Path, arguments: list[str], says: str) -> None:
    file = required(tmp_path, "crm")
    ran = knowing.tell("check", *(str(file) if one == "FILE" else one for one in arguments), "--json")
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert says in ran.err


def test_a_list_in_another_encoding_is_refused(knowing: Quiet, tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("# Заказы".encode("cp1251"))
    ran = knowing.tell("check", 1, "--require", tmp_path / "list")
    assert (ran.status, is_one_sentence(ran.err)) == (1, True)
    assert "UTF-8" in ran.err
