"""A site: one announced and registered portal with one application and one handler, all talking to a live relay.

Leans on protocol.md for what each sends. Must never take a short cut past the wire, but for announcing the portal,
which is the operator's doing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.integration.live_relay import until
from tests.integration.wire import Answer, captured, form, get, post, with_values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.records import DeliveryRow
    from tests.integration.live_relay import LiveRelay
    from tests.integration.sink import Sink

PORTAL_URL = "http://portal.test:8080"
WINDOW_S = 86400


@dataclass(slots=True)
class PortalSide:
    """What a portal knows and sends."""

    live: LiveRelay
    url: str = PORTAL_URL
    client_id: str = ""
    client_secret: str = ""

    @property
    def appended(self) -> dict[str, str]:
        """What the portal appends to every call (protocol.md section 2)."""
        return {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "client_redirect_uri": self.url,
            "member_id": "",
        }

    async def announce(self, *, window_s: int = WINDOW_S, licence_md5: str | None = None) -> None:
        """What the operator does: `relay portal add URL --allow 127.0.0.0/8`."""
        await self.live.relay.portals.announce(
            self.url, window_s=window_s, licence_md5=licence_md5, allow=["127.0.0.0/8"]
        )

    async def ask_registration(self, fields: Mapping[str, str] | None = None) -> Answer:
        """Send `/oauth/register/`."""
        sent = {"redirect_uri": self.url, "type": "B", "BX_TYPE": "CP", "BX_LICENCE": "a" * 32, "BX_HASH": "b" * 32}
        return await self.live.ask(post("/oauth/register/", form({**sent, **(fields or {})})))

    async def register(self) -> None:
        """Announce, register, and keep the credentials."""
        await self.announce()
        answer = await self.ask_registration()
        assert answer.status == 200
        self.client_id, self.client_secret = answer.json["client_id"], answer.json["client_secret"]

    async def ask(self, method: str, fields: Mapping[str, object] | None = None) -> Answer:
        """Call a method below `/rest/` with the portal's credentials."""
        return await self.live.ask(post(f"/rest/{method}", form({**(fields or {}), **self.appended})))

    async def result(self, method: str, fields: Mapping[str, object] | None = None) -> Any:
        """The `result` of a call that is expected to go well."""
        answer = await self.ask(method, fields)
        assert answer.status == 200, answer
        assert set(answer.json) == {"result"}
        return answer.json["result"]


@dataclass(slots=True)
class AppSide:
    """What an application knows and sends."""

    live: LiveRelay
    client_id: str
    client_secret: str

    def grant(self, **fields: str) -> dict[str, str]:
        """The fields of a token request."""
        return {"client_id": self.client_id, "client_secret": self.client_secret, **fields}

    async def ask_token(self, **fields: str) -> Answer:
        """POST `/oauth/token/`."""
        return await self.live.ask(post("/oauth/token/", form(self.grant(**fields))))

    async def refresh(self, refresh_token: str) -> Answer:
        """The refresh grant."""
        return await self.ask_token(grant_type="refresh_token", refresh_token=refresh_token)

    async def redeem(self, code: str) -> Answer:
        """The code grant."""
        return await self.ask_token(grant_type="authorization_code", code=code)

    async def info(self, access_token: str) -> Answer:
        """GET `/rest/app.info`."""
        return await self.live.ask(get(f"/rest/app.info?auth={access_token}"))


@dataclass(slots=True)
class Site:
    """Portal, application and handler around one relay."""

    live: LiveRelay
    portal: PortalSide
    app: AppSide
    sink: Sink
    user: str = "67"
    values: dict[str, str] = field(default_factory=dict)

    async def authorize(self, **fields: str) -> dict[str, Any]:
        """`rest.authorize` for the user."""
        sent = {"CLIENT_ID": self.app.client_id, "SCOPE": "", "PARAMS[LOCAL_USER]": self.user, **fields}
        result: dict[str, Any] = await self.portal.result("rest.authorize", sent)
        return result

    async def code(self, **fields: str) -> str:
        """`rest.code` for the user."""
        sent = {"CLIENT_ID": self.app.client_id, "STATE": "s", "PARAMS[LOCAL_USER]": self.user, **fields}
        return str((await self.portal.result("rest.code", sent))["code"])

    async def check(self, token: str) -> Answer:
        """`rest.check` of a token."""
        return await self.portal.ask("rest.check", {"TOKEN": token})

    async def replay(self, name: str, **values: str) -> Answer:
        """Send a captured request with this site's credentials and addresses in place of the made-up ones."""
        return await self.live.ask(with_values(captured(name), {**self.values, **values}))

    async def fire(self, path: str = "/ev", *, count: int = 1, **data: str) -> None:
        """An event of the user for the application's handler, which asks for a token."""
        fields: dict[str, object] = {}
        for index in range(count):
            item = f"QUERY[{index}]"
            fields |= {
                f"{item}[client_id]": self.app.client_id,
                f"{item}[additional][category]": "default",
                f"{item}[additional][sendAuth]": 1,
                f"{item}[additional][sendRefreshToken]": 0,
                f"{item}[auth][EVENT_SESSION]": 7,
                f"{item}[auth][LOCAL_USER]": self.user,
                f"{item}[auth][application_token]": "47ee90ad1637f2f2378c9adcf19ad54e",
                f"{item}[query][DOMAIN]": "portal.test",
                f"{item}[query][QUERY_URL]": self.sink.url + path,
                f"{item}[query][QUERY_DATA][event]": "ONCRMDEALADD",
                f"{item}[query][QUERY_DATA][event_handler_id]": 11,
            }
            fields |= {f"{item}[query][QUERY_DATA][{name}]": value for name, value in data.items()}
            fields[f"{item}[query][QUERY_DATA][ts]"] = 1795488336 + index
        assert await self.portal.result("rest.event.call", fields)

    async def deliveries(self) -> list[DeliveryRow]:
        """All deliveries, oldest first."""
        from relay.records import DeliveryFilter  # noqa: PLC0415 - the only one who needs it

        return list(reversed(await self.live.relay.store.find(DeliveryFilter(), 1000)))

    async def settled(self, **states: int) -> None:
        """Wait until the deliveries are in these states, and no other."""

        async def reached() -> bool:
            counts = await self.live.relay.store.counts()
            return {state: count for state, count in counts.items() if count} == states

        await until(reached)


async def open_site(live: LiveRelay, sink: Sink) -> Site:
    """Register a portal, add an application, and know what the captures' made-up values stand for here."""
    portal = PortalSide(live)
    await portal.register()
    added = await portal.result(
        "application.add", {"TITLE": "Test & App", "REDIRECT_URI": f"{sink.url}/cb", "SCOPE": "crm,user,placement"}
    )
    app = AppSide(live, added["client_id"], added["client_secret"])
    values = {
        "local.134b7678dbeac8": portal.client_id,
        "fb356424caeeadbc883e5829965c17b7802cd18d5c6d0921fd": portal.client_secret,
        "local.a7088e84e21e7e.7cc04201": app.client_id,
        "e40052659cab8ecb00ec17edfc9a55995a61039b1e477da616": app.client_secret,
        "http://127.0.0.1:18090": sink.url,
        "http://127.0.0.1:18081": portal.url,
    }
    return Site(live, portal, app, sink, values=values)


def as_json(value: Mapping[str, object]) -> bytes:
    """A JSON body."""
    return json.dumps(value).encode()
