"""Handlers as rows: found by portal, application and URL, and stored at the first event for them.

Leans on a unique index, which on PostgreSQL is over the md5 of the texts. Several nodes may meet a new handler in one
moment: one stores it, the others find it, and none fails.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, insert, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from relay.core.model import Handler
from relay.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection, Row

HandlerKey = tuple[int, str, str]
"""Portal, client id, URL."""

_H = s.handlers.c
_CLIENT = bindparam("client", type_=_H.client_id.type)
_KNOWN = select(s.handlers).where(
    _H.portal_id == bindparam("portal"),
    _H.client_id == _CLIENT,
    _H.url.in_(bindparam("urls", expanding=True)),
)
_FIND = {
    "sqlite": _KNOWN,
    "postgresql": _KNOWN.where(
        func.md5(_H.client_id) == func.md5(_CLIENT),
        func.md5(_H.url).in_(bindparam("urls_md5", expanding=True)),
    ),
}
_INSERT = {
    "sqlite": insert(s.handlers).returning(_H.id),
    "postgresql": postgres_insert(s.handlers).on_conflict_do_nothing().returning(_H.id),
}


def handler_of(row: Row[Any]) -> Handler:
    """A handler from a row with its columns."""
    return Handler(row.id, row.portal_id, row.client_id, row.url, row.paused)


def find_or_store(connection: Connection, keys: set[HandlerKey]) -> dict[HandlerKey, Handler]:
    """The handlers of these keys; those not seen before are stored."""
    found: dict[HandlerKey, Handler] = {}
    for portal_id, client_id in {key[:2] for key in keys}:
        urls = [url for *owner, url in keys if owner == [portal_id, client_id]]
        for handler in _find(connection, portal_id, client_id, urls):
            found[portal_id, client_id, handler.url] = handler
    for key in sorted(keys - found.keys()):  # in one order on every node: none waits for the other
        portal_id, client_id, url = key
        values = {"portal_id": portal_id, "client_id": client_id, "url": url, "paused": False}
        added = connection.execute(_INSERT[connection.dialect.name], values).scalar_one_or_none()
        if added is None:  # another node was first, and has committed by now
            (found[key],) = _find(connection, portal_id, client_id, [url])
        else:
            found[key] = Handler(added, *key)
    return found


def _find(connection: Connection, portal_id: int, client_id: str, urls: Collection[str]) -> list[Handler]:
    values: dict[str, Any] = {"portal": portal_id, "client": client_id, "urls": list(urls)}
    if connection.dialect.name == "postgresql":
        values["urls_md5"] = [_md5(s.without_nul(url)) for url in urls]
    return [handler_of(row) for row in connection.execute(_FIND[connection.dialect.name], values)]


def _md5(text: str) -> str:
    """As PostgreSQL's function of that name."""
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
