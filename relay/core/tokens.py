"""Access and refresh tokens: how one is made, what one says, when one is refused, and what an answer holds.

Leans on the sealed codec and the directory. Never logs or stores a token's text; time and entropy are arguments.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from relay.core import jwt_tokens, sealed
from relay.core.errors import ExpiredToken, InvalidToken, UnknownApplication
from relay.core.keyring import active_key
from relay.core.model import JWT_FORMAT
from relay.core.phpform import readable
from relay.core.sealed import SealedClaims
from relay.core.vault import NONCE_BYTES, open_with, seal_with

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from relay.core.directory import Directory
    from relay.core.model import App, Portal


EVENT_SESSION_FRESH = "7"
_TRIAL_OR_PAID = frozenset("TP")
CODE_BYTES = 16
_SUCCESSOR = "relay-refresh-successor-v1"


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Lifetimes in seconds (protocol.md section 6).

    refresh_s: of a refresh token that is not used; refresh_absolute_s: of a grant, however often it is refreshed.
    refresh_grace_s: how long a used refresh token still answers with its successor.
    """

    access_s: int = 3600
    refresh_s: int = 180 * 86400
    refresh_absolute_s: int = 5 * 365 * 86400
    code_s: int = 30
    refresh_grace_s: int = 60


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A freshly sealed access token. stored: what must be kept under (app, serial) until expires, or None."""

    text: str
    expires: int
    app_number: int
    serial: int
    stored: StoredParameters | None


@dataclass(frozen=True, slots=True)
class StoredParameters:
    """Token parameters that do not fit a sealed token; scope: the narrowed scope or None."""

    parameters: Mapping[str, str]
    scope: str | None


@dataclass(frozen=True, slots=True)
class CheckedToken:
    """An access token that verified: its claims, its application and its portal."""

    claims: SealedClaims
    app: App
    portal: Portal


@dataclass(frozen=True, slots=True)
class Minted:
    """A fresh pair before it is committed: the access token, and the refresh token's text and expiry."""

    access: AccessToken
    refresh_token: str
    refresh_expires: int

    @property
    def pair(self) -> TokenPair:
        """What the client gets."""
        return TokenPair(self.access.text, self.access.expires, self.refresh_token)


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token and its refresh token, as both go to the client."""

    access_token: str
    expires: int
    refresh_token: str


def mint_access_token(
    directory: Directory,
    app: App,
    user_id: int,
    *,
    parameters: Mapping[str, str],
    scope: str | None,
    now: int,
    issuer: str,
    lifetimes: Lifetimes,
    entropy: Callable[[int], bytes],
) -> AccessToken:
    """A token sealed under the portal's active key, or a signed one where the application asks for JWTs.

    parameters: as sent with `rest.authorize` or the event; those that fit travel in the token. scope: narrower
    than the app's, or None. A revocation mark of this second pushes the expiry past it, so that what is granted
    after a revocation is never caught by it.
    """
    session, tz_min, rest = _fit(parameters)
    stored = StoredParameters(rest, scope) if rest or scope is not None else None
    mark = directory.revocations.through(app.portal_id, app.number, user_id)
    claims = SealedClaims(
        expires=max(now + lifetimes.access_s, mark + 1),
        key_id=0,
        user_id=user_id,
        app_number=app.number,
        serial=int.from_bytes(entropy(sealed.SERIAL_BYTES), "little"),
        event_session=session,
        tz_offset_min=tz_min,
        has_stored_parameters=stored is not None,
    )
    if app.token_format == JWT_FORMAT:
        granted = app.scope if scope is None else scope
        text = jwt_tokens.sign_access_token(claims, directory, app, scope=granted, now=now, issuer=issuer)
    else:
        key = active_key(directory.sealing_keys(app.portal_id), now)
        if key is None:
            raise InvalidToken("No sealing key is active.")
        text = sealed.seal(replace(claims, key_id=key.key_id), key.key)
    return AccessToken(text, claims.expires, app.number, claims.serial, stored)


def mint_pair(
    directory: Directory,
    app: App,
    user_id: int,
    *,
    parameters: Mapping[str, str],
    scope: str | None,
    now: int,
    issuer: str,
    lifetimes: Lifetimes,
    entropy: Callable[[int], bytes],
) -> Minted:
    """An access token as `mint_access_token` makes it, with a refresh token."""
    access = mint_access_token(
        directory,
        app,
        user_id,
        parameters=parameters,
        scope=scope,
        now=now,
        issuer=issuer,
        lifetimes=lifetimes,
        entropy=entropy,
    )
    expires = now + lifetimes.refresh_s
    return Minted(access, mint_refresh_token(user_id, expires, entropy), expires)


def mint_refresh_token(user_id: int, expires: int, entropy: Callable[[int], bytes]) -> str:
    """70 hex characters of the cloud's shape (protocol.md section 6) with 216 random bits."""
    raw = expires.to_bytes(4, "little") + entropy(8) + user_id.to_bytes(4, "little") + entropy(19)
    return raw.hex()


def check_access_token(
    text: str, directory: Directory, now: int, *, issuer: str, portal_id: int | None = None
) -> CheckedToken:
    """Verify a token's seal, application, expiry and revocation, with no look-up beyond the snapshot.

    portal_id: the portal that asks; another portal's token is unknown to it. Raises InvalidToken, ExpiredToken or
    UnknownApplication (protocol.md section 4).
    """
    claims = _verified_claims(text, directory, issuer)
    app = directory.apps.get(claims.app_number) if claims else None
    if claims is None or app is None or (portal_id is not None and app.portal_id != portal_id):
        raise InvalidToken("The access token is not known here.")
    if app.deleted_at is not None:
        raise UnknownApplication("The application has been deleted.")
    if claims.expires <= now:
        raise ExpiredToken("The access token provided has expired.")
    revocations = directory.revocations
    revoked = (app.number, claims.serial) in revocations.tokens
    if revoked or claims.expires <= revocations.through(app.portal_id, app.number, claims.user_id):
        raise InvalidToken("The access token has been revoked.")
    if not app.usable:
        raise InvalidToken("The application is switched off.")
    return CheckedToken(claims, app, directory.portals[app.portal_id])


def _verified_claims(text: str, directory: Directory, issuer: str) -> SealedClaims | None:
    """The claims of a token that one of our keys made, whatever its age; None for anything else."""
    claims = sealed.peek(text)
    if claims is None:
        return jwt_tokens.verified_claims(text, directory, issuer) if text.count(".") == 2 else None
    app = directory.apps.get(claims.app_number)
    key = directory.sealing_key(app.portal_id, claims.key_id) if app else None
    if key is None or not sealed.verify(text, key.key):
        return None
    return claims if key.good_until is None or claims.expires <= key.good_until else None


def token_answer(
    pair: TokenPair,
    app: App,
    portal: Portal,
    *,
    user_id: int,
    scope: str,
    server_endpoint: str,
    domain: str,
    now: int,
) -> dict[str, Any]:
    """What every grant answers: the superset that all client libraries need (protocol.md section 6)."""
    answer: dict[str, Any] = {
        "access_token": pair.access_token,
        "refresh_token": pair.refresh_token,
        "expires": pair.expires,
        "expires_in": max(pair.expires - now, 0),
        "scope": scope,
        "domain": domain,
        "server_endpoint": server_endpoint,
        "client_endpoint": portal.client_endpoint,
        "member_id": portal.member_id,
        "status": app.status,
        "user_id": user_id,
    }
    if app.status in _TRIAL_OR_PAID and app.date_finish is not None:
        answer["date_finish"] = app.date_finish
    return answer


def parameters_of(claims: SealedClaims, stored: StoredParameters | None) -> dict[str, str]:
    """The token's `parameters` as they were sent (protocol.md sections 3 and 4); all values are text.

    A byte that is no UTF-8 cannot be said in JSON and becomes U+FFFD.
    """
    parameters = {"LOCAL_USER": str(claims.user_id)}
    if claims.tz_offset_min is not None:
        parameters["TZ_OFFSET"] = str(claims.tz_offset_min * 60)
    if claims.event_session is not None:
        parameters["EVENT_SESSION"] = str(claims.event_session)
    if stored is not None:
        parameters.update({readable(name): readable(value) for name, value in stored.parameters.items()})
    return parameters


def narrowed_scope(requested: str, granted: str) -> str | None:
    """The part of `requested` that the app has, or None where that is all of it (or nothing was asked for).

    An empty text says that nothing asked for is there.
    """
    wanted = split_scope(requested)
    has = split_scope(granted)
    if not wanted or set(wanted) >= set(has):
        return None
    return ",".join(code for code in wanted if code in has)


def split_scope(scope: str) -> list[str]:
    """A comma or space list of scope codes, in order, each once."""
    return list(dict.fromkeys(scope.replace(",", " ").split()))


def seal_successor(old_refresh_token: str, pair: TokenPair, entropy: Callable[[int], bytes]) -> bytes:
    """Seal a pair so that only the holder of the old refresh token can have it again."""
    plain = json.dumps([pair.access_token, pair.expires, pair.refresh_token]).encode()
    return seal_with(old_refresh_token, _SUCCESSOR, plain, entropy(NONCE_BYTES))


def open_successor(old_refresh_token: str, sealed_pair: bytes) -> TokenPair:
    """The pair that took the old token's place."""
    access_token, expires, refresh_token = json.loads(open_with(old_refresh_token, _SUCCESSOR, sealed_pair))
    return TokenPair(access_token, expires, refresh_token)


def _fit(parameters: Mapping[str, str]) -> tuple[int | None, int | None, dict[str, str]]:
    """Split parameters into event session, time zone (minutes) and the rest, which must be stored."""
    rest = {key: value for key, value in parameters.items() if key != "LOCAL_USER"}
    session = _canonical_int(rest.get("EVENT_SESSION"))
    if session is not None and 0 <= session <= sealed.EVENT_SESSION_MAX:
        del rest["EVENT_SESSION"]
    else:
        session = None
    tz_offset = _canonical_int(rest.get("TZ_OFFSET"))
    if tz_offset is None or tz_offset % 60 or abs(tz_offset // 60) > sealed.TZ_OFFSET_MAX_MIN:
        return session, None, rest
    del rest["TZ_OFFSET"]
    return session, tz_offset // 60, rest


def _canonical_int(text: str | None) -> int | None:
    """The number, if writing it again gives the same text."""
    if text is None or len(text) > 10:
        return None
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text else None
