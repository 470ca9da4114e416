"""What a portal offers (methods, events, scopes, module versions), as its module reports it.

Leans on the portal store. Only names and versions are kept, and only what has the expected shape.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from relay.core.errors import InvalidRequest

if TYPE_CHECKING:
    from relay.core.directory import Directory
    from relay.core.model import Portal
    from relay.core.phpform import Form
    from relay.ports import Clock, Store

MAX_NAMES = 20_000
MAX_NAME = 200
_LISTS = ("methods", "events", "scopes")


class Facts:
    """Keeps the newest facts of each portal."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def take(self, _directory: Directory, portal: Portal, form: Form) -> bool:
        """`relay.facts`. Raises InvalidRequest for anything but the expected document."""
        try:
            given = json.loads(form.get("FACTS"))
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("FACTS must be a JSON document.") from error
        if not isinstance(given, dict):
            raise InvalidRequest("FACTS must be a JSON object.")
        facts: dict[str, Any] = {name: _names(given.get(name, []), name) for name in _LISTS}
        modules = given.get("modules", {})
        if not isinstance(modules, dict) or len(modules) > MAX_NAMES:
            raise InvalidRequest("FACTS.modules must be an object of versions.")
        facts["modules"] = {_short(name): _short(version) for name, version in modules.items()}
        facts["php"] = _short(given.get("php", ""))
        facts["sm_version"] = _short(given.get("sm_version", ""))
        await self._store.save_facts(portal.id, facts, self._clock.now_ms() // 1000)
        return True


def _names(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise InvalidRequest(f"FACTS.{name} must be a list of at most {MAX_NAMES} names.")
    return sorted({_short(one) for one in value})


def _short(value: object) -> str:
    return str(value)[:MAX_NAME].encode("utf-8", "replace").decode()
