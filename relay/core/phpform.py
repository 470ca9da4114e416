"""PHP's form dialect: what `http_build_query` writes, read without loss and written again byte for byte.

Leans on urllib to decode what is escaped. Keys and values are text with undecodable bytes kept as surrogates, so that
nothing is lost on the way through; what a handler gets is never rebuilt from a tree (PHP's own reading of
`[k[]]` or of `[a b]` loses the name). Must never raise anything but RequestTooLarge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from relay.core.errors import RequestTooLarge

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class FormLimits:
    """Bounds of one form: bytes of the body, number of fields, levels of brackets in a name."""

    max_bytes: int = 16 * 1024 * 1024
    max_fields: int = 100_000
    max_depth: int = 32


class Form:
    """The fields of one form in the order they came; of two fields of one name the last counts, as in PHP."""

    __slots__ = ("_last", "pairs")

    def __init__(self, pairs: list[Pair]) -> None:
        self.pairs = pairs
        self._last = dict(pairs)

    def get(self, name: str, default: str = "") -> str:
        """The value of a whole name, e.g. `PARAMS[LOCAL_USER]`."""
        return self._last.get(name, default)

    def __contains__(self, name: str) -> bool:
        return name in self._last

    def members(self, name: str) -> dict[str, str]:
        """The scalar members of an array: `PARAMS[A]=1&PARAMS[B][c]=2` → {"A": "1", "B[c]": "2"}."""
        prefix = name + "["
        return {unbracket(key[len(name) :]): value for key, value in self._last.items() if key.startswith(prefix)}

    def elements(self, name: str) -> Iterator[list[Pair]]:
        """The elements of an array of arrays, in order; of `Q[0][a]=1` the element holds ("[a]", "1")."""
        prefix = name + "["
        groups: dict[str, list[Pair]] = {}
        start = len(prefix)
        for key, value in self.pairs:
            if key.startswith(prefix):
                index, _, tail = key[start:].partition("]")
                groups.setdefault(index, []).append((tail, value))
        yield from groups.values()


def parse_form(body: bytes | str, limits: FormLimits) -> Form:
    """Read `a=1&b[c]=2` into a Form. Raises RequestTooLarge over a limit; nothing else can go wrong."""
    if len(body) > limits.max_bytes:
        raise RequestTooLarge(f"The body is larger than {limits.max_bytes} bytes.")
    raw = body if isinstance(body, bytes) else body.encode("utf-8", "surrogateescape")
    text = raw.decode("latin-1")
    if text.count("&") >= limits.max_fields:
        raise RequestTooLarge(f"The form has more than {limits.max_fields} fields.")
    pairs: list[Pair] = []
    for field in _decode_common(text).split("&"):
        if not field:
            continue
        raw_key, _, raw_value = field.partition("=")
        key = _decode(raw_key)
        if key.count("[") >= limits.max_depth:
            raise RequestTooLarge(f"A field is nested deeper than {limits.max_depth} levels.")
        pairs.append((key, _decode(raw_value)))
    return Form(pairs)


def build_form(pairs: Iterable[Pair]) -> str:
    """Write pairs as PHP's `http_build_query` (RFC 1738) would: `+` for a space, `%5B %5D` for brackets."""
    return "&".join([f"{_encode_name(key)}={_encode(value)}" for key, value in pairs])


def flatten(tree: Mapping[str, object], name: str = "") -> Iterator[Pair]:
    """Turn nested mappings into pairs by PHP's rules: null and empty arrays vanish, true is `1`, false `0`."""
    for key, value in tree.items():
        path = f"{name}[{key}]" if name else key
        if isinstance(value, dict):
            yield from flatten(value, path)
        elif isinstance(value, list | tuple):
            yield from flatten({str(index): item for index, item in enumerate(value)}, path)
        elif isinstance(value, bool):
            yield path, "1" if value else "0"
        elif value is not None:
            yield path, str(value)


def unbracket(tail: str) -> str:
    """Make the member of an array a name of its own: `[data][FIELDS][k[]]` → `data[FIELDS][k[]]`."""
    head, _, rest = tail[1:].partition("]")
    return head + rest


def readable(text: str) -> str:
    """The text with every byte that was no UTF-8 shown as U+FFFD, fit to be stored and shown."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _decode_common(text: str) -> str:
    """The whole form with its most frequent escapes decoded: none of them makes a `%`, `&` or `=`."""
    text = text.replace("+", " ").replace("%5B", "[").replace("%5D", "]")
    return text.replace("%3A", ":").replace("%2F", "/") if "%" in text else text


def _decode(text: str) -> str:
    if "%" not in text and text.isascii():
        return text
    return unquote_to_bytes(_percent_high(text)).decode("utf-8", "surrogateescape")


def _percent_high(text: str) -> str:
    """Raw bytes above 0x7F (read as Latin-1) become escapes, so that UTF-8 is decoded as one run."""
    if text.isascii():
        return text
    return "".join(char if char < "\x80" else f"%{ord(char):02X}" for char in text)


def _encode_name(name: str) -> str:
    return _encode_short(name) if len(name) <= _SHORT_NAME else _encode(name)


def _encode(text: str) -> str:
    if text.isalnum() and text.isascii():
        return text
    return text.encode("utf-8", "surrogateescape").decode("latin-1").translate(_ESCAPES)


_SHORT_NAME = 64
# Names come again and again, values seldom. A long name is not kept: a portal may send any number of them.
_encode_short = lru_cache(maxsize=2048)(_encode)
_UNESCAPED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
_ESCAPES = {byte: f"%{byte:02X}" for byte in range(256) if byte not in _UNESCAPED} | {ord(" "): "+"}
