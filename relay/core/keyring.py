"""When keys are made, used and forgotten: published → active → retired → gone, as a pure plan.

Leans on nothing. A key is published a while before it is used, so that every cached copy of the key list knows it
in time, and is kept until the last token made with it has ended. Never leaves a moment without an active key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Key(Protocol):
    """What the plan needs to know of a key; good_until is set when its successor is made."""

    @property
    def key_id(self) -> int: ...
    @property
    def active_from(self) -> int: ...
    @property
    def good_until(self) -> int | None: ...


K = TypeVar("K", bound=Key)


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """Seconds: how long a key is active, how long before that it is published, how long what it made may live."""

    rotate_s: int = 30 * 86400
    publish_s: int = 86400
    outlive_s: int = 3600


@dataclass(frozen=True, slots=True)
class NextKey:
    """A key to be made: its id, when it becomes active, and until when its predecessors' work stays good.

    A key that is published but would become active later has made nothing yet; it is dropped for this one.
    """

    key_id: int
    active_from: int
    predecessor_good_until: int


def active_key(keys: Sequence[K], now: int) -> K | None:
    """The key to use: the newest that is active already; before the first is, that one."""
    started = [key for key in keys if key.active_from <= now]
    if started:
        return max(started, key=_seniority)
    return min(keys, key=_seniority, default=None)


def next_key(
    keys: Sequence[Key], now: int, policy: KeyPolicy, *, force: bool = False, at_once: bool = False
) -> NextKey | None:
    """The key that is to be made now, if any is. force: by a person's wish; at_once: without publishing it first."""
    newest = max(keys, key=_seniority, default=None)
    if newest is None:
        return NextKey(1, now, 0)
    if newest.active_from > now and not at_once:
        return None
    due = newest.active_from + policy.rotate_s
    if not force and now < due - policy.publish_s:
        return None
    active_from = now if at_once else max(now + policy.publish_s, due if not force else 0)
    return NextKey(newest.key_id % 255 + 1, active_from, active_from + policy.outlive_s)


def _seniority(key: Key) -> tuple[int, float]:
    """Of two keys that became active in the same second the one that is good for longer is the newer."""
    return key.active_from, math.inf if key.good_until is None else key.good_until


def forgotten(keys: Sequence[Key], now: int) -> list[int]:
    """The ids of keys whose last token has ended."""
    return [key.key_id for key in keys if key.good_until is not None and key.good_until < now]
