"""The nouns' own small rules: ids, hosts, endpoints, who may have tokens.

Leans on protocol.md sections 2, 5 and 6. Must never need more than the value itself.
"""

from __future__ import annotations

import hashlib

import pytest

from relay.core.model import APP_STATUSES, read_user_id
from tests.factories import NOW, PORTAL_CLIENT, app, item, portal


def test_a_portals_member_id_is_the_md5_of_its_client_id() -> None:
    assert portal().member_id == hashlib.md5(PORTAL_CLIENT.encode()).hexdigest()
    assert portal(client_id=None).member_id == ""


@pytest.mark.parametrize(
    ("url", "host", "endpoint"),
    [
        ("https://portal.example", "portal.example", "https://portal.example/rest/"),
        ("http://portal.example:8080", "portal.example", "http://portal.example:8080/rest/"),
        ("https://[fd00::1]:8443", "fd00::1", "https://[fd00::1]:8443/rest/"),
    ],
)
def test_a_portals_host_has_no_port_and_its_endpoint_has_one(url: str, host: str, endpoint: str) -> None:
    assert (portal(url=url).host, portal(url=url).client_endpoint) == (host, endpoint)


def test_only_an_active_installed_application_is_usable() -> None:
    assert app().usable
    assert not app(active=False).usable
    assert not app(installed=False).usable
    assert not app(deleted_at=NOW).usable


def test_the_statuses_are_those_that_client_libraries_know() -> None:
    assert set("FDTPLS") == APP_STATUSES


@pytest.mark.parametrize(
    ("text", "user"),
    [
        ("1", 1),
        ("0", 0),
        ("0067", 67),
        ("4294967295", 2**32 - 1),
        ("4294967296", 0),
        ("9999999999", 0),
        ("0" * 11 + "1", 0),
        ("9" * 5000, 0),
        ("", 0),
        ("-1", 0),
        ("1.0", 0),
        (" 1", 0),
        ("٣", 0),
        ("²", 0),
    ],
)
def test_a_users_id_is_read_only_where_it_is_one(text: str, user: int) -> None:
    assert read_user_id(text) == user
    assert item(auth={"LOCAL_USER": text}).user_id == user
