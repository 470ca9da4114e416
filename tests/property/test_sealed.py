"""Sealed tokens under random claims: they say what was sealed, and nothing but the right key makes one.

Leans on hypothesis. Must never find a second token that verifies.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import assume, given
from hypothesis import strategies as st

from relay.core.sealed import SealedClaims, looks_sealed, peek, seal, verify

keys = st.binary(min_size=32, max_size=32)
claims = st.builds(
    SealedClaims,
    expires=st.integers(0, 2**32 - 1),
    key_id=st.integers(0, 255),
    user_id=st.integers(0, 2**32 - 1),
    app_number=st.integers(1, 2**24 - 1),
    serial=st.integers(0, 2**48 - 1),
    event_session=st.none() | st.integers(0, 15),
    tz_offset_min=st.none() | st.integers(-32768, 32767),
    has_stored_parameters=st.booleans(),
)


@given(said=claims, key=keys)
def test_a_token_says_what_was_sealed_and_verifies(said: SealedClaims, key: bytes) -> None:
    token = seal(said, key)
    assert peek(token) == said
    assert verify(token, key)


@given(said=claims, key=keys)
def test_a_token_is_seventy_lower_hex_with_expiry_and_user_where_the_cloud_has_them(
    said: SealedClaims, key: bytes
) -> None:
    token = seal(said, key)
    assert len(token) == 70
    assert set(token) <= set("0123456789abcdef")
    assert int.from_bytes(bytes.fromhex(token[0:8]), "little") == said.expires
    assert int.from_bytes(bytes.fromhex(token[24:32]), "little") == said.user_id


@given(said=claims, key=keys, bit=st.integers(0, 35 * 8 - 1))
def test_a_token_with_any_bit_flipped_is_refused(said: SealedClaims, key: bytes, bit: int) -> None:
    raw = bytearray.fromhex(seal(said, key))
    raw[bit // 8] ^= 1 << bit % 8
    assert not verify(raw.hex(), key)


@given(said=claims, key=keys, other=keys)
def test_a_token_made_with_another_key_is_refused(said: SealedClaims, key: bytes, other: bytes) -> None:
    assume(key != other)
    assert not verify(seal(said, key), other)


@given(said=claims, key=keys, serial=st.integers(0, 2**48 - 1))
def test_two_tokens_differ_where_their_serials_do(said: SealedClaims, key: bytes, serial: int) -> None:
    other = replace(said, serial=serial)
    assert (seal(said, key) == seal(other, key)) == (said == other)


@given(said=claims, key=keys, position=st.integers(0, 69), char=st.characters())
def test_no_second_spelling_of_a_token_is_taken(said: SealedClaims, key: bytes, position: int, char: str) -> None:
    token = seal(said, key)
    spelled = token[:position] + char + token[position + 1 :]
    assert verify(spelled, key) == (spelled == token)


@given(text=st.text(max_size=80) | st.text("0123456789abcdef", min_size=70, max_size=70), key=keys)
def test_any_text_is_read_or_refused_and_never_verifies(text: str, key: bytes) -> None:
    assert (peek(text) is not None) == looks_sealed(text)
    assert not verify(text, key)
