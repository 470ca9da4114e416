"""Promises: a stand-in portal (``portal/``) on a loopback port, with a typed method for every control call.

Leans on: PhpServer; ``/__control/`` of the stand-in; one folder per portal for its state.
Must never: know how the portal does a thing; what it did is read from its log of exchanges.
"""

from __future__ import annotations

import io
import json
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from tests.e2e.php_server import PhpServer
from tests.e2e.portal_answers import (
    Exchange,
    LocalApp,
    OpenedApp,
    PageAnswer,
    PortalBrokenError,
    PortalRefusedError,
    RelayAnswer,
    RestAnswer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

__all__ = [
    "Exchange",
    "LocalApp",
    "OpenedApp",
    "PageAnswer",
    "PortalBrokenError",
    "PortalRefusedError",
    "RelayAnswer",
    "RestAnswer",
    "StandInPortal",
]

SERVE = Path(__file__).with_name("portal") / "serve.php"
CALL_TIMEOUT_S = 120.0


class StandInPortal:
    """A running stand-in portal; `url`, and with a certificate `tls_url`, have no trailing slash."""

    def __init__(self, server: PhpServer, folder: Path) -> None:
        self.url = server.url
        self.tls_url = server.tls_url
        self.server = server
        self.folder = folder
        # PHP's own server closes after each answer; keeping connections would only race with that.
        connector = aiohttp.TCPConnector(force_close=True)
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)

    # Life ------------------------------------------------------------------------------------------------

    @classmethod
    async def start(
        cls, folder: Path, *, workers: int = 4, port: int | None = None, pem: Path | None = None, **options: Any
    ) -> Self:
        """Start a portal that keeps its state in `folder`; `options` as for :meth:`set_options`.

        A folder used before gives the same portal again: registration, apps and handlers are still there.
        With a `pem` (certificate and key) the portal is also served by TLS, and that is the address it names.
        """
        folder.mkdir(parents=True, exist_ok=True)
        environment = {"STAND_IN_STATE_DIR": str(folder)}
        server = await PhpServer.start(SERVE, workers=workers, port=port, pem=pem, environment=environment)
        portal = cls(server, folder)
        try:
            await portal.set_options(**{"public_url": portal.tls_url or portal.url} | options)
        except BaseException:
            await portal.stop()
            raise
        return portal

    @classmethod
    @asynccontextmanager
    async def running(cls, folder: Path, **options: Any) -> AsyncIterator[Self]:
        """:meth:`start` and :meth:`stop` as a context."""
        portal = await cls.start(folder, **options)
        try:
            yield portal
        finally:
            await portal.stop()

    async def stop(self) -> None:
        await self._session.close()
        await self.server.stop()

    def log(self) -> str:
        """What PHP wrote: the access log and every fault in the portal's code."""
        return (self.folder / "workers.log").read_text(errors="replace")

    async def _control(self, name: str, **arguments: Any) -> Any:
        return (await self._control_whole(name, **arguments))["result"]

    async def _control_whole(self, name: str, **arguments: Any) -> dict[str, Any]:
        try:
            status, document = await self._post_json(f"/__control/{name}", arguments)
        except aiohttp.ClientConnectionError as fault:
            raise PortalBrokenError(f"no answer; PHP wrote: {self.log()[-500:]}") from fault
        if status == 500:
            raise PortalBrokenError(document.get("fatal"))
        if status != 200:
            raise ValueError(document.get("error"))
        return document

    async def _post_json(self, path: str, document: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        # A stream, for aiohttp warns of large bodies given as bytes.
        body = io.BytesIO(json.dumps(document).encode())
        headers = {"Content-Type": "application/json"}
        async with self._session.post(f"{self.url}{path}", data=body, headers=headers) as answer:
            return answer.status, await answer.json()

    # Settings and people ----------------------------------------------------------------------------------

    async def set_options(self, **options: Any) -> dict[str, Any]:
        """Change settings (names in ``portal/src/Settings.php``: oauth_server, cron, now_s …).

        Gives all of them back, with `registered` and `member_id`.
        """
        return dict(await self._control("options", set=options))

    async def options(self) -> dict[str, Any]:
        return await self.set_options()

    async def put_user(self, user_id: int, *, active: bool = True, admin: bool = True, tz_offset: int = 0) -> None:
        """Users 1 and 2 are there from the start; an unknown or inactive one cannot log in."""
        await self._control("user/put", user_id=user_id, active=active, admin=admin, tz_offset=tz_offset)

    # Calls to the relay -----------------------------------------------------------------------------------

    async def register(self, *, cron: bool = False) -> RelayAnswer:
        """POST /oauth/register/, registered or not. :raises PortalBrokenError: on an answer like `null`."""
        return RelayAnswer.of(await self._control("register", cron=cron))

    async def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        request_id: str | None = None,
        cron: bool = False,
    ) -> RelayAnswer:
        """Any `/rest/` method as the portal would call it."""
        arguments = {"method": method, "params": dict(params or {}), "request_id": request_id, "cron": cron}
        return RelayAnswer.of(await self._control("call", **arguments))

    async def batch(self, commands: Mapping[str, str | tuple[str, Mapping[str, Any]]]) -> RelayAnswer:
        """A relay batch; a command is ready text or (method, parameters)."""
        return RelayAnswer.of(await self._control("batch", commands=dict(commands)))

    async def authorize(
        self,
        client_id: str,
        *,
        user_id: int = 1,
        scope: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> RelayAnswer:
        """rest.authorize; `scope` None = the app's own; `params` are further PARAMS."""
        arguments = {"client_id": client_id, "user_id": user_id, "scope": scope, "params": dict(params or {})}
        return RelayAnswer.of(await self._control("authorize", **arguments))

    async def code(self, client_id: str, *, state: str = "", user_id: int = 1) -> RelayAnswer:
        """rest.code without a browser; with one, open `/oauth/authorize/` of the portal."""
        return RelayAnswer.of(await self._control("code", client_id=client_id, state=state, user_id=user_id))

    # Apps -------------------------------------------------------------------------------------------------

    async def add_app(
        self, title: str, url: str, scope: str, *, install_url: str = "", user_id: int = 1, cron: bool = False
    ) -> LocalApp:
        """Add a local app as an administrator does; with an `install_url`, ONAPPINSTALL goes there at once.

        :raises PortalRefusedError: the relay refused; the row is gone again.
        """
        arguments = {"title": title, "url": url, "scope": scope, "install_url": install_url}
        return LocalApp.of(await self._control("app/add", **arguments, user_id=user_id, cron=cron))

    async def update_app(
        self, client_id: str, *, title: str | None = None, url: str | None = None, scope: str | None = None
    ) -> LocalApp:
        """:raises PortalRefusedError: the relay refused; nothing has changed."""
        return LocalApp.of(await self._control("app/update", client_id=client_id, title=title, url=url, scope=scope))

    async def delete_app(self, client_id: str, *, clean: bool = True) -> RelayAnswer | None:
        """application.delete, then ONAPPUNINSTALL: what became of that event, None = no handler."""
        return await self._event_call("app/delete", client_id=client_id, clean=clean)

    async def install_app(self, client_id: str, *, user_id: int = 1) -> RelayAnswer | None:
        """Fire ONAPPINSTALL to the app's handlers."""
        return await self._event_call("app/install", client_id=client_id, user_id=user_id)

    async def put_app(self, client_id: str, client_secret: str, **columns: Any) -> LocalApp:
        """Write a row, the relay untold: id, title, url, scope, status, active, application_token …"""
        return LocalApp.of(await self._control("app/put", client_id=client_id, client_secret=client_secret, **columns))

    async def apps(self) -> list[LocalApp]:
        return [LocalApp.of(row) for row in await self._control("app/list")]

    async def application_token(self, client_id: str) -> str:
        return str(await self._control("app/token", client_id=client_id))

    async def open_app(
        self,
        client_id: str,
        *,
        user_id: int = 1,
        placement: str = "DEFAULT",
        placement_options: Mapping[str, Any] | None = None,
        with_application_token: bool = False,
    ) -> OpenedApp:
        """Open the app in the user's browser: one rest.authorize, posted to the app's address."""
        opened = await self._control(
            "app/open",
            client_id=client_id,
            user_id=user_id,
            placement=placement,
            placement_options=dict(placement_options or {}),
            with_application_token=with_application_token,
        )
        return OpenedApp(**opened | {"authorization": RelayAnswer.of(opened["authorization"])})

    # Events -----------------------------------------------------------------------------------------------

    async def put_handler(self, event: str, url: str, *, client_id: str | None = None, **columns: Any) -> int:
        """Write a handler row: id, user_id, options; without client_id a webhook (application_token)."""
        return int(await self._control("handler/put", event=event, url=url, client_id=client_id, **columns))

    async def handlers(self) -> list[dict[str, Any]]:
        return list(await self._control("handler/list"))

    async def clear_handlers(self) -> None:
        await self._control("handler/clear")

    async def fire(
        self,
        event: str,
        data: Mapping[str, Any] | None = None,
        *,
        user_id: int = 1,
        options: Mapping[str, Any] | None = None,
        session: int = 7,
        cron: bool = False,
    ) -> RelayAnswer | None:
        """Fire an event to all its handlers in one rest.event.call; None = no handler, or a spent session.

        `options` are keys of `additional` set by the event itself, e.g. ``{"sendRefreshToken": True}``.
        """
        arguments = {"event": event, "data": dict(data or {}), "options": dict(options or {})}
        return await self._event_call("event/fire", **arguments, user_id=user_id, session=session, cron=cron)

    async def send_items(self, items: Sequence[Mapping[str, Any]], *, cron: bool = False) -> RelayAnswer:
        """One rest.event.call with these items, untouched."""
        arguments = [dict(item) for item in items]
        return RelayAnswer.of(await self._control("event/items", items=arguments, cron=cron))

    async def robot(
        self, client_id: str, url: str, *, place: Mapping[str, Any], data: Mapping[str, Any], user_id: int = 1
    ) -> RelayAnswer | None:
        """A robot; `place` = WORKFLOW_ID, ACTIVITY_NAME, CODE; `data` = QUERY_DATA without ts."""
        arguments = {"client_id": client_id, "url": url, "place": dict(place), "data": dict(data)}
        return await self._event_call("event/robot", **arguments, user_id=user_id)

    async def sms(
        self, client_id: str, url: str, code: str, data: Mapping[str, Any], *, author_id: int | None = 1
    ) -> RelayAnswer:
        """A message of a REST SMS provider; without an author the item has no `auth`."""
        arguments = {"client_id": client_id, "url": url, "code": code, "data": dict(data)}
        return RelayAnswer.of(await self._control("event/sms", **arguments, user_id=author_id or 0))

    async def lost_events(self) -> list[dict[str, Any]]:
        """Calls the relay did not take, with `reason` and `items`: a stock portal never repeats them."""
        return list(await self._control("event/lost"))

    async def _event_call(self, name: str, **arguments: Any) -> RelayAnswer | None:
        called = (await self._control_whole(name, **arguments))["event_call"]
        return None if called is None else RelayAnswer.of(called)

    # A look inside ----------------------------------------------------------------------------------------

    async def exchanges(self, purpose: str | None = None) -> list[Exchange]:
        """Requests to the relay, oldest first; `purpose` is a method, `register` or `oauth/token`."""
        return [Exchange.of(row) for row in await self._control("exchanges", purpose=purpose)]

    async def clear_exchanges(self) -> None:
        await self._control("exchanges/clear")

    async def cache(self) -> dict[str, dict[str, Any]]:
        """What the portal keeps of tokens: ``oauth_<token>`` → until (unix time), value."""
        return dict(await self._control("cache"))

    async def clear_cache(self) -> None:
        await self._control("cache/clear")

    async def fill_deals(self, count: int) -> None:
        """Add deals without events, for client libraries to page through."""
        await self._control("deal/fill", count=count)

    async def rest(self, method: str, token: str, params: Mapping[str, Any] | None = None) -> RestAnswer:
        """Call the portal's REST as an app does, by JSON."""
        return RestAnswer(*await self._post_json(f"/rest/{method}", {"auth": token, **(params or {})}))

    async def page(self, path: str, query: Mapping[str, str] | None = None) -> PageAnswer:
        """Open one of the portal's pages as a browser would, following nothing."""
        url = f"{self.url}{path}"
        async with self._session.get(url, params=query, allow_redirects=False) as answer:
            return PageAnswer(answer.status, dict(answer.headers), await answer.text())
