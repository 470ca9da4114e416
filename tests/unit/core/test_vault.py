"""Secrets at rest: hashed under a key, sealed for one purpose, and opened for no other.

Leans on the real ciphers. Must never find a secret's text in what is stored.
"""

from __future__ import annotations

import hashlib

import pytest

from relay.core.vault import CannotOpen, Vault, derive_key, hash_token, open_with, seal_with
from tests.factories import MASTER_KEY, VAULT

NONCE = bytes(12)
OTHER = Vault(bytes(32))


def test_a_sealed_value_opens_for_its_purpose() -> None:
    sealed = VAULT.seal("purpose", b"plain", NONCE)
    assert VAULT.open("purpose", sealed) == b"plain"
    assert b"plain" not in sealed
    assert len(sealed) == 12 + 5 + 16


def test_a_sealed_value_does_not_open_for_another_purpose() -> None:
    with pytest.raises(CannotOpen):
        VAULT.open("other purpose", VAULT.seal("purpose", b"plain", NONCE))


def test_a_sealed_value_does_not_open_under_another_master_key() -> None:
    with pytest.raises(CannotOpen):
        OTHER.open("purpose", VAULT.seal("purpose", b"plain", NONCE))


@pytest.mark.parametrize("position", range(12 + 5 + 16))
def test_a_changed_byte_anywhere_is_found(position: int) -> None:
    sealed = bytearray(VAULT.seal("purpose", b"plain", NONCE))
    sealed[position] ^= 1
    with pytest.raises(CannotOpen):
        VAULT.open("purpose", bytes(sealed))


@pytest.mark.parametrize("length", [0, 1, 11, 12, 27])
def test_a_cut_off_value_is_refused(length: int) -> None:
    with pytest.raises(CannotOpen):
        VAULT.open("purpose", VAULT.seal("purpose", b"plain", NONCE)[:length])


def test_a_secret_matches_its_hash_and_no_other() -> None:
    stored = VAULT.hash_secret("secret")
    assert VAULT.matches("secret", stored)
    assert not VAULT.matches("Secret", stored)
    assert not VAULT.matches("", stored)
    assert not VAULT.matches("", b"")
    assert not VAULT.matches("secret", b"")


def test_a_secrets_hash_depends_on_the_master_key_and_hides_the_secret() -> None:
    assert OTHER.hash_secret("secret") != VAULT.hash_secret("secret")
    assert VAULT.hash_secret("secret") != hashlib.sha256(b"secret").digest()


def test_a_secret_of_any_bytes_can_be_compared() -> None:
    assert not VAULT.matches("\udcff\udc80é", VAULT.hash_secret("secret"))


def test_what_is_sealed_with_a_token_opens_with_that_token_only() -> None:
    sealed = seal_with("token", "purpose", b"plain", NONCE)
    assert open_with("token", "purpose", sealed) == b"plain"
    for secret, purpose in (("other", "purpose"), ("token", "other")):
        with pytest.raises(CannotOpen):
            open_with(secret, purpose, sealed)


def test_a_token_is_stored_as_its_sha256() -> None:
    assert hash_token("abc") == hashlib.sha256(b"abc").digest()
    assert hash_token("\udcff") == hashlib.sha256(b"\xff").digest()


def test_each_purpose_has_a_key_of_its_own() -> None:
    keys = {derive_key(MASTER_KEY, purpose) for purpose in ("a", "b", "")}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_master_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(bytes(length))
