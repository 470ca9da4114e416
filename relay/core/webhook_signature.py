"""Standard Webhooks signatures (the Standard Webhooks specification, version 1), beside the Bitrix body.

Leans on HMAC-SHA256. A receiver verifies with any library of that standard; while a key is rotated two signatures
go out, one by each key.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SIGNING_KEY_BYTES = 32
_PREFIX = "whsec_"


def signature_headers(event_id: str, now: int, body: bytes, keys: Sequence[bytes]) -> dict[str, str]:
    """`webhook-id`, `webhook-timestamp` and `webhook-signature` over `id.timestamp.body`."""
    signed = f"{event_id}.{now}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def show_key(key: bytes) -> str:
    """The key as the standard's libraries take it: `whsec_` and base64."""
    return _PREFIX + base64.b64encode(key).decode()
