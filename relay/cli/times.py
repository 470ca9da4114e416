"""Times as people write and read them: `30m`, `24h`, `7d`, ISO dates.

Leans on datetime. Pure: the present is an argument. A date without a zone is in the local one; every date shown
has its zone.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from relay.core.errors import InvalidRequest

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d+[smhdw])+")
_MAX_S = 100 * 366 * 86400


def parse_duration(text: str) -> int:
    """`30m`, `24h`, `7d`, `1d12h` as seconds. Raises InvalidRequest."""
    cleaned = text.strip().lower()
    if not cleaned.isascii() or len(cleaned) > 30 or not _DURATION.fullmatch(cleaned):
        raise InvalidRequest(f"{text!r} is not a length of time: write it like 30m, 24h or 7d.")
    seconds = sum(int(part[:-1]) * _UNITS_S[part[-1]] for part in re.findall(r"\d+[smhdw]", cleaned))
    if not 0 < seconds <= _MAX_S:
        raise InvalidRequest(f"{text!r} is not a length of time between one second and a hundred years.")
    return seconds


def parse_moment(text: str, now_ms: int) -> int:
    """An ISO date, or a duration meaning that long ago, as unix milliseconds. Raises InvalidRequest."""
    cleaned = text.strip()
    if _DURATION.fullmatch(cleaned.lower()):
        return now_ms - parse_duration(cleaned) * 1000
    try:
        return round(datetime.fromisoformat(cleaned).astimezone().timestamp() * 1000)
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidRequest(
            f"{text!r} is not a time: write a date like 2026-05-01T10:00, or 2h for two hours ago."
        ) from error


def span(seconds: float) -> str:
    """A length of time in its two largest units, as `parse_duration` reads it: `45s`, `12m`, `3h20m`, `5d4h`."""
    left = max(round(seconds), 0)
    pieces: list[tuple[int, str]] = []
    for unit in "dhms":
        count, left = divmod(left, _UNITS_S[unit])
        if count or pieces:
            pieces.append((count, unit))
    largest = [f"{count}{unit}" for count, unit in pieces[:2] if count]
    return "".join(largest) or "0s"


def iso(unix_s: float | None, *, local: bool = True) -> str | None:
    """A moment with its time zone, to the second: the local one for people, UTC for programs."""
    if unix_s is None:
        return None
    moment = datetime.fromtimestamp(unix_s, UTC)
    return (moment.astimezone() if local else moment).isoformat(timespec="seconds")


def iso_ms(unix_ms: int | None, *, local: bool = True) -> str | None:
    """The same for unix milliseconds."""
    return None if unix_ms is None else iso(unix_ms / 1000, local=local)
