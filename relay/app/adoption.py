"""Taking over a portal that has lived with the cloud: its own credentials and its applications', unchanged.

Leans on pydantic for the shape of what is handed over. With the same pair the portal keeps its member_id, with the same
ids and secrets its applications notice nothing. All of it is stored in one commit, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from relay.app.applications import MAX_CLIENT_ID, MAX_SCOPE, MAX_SECRET, MAX_TITLE, MAX_URL
from relay.app.portals import PORTAL_SECRET, normalize_origin
from relay.core.errors import Conflict, InvalidClient, InvalidRequest, NotFound
from relay.core.model import LOCAL_STATUS
from relay.core.phpform import readable
from relay.core.tokens import split_scope
from relay.core.vault import NONCE_BYTES, hash_token
from relay.records import AuditEntry, NewApp

if TYPE_CHECKING:
    from relay.core.directory import Directory
    from relay.core.model import Portal
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store

MAX_APPS = 10_000
MAX_DOCUMENT = 8 * 1024 * 1024
_Id = Annotated[str, Field(min_length=1, max_length=MAX_CLIENT_ID, pattern=r"^[!-~]+$")]
_Secret = Annotated[str, Field(min_length=1, max_length=MAX_SECRET, pattern=r"^[!-~]+$")]


class _Document(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class AdoptedApp(_Document):
    """One application as the portal's table has it."""

    client_id: _Id
    client_secret: _Secret
    title: Annotated[str, Field(max_length=MAX_TITLE)] = ""
    redirect_uri: Annotated[str, Field(max_length=MAX_URL)] = ""
    scope: Annotated[str, Field(max_length=MAX_SCOPE)] = ""
    status: Annotated[str, Field(pattern=r"^[FDTPLS]$")] = LOCAL_STATUS
    version: Annotated[int, Field(ge=0, lt=10**9)] = 1


class AdoptedPortal(_Document):
    """A portal with its service credentials and applications: the module's file, and `PORTAL` of `relay.adopt`."""

    url: Annotated[str, Field(max_length=500)]
    client_id: _Id
    client_secret: _Secret
    apps: Annotated[list[AdoptedApp], Field(max_length=MAX_APPS)] = []


class Adoption:
    """Takes portals over."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy

    async def adopt_by_code(self, code: str, document: str, address: str) -> dict[str, object]:
        """`relay.adopt`: the portal that holds the connection code. Raises InvalidClient, InvalidRequest, Conflict."""
        adopted = parse_adopted(document)
        directory = await self._store.directory()
        code_hash = hash_token(code)
        now = self._clock.now_ms() // 1000
        holders = [portal for portal in directory.portals.values() if portal.connect_hash == code_hash]
        if not code or not holders or now >= holders[0].window_until:
            raise InvalidClient("The connection code is not valid (any more). Make a new one: relay portal add URL")
        return await self._adopt(directory, holders[0], adopted, address)

    async def adopt_document(self, document: str) -> dict[str, object]:
        """`relay portal adopt FILE`: by the operator, for a portal that was announced. Raises NotFound as well."""
        adopted = parse_adopted(document)
        directory = await self._store.directory()
        portal = directory.portal_by_url(normalize_origin(adopted.url))
        if portal is None:
            raise NotFound(f"Announce the portal first: relay portal add {normalize_origin(adopted.url)}")
        return await self._adopt(directory, portal, adopted, "")

    async def _adopt(
        self, directory: Directory, portal: Portal, adopted: AdoptedPortal, address: str
    ) -> dict[str, object]:
        if normalize_origin(adopted.url) != portal.url:
            raise InvalidRequest(f"This code is for {portal.url}, not for {normalize_origin(adopted.url)}.")
        if portal.client_id not in {None, adopted.client_id}:
            raise Conflict("This portal is registered here under another client id already.")
        other = directory.portal_by_client(adopted.client_id)
        if other is not None and other.id != portal.id:
            raise Conflict("Another portal is registered here under this client id.")
        fresh = {app.client_id: app for app in adopted.apps if directory.app(portal.id, app.client_id) is None}
        await self._store.adopt_portal(
            portal.id,
            adopted.client_id,
            self._vault.hash_secret(adopted.client_secret),
            self._vault.seal(PORTAL_SECRET, adopted.client_secret.encode(), self._entropy(NONCE_BYTES)),
            [self._new_app(portal, app) for app in fresh.values()],
            AuditEntry(
                "portal.adopted",
                self._clock.now_ms() // 1000,
                portal.id,
                None,
                {"address": address, "apps": len(fresh)},
            ),
        )
        portal = (await self._store.directory()).portals[portal.id]
        known = len({app.client_id for app in adopted.apps}) - len(fresh)
        return {"member_id": portal.member_id, "adopted": len(fresh), "known": known}

    def _new_app(self, portal: Portal, app: AdoptedApp) -> NewApp:
        return NewApp(
            portal_id=portal.id,
            client_id=app.client_id,
            secret_hash=self._vault.hash_secret(app.client_secret),
            title=readable(app.title),
            redirect_uri=readable(app.redirect_uri),
            scope=",".join(split_scope(readable(app.scope))),
            status=app.status,
            installed=True,
            version=app.version or 1,
        )


def parse_adopted(document: str) -> AdoptedPortal:
    """Read what is handed over. Raises InvalidRequest naming every fault, and no value."""
    if len(document) > MAX_DOCUMENT:
        raise InvalidRequest(f"The document is larger than {MAX_DOCUMENT} characters.")
    try:
        return AdoptedPortal.model_validate_json(readable(document))
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'document'}: {fault['msg']}" for fault in error.errors())
        raise InvalidRequest("What is handed over has faults: " + "; ".join(list(faults)[:20])) from error
