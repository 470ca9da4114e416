"""Promises: what the stand-in portal answers, as frozen values and two exceptions.

Leans on: the JSON documents of ``/__control/`` and ``/rest/``.
Must never: do input or output.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class PortalRefusedError(Exception):
    """The portal showed an error to the person at its pages, such as the relay's word on application.add."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description


class PortalBrokenError(Exception):
    """The portal died on a hit (HTTP 500), as a stock one does on ``null``, or is not there."""


@dataclass(frozen=True, slots=True)
class RelayAnswer:
    """What the portal made of the relay's answer; ``failure`` says why there is no JSON in it."""

    is_json: bool
    body: Any
    failure: str

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> RelayAnswer:
        return cls(bool(document["json"]), document["body"], str(document["failure"]))

    @property
    def error(self) -> str:
        return str(self.body.get("error") or "") if isinstance(self.body, dict) else ""

    @property
    def result(self) -> Any:
        return self.body.get("result") if isinstance(self.body, dict) else None


@dataclass(frozen=True, slots=True)
class LocalApp:
    """A row of the portal's table of apps."""

    id: int
    client_id: str
    client_secret: str
    title: str
    url: str
    scope: str
    status: str
    active: bool

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> LocalApp:
        """:raises PortalRefusedError: the document is an error, not a row."""
        if "error" in row:
            raise PortalRefusedError(str(row["error"]), str(row["error_description"]))
        names = ("id", "client_id", "client_secret", "title", "url", "scope", "status")
        return cls(**{name: row[name] for name in names}, active=bool(row["active"]))


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to the relay and its answer, as bytes; ``status`` 0 and a ``failure`` when none came."""

    purpose: str
    url: str
    request: bytes
    answer: bytes
    status: int
    failure: str

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Exchange:
        return cls(
            purpose=row["purpose"],
            url=row["url"],
            request=base64.b64decode(row["request"]),
            answer=base64.b64decode(row["answer"]),
            status=row["status"],
            failure=row["failure"],
        )


@dataclass(frozen=True, slots=True)
class OpenedApp:
    """An opened app: the authorization, the fields posted to the app (None = refused), the app's answer."""

    authorization: RelayAnswer
    fields: dict[str, Any] | None
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class RestAnswer:
    """What an app gets from the portal's REST."""

    status: int
    body: dict[str, Any]

    @property
    def error(self) -> str | None:
        return self.body.get("error")

    @property
    def result(self) -> Any:
        return self.body.get("result")


@dataclass(frozen=True, slots=True)
class PageAnswer:
    """What a browser gets from one of the portal's own pages."""

    status: int
    headers: dict[str, str]
    body: str
