"""Answers: JSON that nobody keeps, and a passing failure that is no JSON (protocol.md section 4).

Leans on aiohttp's real response objects. Must never show what broke inside.
"""

from __future__ import annotations

import json

import pytest

from relay.core.errors import (
    Conflict,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    NotInstalled,
    RelayError,
    Unavailable,
    UnknownApplication,
    UnknownMethod,
)
from relay.web.answers import error_answer, json_answer, text_answer


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("a"), 400, "invalid_request"),
        (InvalidClient("a"), 401, "invalid_client"),
        (InvalidToken("a"), 401, "invalid_token"),
        (UnknownApplication("a"), 404, "APPLICATION_NOT_FOUND"),
        (UnknownMethod(), 404, "ERROR_METHOD_NOT_FOUND"),
        (Conflict("a"), 409, "conflict"),
        (RelayError("a", code="invalid_scope", status=400), 400, "invalid_scope"),
    ],
)
def test_an_error_is_json_with_its_code_and_status(error: RelayError, status: int, code: str) -> None:
    answer = error_answer(error)
    assert answer.status == status
    assert answer.content_type == "application/json"
    assert json.loads(answer.text or "") == {"error": code, "error_description": error.description}


def test_an_application_that_is_not_installed_is_said_in_the_words_the_portal_reacts_to() -> None:
    assert json.loads(error_answer(NotInstalled()).text or "") == {
        "error": "ERROR_OAUTH",
        "error_description": "Application not installed",
    }


@pytest.mark.parametrize(
    "error", [Unavailable("disk full at /somewhere"), RelayError("secret detail"), RelayError("x", status=502)]
)
def test_a_passing_failure_is_503_without_json_and_without_its_cause(error: RelayError) -> None:
    answer = error_answer(error)
    assert answer.status == 503
    assert answer.content_type == "text/plain"
    with pytest.raises(ValueError, match="Expecting value"):
        json.loads(answer.text or "")
    assert error.description not in (answer.text or "")


def test_no_answer_may_be_kept() -> None:
    for answer in (json_answer({}), text_answer("x"), error_answer(InvalidClient("x")), error_answer(Unavailable("x"))):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Pragma"] == "no-cache"
        assert "Location" not in answer.headers


def test_json_is_written_in_ascii_so_that_any_reader_takes_it() -> None:
    body = json_answer({"имя": "Сделка 🙂"}).body
    assert isinstance(body, bytes)
    assert body.isascii()
    assert json.loads(body) == {"имя": "Сделка 🙂"}
