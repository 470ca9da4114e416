"""Writing answers: JSON, errors in the caller's format, and the one answer that must not be JSON.

Leans on aiohttp's responses. Never sends a Location header (a portal follows it on any status), never lets a
token answer be cached, and never says in an answer what broke inside.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from aiohttp import web

from relay.app.failures import TooManyFailures
from relay.core.errors import InvalidClient, RelayError, Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADERS = {"Cache-Control": "no-store", "Pragma": "no-cache", "Server": "bitrix-relay"}
_dump = json.JSONEncoder(separators=(",", ":")).encode


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer that nobody may keep."""
    return web.Response(
        body=_dump(value).encode(),
        status=status,
        content_type="application/json",
        headers={**_HEADERS, **headers} if headers else _HEADERS,
    )


def text_answer(text: str, status: int = 200) -> web.Response:
    """A plain text answer."""
    return web.Response(text=text, status=status, content_type="text/plain", headers=_HEADERS)


def error_answer(error: RelayError) -> web.Response:
    """`{"error", "error_description"}`; a passing failure is 503 without JSON (protocol.md section 4)."""
    if isinstance(error, Unavailable) or error.status >= 500:
        return text_answer("Temporarily unavailable, please try again.\n", 503)
    headers = {}
    if isinstance(error, TooManyFailures):
        headers["Retry-After"] = str(math.ceil(error.wait_s))
    elif error.code == InvalidClient.code:
        headers["WWW-Authenticate"] = 'Basic realm="relay"'
    return json_answer({"error": error.code, "error_description": error.description}, error.status, headers)
