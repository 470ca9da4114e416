"""Promises that no token, code or secret is ever in a log, at any level, nor in the clear in the database or the
audit record.

Leans on the real `relay serve` as a process with every logger of every library at debug. Must never look for fewer
secrets than were used: whatever the run made is looked for.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.relay_process import RelayProcess
from tests.integration.live_relay import until
from tests.integration.sink import Sink, running_sink
from tests.integration.wire import Answer, Request, form, get, post, send
from tests.security.world import CHALLENGE, VERIFIER, basic

ROOT = Path(__file__).parents[2]
LOUD = "import logging; logging.basicConfig(level=10); logging.getLogger('sqlalchemy').setLevel(10)\n"
PORTAL = "http://portal.test:8080"
FORM = "application/x-www-form-urlencoded"


@dataclass(slots=True)
class Talk:
    """Everything that was said to a relay process. secrets: what must never be found again."""

    relay: RelayProcess
    secrets: set[str] = field(default_factory=set)
    portal: dict[str, str] = field(default_factory=dict)
    app: dict[str, str] = field(default_factory=dict)

    async def ask(self, request: Request | bytes) -> Answer:
        """Send a request; the secrets of its answer are remembered."""
        answer = await send(self.relay.url.removeprefix("http://"), request)
        if answer.is_json:
            self._remember(answer.json)
        return answer

    async def rest(self, method: str, **fields: str) -> Any:
        """A portal's call."""
        return (await self.ask(post(f"/rest/{method}", form({**fields, **self.portal})))).json

    def _remember(self, said: object) -> None:
        if not isinstance(said, dict):
            return
        for name, value in said.items():
            if name in {"access_token", "refresh_token", "code", "client_secret", "bundle"} and isinstance(value, str):
                self.secrets.add(value)
            self._remember(value)


async def _converse(talk: Talk, sink: Sink) -> None:
    await talk.relay.announce(PORTAL)
    registered = await talk.ask(post("/oauth/register/", form({"redirect_uri": PORTAL, "BX_LICENCE": "l" * 32})))
    talk.portal = {**registered.json, "client_redirect_uri": PORTAL, "member_id": ""}
    added = await talk.rest("application.add", TITLE="A", REDIRECT_URI=f"{sink.url}/cb", SCOPE="crm")
    talk.app = {name: added["result"][name] for name in ("client_id", "client_secret")}
    user = {"CLIENT_ID": talk.app["client_id"], "STATE": "s", "PARAMS[LOCAL_USER]": "67", "PARAMS[x]": "stored"}
    await talk.rest("relay.bundle")
    pair = (await talk.rest("rest.authorize", **user))["result"]
    challenge = form({"client_id": talk.app["client_id"], "state": "s", "code_challenge": CHALLENGE})
    await talk.ask(get(f"/oauth/authorize/?{challenge.decode()}&code_challenge_method=S256"))
    code = (await talk.rest("rest.code", **user))["result"]["code"]
    grants = [
        {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER},
        {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"]},
        {"grant_type": "refresh_token", "refresh_token": "0" * 70},
        {"grant_type": "authorization_code", "code": code},
        {"grant_type": "password", "code": code},
    ]
    for fields in grants:
        query = form({**talk.app, **fields}).decode()
        await talk.ask(get(f"/oauth/token/?{query}"))
        await talk.ask(post("/oauth/token/", form({**talk.app, **fields}), FORM, basic(*talk.app.values())))
        await talk.ask(post("/oauth/token/", json.dumps({**talk.app, **fields}).encode(), "application/json"))
    for token in (pair["access_token"], pair["refresh_token"]):
        await talk.ask(get(f"/rest/app.info?auth={token}"))
        await talk.ask(get("/rest/app.info", ("Authorization", f"Bearer {token}")))
        await talk.rest("rest.check", TOKEN=token)
        for endpoint in ("/oauth/introspect", "/oauth/revoke"):
            await talk.ask(post(f"{endpoint}?token={token}", form({**talk.app, "token": token})))
    await _malformed(talk, pair["access_token"])
    await _deliver(talk, sink)
    # Somebody swaps id and secret, an unknown client calls: both fail, both are recorded.
    swapped = {"client_id": talk.app["client_secret"], "client_secret": talk.app["client_id"]}
    await talk.ask(post("/oauth/token/", form({**swapped, **grants[1]})))
    await talk.ask(post("/rest/rest.check", form({**talk.portal, "client_id": talk.portal["client_secret"]})))


async def _malformed(talk: Talk, token: str) -> None:
    """Requests that no HTTP server can read, each with a token at its very beginning."""
    host = b"\r\nHost: relay.local\r\nConnection: close\r\n"
    for raw in (
        f"GET /rest/app.info?auth={token}{'x' * 9000} HTTP/1.1".encode() + host + b"\r\n",
        f"GET /rest/app.info?auth={token} HTTP/9.9".encode() + host + b"\r\n",
        f"GET /rest/app.info?auth={token}\x00 HTTP/1.1".encode() + host + b"\r\n",
        b"GET / HTTP/1.1" + host + f"Authorization: Bearer {token}\x01\r\n\r\n".encode(),
        b"GET / HTTP/1.1" + host + f"X-{token} : 1\r\n\r\n".encode(),
        f"POST /oauth/token/?code={token} HTTP/1.1".encode() + host + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        f"{token} / HTTP/1.1".encode() + host + b"\r\n",
    ):
        assert 400 <= (await talk.ask(raw)).status < 500


async def _deliver(talk: Talk, sink: Sink) -> None:
    item = "QUERY[0]"
    await talk.rest(
        "rest.event.call",
        **{
            f"{item}[client_id]": talk.app["client_id"],
            f"{item}[additional][sendAuth]": "1",
            f"{item}[additional][sendRefreshToken]": "1",
            f"{item}[auth][LOCAL_USER]": "67",
            f"{item}[auth][application_token]": "47ee90ad1637f2f2378c9adcf19ad54e",
            f"{item}[query][QUERY_URL]": f"{sink.url}/ev",
            f"{item}[query][QUERY_DATA][event]": "ONAPPINSTALL",
        },
    )
    (call,) = await sink.wait_for(1)
    said = dict(pair.partition("=")[::2] for pair in call.body.split("&"))
    talk.secrets |= {
        said["auth%5Baccess_token%5D"],
        said["auth%5Brefresh_token%5D"],
        "47ee90ad1637f2f2378c9adcf19ad54e",
    }


def _break_the_portals_secret(home: Path) -> None:
    """What a damaged database would do: the next registration meets an error that nobody foresaw."""
    with closing(sqlite3.connect(home / "relay.db")) as database, database:
        database.execute("UPDATE portals SET secret_sealed = x'00'")
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'directory'")


@pytest.fixture(scope="module", params=["json", "text"])
def talk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Talk:
    """A finished conversation with a relay that logged all it could, and has ended."""
    folder = tmp_path_factory.mktemp("secrecy")
    (folder / "sitecustomize.py").write_text(LOUD, encoding="ascii")
    settings = {
        "RELAY_LOG__LEVEL": "debug",
        "RELAY_LOG__FORMAT": request.param,
        "PYTHONPATH": f"{folder}:{ROOT}",
    }

    async def converse() -> Talk:
        async with running_sink() as sink, RelayProcess.running(folder / "home", **settings) as relay:
            talk = Talk(relay)
            await _converse(talk, sink)
            _break_the_portals_secret(relay.home)
            broken = await talk.ask(post("/oauth/register/", form({"redirect_uri": PORTAL, "BX_LICENCE": "l" * 32})))
            assert broken.status == 503
            await relay.stop()
            return talk

    return asyncio.run(converse())


def test_issue_3_no_token_code_or_secret_in_any_log_at_any_level(talk: Talk) -> None:
    log = talk.relay.log()
    assert "sqlalchemy" in log  # every library's debug log is really there
    assert "request.failed" in log
    assert "Error handling request" in log
    assert len(talk.secrets) >= 10
    assert [secret for secret in talk.secrets if secret in log] == []
    assert "auth=" not in log
    assert "client_secret" not in log


def test_issue_3_4_no_token_code_or_secret_in_the_clear_in_the_database(talk: Talk) -> None:
    stored = b"".join(path.read_bytes() for path in talk.relay.home.glob("relay.db*"))
    found = [secret for secret in talk.secrets if secret.encode() in stored or _raw(secret) in stored]
    assert found == []
    master = (talk.relay.home / "master.key").read_bytes().strip()
    assert master not in stored
    assert bytes.fromhex(master.decode()) not in stored


def test_issue_3_7_no_secret_in_the_audit_record(talk: Talk) -> None:
    with closing(sqlite3.connect(talk.relay.home / "relay.db")) as database:
        rows = database.execute("SELECT kind, details FROM audit").fetchall()
    kinds = {kind for kind, _ in rows}
    assert {"portal.registered", "grant.opened", "client.refused", "portal.refused", "token.revoked"} <= kinds
    text = json.dumps(rows)
    assert [secret for secret in talk.secrets if secret in text] == []


def _raw(secret: str) -> bytes:
    """The bytes that hex text stands for; the text itself if it is none."""
    try:
        return bytes.fromhex(secret)
    except ValueError:
        return secret.encode()


async def test_issue_3_7_what_was_counted_is_written_down_when_the_relay_ends(tmp_path: Path) -> None:
    async with RelayProcess.running(tmp_path / "home") as relay:
        fields = form({"grant_type": "refresh_token", "client_id": "local.x", "client_secret": "y"})
        assert (await send(relay.url.removeprefix("http://"), post("/oauth/token/", fields))).status == 401
        await relay.stop()

    async def written() -> bool:
        with closing(sqlite3.connect(relay.home / "relay.db")) as database:
            (count,) = database.execute("SELECT count(*) FROM audit WHERE kind = 'client.refused'").fetchone()
        return bool(count == 1)

    await until(written)
