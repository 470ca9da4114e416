"""The portal's `/rest/` calls taken apart: the method's name, the items of `rest.event.call`, a batch's commands.

Leans on the form codec. An item is taken whatever it holds, because a portal never sends it twice: what cannot be
delivered is held and shown, not refused (protocol.md section 5).
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from relay.core.errors import InvalidRequest, RequestTooLarge
from relay.core.lanes import ENTITY_FIELDS, entity_of
from relay.core.model import EventItem
from relay.core.phpform import build_form, readable, unbracket

if TYPE_CHECKING:
    from relay.core.phpform import Form, Pair

_SUFFIXES = (".json", ".xml")
_DATA = "[query][QUERY_DATA]["
_ITEM_ID = re.compile(r"[0-9a-f]{32}")
_AUTHORITY = re.compile(r"[^/?#]+")
_TRUE = frozenset({"1", "true", "Y", "y"})
MAX_EVENT_NAME = 200
_NAMES = frozenset({"event", "ts", *ENTITY_FIELDS})


def split_path(raw_path: str) -> list[str]:
    """The parts of a request's path: with or without slashes at either end, doubled slashes as one."""
    path = raw_path.partition("?")[0]
    return [part for part in path.split("/") if part]


def method_name(part: str) -> str:
    """`application.add.json` → `application.add`."""
    for suffix in _SUFFIXES:
        if part.endswith(suffix):
            return part[: -len(suffix)]
    return part


def parse_event_call(form: Form, max_items: int) -> list[EventItem]:
    """The items of a `rest.event.call`. Raises InvalidRequest without any, RequestTooLarge with too many."""
    items = [_parse_item(fields) for fields in form.elements("QUERY")]
    if not items:
        raise InvalidRequest("The call holds no QUERY items.")
    if len(items) > max_items:
        raise RequestTooLarge(f"The call holds more than {max_items} items.")
    return items


def parse_batch(form: Form, max_commands: int) -> dict[str, tuple[str, str]]:
    """The commands of a `batch`: key → (method, urlencoded parameters). Raises RequestTooLarge."""
    commands = form.members("cmd")
    if len(commands) > max_commands:
        raise RequestTooLarge(f"A batch may hold {max_commands} commands.")
    parsed = {}
    for key, command in commands.items():
        method, _, query = command.partition("?")
        parsed[key] = (method_name(method), query)
    return parsed


def _parse_item(fields: list[Pair]) -> EventItem:
    scalars: dict[str, str] = {}
    auth: dict[str, str] = {}
    data: list[Pair] = []
    for tail, value in fields:
        if tail.startswith(_DATA):
            data.append((unbracket(tail[len(_DATA) - 1 :]), value))
        elif tail.startswith("[auth]["):
            auth[unbracket(tail[6:])] = value
        else:
            scalars[tail] = value
    names = {name: value for name, value in data if name in _NAMES}
    event = readable(names.get("event", ""))[:MAX_EVENT_NAME]
    category = scalars.get("[additional][category]", "default")
    item_id = scalars.get("[relay_item_id]", "")
    return EventItem(
        client_id=readable(scalars.get("[client_id]", "")),
        handler_url=_handler_url(scalars.get("[query][QUERY_URL]", "")),
        event=event,
        form=build_form(data),
        has_ts="ts" in names,
        auth=auth,
        send_auth=scalars.get("[additional][sendAuth]", "") in _TRUE,
        send_refresh_token=scalars.get("[additional][sendRefreshToken]", "") in _TRUE,
        category=readable(category)[:MAX_EVENT_NAME],
        entity=entity_of(event, names),
        item_id=item_id if _ITEM_ID.fullmatch(item_id) else None,
        auth_given=scalars.get("[relay_auth]") == "given",
    )


def _handler_url(url: str) -> str:
    """The URL in ASCII: its host in IDNA, other bytes above 0x7F as escapes, as on the wire."""
    if url.isascii():
        return url
    scheme, mark, rest = url.partition("://")
    host = _AUTHORITY.match(rest)
    if mark and host:
        with contextlib.suppress(UnicodeError):  # else it is no name: the delivery will be held
            url = scheme + mark + host[0].encode("idna").decode("ascii") + rest[host.end() :]
    raw = url.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
