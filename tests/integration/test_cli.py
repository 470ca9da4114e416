"""Promises that the `relay` command keeps its contract: one JSON document, one sentence, the right exit status.

Leans on the real command in a process of its own, on real homes with real SQLite. Touches only a test's own folder.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher

from relay.cli.program import COMMANDS, build_command
from relay.config import load_config
from relay.opened import open_relay
from tests.integration.commands import COMMAND_TIMEOUT_S, Ran, as_typed, environment, is_one_sentence, relay

if TYPE_CHECKING:
    from pathlib import Path

PORTAL = "https://portal.example.com"


@pytest.fixture(scope="module")
def made_home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ran]:
    """A home as the first `relay init` leaves it, and what that command said."""
    home = tmp_path_factory.mktemp("made") / "home"
    return home, relay("init", "--home", home, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--json")


@pytest.fixture
def home(made_home: tuple[Path, Ran], tmp_path: Path) -> Path:
    """A home of the test's own."""
    return shutil.copytree(made_home[0], tmp_path / "home")


# relay init ------------------------------------------------------------------------------------------------


async def test_init_makes_everything_and_gives_the_password(made_home: tuple[Path, Ran]) -> None:
    home, ran = made_home
    assert ran.err == ""
    document = ran.document
    assert document["created"] is True
    assert document["listen"] == "127.0.0.1:0"
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home, *home.iterdir()]}
    assert modes.items() >= {"home": 0o700, "master.key": 0o600, "relay.toml": 0o600, "relay.db": 0o600}.items()
    opened = open_relay(load_config(home, {}))
    stored = await opened.store.admin_password_hash()
    await opened.store.close()
    assert stored is not None
    assert PasswordHasher().verify(stored, document["admin_password"])
    assert document["admin_password"] not in (home / "relay.toml").read_text()


def test_init_again_changes_nothing_and_does_not_show_the_password(home: Path) -> None:
    before = {name: (home / name).read_bytes() for name in ("relay.toml", "master.key")}
    document = relay("init", "--home", home, "--json").document
    assert "admin_password" not in document
    assert document["created"] is False
    assert {name: (home / name).read_bytes() for name in before} == before
    told = relay("init", "--home", home)
    assert "exists already" in told.out


def test_init_again_changes_only_the_settings_given(home: Path) -> None:
    settings = home / "relay.toml"
    settings.write_text(settings.read_text() + "# mine\n")
    document = relay("init", "--home", home, "--public-url", "https://Relay.Example.com/", "--json").document
    assert document["public_url"] == document["oauth_url"] == "https://relay.example.com"
    text = settings.read_text()
    assert text.endswith("# mine\n")
    assert tomllib.loads(text)["public_url"] == "https://relay.example.com"
    assert tomllib.loads(text)["listen"] == "127.0.0.1:0"


def test_a_forgotten_password_is_replaced_where_it_is_asked_for(home: Path) -> None:
    document = relay("init", "--home", home, "--new-admin-password", "--json").document
    assert document["admin_password"]


def test_init_makes_no_second_key_beside_a_database(home: Path) -> None:
    (home / "master.key").unlink()
    ran = relay("init", "--home", home)
    assert (ran.status, ran.out) == (1, "")
    assert is_one_sentence(ran.err)
    assert "put the key back" in ran.err
    assert not (home / "master.key").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--listen", "8080"), ("--admin-listen", "host:99999"), ("--public-url", "https://relay.example.com/path")],
)
def test_init_refuses_a_setting_that_cannot_be_before_it_makes_anything(
    tmp_path: Path, option: str, value: str
) -> None:
    ran = relay("init", "--home", tmp_path / "home", option, value)
    assert (ran.status, ran.out, is_one_sentence(ran.err)) == (1, "", True)
    assert value in ran.err
    assert not (tmp_path / "home").exists()


def test_init_tells_a_person_what_to_do_next(tmp_path: Path) -> None:
    ran = relay("init", "--home", tmp_path / "home")
    assert (ran.status, ran.err) == (0, "")
    assert "password: " in ran.out
    assert f"relay --home {tmp_path / 'home'} serve" in ran.out


# Portals and applications ------------------------------------------------------------------------------------


def test_a_portal_is_announced_and_again_renews_its_window(home: Path) -> None:
    first = relay(
        "portal", "add", PORTAL, "--allow", "127.0.0.1/8", "--window", "1h", "--home", home, "--json"
    ).document
    assert first["portal_id"] == 1
    assert first["url"] == PORTAL
    assert first["oauth_url"].startswith("http://127.0.0.1:")
    assert first["allow"] == ["127.0.0.0/8"]
    again = relay("portal", "add", PORTAL + "/", "--allow", "apps.example.com", "--home", home, "--json").document
    assert again["portal_id"] == 1
    assert again["allow"] == ["127.0.0.0/8", "apps.example.com"]
    assert again["window_until"] > first["window_until"]
    listed = relay("portal", "list", "--home", home, "--json").document
    assert [portal["url"] for portal in listed] == [PORTAL]
    shown = relay("portal", "show", "1", "--home", home, "--json").document
    assert (shown["portal_id"], shown["registered"]) == (1, False)


def test_a_person_is_told_how_to_point_the_portal_here(home: Path) -> None:
    relay("init", "--home", home, "--public-url", "https://relay.example.com")
    ran = relay("portal", "add", PORTAL, "--home", home)
    assert (ran.status, ran.err) == (0, "")
    assert r"\Bitrix\Main\Config\Option::set('rest','oauth_server','https://relay.example.com');" in ran.out
    assert "certificate" in ran.out


def test_plain_http_is_taken_with_a_warning(home: Path) -> None:
    relay("init", "--home", home, "--public-url", "https://relay.example.com")
    ran = relay("portal", "add", "http://portal.example.com:8080", "--home", home, "--json")
    assert ran.document["url"] == "http://portal.example.com:8080"
    assert is_one_sentence(ran.err)
    assert "plain http" in ran.err


def test_a_portal_is_removed_only_where_that_is_confirmed(home: Path) -> None:
    relay("portal", "add", PORTAL, "--home", home)
    ran = relay("portal", "remove", PORTAL, "--home", home)
    assert (ran.status, is_one_sentence(ran.err)) == (2, True)
    assert relay("portal", "remove", PORTAL, "--yes", "--home", home, "--json").document["removed"] is True
    assert relay("portal", "list", "--home", home, "--json").document == []


def test_an_application_is_added_and_listed_without_its_secret(home: Path) -> None:
    relay("portal", "add", PORTAL, "--home", home)
    common = (
        "--portal",
        PORTAL,
        "--title",
        "Заказы",
        "--redirect-uri",
        "https://app.example.com/",
        "--scope",
        "crm,user",
    )
    added = relay("app", "add", *common, "--home", home, "--json").document
    assert set(added) == {"client_id", "client_secret"}
    given = ("--client-id", "app.1", "--client-secret", "s" * 50, "--status", "F")
    assert relay("app", "add", *common, *given, "--home", home, "--json").document == {
        "client_id": "app.1",
        "client_secret": "s" * 50,
    }
    again = relay("app", "add", *common, *given, "--home", home, "--json")
    assert (again.status, again.out, is_one_sentence(again.err)) == (1, "", True)
    listed = relay("app", "list", "--portal", "1", "--home", home, "--json")
    assert [(app["title"], app["status"]) for app in listed.document] == [("Заказы", "L"), ("Заказы", "F")]
    assert added["client_secret"] not in listed.out
    assert "Заказы" in relay("app", "list", "--home", home).out


# Errors, languages, options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["portal", "list"], 1, "There is no relay in"),
        (["serve"], 1, "There is no relay in"),
        (["event", "list"], 1, "There is no relay in"),
        (["portal", "add"], 2, "Missing argument 'URL'"),
        (["app", "add", "--portal", "1"], 2, "Missing option '--title'"),
        (["portal", "list", "--nope"], 2, "No such option: --nope"),
        (["nope"], 2, "No such command 'nope'"),
        (["event", "list", "--limit", "many"], 2, "Invalid value for '--limit'"),
        (["event", "retry"], 2, "Say which events"),
        (["portal", "add", PORTAL, "--window", "soon"], 1, "is not a length of time"),
    ],
)
def test_an_error_is_one_sentence_and_a_status(tmp_path: Path, arguments: list[str], status: int, says: str) -> None:
    ran = relay(*arguments, RELAY_HOME=str(tmp_path / "none"))
    assert (ran.status, ran.out) == (status, "")
    assert is_one_sentence(ran.err), ran.err
    assert says in ran.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["portal", "show", "7"], "No portal 7 is announced here"),
        (["portal", "add", "portal.example.com"], "A portal's URL is its address in the browser"),
        (["portal", "add", PORTAL, "--allow", "10.0.0.0/99"], "is neither a host name nor an address range"),
        (["portal", "add", PORTAL, "--licence-md5", "abc"], "32 hexadecimal characters"),
        (["event", "show", "0" * 32], "There is no event"),
        (["event", "retry", "0" * 32], "There is no event"),
        (["event", "list", "--since", "yesterday"], "is not a time"),
        (["event", "list", "--portal", "9"], "No portal 9 is announced here"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(home: Path, arguments: list[str], says: str) -> None:
    ran = relay(*arguments, "--home", home, "--json")
    assert (ran.status, ran.out) == (1, "")
    assert is_one_sentence(ran.err), ran.err
    assert says in ran.err


def test_every_fault_of_the_settings_is_listed_at_once(home: Path) -> None:
    (home / "relay.toml").write_text('listen = "nowhere"\nlisten_too = 1\n[log]\nlevel = "loud"\n')
    ran = relay("portal", "list", "--home", home)
    assert (ran.status, ran.out) == (1, "")
    assert [line.split(":")[0].strip(" -") for line in ran.err.splitlines()[1:]] == [
        "listen",
        "log.level",
        "listen_too",
    ]


def test_a_database_that_is_none_is_one_sentence(home: Path) -> None:
    for path in home.glob("relay.db*"):
        path.unlink()
    (home / "relay.db").write_bytes(b"this is no database, whatever it is called" * 100)
    for arguments in (["portal", "list"], ["init"], ["serve"]):
        ran = relay(*arguments, "--home", home)
        assert (ran.status, is_one_sentence(ran.err)) == (1, True), ran.err
        assert "file is not a database" in ran.err


def test_another_master_key_is_one_sentence(home: Path) -> None:
    relay("portal", "add", PORTAL, "--home", home)
    (home / "master.key").write_text("ab" * 32)
    ran = relay("portal", "list", "--home", home)
    assert (ran.status, is_one_sentence(ran.err)) == (1, True)
    assert "does not fit its database" in ran.err


def test_russian_is_spoken_where_the_environment_asks_for_it(home: Path) -> None:
    ran = relay("portal", "show", "7", "--home", home, LANG="ru_RU.UTF-8")
    assert ran.err == "Портал 7 здесь не объявлен. `relay portal list` показывает объявленные.\n"
    assert "Использование: relay portal add" in relay("portal", "add", "--help", RELAY_LANG="ru").out
    assert "Нет команды nope" in relay("nope", RELAY_LANG="ru").err
    assert relay("portal", "list", "--home", home, LANG="ru_RU.UTF-8", RELAY_LANG="en").out.startswith("No portal")


def every_command(command: Any, path: str = "") -> list[str]:
    """The commands below a group, as they are typed."""
    found = []
    for name, inner in getattr(command, "commands", {}).items():
        typed = f"{path} {name}".strip()
        found += [typed, *every_command(inner, typed)]
    return found


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_command_has_help_with_examples(language: str) -> None:
    commands = every_command(build_command())
    assert len(commands) > 30
    # One process for all of them: importing the program once is enough to read its pages.
    code = (
        "import sys; from relay.cli.program import run\n"
        "for name in sys.argv[1].split('|'): print(f'@{name}', run([*name.split(), '--help']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "|".join(commands)],
        check=True,
        capture_output=True,
        env=environment(RELAY_LANG=language, COLUMNS="60"),
        timeout=COMMAND_TIMEOUT_S,
    )
    text = done.stdout.decode()
    examples = {"en": "\nExamples:\n  relay ", "ru": "\nПримеры:\n  relay "}[language]
    assert text.count(examples) == len(commands)
    assert [name for name in commands if f"@{name} 0\n" not in text] == []


def test_the_first_page_says_of_each_command_what_its_own_page_says() -> None:
    page = " ".join(relay("--help", COLUMNS="200").out.split())
    for name, command in build_command().commands.items():
        summary = " ".join(command.help.split("\n\n")[0].split())
        assert COMMANDS[name][1] == summary
        assert f"{name} {summary}" in page


@pytest.mark.parametrize("arguments", [["--help"], ["version"], ["portal", "--help"], ["event", "list", "--help"]])
def test_what_needs_no_relay_does_not_load_one(arguments: list[str]) -> None:
    code = (
        "import sys; from relay.cli.program import run; run(sys.argv[1:])\n"
        "heavy = {'sqlalchemy', 'aiohttp', 'alembic', 'structlog', 'authlib', 'cryptography.x509', 'rich.console'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], check=True, capture_output=True, env=environment(), timeout=60
    )
    assert done.stderr.decode().splitlines()[-1] == "[]"


def test_a_command_that_only_looks_does_not_load_what_serves() -> None:
    code = (
        "import relay.cli.portal_commands, relay.cli.event_commands, relay.opened, sys\n"
        "print(sorted({'aiohttp', 'alembic', 'prometheus_client', 'argon2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment(), timeout=60)
    assert done.stdout.decode().strip() == "[]"


def test_the_command_that_is_typed_is_the_one_that_is_tested(home: Path) -> None:
    typed = as_typed("portal", "list", "--home", home, "--json")
    assert typed == relay("portal", "list", "--home", home, "--json")
    assert typed.document == []
    nothing = as_typed("portal", "show", "7", "--home", home, LANG="ru_RU.UTF-8")
    assert (nothing.status, nothing.out) == (1, "")
    assert nothing.err == "Портал 7 здесь не объявлен. `relay portal list` показывает объявленные.\n"


def test_the_home_and_json_may_be_given_before_the_command_too(home: Path) -> None:
    assert relay("--home", home, "--json", "portal", "list").document == []
    assert relay("portal", "list", "--json", RELAY_HOME=str(home)).document == []


def test_the_version_is_told() -> None:
    assert set(relay("version", "--json").document) == {"version", "python"}
    assert relay("version").out.startswith("relay ")


# relay doctor ------------------------------------------------------------------------------------------------


def test_the_doctor_finds_a_fresh_home_without_failure(home: Path) -> None:
    document = relay("doctor", "--home", home, "--json").document
    assert document["ok"] is True
    results = {check["check"]: check["result"] for check in document["checks"]}
    assert (results["database"], results["listener"], results["public_url"]) == ("ok", "warning", "warning")


def test_the_doctor_fails_with_a_remedy(home: Path) -> None:
    home.chmod(0o755)
    ran = relay("doctor", "--home", home, "--json")
    document = json.loads(ran.out)
    assert (ran.status, document["ok"], ran.err) == (1, False, "")
    failed = [check for check in document["checks"] if check["result"] == "failed"]
    assert [check["remedy"] for check in failed] == [f"chmod 0700 {home}"]
    told = relay("doctor", "--home", home, RELAY_LANG="ru")
    assert (told.status, f"chmod 0700 {home}" in told.out, "ОШИБКА" in told.out) == (1, True, True)


def test_the_doctor_says_what_is_wrong_with_settings_and_database(home: Path, tmp_path: Path) -> None:
    nowhere = json.loads(relay("doctor", "--home", tmp_path / "none", "--json").out)
    assert [(check["check"], check["result"]) for check in nowhere["checks"]] == [("settings", "failed")]
    for path in home.glob("relay.db*"):
        path.unlink()
    without = json.loads(relay("doctor", "--home", home, "--json").out)
    assert {check["check"] for check in without["checks"] if check["result"] == "failed"} == {"database"}
