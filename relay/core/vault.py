"""Secrets at rest: client secrets as keyed hashes, keys and auth blocks sealed under the master key.

Leans on cryptography's AES-256-GCM and HKDF. Each purpose has a key of its own, so that one kind of sealed value
cannot be passed off as another. Never makes a nonce itself: entropy is an argument. Never lets a value be
opened under another purpose than the one it was sealed for.
"""

from __future__ import annotations

import hmac
from functools import lru_cache
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MASTER_KEY_BYTES = 32
NONCE_BYTES = 12


class CannotOpen(Exception):
    """A sealed value does not open: another master key, another purpose, or a damaged value."""


class Vault:
    """Seals and hashes under one master key (32 bytes)."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != MASTER_KEY_BYTES:
            raise ValueError("the master key must be 32 bytes")
        self._cipher = lru_cache(maxsize=32)(lambda purpose: AESGCM(derive_key(master_key, purpose)))
        self._hash_key = derive_key(master_key, "client-secret-hash-v1")

    def hash_secret(self, secret: str) -> bytes:
        """A keyed hash of a machine-made secret (fast on purpose: such a secret cannot be guessed)."""
        return hmac.digest(self._hash_key, secret.encode("utf-8", "surrogateescape"), "sha256")

    def matches(self, secret: str, stored: bytes) -> bool:
        """Whether `secret` has the stored hash, compared in constant time."""
        return hmac.compare_digest(self.hash_secret(secret), stored)

    def seal(self, purpose: str, plain: bytes, nonce: bytes) -> bytes:
        """nonce (12 random bytes) || ciphertext || tag."""
        return nonce + self._cipher(purpose).encrypt(nonce, plain, purpose.encode())

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """The plain bytes; raises CannotOpen."""
        return _open(self._cipher(purpose), purpose, sealed)


def seal_with(secret: str, purpose: str, plain: bytes, nonce: bytes) -> bytes:
    """Seal under a key that only the text of `secret` (a random token) gives."""
    return nonce + AESGCM(derive_key(secret.encode(), purpose)).encrypt(nonce, plain, purpose.encode())


def open_with(secret: str, purpose: str, sealed: bytes) -> bytes:
    """Open what `seal_with` made; raises CannotOpen."""
    return _open(AESGCM(derive_key(secret.encode(), purpose)), purpose, sealed)


def hash_token(token: str) -> bytes:
    """The hash under which a refresh token or code is stored (they are random and long, so SHA-256 is enough)."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


def derive_key(material: bytes, purpose: str) -> bytes:
    """HKDF-SHA256 (RFC 5869) of the material, 32 bytes, one key a purpose."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode()).derive(material)


def _open(cipher: AESGCM, purpose: str, sealed: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], purpose.encode())
    except (InvalidTag, ValueError) as error:
        raise CannotOpen(purpose) from error
