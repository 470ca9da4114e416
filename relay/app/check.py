"""What an application needs of a portal, read from a file, and what of it a portal does not have.

Leans on the facts that the portal's module reports. Pure: no file, socket or clock. Names are compared without regard
to case, as Bitrix24 does. Never takes a line that it does not understand for one that is met.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from relay.core.errors import InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_DOCUMENT = 1024 * 1024
MAX_FAULTS = 20
_NAME = re.compile(r"[\w.\-]{1,200}")
_MODULE = re.compile(r"(?P<id>[\w.\-]{1,100})\s*(?:>=\s*(?P<version>\d+(?:\.\d+)*))?")


class Kind(StrEnum):
    """What can be required. `name`: a method, event or scope, whichever the portal has."""

    METHOD = "method"
    EVENT = "event"
    SCOPE = "scope"
    MODULE = "module"
    NAME = "name"


_LISTS = {Kind.METHOD: "methods", Kind.EVENT: "events", Kind.SCOPE: "scopes", Kind.MODULE: "modules"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing that is needed; version: of a module, at least."""

    kind: Kind
    name: str
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """What the portal does not have. module: the one it would come with, where that can be told; found: its version."""

    requirement: Requirement
    module: str | None = None
    found: str | None = None


def parse_requirements(text: str) -> list[Requirement]:
    """Read a file of requirements, each once: lines or a JSON object of lists. Raises InvalidRequest with every fault.

    A line is a name, or `method:`, `event:`, `scope:` or `module:` and a name; `#` begins a remark. A module may have
    a version: `module:crm>=23.0`.
    """
    if len(text) > MAX_DOCUMENT:
        raise InvalidRequest(f"The list is larger than {MAX_DOCUMENT} characters.")
    found, faults = _from_json(text) if text.lstrip().startswith("{") else _from_lines(text)
    if faults:
        raise InvalidRequest("The list has faults:\n" + "\n".join(f"  - {fault}" for fault in faults[:MAX_FAULTS]))
    if not found:
        raise InvalidRequest("The list requires nothing.")
    return list(dict.fromkeys(found))


def compare(requirements: list[Requirement], facts: Mapping[str, Any]) -> list[Missing]:
    """What of it the portal with these facts does not have, in the order it was required."""
    offers = _Offers(facts)
    return [missing for one in requirements if (missing := offers.lacks(one)) is not None]


class _Offers:
    """What a portal has, in one case."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._names = {
            kind: frozenset(str(name).casefold() for name in facts.get(_LISTS[kind], ()))
            for kind in (Kind.METHOD, Kind.EVENT, Kind.SCOPE)
        }
        self._modules = {str(name).casefold(): str(version) for name, version in facts.get("modules", {}).items()}

    def lacks(self, wanted: Requirement) -> Missing | None:
        """Why the requirement is not met; None if it is."""
        name = wanted.name.casefold()
        if wanted.kind is Kind.MODULE:
            found = self._modules.get(name)
            if found is not None and (wanted.version is None or is_at_least(found, wanted.version)):
                return None
            return Missing(wanted, wanted.name, found)
        kinds = tuple(self._names) if wanted.kind is Kind.NAME else (wanted.kind,)
        if any(name in self._names[kind] for kind in kinds):
            return None
        module = self._module_of(name)
        return Missing(wanted, module, self._modules.get(module or ""))

    def _module_of(self, name: str) -> str | None:
        """The module that a name is probably of: `crm.deal.list`, `ONCRMDEALADD`, `crm` → crm."""
        head = name.partition(".")[0]
        if head in self._modules:
            return head
        of_event = name.removeprefix("on")
        fitting = [module for module in self._modules if of_event.startswith((module, module.removesuffix("s")))]
        return max(fitting, key=len) if name.startswith("on") and fitting else None


def is_at_least(found: str, wanted: str) -> bool:
    """Whether a module's version is not before another: `24.100.0` is after `24.9`."""
    pairs = zip_longest(_numbers(found), _numbers(wanted), fillvalue=0)
    return next((ours > theirs for ours, theirs in pairs if ours != theirs), True)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d{1,9}", version)]


def _from_lines(text: str) -> tuple[list[Requirement], list[str]]:
    found: list[Requirement] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        stated = line.partition("#")[0].strip().removeprefix("\ufeff").strip()
        if not stated:
            continue
        word, colon, rest = stated.partition(":")
        kind = next((kind for kind in _LISTS if kind == word.strip().lower()), None) if colon else Kind.NAME
        made = _requirement(kind, rest.strip() if colon else stated) if kind else None
        if made is None:
            faults.append(f"line {number} is not a method, event, scope or module: {stated[:100]}")
        else:
            found.append(made)
    return found, faults


def _from_json(text: str) -> tuple[list[Requirement], list[str]]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return [], ["it is not a JSON document"]
    known = {name: kind for kind, name in _LISTS.items()}
    found: list[Requirement] = []
    faults = [f"there is no list of that name: {str(name)[:100]}" for name in document if name not in known]
    for name, kind in known.items():
        for stated in _stated(document.get(name, [])):
            made = _requirement(kind, stated.strip()) if isinstance(stated, str) else None
            if made is None:
                faults.append(f"{name} has something that does not belong there: {str(stated)[:100]}")
            else:
                found.append(made)
    return found, faults


def _stated(value: object) -> Iterator[object]:
    """The members of a list; of an object (modules with versions) as `id>=version`."""
    if isinstance(value, list):
        yield from value
    elif isinstance(value, dict):
        for name, version in value.items():
            bound = str(version).strip().removeprefix(">=").strip() if version is not None else ""
            yield f"{name}>={bound}" if bound else str(name)
    else:
        yield value


def _requirement(kind: Kind, text: str) -> Requirement | None:
    if kind is Kind.MODULE:
        module = _MODULE.fullmatch(text)
        return Requirement(kind, module["id"], module["version"]) if module else None
    return Requirement(kind, text) if _NAME.fullmatch(text) else None
