"""How a portal is recognised: its address in one form, its licence hash, the ids it is given.

Leans on protocol.md section 2 and on PHP's own rule for the hash, written out here by hand. Must never take a
hash that another key made.
"""

from __future__ import annotations

import re
from hashlib import md5

import pytest

from relay.app.intake import new_event_id
from relay.app.portals import licence_hash_is_valid, new_client_id, normalize_origin
from relay.core.errors import InvalidRequest
from relay.core.phpform import Form
from tests.factories import NOW_MS, counted_entropy

KEY = "AB-CDEF-123456"
KEY_MD5 = md5(KEY.encode()).hexdigest()
FIELDS = [
    ("redirect_uri", "https://portal.example"),
    ("type", "B"),
    ("BX_TYPE", "CP"),
    ("BX_LICENCE", md5(f"BITRIX{KEY}LICENCE".encode()).hexdigest()),
]


def signed(fields: list[tuple[str, str]], key: str = KEY) -> Form:
    inner = md5("|".join(value for _, value in fields).encode()).hexdigest()
    return Form([*fields, ("BX_HASH", md5((inner + md5(key.encode()).hexdigest()).encode()).hexdigest())])


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://portal.example", "https://portal.example"),
        ("https://Portal.Example/", "https://portal.example"),
        (" https://portal.example:443/index.php?a=b#c ", "https://portal.example"),
        ("http://portal.example:80", "http://portal.example"),
        ("http://portal.example:443", "http://portal.example:443"),
        ("https://portal.example:8443", "https://portal.example:8443"),
        ("http://10.0.0.5:8080/", "http://10.0.0.5:8080"),
        ("http://[FD00::1]:8080/", "http://[fd00::1]:8080"),
    ],
)
def test_a_portals_address_has_one_form(url: str, origin: str) -> None:
    assert normalize_origin(url) == origin
    assert normalize_origin(origin) == origin


@pytest.mark.parametrize(
    "url",
    [
        "",
        "portal.example",
        "//portal.example",
        "ftp://portal.example",
        "https://",
        "http:///path",
        "https://user:word@portal.example",
        "https://portal.example:99999",
        "https://portal.example:x",
        "https://[::1",
        "https://portal\x00.example",
        "https://portal\udcff.example",
    ],
)
def test_what_is_no_address_of_a_portal_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest):
        normalize_origin(url)


def test_the_licence_hash_of_the_right_key_is_taken() -> None:
    assert licence_hash_is_valid(signed(FIELDS), KEY_MD5)


def test_the_licence_hash_of_another_key_is_refused() -> None:
    assert not licence_hash_is_valid(signed(FIELDS, key="ANOTHER"), KEY_MD5)
    assert not licence_hash_is_valid(signed(FIELDS), md5(b"ANOTHER").hexdigest())


@pytest.mark.parametrize("index", range(len(FIELDS)))
def test_the_licence_hash_covers_every_value(index: int) -> None:
    form = signed(FIELDS)
    name, value = form.pairs[index]
    changed = [*form.pairs[:index], (name, value + "x"), *form.pairs[index + 1 :]]
    assert not licence_hash_is_valid(Form(changed), KEY_MD5)


@pytest.mark.parametrize("given", ["", "0" * 32, "ж", "\udcff"])
def test_a_missing_or_garbled_licence_hash_is_refused(given: str) -> None:
    assert not licence_hash_is_valid(Form([*FIELDS, ("BX_HASH", given)]), KEY_MD5)
    assert not licence_hash_is_valid(Form(FIELDS), KEY_MD5)


def test_a_client_id_has_the_clouds_shape() -> None:
    entropy = counted_entropy()
    made = {new_client_id("local", entropy) for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(r"local\.[0-9a-f]{14}\.[0-9]{8}", one) for one in made)


def test_event_ids_are_unique_and_sort_by_time() -> None:
    entropy = counted_entropy()
    ids = [new_event_id(NOW_MS + step, entropy) for step in range(50)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"[0-9a-f]{12}7[0-9a-f]{3}[89ab][0-9a-f]{15}", one) for one in ids)
