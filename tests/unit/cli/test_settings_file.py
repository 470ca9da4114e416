"""Promises that relay.toml is explained, valid, and changed only where it was asked for.

Leans on the configuration's own reader. Writes only into a test's own folder.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from relay.cli.settings_file import SECTIONS, TOP_SETTINGS, new_settings, with_settings
from relay.config import CONFIG_FILE, Config, ConfigError, RulesSection, load_config
from relay.i18n import Translator

if TYPE_CHECKING:
    from pathlib import Path

LISTEN = {"listen": "0.0.0.0:9000"}


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_new_file_sets_nothing(language: str) -> None:
    text = new_settings(Translator(language))
    sections: dict[str, Any] = {name: {} for name in SECTIONS if name in Config.model_fields}
    assert tomllib.loads(text) == sections | {"apps": {"*": {}}}


def test_a_new_file_explains_every_setting_there_is() -> None:
    explained = {*TOP_SETTINGS, *(name.partition(".")[0] for name in SECTIONS)}
    assert explained == set(Config.model_fields) - {"home"}


def test_every_setting_of_a_new_file_can_be_switched_on(tmp_path: Path) -> None:
    lines = new_settings(Translator("en")).splitlines()
    switched_on = [line.removeprefix("# ") if " = " in line and not line.endswith(".") else line for line in lines]
    (tmp_path / CONFIG_FILE).write_text("\n".join(switched_on))
    loaded = load_config(tmp_path, {})
    assert loaded.apps == {"*": RulesSection()}
    assert loaded.model_dump(exclude={"apps"}) == Config(home=tmp_path).model_dump(exclude={"apps"})
    assert sum(" = " in line for line in switched_on) > 25


def test_a_setting_is_switched_on_in_its_own_place() -> None:
    text = new_settings(Translator("en"))
    changed = with_settings(text, LISTEN)
    before, after = text.splitlines(), changed.splitlines()
    assert len(before) == len(after)
    assert [(a, b) for a, b in zip(before, after, strict=True) if a != b] == [
        ('# listen = "127.0.0.1:8080"', 'listen = "0.0.0.0:9000"')
    ]


def test_a_setting_that_is_on_is_changed_and_its_remark_stays() -> None:
    text = '# mine\nlisten = "127.0.0.1:1" # because\n\n[log]\nlevel = "debug"\n'
    assert with_settings(text, LISTEN) == text.replace("127.0.0.1:1", "0.0.0.0:9000")


def test_a_setting_that_is_not_in_the_file_comes_before_the_sections() -> None:
    changed = with_settings('[log]\n# listen = "not this one"\nlevel = "debug"\n', LISTEN)
    assert tomllib.loads(changed) == {"log": {"level": "debug"}} | LISTEN
    assert '# listen = "not this one"' in changed


def test_the_same_setting_again_changes_nothing() -> None:
    once = with_settings(new_settings(Translator("en")), LISTEN)
    assert with_settings(once, LISTEN) == once


def test_a_value_is_quoted_so_that_it_stays_a_value() -> None:
    odd = 'x"\n[log]\nlevel = "debug'
    assert tomllib.loads(with_settings("", {"listen": odd})) == {"listen": odd}


def test_a_file_that_is_no_toml_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="is not a TOML file"):
        with_settings("listen = = 1", LISTEN)
