"""Handlers are called at private addresses and where the operator allowed, whatever spelling the URL has.

Leans on nothing: no name is resolved. Must never allow a cloud's metadata address.
"""

from __future__ import annotations

import pytest

from relay.core.urlpolicy import (
    MAX_URL_LENGTH,
    Target,
    allows,
    build_policy,
    host_is_literal,
    parse_allow,
    parse_target,
)

DEFAULT = build_policy(())
METADATA = ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:6464:64c8"]


@pytest.mark.parametrize("address", ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.5.5", "fc00::1", "fdff::1"])
def test_private_addresses_are_allowed_by_default(address: str) -> None:
    assert allows(DEFAULT, "app.example", address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "169.254.1.1",
        "fe80::1",
        "fe80::1%eth0",
        "0.0.0.0",
        "::",
        "8.8.8.8",
        "172.32.0.1",
        "172.15.255.255",
        "11.0.0.1",
        "2001:db8::1",
        "255.255.255.255",
        "224.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        *METADATA,
    ],
)
def test_every_other_address_is_refused_by_default(address: str) -> None:
    assert not allows(DEFAULT, "app.example", address)


def test_a_private_address_written_in_ipv6_is_the_same_address() -> None:
    assert allows(DEFAULT, "app.example", "::ffff:10.0.0.1")


@pytest.mark.parametrize("garbage", ["", "app.example", "10.0.0", "10.0.0.1.2", "0x0a.0.0.1", "1e1.0.0.1"])
def test_what_is_no_address_is_refused(garbage: str) -> None:
    assert not allows(build_policy(("app.example",)), "app.example", garbage)


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize("allow", ["0.0.0.0/0", "::/0", "169.254.0.0/16", "100.0.0.0/8", "fd00::/8", "meta.example"])
def test_a_metadata_address_is_refused_whatever_was_allowed(address: str, allow: str) -> None:
    assert not allows(build_policy((parse_allow(allow),)), "meta.example", address)


def test_an_allowed_range_opens_that_range_only() -> None:
    policy = build_policy((parse_allow("127.0.0.0/8"), parse_allow("2001:db8::/32")))
    assert allows(policy, "app.example", "127.0.0.1")
    assert allows(policy, "app.example", "::ffff:127.0.0.1")
    assert allows(policy, "app.example", "2001:db8::5")
    assert not allows(policy, "app.example", "128.0.0.1")
    assert not allows(policy, "app.example", "2001:db9::5")


def test_an_allowed_name_may_lead_anywhere_and_other_names_may_not() -> None:
    policy = build_policy((parse_allow("App.Example."),))
    assert allows(policy, "app.example", "127.0.0.1")
    assert allows(policy, "APP.EXAMPLE.", "8.8.8.8")
    assert not allows(policy, "other.example", "127.0.0.1")
    assert not allows(policy, "sub.app.example", "127.0.0.1")


@pytest.mark.parametrize(
    ("entry", "canonical"),
    [
        ("10.1.2.3/16", "10.1.0.0/16"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("::1", "::1/128"),
        (" App.Example. ", "app.example"),
        ("host_1", "host_1"),
        ("Сервер.local", "xn--b1afb6bcb.local"),
    ],
)
def test_an_allow_entry_has_one_canonical_form(entry: str, canonical: str) -> None:
    assert parse_allow(entry) == canonical


@pytest.mark.parametrize("entry", ["", " ", "10.0.0.0/33", "http://app.example", "a b", "a/b", "a..b", "x" * 64, "*"])
def test_an_allow_entry_that_is_neither_name_nor_range_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an address range"):
        parse_allow(entry)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://App.Example/ev", Target("app.example", 80)),
        ("https://app.example", Target("app.example", 443)),
        ("https://app.example:8443/a?b=c#d", Target("app.example", 8443)),
        ("http://10.0.0.1./x", Target("10.0.0.1", 80)),
        ("http://[fd00::1]:81/x", Target("fd00::1", 81)),
        ("http://user:word@app.example/x", Target("app.example", 80)),
        ("http://127.0.0.1@app.example/x", Target("app.example", 80)),
        ("http://xn--b1afb6bcb.local/x", Target("xn--b1afb6bcb.local", 80)),
        ("http://1c.example/x", Target("1c.example", 80)),
    ],
)
def test_a_handlers_url_is_taken_apart(url: str, target: Target) -> None:
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "host",
    [
        "127.1",
        "127.0.1",
        "0x7f.1",
        "0x7f.0.0.1",
        "0X7F000001",
        "2130706433",
        "0177.0.0.1",
        "017700000001",
        "0",
        "127.0.0.1.1",
    ],
)
def test_an_address_in_an_odd_spelling_is_no_url_to_call(host: str) -> None:
    assert parse_target(f"http://{host}/") is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example/ev",
        "//app.example/ev",
        "ftp://app.example/ev",
        "file:///etc/passwd",
        "gopher://app.example",
        "http://",
        "http:///ev",
        "http://app.example:99999/",
        "http://app.example:x/",
        "http://[::1/",
        "http://app.example/\r\nX: y",
        "http://app.example/\x00",
        "http://１２７.0.0.1/",
        "http://127。0。0。1/",
        "http://app.example/" + "a" * MAX_URL_LENGTH,
    ],
)
def test_what_cannot_be_called_is_no_target(url: str) -> None:
    assert parse_target(url) is None


def test_a_literal_address_is_told_from_a_name() -> None:
    assert str(host_is_literal("127.0.0.1")) == "127.0.0.1"
    assert str(host_is_literal("fd00::1")) == "fd00::1"
    assert host_is_literal("app.example") is None
    assert host_is_literal("127.1") is None
