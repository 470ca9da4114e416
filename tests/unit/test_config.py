"""Configuration: environment over file over default, every fault at once, nothing unknown taken.

Leans on real files and on the process's real environment, changed for one test. Must never let a typing error
become a silent default.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from relay.config import CONFIG_FILE, ConfigError, load_config, split_listen

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """No RELAY_ variable of whoever runs the tests."""
    for name in [name for name in os.environ if name.upper().startswith("RELAY_")]:
        monkeypatch.delenv(name)
    return monkeypatch


def write(home: Path, text: str) -> Path:
    (home / CONFIG_FILE).write_text(text, encoding="utf-8")
    return home


def faults(home: Path) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        load_config(home)
    return refused.value.description.splitlines()[1:]


def test_without_a_file_the_defaults_hold(tmp_path: Path) -> None:
    config = load_config(tmp_path)
    assert config.home == tmp_path
    assert (config.listen, config.admin_listen) == ("127.0.0.1:8080", "127.0.0.1:8081")
    assert (config.tokens.access_s, config.tokens.code_s, config.tokens.refresh_s) == (3600, 30, 180 * 86400)
    assert config.tokens.refresh_grace_s == 60


def test_the_file_is_over_the_defaults_and_the_environment_over_the_file(
    tmp_path: Path, bare_environment: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path, 'listen = "127.0.0.1:1000"\nadmin_listen = "127.0.0.1:1001"\n[delivery]\nlease_s = 7\nsweep_s = 3\n'
    )
    bare_environment.setenv("RELAY_LISTEN", "127.0.0.1:2000")
    bare_environment.setenv("RELAY_DELIVERY__SWEEP_S", "0.5")
    config = load_config(tmp_path)
    assert (config.listen, config.admin_listen) == ("127.0.0.1:2000", "127.0.0.1:1001")
    assert (config.delivery.lease_s, config.delivery.sweep_s, config.delivery.drain_s) == (7, 0.5, 20)


def test_all_faults_are_reported_together(tmp_path: Path, bare_environment: pytest.MonkeyPatch) -> None:
    write(
        tmp_path,
        """
listen = "nowhere"
public_url = "relay.example"
nonsense = 1
[tokens]
code_s = 31
acess_s = 5
[delivery]
lease_s = 0.5
[apps."local.1"]
order = "lain"
[log]
level = "loud"
""",
    )
    bare_environment.setenv("RELAY_LIMITS__DEPHT", "5")
    bare_environment.setenv("RELAY_LISTN", "127.0.0.1:1")
    text = "\n".join(faults(tmp_path))
    for named in (
        "listen: must be HOST:PORT",
        "public_url: must be an origin",
        "nonsense: there is no such setting",
        "tokens.code_s",
        "tokens.acess_s: there is no such setting",
        "delivery.lease_s",
        "apps.local.1.order",
        "log.level",
        "RELAY_LIMITS__DEPHT names no setting",
        "RELAY_LISTN names no setting",
    ):
        assert named in text


@pytest.mark.parametrize("name", ["RELAY_NONSENSE", "RELAY_NON__SENSE", "RELAY_TOKENS__NONSENSE", "RELAY_"])
def test_a_variable_that_names_no_setting_is_refused(
    tmp_path: Path, bare_environment: pytest.MonkeyPatch, name: str
) -> None:
    bare_environment.setenv(name, "1")
    assert f"  - the environment variable {name} names no setting" in faults(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RELAY_HOME", "elsewhere"),
        ("RELAY_MASTER_KEY", "00"),
        ("RELAY_LANG", "ru"),
        ("RELAYED", "1"),
        ("PATH_RELAY_", "1"),
    ],
)
def test_variables_that_are_no_settings_are_left_alone(
    tmp_path: Path, bare_environment: pytest.MonkeyPatch, name: str, value: str
) -> None:
    bare_environment.setenv(name, value)
    assert load_config(tmp_path).home == tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "[tokens]\naccess_s = 0",
        "[tokens]\naccess_s = 1.5",
        "[tokens]\ncode_s = 31",
        "[tokens]\nrefresh_grace_s = -1",
        '[apps."*"]\nretry_factor = 0.5',
        '[apps."*"]\nretry_jitter = 1',
        '[apps."local.1"]\nnonsense = 1',
        '[apps."*".headers]\n"X A" = "b"',
        '[apps."*".headers]\n"X-A" = "b\\r\\nX-B: c"',
        '[apps."*".headers]\nHost = "other.example"',
        '[apps."*".headers]\n"x-relay-attempt" = "1"',
        '[apps."*"]\nproxy = "socks5://proxy.example:1080"',
        '[apps."*"]\nca_file = "/nowhere/ca.pem"',
        '[apps."*"]\nclient_cert = "/dev/null"',
        '[apps."*"]\nclient_key = "/dev/null"',
        '[apps."*"]\norder = "none"\ncollapse = true',
        'store = "mysql://localhost"',
        'queue = "redis://localhost"',
        "[delivery]\nconcurrency = 0",
        "[limits]\nportal_body_bytes = -1",
        '[log]\nformat = "xml"',
        'public_url = "ftp://relay.example"',
        'listen = "127.0.0.1"',
        'listen = "127.0.0.1:65536"',
        'trusted_proxies = ["proxy.example"]',
    ],
)
def test_a_value_that_makes_no_sense_is_refused(tmp_path: Path, line: str) -> None:
    assert len(faults(write(tmp_path, line + "\n"))) == 1


@pytest.mark.parametrize("content", [b"listen = ", b"\xff\xfe", b"[a]\n[a]\n"])
def test_a_file_that_is_no_toml_is_one_named_fault(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CONFIG_FILE).write_bytes(content)
    (fault,) = faults(tmp_path)
    assert CONFIG_FILE in fault


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ('public_url = "https://Relay.Example:443/"', "https://relay.example"),
        ('listen = "127.0.0.1:9000"', "http://127.0.0.1:9000"),
        ('listen = "0.0.0.0:9000"', "http://127.0.0.1:9000"),
        ('listen = "[::1]:9000"', "http://[::1]:9000"),
        ('listen = "relay.local:9000"', "http://relay.local:9000"),
    ],
)
def test_the_relays_own_origin_is_the_public_url_or_where_it_listens(tmp_path: Path, written: str, origin: str) -> None:
    assert load_config(write(tmp_path, written + "\n")).origin == origin


@pytest.mark.parametrize(
    ("value", "address"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:0", ("::1", 0)), ("relay.local:1", ("relay.local", 1))],
)
def test_a_listening_address_is_taken_apart(value: str, address: tuple[str, int]) -> None:
    assert split_listen(value) == address


@pytest.mark.parametrize(
    "value", ["", ":80", "127.0.0.1", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:x", "127.0.0.1:²", "a:99999"]
)
def test_what_is_no_listening_address_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        split_listen(value)


def test_what_the_use_cases_are_told_is_what_is_configured(tmp_path: Path) -> None:
    config = load_config(
        write(
            tmp_path,
            """
public_url = "https://relay.example"
[tokens]
access_s = 100
[limits]
items = 7
batch_commands = 3
depth = 5
app_fields = 11
[delivery]
concurrency = 9
[apps."*"]
retry_first_s = 3
retry_budget_s = 60
concurrency = 2
[apps."local.1"]
retry_first_s = 4
""",
        )
    )
    assert config.issuer().server_endpoint == "https://relay.example/rest/"
    assert config.issuer().host == "relay.example"
    assert config.issuer().lifetimes.access_s == 100
    assert (config.intake().max_items, config.intake().max_batch_commands) == (7, 3)
    portal_form, app_form = config.form_limits()
    assert (portal_form.max_depth, app_form.max_depth, app_form.max_fields) == (5, 5, 11)
    assert config.delivering().concurrency == 9
    others, own = config.rules().of("local.2"), config.rules().of("local.1")
    assert (others.retry.first_s, others.retry.budget_s, others.concurrency) == (3, 60, 2)
    assert (own.retry.first_s, own.retry.budget_s, own.concurrency) == (4, 60, 2)
