"""Promises that a home is private, that its key is made once and never replaced, and that one server holds it.

Leans on a real file system. Touches only a test's own folder.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

import pytest

from relay.cli.home import make_home, make_master_key, only_server, replace_text
from relay.config import DATABASE_FILE, MASTER_KEY_FILE, MASTER_KEY_VARIABLE, ConfigError

if TYPE_CHECKING:
    from pathlib import Path


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_home_is_for_its_owner_only(tmp_path: Path) -> None:
    home = tmp_path / "a" / "home"
    assert make_home(home)
    assert _mode(home) == 0o700
    assert not make_home(home)


def test_an_empty_folder_is_closed_and_one_with_other_things_is_left_alone(tmp_path: Path) -> None:
    empty, used = tmp_path / "empty", tmp_path / "used"
    for folder in (empty, used):
        folder.mkdir(mode=0o755)
    (used / "letters.txt").touch()
    make_home(empty)
    make_home(used)
    assert (_mode(empty), _mode(used)) == (0o700, 0o755)


def test_a_key_is_made_once(tmp_path: Path) -> None:
    assert make_master_key(tmp_path)
    key = (tmp_path / MASTER_KEY_FILE).read_text()
    assert len(bytes.fromhex(key.strip())) == 32
    assert _mode(tmp_path / MASTER_KEY_FILE) == 0o600
    assert not make_master_key(tmp_path)
    assert (tmp_path / MASTER_KEY_FILE).read_text() == key
    assert [path.name for path in tmp_path.iterdir()] == [MASTER_KEY_FILE]


def test_a_key_given_by_the_environment_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MASTER_KEY_VARIABLE, "00" * 32)
    assert not make_master_key(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_key_is_made_beside_a_database(tmp_path: Path) -> None:
    (tmp_path / DATABASE_FILE).touch()
    with pytest.raises(ConfigError, match="put the key back"):
        make_master_key(tmp_path)


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "relay.toml"
    replace_text(path, "one")
    assert _mode(path) == 0o600
    path.chmod(0o640)
    replace_text(path, "two")
    assert (path.read_text(), _mode(path)) == ("two", 0o640)


def test_one_server_holds_a_home(tmp_path: Path) -> None:
    with only_server(tmp_path), pytest.raises(ConfigError, match=r"serves .* already \(process \d+\)"):
        only_server(tmp_path).__enter__()
    with only_server(tmp_path):
        assert True
