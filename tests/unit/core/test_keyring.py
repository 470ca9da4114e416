"""The plan of keys: published before they are used, kept until their last token has ended, never a moment without.

Leans on nothing. Must never forget a key whose tokens are still good.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from relay.core.keyring import KeyPolicy, active_key, forgotten, next_key
from tests.factories import NOW, sealing_key

if TYPE_CHECKING:
    from relay.core.model import SealingKey

POLICY = KeyPolicy(rotate_s=1000, publish_s=100, outlive_s=50)


def key(key_id: int, active_from: int, good_until: int | None = None) -> SealingKey:
    return replace(sealing_key(key_id=key_id, since=active_from), good_until=good_until)


def test_the_newest_key_that_is_active_is_used() -> None:
    keys = [key(1, NOW - 1000), key(2, NOW - 10), key(3, NOW + 10)]
    assert active_key(keys, NOW) == keys[1]
    assert active_key(keys, NOW + 10) == keys[2]
    assert active_key([], NOW) is None


def test_before_the_first_key_is_active_it_is_used_all_the_same() -> None:
    assert active_key([key(1, NOW + 10)], NOW) == key(1, NOW + 10)


def test_the_first_key_is_made_and_active_at_once() -> None:
    made = next_key([], NOW, POLICY)
    assert made is not None
    assert (made.key_id, made.active_from) == (1, NOW)


def test_the_next_key_is_published_before_the_old_one_is_due() -> None:
    keys = [key(1, NOW)]
    assert next_key(keys, NOW + 899, POLICY) is None
    made = next_key(keys, NOW + 900, POLICY)
    assert made is not None
    assert (made.key_id, made.active_from, made.predecessor_good_until) == (2, NOW + 1000, NOW + 1050)


def test_a_published_key_is_not_followed_by_another() -> None:
    keys = [key(1, NOW - 1000), key(2, NOW + 50)]
    assert next_key(keys, NOW, POLICY) is None
    assert next_key(keys, NOW, POLICY, force=True) is None


def test_by_a_persons_wish_a_key_is_published_now_or_used_at_once() -> None:
    keys = [key(1, NOW - 10)]
    published, at_once = (next_key(keys, NOW, POLICY, force=True, at_once=now) for now in (False, True))
    assert published is not None
    assert at_once is not None
    assert (published.active_from, at_once.active_from) == (NOW + 100, NOW)


def test_key_ids_start_again_after_the_last() -> None:
    made = next_key([key(255, NOW - 2000)], NOW, POLICY)
    assert made is not None
    assert made.key_id == 1


def test_only_keys_whose_last_token_has_ended_are_forgotten() -> None:
    assert forgotten([key(1, NOW - 9, NOW - 1), key(2, NOW - 5, NOW), key(3, NOW)], NOW) == [1]
