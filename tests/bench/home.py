"""Promises: a home for the relay of the bench: a registered portal, an application, some grants, maybe a backlog.

Leans on: build.py, whose use cases fill it as the commands and the portal's calls would.
Must never: set anything that makes the relay quicker: default settings, durable SQLite, nothing switched off but the
throttle, which one client would run into.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.app.intake import EVENT_AUTH, new_event_id
from relay.build import open_relay
from relay.config import CONFIG_FILE, MASTER_KEY_FILE, load_config
from relay.core.model import EventItem
from relay.core.phpform import Form
from relay.core.vault import NONCE_BYTES
from relay.records import NewDelivery
from tests.bench.sample import Credentials

if TYPE_CHECKING:
    from pathlib import Path

    from relay.build import Relay

PORTAL_URL = "http://portal.local"
DEAD_HANDLER = "http://127.0.0.1:9/handler"
_AT_ONCE = 5000
# One client of the bench asks more often than one client may.
_NO_THROTTLE = "[throttle]\nrate = 1_000_000\n"


@dataclass(frozen=True, slots=True)
class App:
    """The application of the bench and what it was granted."""

    client_id: str
    client_secret: str
    refresh_tokens: list[str]
    access_token: str


async def make_home(
    home: Path, listen: str, admin_listen: str, grants: int, backlog: int, more: str = ""
) -> tuple[Credentials, App]:
    """Make the home; who may call its relay. backlog: so many events wait for a handler that is not there.

    more: further lines of relay.toml, e.g. another store.
    """
    home.mkdir(mode=0o700)
    settings = f'listen = "{listen}"\nadmin_listen = "{admin_listen}"\n{more}{_NO_THROTTLE}'
    (home / CONFIG_FILE).write_text(settings, encoding="utf-8")
    (home / MASTER_KEY_FILE).write_text(secrets.token_hex(32), encoding="ascii")
    relay = open_relay(load_config(home, {}), upgrade=True)
    try:
        announced = await relay.portals.announce(PORTAL_URL, window_s=3600, allow=["127.0.0.0/8"])
        pair = await relay.portals.register(Form([("redirect_uri", PORTAL_URL)]))
        app = await _add_app(relay, announced.id, grants)
        await _add_backlog(relay, announced.id, app.client_id, backlog)
        portal = (await relay.store.directory()).portals[announced.id]
    finally:
        await relay.store.close()
    return Credentials(pair["client_id"], pair["client_secret"], PORTAL_URL, portal.member_id), app


async def _add_app(relay: Relay, portal_id: int, grants: int) -> App:
    directory = await relay.store.directory()
    client_id, client_secret = await relay.applications.add(
        directory.portals[portal_id], title="Bench", redirect_uri="", scope="crm,im"
    )
    directory = await relay.store.directory()
    form = Form([("CLIENT_ID", client_id), ("PARAMS[LOCAL_USER]", "1"), ("PARAMS[EVENT_SESSION]", "7")])
    answers = [await relay.tokens.authorize(directory, directory.portals[portal_id], form) for _ in range(grants)]
    refresh_tokens = [answer["refresh_token"] for answer in answers]
    return App(client_id, client_secret, refresh_tokens, answers[-1]["access_token"])


async def _add_backlog(relay: Relay, portal_id: int, client_id: str, count: int) -> None:
    item = EventItem(
        client_id, DEAD_HANDLER, "ONCRMDEALUPDATE", "", True, {}, send_auth=False, send_refresh_token=False
    )
    auth_sealed = relay.vault.seal(EVENT_AUTH, b"{}", secrets.token_bytes(NONCE_BYTES))
    now_ms = time.time_ns() // 1_000_000
    for first in range(0, count, _AT_ONCE):
        news = [
            NewDelivery(
                event_id=new_event_id(now_ms, secrets.token_bytes),
                portal_id=portal_id,
                item=item,
                form=b"event=ONCRMDEALUPDATE&data%5BFIELDS%5D%5BID%5D=1&ts=1780319382",
                form_is_sealed=False,
                auth_sealed=auth_sealed,
                lane=None,
                collapse=False,
            )
            for _ in range(min(_AT_ONCE, count - first))
        ]
        await relay.store.accept(news, now_ms)
