"""Sealed access tokens: 35 bytes, shown as 70 lower-case hex characters, that carry their own proof.

Leans on HMAC-SHA256 under a key shared with one portal; the relay and the portal's module both verify
without a look-up. Must never read the clock or make a serial itself, and never accept a token in any
spelling but the canonical one (a second spelling would escape revocation by token).

Layout (integers little-endian; shape of the cloud's tokens, protocol.md section 6):

    bytes  0-3   expiry, unix seconds
           4     key id, counted per portal
           5     flags: bits 0-3 event session, bit 4 session present, bit 5 time zone present,
                 bit 6 more parameters are stored under the serial, bit 7 zero
           6-7   time-zone offset in minutes, signed; zero when absent
           8-11  serial, low 32 bits
          12-15  user id
          16-18  application number
          19-20  serial, high 16 bits
          21-34  HMAC-SHA256(key, "relay-access-token-v1" NUL || bytes 0-20), first 14 bytes (112 bits)

Test vectors for other languages: tests/vectors/sealed.json.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass

TOKEN_HEX_LENGTH = 70
KEY_BYTES = 32
SERIAL_BYTES = 6
EVENT_SESSION_MAX = 15
TZ_OFFSET_MAX_MIN = 32767

_HEAD = struct.Struct("<IBBhII3sH")
_HEAD_BYTES = 21
_CONTEXT = b"relay-access-token-v1\x00"
_HEX = frozenset("0123456789abcdef")

_SESSION_MASK = 0x0F
_HAS_SESSION = 0x10
_HAS_TZ = 0x20
_STORED = 0x40
_RESERVED = 0x80


@dataclass(frozen=True, slots=True)
class SealedClaims:
    """What a sealed token says.

    expires: unix seconds, 32 bits. key_id: 0-255. user_id: 32 bits. app_number: 24 bits.
    serial: 48 bits, random. event_session: 0-15 or None. tz_offset_min: minutes or None.
    has_stored_parameters: further parameters are kept by the relay under the serial.
    """

    expires: int
    key_id: int
    user_id: int
    app_number: int
    serial: int
    event_session: int | None = None
    tz_offset_min: int | None = None
    has_stored_parameters: bool = False


def seal(claims: SealedClaims, key: bytes) -> str:
    """Return the token, 70 hex characters. Raises ValueError for a value that does not fit its field."""
    head = _pack(claims)
    return (head + _mac(head, key)).hex()


def looks_sealed(token: str) -> bool:
    """Whether the text has the shape of a sealed token: 70 lower-case hex characters, reserved bit clear."""
    return len(token) == TOKEN_HEX_LENGTH and _HEX.issuperset(token) and not int(token[10], 16) & 0x8


def peek(token: str) -> SealedClaims | None:
    """Read the claims without verifying them, to find which key to verify with; None if misshapen."""
    if not looks_sealed(token):
        return None
    expires, key_id, flags, tz, serial_low, user_id, app, serial_high = _HEAD.unpack(
        bytes.fromhex(token[: _HEAD_BYTES * 2])
    )
    return SealedClaims(
        expires=expires,
        key_id=key_id,
        user_id=user_id,
        app_number=int.from_bytes(app, "little"),
        serial=serial_high << 32 | serial_low,
        event_session=flags & _SESSION_MASK if flags & _HAS_SESSION else None,
        tz_offset_min=tz if flags & _HAS_TZ else None,
        has_stored_parameters=bool(flags & _STORED),
    )


def verify(token: str, key: bytes) -> bool:
    """Whether the seal is this key's, compared in constant time. Says nothing of expiry or revocation."""
    if not looks_sealed(token):
        return False
    raw = bytes.fromhex(token)
    return hmac.compare_digest(_mac(raw[:_HEAD_BYTES], key), raw[_HEAD_BYTES:])


def _pack(claims: SealedClaims) -> bytes:
    flags = _STORED if claims.has_stored_parameters else 0
    if claims.event_session is not None:
        if not 0 <= claims.event_session <= EVENT_SESSION_MAX:
            raise ValueError("event_session must be 0-15")
        flags |= _HAS_SESSION | claims.event_session
    if claims.tz_offset_min is not None:
        flags |= _HAS_TZ
    if not 0 <= claims.serial < 1 << 48:
        raise ValueError("serial must fit 48 bits")
    if not 0 < claims.app_number < 1 << 24:
        raise ValueError("app_number must fit 24 bits")
    try:
        return _HEAD.pack(
            claims.expires,
            claims.key_id,
            flags,
            claims.tz_offset_min or 0,
            claims.serial & 0xFFFFFFFF,
            claims.user_id,
            claims.app_number.to_bytes(3, "little"),
            claims.serial >> 32,
        )
    except struct.error as error:
        raise ValueError(str(error)) from error


def _mac(head: bytes, key: bytes) -> bytes:
    return hmac.digest(key, _CONTEXT + head, "sha256")[:14]
