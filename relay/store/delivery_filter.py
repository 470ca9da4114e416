"""What a person means by `--state --handler --event --since --until`, as a condition, and its stored form.

Leans on SQLAlchemy's escaping: a text is only ever compared, never built into a statement.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, true

from relay.core.model import DeliveryState
from relay.records import DeliveryFilter
from relay.store import schema as s

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_D = s.deliveries.c
JOINED = s.deliveries.join(s.handlers, s.handlers.c.id == _D.handler_id)


def matching(wanted: DeliveryFilter) -> ColumnElement[bool]:
    """The condition over JOINED."""
    terms: list[ColumnElement[bool]] = [true()]
    if len(wanted.states) == 1:
        terms.append(_D.state == str(wanted.states[0]))  # so spelt, an index of that state alone can be used
    elif wanted.states:
        terms.append(_D.state.in_([str(state) for state in wanted.states]))
    if wanted.event_id:
        terms.append(_D.event_id == wanted.event_id)
    if wanted.handler:
        terms.append(s.handlers.c.url.contains(wanted.handler, autoescape=True))
    if wanted.event:
        terms.append(func.upper(_D.event) == wanted.event.upper())
    if wanted.portal_id is not None:
        terms.append(_D.portal_id == wanted.portal_id)
    if wanted.since_ms is not None:
        terms.append(_D.accepted_at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        terms.append(_D.accepted_at_ms < wanted.until_ms)
    if wanted.entity:
        terms.append(_D.entity == wanted.entity)
    return and_(*terms)


def dump_filter(wanted: DeliveryFilter) -> str:
    """The filter as it is stored."""
    return json.dumps(asdict(wanted))


def load_filter(stored: str) -> DeliveryFilter:
    """What `dump_filter` wrote."""
    values = json.loads(stored)
    return DeliveryFilter(**values | {"states": tuple(DeliveryState(state) for state in values["states"])})
