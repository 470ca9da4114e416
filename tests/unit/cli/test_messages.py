"""Promises that whatever the command line says has a Russian translation with the same placeholders.

Leans on the sources themselves: a message that is added without its translation fails here. Starts nothing.
"""

from __future__ import annotations

import ast
import inspect

import pytest
from babel.messages.pofile import read_po

from relay.app import doctor
from relay.cli import doctor as doctor_command
from relay.cli.terminal import Terminal
from relay.i18n import (
    FINISHED_TEXTS,
    Translator,
    catalog_path,
    finished_messages,
    pick_language,
    placeholders,
)
from tests.unit.cli.messages import error_templates, said_messages, template


def _catalog(context: str | None) -> dict[str, str]:
    with catalog_path("ru").open("rb") as file:
        catalog = read_po(file, locale="ru")
    return {str(m.id): str(m.string) for m in catalog if m.id and m.context == context}


def test_every_message_has_a_russian_translation() -> None:
    translated = _catalog(None)
    assert sorted(message for message in said_messages() if not translated.get(message)) == []


def test_every_error_that_is_shown_has_a_russian_translation() -> None:
    translated = {template(message) for message, text in _catalog(FINISHED_TEXTS).items() if text}
    assert sorted(error_templates() - translated) == []


@pytest.mark.parametrize("context", [None, FINISHED_TEXTS])
def test_a_translation_has_the_placeholders_of_its_message(context: str | None) -> None:
    catalog = _catalog(context)
    assert catalog
    assert {m: t for m, t in catalog.items() if placeholders(m) != placeholders(t)} == {}


def test_the_catalog_holds_no_message_that_nothing_says() -> None:
    assert sorted(set(_catalog(None)) - said_messages()) == []


def test_english_is_the_message_itself() -> None:
    tr = Translator("en")
    assert tr("Settings: {path}", path="/x") == "Settings: /x"
    assert tr.finished("There is no relay in /x. Make one: relay init --home /x").startswith("There is no relay")


def test_a_message_without_values_may_hold_braces() -> None:
    assert Translator("ru")("{not a placeholder") == "{not a placeholder"


def test_a_finished_text_is_found_by_its_pattern_with_its_values() -> None:
    tr = Translator("ru")
    assert tr.finished("There is no relay in /x. Make one: relay init --home /x") == (
        "В /x нет реле. Создайте его: relay init --home /x"
    )
    assert tr.finished("Cannot listen on 127.0.0.1:80: Permission denied.") == (
        "Нельзя принимать соединения на 127.0.0.1:80: нет доступа."
    )


def test_a_list_of_faults_is_translated_line_by_line() -> None:
    tr = Translator("ru")
    text = "The configuration has faults:\n  - listen: must be HOST:PORT, like 127.0.0.1:8080\n  - foo: bar baz"
    assert tr.finished(text).split("\n") == [
        "В настройках ошибки:",
        "  - listen: должно быть HOST:PORT, например 127.0.0.1:8080",
        "  - foo: bar baz",
    ]


def test_a_finished_text_that_is_not_known_stays_as_it_is() -> None:
    assert Translator("ru").finished("Quite another text") == "Quite another text"


def test_the_most_exact_pattern_wins() -> None:
    assert "{name}: {fault}" in finished_messages("ru")
    assert Translator("ru").finished("foo: there is no such setting") == "foo: такой настройки нет"


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "ru_RU.UTF-8", "LC_MESSAGES": "en_US.UTF-8"}, "en"),
        ({"LC_ALL": "ru_RU", "LC_MESSAGES": "en_US", "LANG": "en_US"}, "ru"),
        ({"RELAY_LANG": "en", "LC_ALL": "ru_RU.UTF-8"}, "en"),
        ({"RELAY_LANG": "", "LANG": "ru"}, "ru"),
    ],
)
def test_the_language_is_the_first_that_the_environment_names(environment: dict[str, str], language: str) -> None:
    assert pick_language(environment) == language


def test_every_check_of_the_doctor_has_a_name() -> None:
    names = doctor_command.check_names(Terminal(Translator("en"), home=catalog_path("ru")))
    tree = ast.parse(inspect.getsource(doctor))
    made = {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "_found"
        and isinstance(node.args[0], ast.Constant)
    }
    assert made
    assert made | {"settings"} == set(names)
