"""One relay's keys under a clock that is moved: tokens granted at many times, each remembered to its end.

Leans on the real use cases over a real SQLite file, a copy of an empty one. Must never make a token in another way
than the relay does.
"""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from relay.app.applications import Applications
from relay.app.keys import Keys
from relay.app.portals import Portals
from relay.app.revocation import Revocations
from relay.app.settings import IssuerSettings
from relay.app.tokens import Tokens
from relay.clock import system_entropy
from relay.core.errors import ExpiredToken, InvalidToken
from relay.core.keyring import active_key
from relay.core.tokens import Lifetimes, check_access_token, mint_access_token
from relay.store.sql_store import open_sqlite_store
from tests.factories import VAULT, SetClock
from tests.integration.adapters import open_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from relay.core.directory import Directory
    from relay.core.model import App
    from relay.store.sql_store import SqlStore

ISSUER = "https://relay.test"
ACCESS_S = 3600
BUNDLE_S = 7200
ROTATE_S = 30_000
SETTINGS = IssuerSettings(ISSUER, Lifetimes(access_s=ACCESS_S), bundle_life_s=BUNDLE_S, key_rotate_s=ROTATE_S)


@dataclass(slots=True)
class KeyWorld:
    """A portal with an application of each token format. live: tokens and when they end."""

    store: SqlStore
    clock: SetClock
    keys: Keys
    formats: dict[str, int]
    live: dict[str, int] = field(default_factory=dict)
    published: dict[str, int] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """Unix seconds."""
        return self.clock.now_ms() // 1000

    async def directory(self) -> Directory:
        """The newest snapshot; what it shows of keys for the first time is noted as published."""
        directory = await self.store.directory()
        names = [f"signing {key.kid}" for key in directory.signing_keys]
        names += [f"sealing {key.key.hex()}" for key in directory.sealing_keys(1)]
        for name in names:
            self.published.setdefault(name, self.now)
        return directory

    async def mint(self) -> None:
        """Grant a token of each format."""
        directory = await self.directory()
        for number in self.formats.values():
            token = mint_access_token(
                directory,
                directory.apps[number],
                67,
                parameters={},
                scope=None,
                now=self.now,
                issuer=ISSUER,
                lifetimes=SETTINGS.lifetimes,
                entropy=system_entropy,
            )
            self.live[token.text] = token.expires

    async def verdict(self, token: str) -> str:
        """`good`, or what the relay says of it."""
        try:
            check_access_token(token, await self.directory(), self.now, issuer=ISSUER)
        except (InvalidToken, ExpiredToken) as error:
            return error.code
        return "good"

    async def look(self) -> None:
        """Every live token is good; every ended one is not, and is forgotten here."""
        for token, expires in list(self.live.items()):
            verdict = await self.verdict(token)
            if expires > self.now:
                assert verdict == "good", f"broken {expires - self.now} s before its end"
            else:
                assert verdict in {"expired_token", "invalid_token"}
                del self.live[token]

    async def active_since(self) -> list[int]:
        """For how many seconds the keys in use have been published."""
        directory = await self.directory()
        sealing = active_key(directory.sealing_keys(1), self.now)
        signing = active_key(directory.signing_keys, self.now)
        assert sealing is not None
        assert signing is not None
        names = (f"sealing {sealing.key.hex()}", f"signing {signing.kid}")
        return [self.now - self.published[name] for name in names]


@asynccontextmanager
async def key_world(template: Path, folder: Path) -> AsyncIterator[KeyWorld]:
    """A world that begins now, with its first keys made."""
    path = folder / "relay.db"
    shutil.copy(template, path)
    store, clock = open_sqlite_store(path, open_key, upgrade=False), SetClock()
    tokens = Tokens(store, VAULT, clock, system_entropy, SETTINGS)
    revocations = Revocations(store, VAULT, clock, tokens, SETTINGS)
    applications = Applications(store, VAULT, clock, system_entropy, revocations)
    keys = Keys(store, VAULT, clock, system_entropy, SETTINGS)
    try:
        portal = await Portals(store, VAULT, clock, system_entropy).announce("http://portal.test", window_s=60)
        apps: list[App] = []
        for title in ("sealed", "jwt"):
            client_id, _ = await applications.add(portal, title=title, redirect_uri="", scope="crm")
            (app,) = (await store.directory()).apps_by_client(client_id)
            await applications.configure(app, token_format=title)
            apps.append(app)
        await store.forget_keys(0, [key.key_id for key in (await store.directory()).signing_keys])
        await keys.tend()
        yield KeyWorld(store, clock, keys, {app.title: app.number for app in apps})
    finally:
        await store.close()
