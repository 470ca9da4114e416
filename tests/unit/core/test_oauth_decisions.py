"""What the token endpoint decides over a snapshot: which grant is honoured, and why another is not.

Leans on Authlib's real grants and on no store. Must never reveal by its answer whether a client id exists.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from relay.core.oauth import Denied, Redeem, Repeat, Rotate, Snapshot, TokenRequest, decide, grant_refused
from relay.core.tokens import AccessToken, Lifetimes, Minted
from tests.factories import APP_CLIENT, APP_SECRET, NOW, VAULT, app, code, grant, refresh_token

if TYPE_CHECKING:
    from relay.core.model import App, AuthorizationCode, RefreshToken
    from relay.core.oauth import Decision

LIFETIMES = Lifetimes()
GRACE_S = LIFETIMES.refresh_grace_s
MINTED = Minted(AccessToken("a" * 70, NOW + 3600, 1, 9, None), "n" * 70, NOW + 180 * 86400)
REFRESH = TokenRequest("refresh_token", APP_CLIENT, APP_SECRET, refresh_token="r" * 70)
CODE = TokenRequest("authorization_code", APP_CLIENT, APP_SECRET, code="c" * 32)


def decided(
    request: TokenRequest,
    *,
    apps: tuple[App, ...] | None = None,
    code: AuthorizationCode | None = None,
    refresh: RefreshToken | None = None,
    now: int = NOW,
) -> Decision:
    snapshot = Snapshot((app(),) if apps is None else apps, code, refresh, now, LIFETIMES)
    return decide(request, snapshot, secret_matches=VAULT.matches, mint=lambda *_: MINTED)


def refusal(decision: Decision) -> tuple[str, int]:
    assert isinstance(decision, Denied)
    return decision.error.code, decision.error.status


def test_a_good_refresh_token_is_rotated() -> None:
    stored = refresh_token()
    assert decided(REFRESH, refresh=stored) == Rotate(app(), stored, MINTED)


def test_a_good_code_is_redeemed() -> None:
    stored = code()
    assert decided(CODE, code=stored) == Redeem(app(), stored, MINTED)


@pytest.mark.parametrize("used_s_ago", [0, 1, GRACE_S])
def test_a_refresh_token_used_within_the_grace_window_gives_its_successor_again(used_s_ago: int) -> None:
    stored = refresh_token(replaced_at=NOW - used_s_ago, successor_sealed=b"sealed")
    assert decided(REFRESH, refresh=stored) == Repeat(app(), stored)


def test_a_refresh_token_used_before_the_grace_window_is_reuse_and_names_its_grant() -> None:
    decision = decided(REFRESH, refresh=refresh_token(replaced_at=NOW - GRACE_S - 1, successor_sealed=b"sealed"))
    assert refusal(decision) == ("invalid_grant", 400)
    assert isinstance(decision, Denied)
    assert decision.reused_grant == 5


def test_an_expired_or_revoked_refresh_token_is_refused_without_talk_of_reuse() -> None:
    for stored in (
        refresh_token(expires=NOW),
        refresh_token(grant=grant(revoked_at=NOW - 1)),
        refresh_token(grant=grant(revoked_at=NOW - 1), replaced_at=NOW - 1, successor_sealed=b"sealed"),
        None,
    ):
        decision = decided(REFRESH, refresh=stored)
        assert refusal(decision) == ("invalid_grant", 400)
        assert isinstance(decision, Denied)
        assert decision.reused_grant is None


def test_a_refresh_token_is_good_to_its_last_second() -> None:
    assert isinstance(decided(REFRESH, refresh=refresh_token(expires=NOW + 1)), Rotate)


def test_a_grant_ends_at_last_however_often_it_is_refreshed() -> None:
    begun = NOW - LIFETIMES.refresh_absolute_s
    assert isinstance(decided(REFRESH, refresh=refresh_token(grant=grant(created_at=begun + 1))), Rotate)
    assert refusal(decided(REFRESH, refresh=refresh_token(grant=grant(created_at=begun)))) == ("invalid_grant", 400)


def test_another_applications_refresh_token_is_refused() -> None:
    foreign = refresh_token(grant=grant(app_number=2))
    assert refusal(decided(REFRESH, refresh=foreign)) == ("invalid_grant", 400)


def test_another_applications_spent_refresh_token_does_not_revoke_its_grant() -> None:
    foreign = refresh_token(grant=grant(app_number=2), replaced_at=NOW - 1000, successor_sealed=b"sealed")
    decision = decided(REFRESH, refresh=foreign)
    assert isinstance(decision, Denied)
    assert decision.reused_grant is None


def test_a_code_is_good_for_its_thirty_seconds_and_not_at_the_thirtieth() -> None:
    assert isinstance(decided(CODE, code=code(), now=NOW + 29), Redeem)
    assert refusal(decided(CODE, code=code(), now=NOW + 30)) == ("invalid_grant", 400)


def test_a_used_code_is_refused_and_names_the_grant_it_opened() -> None:
    decision = decided(CODE, code=code(used_at=NOW - 1, grant_id=9))
    assert refusal(decision) == ("invalid_grant", 400)
    assert isinstance(decision, Denied)
    assert decision.reused_grant == 9


def test_an_unknown_or_foreign_code_is_refused() -> None:
    for stored in (None, code(app_number=2)):
        assert refusal(decided(CODE, code=stored)) == ("invalid_grant", 400)


def test_a_wrong_secret_and_an_unknown_client_get_the_very_same_answer() -> None:
    wrong = decided(replace(REFRESH, client_secret="wrong"), refresh=refresh_token())
    unknown = decided(replace(REFRESH, client_id="local.unknown"), apps=())
    assert refusal(wrong) == refusal(unknown) == ("invalid_client", 401)
    assert isinstance(wrong, Denied)
    assert isinstance(unknown, Denied)
    assert wrong.error.description == unknown.error.description


@pytest.mark.parametrize("request_", [REFRESH, CODE])
@pytest.mark.parametrize("missing", ["client_id", "client_secret"])
def test_missing_credentials_are_a_refused_client(request_: TokenRequest, missing: str) -> None:
    without: dict[str, Any] = {missing: ""}
    decision = decided(replace(request_, **without), code=code(), refresh=refresh_token())
    assert refusal(decision) == ("invalid_client", 401)


@pytest.mark.parametrize("change", [{"active": False}, {"installed": False}, {"deleted_at": NOW}])
def test_an_application_that_may_have_no_tokens_is_a_refused_client(change: dict[str, object]) -> None:
    assert refusal(decided(REFRESH, apps=(app(**change),), refresh=refresh_token())) == ("invalid_client", 401)


def test_a_used_code_with_a_wrong_secret_does_not_revoke_anything() -> None:
    decision = decided(replace(CODE, client_secret="wrong"), code=code(used_at=NOW - 1, grant_id=9))
    assert refusal(decision) == ("invalid_client", 401)
    assert isinstance(decision, Denied)
    assert decision.reused_grant is None


def test_a_missing_code_or_refresh_token_is_an_invalid_request() -> None:
    assert refusal(decided(replace(CODE, code=""))) == ("invalid_request", 400)
    assert refusal(decided(replace(REFRESH, refresh_token=""))) == ("invalid_request", 400)


def test_a_missing_grant_type_is_an_invalid_request() -> None:
    assert refusal(decided(replace(REFRESH, grant_type=""))) == ("invalid_request", 400)


@pytest.mark.parametrize("kind", ["password", "client_credentials", "implicit", "AUTHORIZATION_CODE", "refresh_token "])
def test_no_other_grant_is_served(kind: str) -> None:
    decision = decided(replace(REFRESH, grant_type=kind), refresh=refresh_token())
    assert refusal(decision) == ("unsupported_grant_type", 400)


def test_the_secret_before_a_rotation_is_good_until_its_overlap_ends() -> None:
    rotated = app(
        secret_hash=VAULT.hash_secret("new"), old_secret_hash=VAULT.hash_secret(APP_SECRET), old_secret_until=NOW + 10
    )
    stored = refresh_token()
    assert isinstance(decided(REFRESH, apps=(rotated,), refresh=stored), Rotate)
    assert isinstance(decided(replace(REFRESH, client_secret="new"), apps=(rotated,), refresh=stored), Rotate)
    late = decided(REFRESH, apps=(rotated,), refresh=stored, now=NOW + 10)
    assert refusal(late) == ("invalid_client", 401)


def test_of_two_portals_applications_with_one_client_id_the_one_of_the_grant_is_meant() -> None:
    other = app(number=2, portal_id=2)
    stored = refresh_token(grant=grant(app_number=2))
    assert decided(REFRESH, apps=(app(), other), refresh=stored) == Rotate(other, stored, MINTED)
    redeemed = code(app_number=2)
    assert decided(CODE, apps=(app(), other), code=redeemed) == Redeem(other, redeemed, MINTED)


def test_of_two_portals_applications_each_has_its_own_secret() -> None:
    other = app(number=2, portal_id=2, secret_hash=VAULT.hash_secret("its own"))
    stored = refresh_token(grant=grant(app_number=2))
    assert refusal(decided(REFRESH, apps=(app(), other), refresh=stored)) == ("invalid_client", 401)
    right = replace(REFRESH, client_secret="its own")
    assert decided(right, apps=(app(), other), refresh=stored) == Rotate(other, stored, MINTED)


VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"  # RFC 7636, appendix B


def test_a_code_with_a_challenge_needs_its_verifier() -> None:
    stored = code(code_challenge=CHALLENGE)
    assert isinstance(decided(replace(CODE, code_verifier=VERIFIER), code=stored), Redeem)
    assert refusal(decided(CODE, code=stored))[1] == 400
    assert refusal(decided(replace(CODE, code_verifier=VERIFIER[:-1] + "X"), code=stored)) == ("invalid_grant", 400)
    assert refusal(decided(replace(CODE, code_verifier=CHALLENGE), code=stored)) == ("invalid_grant", 400)


def test_an_application_that_must_post_is_refused_by_get() -> None:
    posting = app(post_only=True)
    assert isinstance(decided(REFRESH, apps=(posting,), refresh=refresh_token()), Rotate)
    by_get = replace(REFRESH, by_get=True)
    assert refusal(decided(by_get, apps=(posting,), refresh=refresh_token())) == ("invalid_request", 405)
    assert isinstance(decided(by_get, refresh=refresh_token()), Rotate)


@pytest.mark.parametrize("odd", ['"', "\\", "'", "%00", "<", "a" * 500])
def test_odd_signs_in_any_parameter_are_an_ordinary_refusal(odd: str) -> None:
    assert refusal(decided(replace(REFRESH, refresh_token=odd))) == ("invalid_grant", 400)
    assert refusal(decided(replace(CODE, code=odd))) == ("invalid_grant", 400)
    assert refusal(decided(replace(CODE, client_secret=odd), code=code())) == ("invalid_client", 401)
    assert refusal(decided(replace(CODE, grant_type=odd))) == ("unsupported_grant_type", 400)


def test_no_refusal_uses_a_word_that_a_client_library_takes_for_something_else() -> None:
    decisions = [
        decided(replace(REFRESH, client_secret="wrong")),
        decided(REFRESH),
        decided(replace(REFRESH, refresh_token="")),
        decided(replace(REFRESH, grant_type="")),
        decided(replace(REFRESH, grant_type="password")),
    ]
    for decision in decisions:
        assert isinstance(decision, Denied)
        text = decision.error.description.lower()
        assert not [word for word in ("portal", "domain", "not found") if word in text]


def test_a_lost_race_is_answered_like_a_bad_grant() -> None:
    assert (grant_refused().code, grant_refused().status) == ("invalid_grant", 400)
