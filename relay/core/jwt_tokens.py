"""Access tokens as JWTs (RFC 9068 `at+jwt`), for on-premises services that verify by JWKS.

Leans on the signed documents. Says the same as a sealed token, so that one check serves both; the relay's own
checks look at revocation besides, a service that verifies alone does not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from relay.core.errors import InvalidToken
from relay.core.keyring import active_key
from relay.core.model import read_user_id
from relay.core.sealed import SealedClaims
from relay.core.signing import BadSignature, sign, verify

if TYPE_CHECKING:
    from relay.core.directory import Directory
    from relay.core.model import App

ACCESS_TOKEN_TYPE = "at+jwt"  # noqa: S105 - a media type
_SERIAL = re.compile(r"[0-9a-f]{12}")
_REQUIRED = ("iss", "aud", "exp", "iat", "sub", "jti", "client_id")


def sign_access_token(
    claims: SealedClaims, directory: Directory, app: App, *, scope: str, now: int, issuer: str
) -> str:
    """The token. Audience: the portal's REST endpoint and what the application's settings add."""
    key = active_key(directory.signing_keys, now)
    if key is None:
        raise InvalidToken("No signing key is active.")
    portal = directory.portals[app.portal_id]
    body: dict[str, object] = {
        "iss": issuer,
        "aud": [portal.client_endpoint, *app.audience.split()],
        "exp": claims.expires,
        "iat": now,
        "sub": str(claims.user_id),
        "jti": f"{claims.serial:012x}",
        "client_id": app.client_id,
        "scope": scope.replace(",", " "),
        "member_id": portal.member_id,
        "app": app.number,
        "stored": claims.has_stored_parameters,
    }
    if claims.event_session is not None:
        body["event_session"] = claims.event_session
    if claims.tz_offset_min is not None:
        body["tz_offset_min"] = claims.tz_offset_min
    return sign(body, key, ACCESS_TOKEN_TYPE)


def verified_claims(text: str, directory: Directory, issuer: str) -> SealedClaims | None:
    """The claims of a token that our keys signed, whatever its age; None for anything else."""
    try:
        body = verify(text, directory.signing_keys, typ=ACCESS_TOKEN_TYPE, issuer=issuer, now=None, required=_REQUIRED)
        user_id = read_user_id(body["sub"])
        if not isinstance(body["app"], int) or not _SERIAL.fullmatch(body["jti"]) or str(user_id) != body["sub"]:
            return None
        return SealedClaims(
            expires=body["exp"],
            key_id=0,
            user_id=user_id,
            app_number=body["app"],
            serial=int(body["jti"], 16),
            event_session=body.get("event_session"),
            tz_offset_min=body.get("tz_offset_min"),
            has_stored_parameters=bool(body["stored"]),
        )
    except (BadSignature, KeyError, ValueError):
        return None
