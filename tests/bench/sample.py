"""Promises: the forms the bench sends, of the size and shape a portal and the relay send them in.

Leans on: urllib, whose `urlencode` writes what PHP's `http_build_query` does; protocol.md sections 2, 3 and 5.
Must never: be built anew for each request: only the event's number changes, in a place of fixed width.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

NUMBER_WIDTH = 8
_PLACE = "#" * NUMBER_WIDTH


@dataclass(frozen=True, slots=True)
class Credentials:
    """The portal's, as it appends them to every call."""

    client_id: str
    client_secret: str
    url: str
    member_id: str

    def pairs(self) -> list[tuple[str, str]]:
        """The fields at the end of a `/rest/` call."""
        return [
            ("client_id", self.client_id),
            ("client_secret", self.client_secret),
            ("client_redirect_uri", self.url),
            ("member_id", self.member_id),
        ]


class EventCall:
    """The body of a `rest.event.call` with some items, each for a handler of its own."""

    def __init__(self, portal: Credentials, app_client_id: str, handler_urls: list[str]) -> None:
        pairs: list[tuple[str, str]] = []
        for index, url in enumerate(handler_urls):
            pairs += _item(index, portal, app_client_id, url)
        self._parts = _split(urlencode(pairs + portal.pairs()))
        self.items = len(handler_urls)
        """How many items it has."""

    def body(self, first: int) -> bytes:
        """The body with its items numbered from `first`."""
        head, *tails = self._parts
        return head + b"".join(
            str(first + offset).rjust(NUMBER_WIDTH, "0").encode() + tail for offset, tail in enumerate(tails)
        )


def handler_form(number: int | None) -> bytes:
    """What the relay sends a handler for one of those items, made without a relay; None: of no number."""
    if number is None:
        return b"".join(_HANDLER_PARTS).replace(b"FIELDS", b"NUMBER")
    head, tail = _HANDLER_PARTS
    return head + str(number).rjust(NUMBER_WIDTH, "0").encode() + tail


def _item(index: int, portal: Credentials, app_client_id: str, url: str) -> list[tuple[str, str]]:
    item = f"QUERY[{index}]"
    data = f"{item}[query][QUERY_DATA]"
    return [
        (f"{item}[client_id]", app_client_id),
        (f"{item}[additional][category]", "default"),
        (f"{item}[additional][sendAuth]", "1"),
        (f"{item}[additional][sendRefreshToken]", "0"),
        (f"{item}[auth][EVENT_SESSION]", "7"),
        (f"{item}[auth][LOCAL_USER]", "1"),
        (f"{item}[auth][application_token]", "0" * 32),
        (f"{item}[auth][domain]", "portal.local"),
        (f"{item}[auth][member_id]", portal.member_id),
        (f"{item}[query][DOMAIN]", "portal.local"),
        (f"{item}[query][QUERY_URL]", url),
        (f"{data}[event]", "ONCRMDEALUPDATE"),
        (f"{data}[event_handler_id]", "11"),
        (f"{data}[data][FIELDS][ID]", _PLACE),
        (f"{data}[ts]", "1780319382"),
    ]


def _split(form: str) -> list[bytes]:
    return [part.encode("ascii") for part in form.split(urlencode({"": _PLACE})[1:])]


_HANDLER_PARTS = _split(
    urlencode(
        {
            "event": "ONCRMDEALUPDATE",
            "event_handler_id": "11",
            "data[FIELDS][ID]": _PLACE,
            "ts": "1780319382",
            "auth[access_token]": "0" * 70,
            "auth[expires]": "1780319382",
            "auth[expires_in]": "3600",
            "auth[scope]": "crm,im",
            "auth[status]": "L",
            "auth[user_id]": "1",
            "auth[domain]": "portal.local",
            "auth[client_endpoint]": "https://portal.local/rest/",
            "auth[server_endpoint]": "https://relay.local/rest/",
            "auth[member_id]": "0" * 32,
            "auth[application_token]": "0" * 32,
        }
    )
)
