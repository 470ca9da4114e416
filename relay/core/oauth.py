"""The token endpoint's two grants, run by Authlib over a preloaded snapshot.

Leans on Authlib for the order of checks (RFC 6749 sections 4.1.3 and 6) and on nothing that does I/O: what was
decided comes back as a value, and the caller commits it. Authlib is given only parameters that were checked
here first: it raises on quotes and non-ASCII, decodes Basic headers as UTF-8, takes the first of two
duplicates, and logs tokens at debug level (build.py silences that logger).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from authlib.oauth2.rfc6749 import AuthorizationServer, OAuth2Request, grants
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7636 import CodeChallenge

from relay.core.errors import InvalidClient, InvalidRequest, RelayError
from relay.core.model import AuthorizationCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from authlib.oauth2 import OAuth2Error

    from relay.core.directory import Directory
    from relay.core.model import App, RefreshToken
    from relay.core.tokens import Lifetimes, Minted

PARAMETERS = ("grant_type", "client_id", "client_secret", "code", "refresh_token", "code_verifier")
MAX_PARAMETER_LENGTH = 512
# What is looked at or revoked may be a JWT with a long list of audiences and scopes.
MAX_TOKEN_LENGTH = 16 * 1024
_CLIENT_REFUSED = "The client credentials are not valid."
_ERRORS: Mapping[str, tuple[int, str]] = {
    "invalid_client": (401, _CLIENT_REFUSED),
    "invalid_grant": (400, "The code or refresh token is not valid, has expired or was used already."),
    "invalid_request": (400, "A required parameter is missing or malformed."),
    "unauthorized_client": (400, "The client may not use this grant."),
    "unsupported_grant_type": (400, "Use grant_type authorization_code or refresh_token."),
    "invalid_scope": (400, "The scope is wider than what was granted."),
}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The parameters of a token request that the relay looks at, each printable and given once."""

    grant_type: str
    client_id: str
    client_secret: str
    code: str = ""
    refresh_token: str = ""
    code_verifier: str = ""
    by_get: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was loaded for one token request: the applications of the client id, and the presented grant."""

    apps: Sequence[App]
    code: AuthorizationCode | None
    refresh: RefreshToken | None
    now: int
    lifetimes: Lifetimes


@dataclass(frozen=True, slots=True)
class Redeem:
    """A good code: open a grant and mark the code used."""

    app: App
    code: AuthorizationCode
    minted: Minted


@dataclass(frozen=True, slots=True)
class Rotate:
    """A good, unused refresh token: swap it for its successor."""

    app: App
    refresh: RefreshToken
    minted: Minted


@dataclass(frozen=True, slots=True)
class Repeat:
    """A refresh token used a moment ago: give its successor again."""

    app: App
    refresh: RefreshToken


@dataclass(frozen=True, slots=True)
class Denied:
    """A refusal; `reused_grant` names the grant to revoke where a spent code or refresh token came back."""

    error: RelayError
    app: App | None = None
    reused_grant: int | None = None
    reused_generation: int = 0


Decision = Redeem | Rotate | Repeat | Denied


def read_token_request(
    query: Iterable[tuple[str, str]],
    body: Iterable[tuple[str, str]],
    authorization: str | None,
    *,
    by_get: bool = False,
) -> TokenRequest:
    """Merge query, body and a Basic header into one request; everything the relay does not know is ignored.

    Raises InvalidRequest for a parameter given twice, given differently in query and body, too long or not
    printable ASCII; InvalidClient for a Basic header that cannot be read (RFC 6749 sections 2.3.1 and 3.2).
    """
    merged = read_parameters(query, body, authorization, PARAMETERS)
    return TokenRequest(
        merged.get("grant_type", ""),
        merged.get("client_id", ""),
        merged.get("client_secret", ""),
        merged.get("code", ""),
        merged.get("refresh_token", ""),
        merged.get("code_verifier", ""),
        by_get,
    )


def read_parameters(
    query: Iterable[tuple[str, str]],
    body: Iterable[tuple[str, str]],
    authorization: str | None,
    known: Sequence[str],
) -> dict[str, str]:
    """The known parameters of a client's request, each once and printable, with the client's credentials.

    Raises as `read_token_request` does.
    """
    merged = _once(query, known)
    for name, value in _once(body, known).items():
        if merged.setdefault(name, value) != value:
            raise InvalidRequest(f"The parameter {name} is given twice with different values.")
    basic = _basic_credentials(authorization)
    if basic is not None:
        if "client_secret" in merged or merged.get("client_id", basic[0]) != basic[0]:
            raise InvalidRequest("Authenticate the client in one way only.")
        merged["client_id"], merged["client_secret"] = basic
    for name, value in merged.items():
        longest = MAX_TOKEN_LENGTH if name == "token" else MAX_PARAMETER_LENGTH
        if len(value) > longest or not value.isascii() or not value.isprintable():
            if name in {"client_id", "client_secret"}:
                raise InvalidClient(_CLIENT_REFUSED)
            raise InvalidRequest(f"The parameter {name} is malformed.")
    return merged


def client_apps(
    directory: Directory, client_id: str, secret: str, matches: Callable[[str, bytes], bool], now: int
) -> dict[int, App]:
    """The applications that these credentials belong to, by number: one, or one at each of some portals.

    Raises InvalidClient, alike for unknown and wrong.
    """
    known = directory.apps_by_client(client_id)
    found = {app.number: app for app in known if secret_is_good(app, secret, matches, now)}
    if not found:
        raise InvalidClient(_CLIENT_REFUSED)
    return found


def secret_is_good(app: App, secret: str, matches: Callable[[str, bytes], bool], now: int) -> bool:
    """Whether it is the application's secret, or the one before it within the overlap of a rotation."""
    old_is_good = app.old_secret_hash is not None and now < (app.old_secret_until or 0)
    return matches(secret, app.secret_hash) or (old_is_good and matches(secret, app.old_secret_hash or b""))


def decide(
    request: TokenRequest,
    snapshot: Snapshot,
    *,
    secret_matches: Callable[[str, bytes], bool],
    mint: Callable[[App, AuthorizationCode | RefreshToken], Minted],
) -> Decision:
    """Run the grant over the snapshot. Pure but for `mint`, which draws the new pair from its own entropy."""
    if not request.grant_type:
        return Denied(InvalidRequest("The parameter grant_type is missing."))
    if request.grant_type not in {"authorization_code", "refresh_token"}:
        return Denied(_error("unsupported_grant_type"))
    if request.by_get and any(
        app.post_only and secret_is_good(app, request.client_secret, secret_matches, snapshot.now)
        for app in snapshot.apps
    ):
        return Denied(InvalidRequest("This application must use POST here.", status=405))
    server = _Server(snapshot, secret_matches, mint)
    return server.run(request)


def grant_refused() -> RelayError:
    """What a code or refresh token that is not good (any more) is answered with."""
    return _error("invalid_grant")


def _once(pairs: Iterable[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """The parameters this endpoint knows; a name that comes twice is refused (RFC 6749 section 3.2)."""
    seen: dict[str, str] = {}
    for name, value in pairs:
        if name in known:
            if name in seen:
                raise InvalidRequest(f"The parameter {name} is given twice.")
            seen[name] = value
    return seen


def _basic_credentials(authorization: str | None) -> tuple[str, str] | None:
    """Client id and secret of a Basic header; None for any other scheme (old tokens come as Bearer)."""
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode("ascii")
    except (binascii.Error, ValueError) as error:
        raise InvalidClient(_CLIENT_REFUSED) from error
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _error(code: str) -> RelayError:
    status, description = _ERRORS[code]
    return RelayError(description, code=code, status=status)


class _Client:
    """One application as Authlib's client."""

    def __init__(self, app: App, matches: Callable[[str, bytes], bool], now: int) -> None:
        self.app = app
        self._matches = matches
        self._now = now

    def check_client_secret(self, secret: str) -> bool:
        return self.app.usable and secret_is_good(self.app, secret, self._matches, self._now)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_post" and endpoint == "token"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in {"authorization_code", "refresh_token"}


class _Request(OAuth2Request):  # type: ignore[misc]  # Authlib ships no types
    """A token request as Authlib sees it: checked parameters, no headers, no URL of a caller's making."""

    def __init__(self, parameters: dict[str, str]) -> None:
        super().__init__("POST", "https://relay.invalid/oauth/token/")
        self.payload = BasicOAuth2Payload(parameters)

    @property
    def form(self) -> dict[str, str]:
        return self.payload.data  # type: ignore[no-any-return]


class _Credential:
    """A code or refresh token as Authlib's credential."""

    def __init__(self, stored: AuthorizationCode | RefreshToken, app_number: int) -> None:
        self.stored = stored
        self.app_number = app_number

    def get_redirect_uri(self) -> str:
        return ""

    def get_scope(self) -> str:
        return ""

    def check_client(self, client: _Client) -> bool:
        return client.app.number == self.app_number


class _Challenge(CodeChallenge):  # type: ignore[misc]  # Authlib ships no types
    """PKCE (RFC 7636) by S256 only; an app that sent no challenge does without."""

    DEFAULT_CODE_CHALLENGE_METHOD = "S256"
    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]  # noqa: RUF012 - Authlib's own attribute

    def get_authorization_code_challenge(self, authorization_code: _Credential) -> str | None:
        stored = authorization_code.stored
        return stored.code_challenge if isinstance(stored, AuthorizationCode) else None

    def get_authorization_code_challenge_method(self, authorization_code: _Credential) -> str:
        return "S256"


class _CodeGrant(grants.AuthorizationCodeGrant):  # type: ignore[misc]  # Authlib ships no types
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]  # noqa: RUF012 - Authlib's own attribute

    def query_authorization_code(self, code: str, client: _Client) -> _Credential | None:
        return self.server.code_for(client)  # type: ignore[no-any-return]

    def delete_authorization_code(self, authorization_code: _Credential) -> None:
        """Marked used by the caller's commit, which the decision asks for."""

    def authenticate_user(self, authorization_code: _Credential) -> object:
        return authorization_code.stored


class _RefreshGrant(grants.RefreshTokenGrant):  # type: ignore[misc]  # Authlib ships no types
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_post"]  # noqa: RUF012 - Authlib's own attribute
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> _Credential | None:
        return self.server.refresh_for(self.server.client)  # type: ignore[no-any-return]

    def authenticate_user(self, refresh_token: _Credential) -> object:
        return refresh_token.stored

    def revoke_old_credential(self, refresh_token: _Credential) -> None:
        """Replaced by the caller's compare-and-swap, which the decision asks for."""


class _Server(AuthorizationServer):  # type: ignore[misc]  # Authlib ships no types
    """Authlib's server over one snapshot, good for one request."""

    def __init__(
        self,
        snapshot: Snapshot,
        matches: Callable[[str, bytes], bool],
        mint: Callable[[App, AuthorizationCode | RefreshToken], Minted],
    ) -> None:
        super().__init__()
        self._snapshot = snapshot
        self._matches = matches
        self._mint = mint
        self._decision: Decision | None = None
        self.client: _Client | None = None
        self._reused_grant: int | None = None
        self._reused_generation = 0
        self.register_grant(_CodeGrant, [_Challenge(required=False)])
        self.register_grant(_RefreshGrant)

    def run(self, request: TokenRequest) -> Decision:
        parameters = {
            "grant_type": request.grant_type,
            "client_id": request.client_id,
            "client_secret": request.client_secret,
            "code": request.code,
            "refresh_token": request.refresh_token,
            "code_verifier": request.code_verifier,
        }
        self.create_token_response(_Request({name: value for name, value in parameters.items() if value}))
        if self._decision is None:
            raise RuntimeError("Authlib answered without a decision")
        return self._decision

    def query_client(self, client_id: str) -> _Client | None:
        """The application the presented grant belongs to, else the first of that client id."""
        presented = self._snapshot.code or self._snapshot.refresh
        number = _app_number(presented) if presented else None
        apps = sorted(self._snapshot.apps, key=lambda app: app.number != number)
        self.client = _Client(apps[0], self._matches, self._snapshot.now) if apps else None
        return self.client

    def code_for(self, client: _Client) -> _Credential | None:
        code = self._snapshot.code
        if code is None or code.app_number != client.app.number:
            return None
        if code.used_at is not None:
            self._reused_grant = code.grant_id
            return None
        return _Credential(code, code.app_number) if self._snapshot.now < code.expires else None

    def refresh_for(self, client: _Client | None) -> _Credential | None:
        refresh, now = self._snapshot.refresh, self._snapshot.now
        if refresh is None or client is None or refresh.grant.app_number != client.app.number:
            return None
        lifetimes = self._snapshot.lifetimes
        if refresh.grant.revoked_at is not None or refresh.expires <= now:
            return None
        if refresh.grant.created_at + lifetimes.refresh_absolute_s <= now:
            return None
        if refresh.replaced_at is not None and now - refresh.replaced_at > lifetimes.refresh_grace_s:
            self._reused_grant = refresh.grant.id
            self._reused_generation = refresh.generation
            return None
        return _Credential(refresh, refresh.grant.app_number)

    def generate_token(self, *, client: _Client, user: Any, **_ignored: object) -> dict[str, str]:
        """Decide what is to be committed; the answer itself is written after the commit."""
        stored: AuthorizationCode | RefreshToken = user
        if isinstance(stored, AuthorizationCode):
            self._decision = Redeem(client.app, stored, self._mint(client.app, stored))
        elif stored.replaced_at is not None:
            self._decision = Repeat(client.app, stored)
        else:
            self._decision = Rotate(client.app, stored, self._mint(client.app, stored))
        return {}

    def save_token(self, token: dict[str, str], request: OAuth2Request) -> None:
        """Saved by the caller's commit, which the decision asks for."""

    def send_signal(self, name: str, *args: object, **kwargs: object) -> None:
        """No signals: the decision says all."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: object, headers: object) -> None:
        """The decision says all."""

    def handle_error_response(self, request: OAuth2Request, error: OAuth2Error) -> None:
        code = error.error if error.error in _ERRORS else "invalid_request"
        self._decision = Denied(
            _error(code), self.client.app if self.client else None, self._reused_grant, self._reused_generation
        )


def _app_number(stored: AuthorizationCode | RefreshToken) -> int:
    return stored.app_number if isinstance(stored, AuthorizationCode) else stored.grant.app_number
