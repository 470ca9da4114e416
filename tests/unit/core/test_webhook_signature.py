"""Signed deliveries verify as the Standard Webhooks specification says, by each key that is active.

Leans on the specification's own scheme, computed here by hand. Must never sign anything but id, time and body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from relay.core.webhook_signature import show_key, signature_headers

BODY = b"event=ONX&a%5Bb%5D=1"


def by_hand(key: bytes) -> str:
    signed = b"msg-1.1795000000." + BODY
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def test_a_delivery_is_signed_by_each_active_key() -> None:
    keys = [b"k" * 32, b"j" * 32]
    assert signature_headers("msg-1", 1_795_000_000, BODY, keys) == {
        "webhook-id": "msg-1",
        "webhook-timestamp": "1795000000",
        "webhook-signature": f"{by_hand(keys[0])} {by_hand(keys[1])}",
    }


def test_a_key_is_shown_as_the_standards_libraries_take_it() -> None:
    shown = show_key(bytes(range(32)))
    assert shown.startswith("whsec_")
    assert base64.b64decode(shown.removeprefix("whsec_")) == bytes(range(32))
