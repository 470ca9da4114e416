"""Sealed tokens: 70 lower-case hex characters of the cloud's shape that only the right key made.

Leans on vectors computed here from the documented layout with the standard library, and on the vectors file that
PHP reads too. Must never check the codec only against itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from relay.core.sealed import SealedClaims, looks_sealed, peek, seal, verify

KEY = bytes(range(32))
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "vectors" / "sealed.json").read_text(encoding="ascii")
)
CLAIMS = SealedClaims(
    expires=1_795_003_600,
    key_id=3,
    user_id=67,
    app_number=258,
    serial=0x0A0B_0C0D_0E0F,
    event_session=7,
    tz_offset_min=-180,
    has_stored_parameters=True,
)


def by_hand(claims: SealedClaims, key: bytes, flags: int) -> str:
    """The token as the layout in the codec's docstring says, byte for byte."""
    head = claims.expires.to_bytes(4, "little")
    head += bytes([claims.key_id, flags])
    head += (claims.tz_offset_min or 0).to_bytes(2, "little", signed=True)
    head += (claims.serial & 0xFFFFFFFF).to_bytes(4, "little")
    head += claims.user_id.to_bytes(4, "little")
    head += claims.app_number.to_bytes(3, "little")
    head += (claims.serial >> 32).to_bytes(2, "little")
    return (head + hmac.new(key, b"relay-access-token-v1\0" + head, hashlib.sha256).digest()[:14]).hex()


def test_a_token_is_laid_out_as_documented() -> None:
    assert seal(CLAIMS, KEY) == by_hand(CLAIMS, KEY, flags=0x40 | 0x20 | 0x10 | 7)


def test_a_token_without_session_zone_and_stored_parameters_has_no_flags() -> None:
    bare = replace(CLAIMS, event_session=None, tz_offset_min=None, has_stored_parameters=False)
    assert seal(bare, KEY) == by_hand(bare, KEY, flags=0)


def test_a_known_token_stays_the_same_for_ever() -> None:
    """Other programs verify these tokens: a change of the format must break this test."""
    assert seal(CLAIMS, KEY) == "d094fd6a03774cff0f0e0d0c430000000201000b0a5a99c2590c91c6e50e481080b745"


def test_a_token_has_the_clouds_shape() -> None:
    token = seal(CLAIMS, KEY)
    assert len(token) == 70
    assert set(token) <= set("0123456789abcdef")
    assert int.from_bytes(bytes.fromhex(token[:8]), "little") == CLAIMS.expires
    assert int.from_bytes(bytes.fromhex(token[24:32]), "little") == CLAIMS.user_id


@pytest.mark.parametrize(
    "claims",
    [
        CLAIMS,
        SealedClaims(expires=0, key_id=0, user_id=0, app_number=1, serial=0),
        SealedClaims(
            expires=2**32 - 1, key_id=255, user_id=2**32 - 1, app_number=2**24 - 1, serial=2**48 - 1, event_session=15
        ),
        replace(CLAIMS, event_session=0, tz_offset_min=0),
        replace(CLAIMS, tz_offset_min=32767),
        replace(CLAIMS, tz_offset_min=-32767),
    ],
)
def test_what_was_sealed_is_read_again(claims: SealedClaims) -> None:
    token = seal(claims, KEY)
    assert peek(token) == claims
    assert verify(token, KEY)


@pytest.mark.parametrize(
    "change",
    [
        {"expires": 2**32},
        {"expires": -1},
        {"key_id": 256},
        {"user_id": 2**32},
        {"user_id": -1},
        {"app_number": 0},
        {"app_number": 2**24},
        {"serial": 2**48},
        {"serial": -1},
        {"event_session": 16},
        {"event_session": -1},
        {"tz_offset_min": 32768},
        {"tz_offset_min": -32769},
    ],
)
def test_a_value_that_does_not_fit_its_field_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        seal(replace(CLAIMS, **change), KEY)


def test_another_key_does_not_verify() -> None:
    assert not verify(seal(CLAIMS, KEY), bytes(32))


@pytest.mark.parametrize(
    "spelling",
    [
        str.upper,
        lambda token: token + "00",
        lambda token: token[:-1],
        lambda token: " " + token[1:],
        lambda token: "0x" + token[2:],
        lambda token: token[:69] + "１",
        lambda token: token[:10] + f"{int(token[10], 16) | 8:x}" + token[11:],
        lambda _: "",
        lambda _: "g" * 70,
    ],
)
def test_no_other_spelling_of_a_token_is_taken(spelling: object) -> None:
    assert callable(spelling)
    token = spelling(seal(CLAIMS, KEY))
    assert not looks_sealed(token)
    assert peek(token) is None
    assert not verify(token, KEY)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_the_vectors_that_php_reads_too_say_the_same_here(vector: dict[str, Any]) -> None:
    key = bytes.fromhex(vector["key"])
    assert verify(vector["token"], key) is vector["valid"]
    claims = vector["claims"]
    if claims is None:
        assert peek(vector["token"]) is None
        return
    expected = SealedClaims(**{**claims, "serial": int(claims["serial"], 16)})
    assert peek(vector["token"]) == expected
    if vector["valid"]:
        assert seal(expected, key) == vector["token"]


def test_the_vectors_hold_good_tokens_and_bad_ones() -> None:
    assert {vector["valid"] for vector in VECTORS} == {True, False}
