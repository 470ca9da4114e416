"""Promises of sealed tokens (issue 3, "what it must show" 3): only the relay makes one, for no portal but its own.

Leans on hypothesis, and on the relay's whole check over a directory of several portals, keys and applications. Must
never find a second text that is taken for a token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.directory import Directory
from relay.core.errors import InvalidToken, RelayError
from relay.core.model import SealingKey
from relay.core.sealed import SealedClaims, peek, seal
from relay.core.tokens import Lifetimes, check_access_token, mint_access_token, parameters_of
from tests.factories import NOW, app, counted_entropy, portal

if TYPE_CHECKING:
    from collections.abc import Callable

ISSUER = "https://relay.test"
KEYS = {(owner, number): bytes([owner, number] * 16) for owner in (1, 2) for number in (1, 2, 3)}
DIRECTORY = Directory(
    portals=[portal(), portal(id=2, url="https://second.test", client_id="portal.2.2")],
    apps=[
        app(),
        app(number=2, client_id="local.2.2"),
        app(number=3, portal_id=2, client_id="local.3.3"),
    ],
    keys=[SealingKey(*name, key, NOW - 600 + name[1]) for name, key in KEYS.items()],
)
parameters = st.dictionaries(
    st.sampled_from(["EVENT_SESSION", "TZ_OFFSET", "LOCAL_USER", "placement", "x[y]"]),
    st.sampled_from(["0", "7", "15", "16", "07", "10800", "-43200", "61", "text", ""]) | st.text(max_size=20),
)
apps = st.sampled_from([1, 2, 3])
users = st.integers(1, 2**32 - 1)


def _mint(
    number: int, user: int, given: dict[str, str], entropy: Callable[[int], bytes], now: int = NOW
) -> tuple[str, dict[str, str]]:
    token = mint_access_token(
        DIRECTORY,
        DIRECTORY.apps[number],
        user,
        parameters=given,
        scope=None,
        now=now,
        issuer=ISSUER,
        lifetimes=Lifetimes(),
        entropy=entropy,
    )
    checked = check_access_token(token.text, DIRECTORY, now, issuer=ISSUER)
    return token.text, parameters_of(checked.claims, token.stored)


def _is_refused(text: str, portal_id: int | None = None) -> bool:
    try:
        check_access_token(text, DIRECTORY, NOW, issuer=ISSUER, portal_id=portal_id)
    except RelayError as error:
        return isinstance(error, InvalidToken)
    return False


@given(number=apps, user=users, given_=parameters)
def test_issue_3_show_3_what_was_sealed_comes_back(number: int, user: int, given_: dict[str, str]) -> None:
    text, said = _mint(number, user, given_, counted_entropy())
    checked = check_access_token(text, DIRECTORY, NOW, issuer=ISSUER)
    assert (checked.app.number, checked.claims.user_id, checked.claims.expires) == (number, user, NOW + 3600)
    assert checked.portal.id == (2 if number == 3 else 1)
    assert said == {**given_, "LOCAL_USER": str(user)}


@given(number=apps, user=users, bit=st.integers(0, 35 * 8 - 1), seed=st.integers(0, 1000))
def test_issue_3_show_3_any_bit_flipped_is_refused(number: int, user: int, bit: int, seed: int) -> None:
    raw = bytearray.fromhex(_mint(number, user, {"EVENT_SESSION": "7"}, counted_entropy(seed))[0])
    raw[bit // 8] ^= 1 << bit % 8
    assert _is_refused(raw.hex())


def test_issue_3_show_3_every_single_bit_of_one_token_flipped_is_refused() -> None:
    raw = bytes.fromhex(_mint(1, 67, {"EVENT_SESSION": "7", "TZ_OFFSET": "10800"}, counted_entropy())[0])
    for bit in range(len(raw) * 8):
        bent = bytearray(raw)
        bent[bit // 8] ^= 1 << bit % 8
        assert _is_refused(bent.hex()), bit


@given(number=apps, user=users, owner=st.sampled_from([1, 2]), key_id=st.integers(0, 4), forged_id=st.integers(0, 4))
def test_issue_3_show_3_swapping_keys_is_refused(
    number: int, user: int, owner: int, key_id: int, forged_id: int
) -> None:
    """Another portal's key, or another key of the same portal, seals nothing for this application."""
    key = KEYS.get((owner, key_id), bytes(32))
    text = seal(SealedClaims(NOW + 60, forged_id, user, number, 1), key)
    own = 2 if number == 3 else 1
    assert _is_refused(text) == ((owner, key_id) != (own, forged_id) or (owner, key_id) not in KEYS)


@given(number=apps, user=users)
def test_issue_3_show_3_another_portal_does_not_know_the_token(number: int, user: int) -> None:
    text, _ = _mint(number, user, {}, counted_entropy())
    own = 2 if number == 3 else 1
    assert not _is_refused(text, own)
    assert _is_refused(text, 3 - own)


def test_issue_3_show_3_no_two_tokens_are_alike() -> None:
    """The same application, user, parameters and second, ten thousand times."""
    entropy = counted_entropy()
    texts = {_mint(1, 67, {"EVENT_SESSION": "7"}, entropy)[0] for _ in range(10_000)}
    assert len(texts) == 10_000
    serials = {claims.serial for text in texts if (claims := peek(text)) is not None}
    assert len(serials) == 10_000


@given(text=st.text("0123456789abcdefABCDEF", min_size=68, max_size=72) | st.text(max_size=100))
def test_issue_3_show_3_no_text_that_nobody_sealed_is_taken(text: str) -> None:
    assert _is_refused(text)


@pytest.mark.parametrize(
    "spelled", [str.upper, lambda text: text + "\n", lambda text: " " + text, lambda text: text[:-2]]
)
def test_issue_3_show_3_a_token_has_one_spelling(spelled: Callable[[str], str]) -> None:
    text, _ = _mint(1, 67, {}, counted_entropy())
    assert not _is_refused(text)
    assert _is_refused(spelled(text))
