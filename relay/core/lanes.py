"""Which deliveries must keep their order: the lane of a handler and an entity, found in what the portal sent.

Leans on the names Bitrix24 gives to events and their fields. Add, update and delete of one entity share a lane; an
event that names no entity has a lane of its own, which is no lane at all. Never looks at anything but names and ids.
"""

from __future__ import annotations

import hashlib
import re
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_ENTITY = 200
_IDS = ("data[FIELDS][ID]", "data[FIELDS_AFTER][ID]", "data[FIELDS_BEFORE][ID]")
_DIALOGS = ("data[PARAMS][DIALOG_ID]", "data[PARAMS][CHAT_ID]", "data[DIALOG_ID]")
_DOCUMENT_MODULE, _DOCUMENT_TYPE, _DOCUMENT_ID = "document_id[0]", "document_type[2]", "document_id[2]"
ENTITY_FIELDS = frozenset({*_IDS, *_DIALOGS, _DOCUMENT_MODULE, _DOCUMENT_TYPE, _DOCUMENT_ID})
_EVENT = re.compile(r"ON(?P<type>.+?)(?:_?(?:AFTER|BEFORE))?(?:ADD|UPDATE|DELETE|CREATE|CHANGE|SET|MOVE)(?P<of>_\w+)?")
_MODULES = ("CRM", "CATALOG", "SALE", "TASKS", "DISK", "LISTS", "CALENDAR", "SONET")


class Order(StrEnum):
    """What keeps its order: one entity's events, all of a handler's, or none."""

    LANE = "lane"
    HANDLER = "handler"
    NONE = "none"


def entity_of(event: str, fields: Mapping[str, str]) -> str | None:
    """The entity an event is about, e.g. `crm.deal:5`, or None. fields: those of ENTITY_FIELDS that it has."""
    document = fields.get(_DOCUMENT_ID)
    if document:
        kind = fields.get(_DOCUMENT_TYPE, "")
        module = fields.get(_DOCUMENT_MODULE, "")
        return _name(f"{module}.{kind}", document.removeprefix(f"{kind}_"))
    for field in _DIALOGS:
        if fields.get(field):
            return _name("im.dialog", fields[field])
    found = next((fields[field] for field in _IDS if fields.get(field)), None)
    return _name(entity_type(event), found) if found is not None and event else None


def entity_type(event: str) -> str:
    """`ONCRMDEALUPDATE` → `crm.deal`; an event of no known form is a type of its own."""
    match = _EVENT.fullmatch(event.upper())
    kind = match["type"] + (match["of"] or "") if match else event.upper()
    for module in _MODULES:
        if kind.startswith(module) and len(kind) > len(module):
            return f"{module}.{kind[len(module) :]}".lower()
    return kind.lower()


def lane_of(order: Order, handler: str, entity: str | None) -> int | None:
    """The lane's number (63 bits), or None for no order. handler: whatever names the handler within the relay."""
    if order is Order.NONE or (order is Order.LANE and entity is None):
        return None
    name = handler if order is Order.HANDLER else f"{handler}\n{entity}"
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1


def _name(kind: str, identity: str) -> str:
    return f"{kind.lower()}:{identity}"[:MAX_ENTITY].encode("utf-8", "surrogateescape").decode("utf-8", "replace")
