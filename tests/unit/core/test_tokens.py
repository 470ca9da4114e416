"""How a token is made, what it says when it is checked, and when it is refused.

Leans on the sealed codec and on a directory held in memory. Must never let a token pass that is expired, revoked,
another portal's or a deleted application's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from relay.core import sealed
from relay.core.directory import Directory, Revocations
from relay.core.errors import ExpiredToken, InvalidToken, RelayError, UnknownApplication
from relay.core.tokens import (
    Lifetimes,
    StoredParameters,
    TokenPair,
    check_access_token,
    mint_access_token,
    mint_pair,
    mint_refresh_token,
    narrowed_scope,
    open_successor,
    parameters_of,
    seal_successor,
    split_scope,
    token_answer,
)
from relay.core.vault import CannotOpen
from tests.factories import NOW, SEALING_KEY, app, counted_entropy, directory, portal, sealing_key

if TYPE_CHECKING:
    from relay.core.tokens import AccessToken

ISSUER = "https://relay.example"
LIFETIMES = Lifetimes()


def minted(
    known: Directory | None = None,
    parameters: dict[str, str] | None = None,
    scope: str | None = None,
    now: int = NOW,
) -> AccessToken:
    return mint_access_token(
        known or directory(),
        app(),
        67,
        parameters={"LOCAL_USER": "67"} if parameters is None else parameters,
        scope=scope,
        now=now,
        issuer=ISSUER,
        lifetimes=LIFETIMES,
        entropy=counted_entropy(),
    )


def check(text: str, known: Directory | None = None, now: int = NOW, portal_id: int | None = None) -> Any:
    return check_access_token(text, known or directory(), now, issuer=ISSUER, portal_id=portal_id)


def test_a_fresh_token_checks_out_for_an_hour_and_not_a_second_longer() -> None:
    token = minted()
    assert token.expires == NOW + 3600
    checked = check(token.text, now=NOW + 3599)
    assert (checked.app, checked.portal, checked.claims.user_id) == (app(), portal(), 67)
    with pytest.raises(ExpiredToken) as refused:
        check(token.text, now=NOW + 3600)
    assert (refused.value.code, refused.value.status) == ("expired_token", 401)


def test_parameters_that_fit_travel_in_the_token_and_nothing_is_stored() -> None:
    token = minted(parameters={"LOCAL_USER": "67", "TZ_OFFSET": "-10800", "EVENT_SESSION": "7"})
    assert token.stored is None
    said = parameters_of(check(token.text).claims, None)
    assert said == {"LOCAL_USER": "67", "TZ_OFFSET": "-10800", "EVENT_SESSION": "7"}


@pytest.mark.parametrize(
    "extra",
    [
        {"EVENT_SESSION": "16"},
        {"EVENT_SESSION": "-1"},
        {"EVENT_SESSION": "07"},
        {"EVENT_SESSION": ""},
        {"EVENT_SESSION": "many"},
        {"TZ_OFFSET": "59"},
        {"TZ_OFFSET": "1966080"},
        {"TZ_OFFSET": "+60"},
        {"TZ_OFFSET": " 60"},
        {"TZ_OFFSET": "60.0"},
        {"TZ_OFFSET": "6" * 4000},
        {"WORKFLOW_ID": "5f1.1", "CODE": "robo"},
        {"x[y]": "ж"},
    ],
)
def test_parameters_that_do_not_fit_are_stored_and_come_back_as_they_were_sent(extra: dict[str, str]) -> None:
    token = minted(parameters={"LOCAL_USER": "67", **extra})
    claims = check(token.text).claims
    assert claims.has_stored_parameters
    assert token.stored == StoredParameters(extra, None)
    assert parameters_of(claims, token.stored) == {"LOCAL_USER": "67", **extra}


def test_a_parameter_that_is_no_utf8_can_still_be_said_in_json() -> None:
    claims = check(minted().text).claims
    assert parameters_of(claims, StoredParameters({"a\udcff": "b\udcfe"}, None))["a�"] == "b�"


def test_a_narrower_scope_is_stored_with_the_token() -> None:
    assert minted(scope="crm").stored == StoredParameters({}, "crm")
    assert minted(scope=None).stored is None


def test_a_pair_has_the_clouds_shape() -> None:
    pair = mint_pair(
        directory(),
        app(),
        67,
        parameters={},
        scope=None,
        now=NOW,
        issuer=ISSUER,
        lifetimes=LIFETIMES,
        entropy=counted_entropy(),
    ).pair
    for token, expires in ((pair.access_token, NOW + 3600), (pair.refresh_token, NOW + 180 * 86400)):
        assert len(token) == 70
        assert set(token) <= set("0123456789abcdef")
        assert int.from_bytes(bytes.fromhex(token[:8]), "little") == expires
        assert int.from_bytes(bytes.fromhex(token[24:32]), "little") == 67
    assert pair.access_token != pair.refresh_token


def test_no_two_refresh_tokens_are_alike() -> None:
    entropy = counted_entropy()
    made = {mint_refresh_token(67, NOW, entropy) for _ in range(100)}
    assert len(made) == 100


@pytest.mark.parametrize("text", ["", "a" * 70, "0" * 70, "g" * 70, "a.b.c", "\udcff", "ж" * 70, "a" * 100_000])
def test_what_is_no_token_is_unknown(text: str) -> None:
    with pytest.raises(InvalidToken) as refused:
        check(text)
    assert (refused.value.code, refused.value.status) == ("invalid_token", 401)


def test_a_token_made_with_another_key_is_unknown() -> None:
    forged = minted(directory(keys=[sealing_key(key=bytes(32))]))
    with pytest.raises(InvalidToken):
        check(forged.text)


def test_a_token_of_an_application_that_never_was_is_unknown() -> None:
    claims = sealed.SealedClaims(expires=NOW + 60, key_id=1, user_id=67, app_number=99, serial=1)
    with pytest.raises(InvalidToken):
        check(sealed.seal(claims, SEALING_KEY))


def test_another_portals_token_is_unknown_to_a_portal_and_known_to_the_relay() -> None:
    token = minted()
    assert check(token.text, portal_id=1)
    with pytest.raises(InvalidToken):
        check(token.text, portal_id=2)


def test_a_deleted_applications_token_is_refused_by_that_name() -> None:
    with pytest.raises(UnknownApplication) as refused:
        check(minted().text, directory(apps=[app(deleted_at=NOW)]))
    assert refused.value.code == "APPLICATION_NOT_FOUND"


@pytest.mark.parametrize("change", [{"active": False}, {"installed": False}])
def test_a_token_of_an_application_that_is_switched_off_is_refused(change: dict[str, bool]) -> None:
    with pytest.raises(InvalidToken):
        check(minted().text, directory(apps=[app(**change)]))


def revoking(**marks: Any) -> Directory:
    return directory(revocations=Revocations(**marks))


def test_a_revoked_token_is_refused_and_the_next_one_is_not() -> None:
    token = minted()
    with pytest.raises(InvalidToken, match="revoked"):
        check(token.text, revoking(tokens={(1, token.serial): token.expires}))
    assert check(token.text, revoking(tokens={(1, token.serial + 1): token.expires}))
    assert check(token.text, revoking(tokens={(2, token.serial): token.expires}))


@pytest.mark.parametrize(
    ("hit", "missed"),
    [
        ({"portals": {1: NOW + 3600}}, {"portals": {2: NOW + 3600}}),
        ({"apps": {1: NOW + 3600}}, {"apps": {2: NOW + 3600}}),
        ({"users": {(1, 67): NOW + 3600}}, {"users": {(1, 68): NOW + 3600, (2, 67): NOW + 3600}}),
    ],
)
def test_a_mark_ends_every_token_up_to_it_and_no_others(hit: dict[str, Any], missed: dict[str, Any]) -> None:
    token = minted()
    with pytest.raises(InvalidToken, match="revoked"):
        check(token.text, revoking(**hit))
    assert check(token.text, revoking(**missed))
    earlier = {name: {key: mark - 1 for key, mark in marks.items()} for name, marks in hit.items()}
    assert check(token.text, revoking(**earlier))


def test_what_is_granted_after_a_revocation_is_not_caught_by_it() -> None:
    revoked = revoking(apps={1: NOW + 3600})
    token = minted(revoked)
    assert token.expires == NOW + 3601
    assert check(token.text, revoked)


def test_without_a_key_no_token_is_made() -> None:
    with pytest.raises(RelayError):
        minted(directory(keys=[]))


def test_the_answer_of_every_grant_is_the_superset_that_client_libraries_need() -> None:
    answer = token_answer(
        TokenPair("a" * 70, NOW + 3600, "b" * 70),
        app(),
        portal(),
        user_id=67,
        scope="crm,user",
        server_endpoint=f"{ISSUER}/rest/",
        domain="relay.example",
        now=NOW,
    )
    assert answer == {
        "access_token": "a" * 70,
        "refresh_token": "b" * 70,
        "expires": NOW + 3600,
        "expires_in": 3600,
        "scope": "crm,user",
        "domain": "relay.example",
        "server_endpoint": "https://relay.example/rest/",
        "client_endpoint": "https://portal.example:8443/rest/",
        "member_id": portal().member_id,
        "status": "L",
        "user_id": 67,
    }


@pytest.mark.parametrize(("status", "said"), [("T", True), ("P", True), ("L", False), ("F", False), ("D", False)])
def test_an_end_date_is_said_of_trial_and_paid_applications_only(status: str, said: bool) -> None:
    answer = token_answer(
        TokenPair("a", NOW, "b"),
        app(status=status, date_finish=NOW + 5),
        portal(),
        user_id=1,
        scope="",
        server_endpoint="",
        domain="",
        now=NOW,
    )
    assert answer.get("date_finish") == (NOW + 5 if said else None)


@pytest.mark.parametrize(
    ("requested", "granted", "narrowed"),
    [
        ("", "crm,user", None),
        ("crm,user", "crm,user", None),
        ("user, crm", "crm,user", None),
        ("crm,user,placement", "crm,user", None),
        ("crm", "crm,user", "crm"),
        ("user,im", "crm,user", "user"),
        ("im", "crm,user", ""),
        ("crm", "", None),
    ],
)
def test_a_scope_is_narrowed_to_what_the_application_has(requested: str, granted: str, narrowed: str | None) -> None:
    assert narrowed_scope(requested, granted) == narrowed


def test_a_scope_list_is_read_with_commas_and_spaces_each_code_once() -> None:
    assert split_scope(" crm, user  im,crm,,") == ["crm", "user", "im"]
    assert split_scope("") == []


def test_a_successor_opens_only_with_the_token_it_succeeded() -> None:
    pair = TokenPair("a" * 70, NOW, "b" * 70)
    sealed_pair = seal_successor("old", pair, counted_entropy())
    assert open_successor("old", sealed_pair) == pair
    assert b"aaaa" not in sealed_pair
    with pytest.raises(CannotOpen):
        open_successor("other", sealed_pair)
