"""Reading a request within bounds, whatever its sender does.

Leans on aiohttp's streams. Never reads more than the limit, never waits longer than the time given, and never
lets a malformed body become anything but a RelayError.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from relay.core.errors import InvalidRequest, RequestTooLarge
from relay.core.phpform import parse_form

if TYPE_CHECKING:
    from relay.core.phpform import FormLimits, Pair


async def read_body(request: web.Request, max_bytes: int, timeout_s: float) -> bytes:
    """The body. Raises RequestTooLarge, or InvalidRequest if it breaks off, is garbled or takes too long."""
    if (request.content_length or 0) > max_bytes:
        raise RequestTooLarge(f"The body is larger than {max_bytes} bytes.")
    if request.content.is_eof():
        return _arrived(request, max_bytes)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > max_bytes:
                    raise RequestTooLarge(f"The body is larger than {max_bytes} bytes.")
                chunks.append(chunk)
    except TimeoutError as error:
        raise InvalidRequest("The body took too long to arrive.", status=408) from error
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise InvalidRequest("The body could not be read.") from error
    return b"".join(chunks)


def _arrived(request: web.Request, max_bytes: int) -> bytes:
    """The body, where all of it came with the head, as nearly every one does."""
    try:
        body = request.content.read_nowait()
    except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
        raise InvalidRequest("The body could not be read.") from error
    if len(body) > max_bytes:
        raise RequestTooLarge(f"The body is larger than {max_bytes} bytes.")
    return body


def query_pairs(request: web.Request, limits: FormLimits) -> list[Pair]:
    """The query's fields in order. Raises RequestTooLarge."""
    return parse_form(request.raw_path.partition("?")[2].partition("#")[0], limits).pairs


def body_pairs(request: web.Request, body: bytes, limits: FormLimits) -> list[Pair]:
    """The fields of a form or of a flat JSON object, whichever the body is. Raises InvalidRequest."""
    content_type = request.content_type.lower()
    if content_type == "application/json" or body.lstrip()[:1] == b"{":
        return _json_pairs(body)
    return parse_form(body, limits).pairs


def _json_pairs(body: bytes) -> list[Pair]:
    if not body.strip():
        return []
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("The body is not valid JSON.") from error
    if not isinstance(pairs, list) or not all(isinstance(pair, tuple) for pair in pairs):
        raise InvalidRequest("The body must be a JSON object.")
    return [(name, _scalar(value)) for name, value in pairs if value is not None]


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return str(value) if isinstance(value, str | int | float) else ""
