"""The one tree of errors, each with a wire code and an HTTP status.

Leans on nothing. An error's text is safe to show to a caller: it must never hold a secret, a token or a payload.
"""

from __future__ import annotations


class RelayError(Exception):
    """A request that cannot be served, said in words its sender may read.

    `code` is the `error` of the JSON answer, `status` its HTTP status (the portal ignores it,
    protocol.md section 2; the apps' libraries do not, section 6).
    """

    code = "internal_error"
    status = 500

    def __init__(self, description: str, *, code: str | None = None, status: int | None = None) -> None:
        super().__init__(description)
        self.description = description
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status


class InvalidRequest(RelayError):
    """The request's form is wrong: a missing field, a bad value, too many fields."""

    code = "invalid_request"
    status = 400


class RequestTooLarge(InvalidRequest):
    """The body, its field count or its nesting is over a configured limit."""

    code = "request_too_large"
    status = 413


class InvalidClient(RelayError):
    """Unknown client or wrong secret; one answer for both gives nothing away (protocol.md section 6)."""

    code = "invalid_client"
    status = 401


class RegistrationRefused(RelayError):
    """A portal that was not announced, is out of its window, or failed its licence check."""

    code = "access_denied"
    status = 403


class InvalidToken(RelayError):
    """An unknown, forged or revoked access token (protocol.md section 4)."""

    code = "invalid_token"
    status = 401


class ExpiredToken(RelayError):
    """An access token past its time (protocol.md section 4)."""

    code = "expired_token"
    status = 401


class UnknownApplication(RelayError):
    """No such application for this portal, or a deleted one (protocol.md section 4)."""

    code = "APPLICATION_NOT_FOUND"
    status = 404


class NotInstalled(RelayError):
    """Known but not installed: the portal reacts by `application.install` (protocol.md section 3)."""

    code = "ERROR_OAUTH"
    status = 400

    def __init__(self) -> None:
        super().__init__("Application not installed")


class UnknownMethod(RelayError):
    """A `/rest/` method the relay does not serve (protocol.md section 3)."""

    code = "ERROR_METHOD_NOT_FOUND"
    status = 404

    def __init__(self) -> None:
        super().__init__("Method not found!")


class Unavailable(RelayError):
    """A passing failure (full disk, locked store, overload).

    The portal caches every JSON error for an hour, so this one is answered 503 without JSON
    (protocol.md section 4).
    """

    code = "unavailable"
    status = 503


class Conflict(RelayError):
    """What was asked for collides with what is stored, e.g. a client id that exists already."""

    code = "conflict"
    status = 409


class ConfigError(RelayError):
    """The configuration cannot be used; the text lists every fault."""

    code = "bad_configuration"
    status = 400


class NotFound(RelayError):
    """No portal, application or event by that name (for the command line)."""

    code = "not_found"
    status = 404
