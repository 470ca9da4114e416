"""What the self-test's checks stand on: a temporary portal with applications, and a way to ask the relay over HTTP.

Leans on the running relay for every answer, and on the store only for what no answer says. Must never touch a portal
or an application that it did not make.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.directory import Directory
    from relay.ports import Clock, Entropy, Store

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
IMPATIENT = frozenset({429, 503})
WAIT_S, MOST_WAITS = 1.0, 3
USER = "67"
STATE = "selftest"


class NoAnswer(Exception):
    """Nobody answered over HTTP."""


class Refuted(Exception):
    """A check did not find what it must. Both as short words of the protocol, the same in every language."""

    def __init__(self, expected: object, found: object) -> None:
        super().__init__(f"expected {expected}, found {found}")
        self.expected = str(expected)
        self.found = str(found)


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. headers: names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The JSON object in the body; empty if it is none."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    @property
    def verdict(self) -> str:
        """`200`, or the status with the error code."""
        error = self.document.get("error")
        return f"{self.status} {error}" if isinstance(error, str) else str(self.status)


class Ask(Protocol):
    """Sends one request, follows nothing, and waits for the answer. Raises NoAnswer if none comes."""

    async def __call__(
        self, method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply: ...


class Client(NamedTuple):
    """An application's credentials."""

    client_id: str
    client_secret: str

    @property
    def fields(self) -> dict[str, str]:
        """As form fields."""
        return self._asdict()


@dataclass(frozen=True, slots=True)
class Bed:
    """The temporary portal, its applications and what the checks ask with.

    app: is given sealed tokens; jwt_app: JWTs; other: somebody else's. redirect_uri: of all of them.
    """

    ask: Ask
    store: Store
    clock: Clock
    entropy: Entropy
    issuer: str
    portal_id: int
    portal: Mapping[str, str]
    app: Client
    other: Client
    jwt_app: Client
    redirect_uri: str

    async def post(self, path: str, fields: Mapping[str, str], **headers: str) -> Reply:
        """A form."""
        sent = {**FORM, **headers}
        return await self.patiently("POST", path, body=urlencode(fields).encode(), headers=sent)

    async def get(self, path: str, **fields: str) -> Reply:
        """A query."""
        return await self.patiently("GET", f"{path}?{urlencode(fields)}" if fields else path)

    async def patiently(
        self, method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask, and again where failures of an earlier run have made the relay impatient."""
        reply = await self.ask(method, target, body=body, headers=headers)
        for _ in range(MOST_WAITS):
            if reply.status not in IMPATIENT:
                break
            await asyncio.sleep(WAIT_S)
            reply = await self.ask(method, target, body=body, headers=headers)
        return reply

    async def rest(self, method: str, **fields: str) -> Reply:
        """A call of the portal's."""
        return await self.post(f"/rest/{method}", {**fields, **self.portal})

    async def authorize(self, client: Client) -> dict[str, Any]:
        """A pair of tokens by the portal's word."""
        fields = {"CLIENT_ID": client.client_id, "PARAMS[LOCAL_USER]": USER, "PARAMS[EVENT_SESSION]": "7"}
        return _result(await self.rest("rest.authorize", **fields))

    async def code(self, client: Client, state: str = STATE) -> str:
        """An authorization code."""
        return str((await self.code_answer(client, state))["code"])

    async def code_answer(self, client: Client, state: str = STATE) -> dict[str, Any]:
        """All that comes with a code."""
        fields = {"CLIENT_ID": client.client_id, "STATE": state, "PARAMS[LOCAL_USER]": USER}
        return _result(await self.rest("rest.code", **fields))

    async def redeem(self, client: Client, code: str, **fields: str) -> Reply:
        """The code grant."""
        return await self.token(client, grant_type="authorization_code", code=code, **fields)

    async def refresh(self, client: Client, refresh_token: str) -> Reply:
        """The refresh grant."""
        return await self.token(client, grant_type="refresh_token", refresh_token=refresh_token)

    async def token(self, client: Client, **fields: str) -> Reply:
        """The token endpoint."""
        return await self.post("/oauth/token/", {**client.fields, **fields})

    async def introspect(self, client: Client, token: str) -> dict[str, Any]:
        """RFC 7662."""
        return (await self.post("/oauth/introspect", {**client.fields, "token": token})).document

    async def revoke(self, client: Client, token: str) -> Reply:
        """RFC 7009."""
        return await self.post("/oauth/revoke", {**client.fields, "token": token})

    async def verdict(self, client: Client, token: str) -> str:
        """What `rest.check`, `app.info` and introspection say of a token; they must agree. `good` or an error."""
        checked = await self.rest("rest.check", TOKEN=token)
        informed = await self.post("/rest/app.info", {"auth": token})
        active = (await self.introspect(client, token)).get("active")
        said = (checked.document.get("error"), informed.document.get("error"), active)
        error = str(said[0]) if said[0] else None
        expect(said, (error, error, error is None))
        return error or "good"

    async def directory(self) -> Directory:
        """Keys and applications as they are stored."""
        return await self.store.directory()

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self.clock.now_ms() // 1000


def expect(found: object, expected: object) -> None:
    """Raise Refuted unless they are equal."""
    if found != expected:
        raise Refuted(expected, found)


def _result(reply: Reply) -> dict[str, Any]:
    result = reply.document.get("result")
    if reply.status != 200 or not isinstance(result, dict):
        raise Refuted(200, reply.verdict)
    return result
