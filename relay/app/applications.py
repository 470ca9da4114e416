"""The applications of a portal, as the portal and the operator manage them.

Leans on the directory store. An application's number is never used twice, because sealed tokens carry it; a
deleted one stays known, so that its last event still finds its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay.app.portals import SECRET_BYTES, new_client_id
from relay.core.errors import InvalidRequest, NotInstalled, UnknownApplication
from relay.core.model import APP_STATUSES, JWT_FORMAT, LOCAL_STATUS, SEALED_FORMAT
from relay.core.phpform import readable
from relay.core.tokens import split_scope
from relay.records import AuditEntry, NewApp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.app.revocation import Revocations
    from relay.core.directory import Directory
    from relay.core.model import App, Portal
    from relay.core.phpform import Form
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store

MAX_TITLE = 500
MAX_URL = 1000
MAX_SCOPE = 2000
MAX_AUDIENCE = 2000
MAX_CLIENT_ID = 128
MAX_SECRET = 100
_TRIAL_OR_PAID = frozenset("TP")


class Applications:
    """Adds, changes and deletes applications."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, entropy: Entropy, revocations: Revocations) -> None:
        self._store = store
        self._revocations = revocations
        self._vault = vault
        self._clock = clock
        self._entropy = entropy

    async def add(
        self,
        portal: Portal,
        *,
        title: str,
        redirect_uri: str,
        scope: str,
        client_id: str | None = None,
        client_secret: str | None = None,
        status: str = LOCAL_STATUS,
    ) -> tuple[str, str]:
        """Store an application; its client id and secret, made here unless given (an app that lives elsewhere).

        A given application that is not local counts as installed once the portal says so.
        Raises InvalidRequest for a value that does not fit, Conflict for a client id that exists.
        """
        client_id = client_id or new_client_id("local", self._entropy)
        secret = client_secret or self._entropy(SECRET_BYTES).hex()
        _bounded("client id", client_id, MAX_CLIENT_ID)
        _bounded("client secret", secret, MAX_SECRET)
        if status not in APP_STATUSES:
            raise InvalidRequest(f"The status must be one of {', '.join(sorted(APP_STATUSES))}.")
        changes = _checked({"title": title, "redirect_uri": redirect_uri, "scope": scope})
        await self._store.add_app(
            NewApp(
                portal_id=portal.id,
                client_id=client_id,
                secret_hash=self._vault.hash_secret(secret),
                title=changes["title"],
                redirect_uri=changes["redirect_uri"],
                scope=changes["scope"],
                status=status,
                installed=status == LOCAL_STATUS,
            ),
            self._now(),
        )
        return client_id, secret

    async def add_from_portal(self, portal: Portal, form: Form) -> dict[str, Any]:
        """`application.add`."""
        client_id, secret = await self.add(
            portal, title=form.get("TITLE"), redirect_uri=form.get("REDIRECT_URI"), scope=form.get("SCOPE")
        )
        return {"client_id": client_id, "client_secret": secret}

    async def update(self, directory: Directory, portal: Portal, form: Form) -> bool:
        """`application.update`: a field that is missing stays as it is."""
        app = require_app(directory, portal, form.get("CLIENT_ID"))
        fields = {"title": "TITLE", "redirect_uri": "REDIRECT_URI", "scope": "SCOPE"}
        changes = _checked({name: form.get(field) for name, field in fields.items() if field in form})
        if changes:
            await self._store.update_app(app.number, changes)
        return True

    async def delete(self, directory: Directory, portal: Portal, form: Form) -> bool:
        """`application.delete`: its events already accepted, and ONAPPUNINSTALL to come, are still delivered."""
        await self._delete(require_app(directory, portal, form.get("CLIENT_ID")))
        return True

    async def install(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """`application.install` and `.install.subscription`: answered for applications the operator gave."""
        app = require_app(directory, portal, form.get("CLIENT_ID"))
        version = _version(form.get("VERSION")) or app.version
        await self._store.update_app(app.number, {"installed": True, "version": version})
        result: dict[str, Any] = {
            "client_id": app.client_id,
            "version": version,
            "status": app.status,
            "scope": split_scope(app.scope),
        }
        if app.status in _TRIAL_OR_PAID and app.date_finish is not None:
            result["date_finish"] = app.date_finish
        return result

    async def uninstall(self, directory: Directory, portal: Portal, form: Form) -> bool:
        """`application.uninstall`: no tokens until it is installed again. A local application is deleted."""
        app = require_app(directory, portal, form.get("CLIENT_ID"))
        if app.status == LOCAL_STATUS:
            await self._delete(app)
        else:
            await self._revocations.revoke_app(app, "application.uninstall")
            await self._store.update_app(app.number, {"installed": False})
        return True

    async def rotate_secret(self, app: App, overlap_s: int) -> str:
        """A new client secret; the former one stays good for `overlap_s` seconds."""
        secret = self._entropy(SECRET_BYTES).hex()
        await self._store.update_app(
            app.number,
            {
                "secret_hash": self._vault.hash_secret(secret),
                "old_secret_hash": app.secret_hash if overlap_s > 0 else None,
                "old_secret_until": self._now() + overlap_s if overlap_s > 0 else None,
            },
        )
        entry = AuditEntry("app.secret_rotated", self._now(), app.portal_id, app.number, {"overlap_s": overlap_s})
        await self._store.add_audit([entry])
        return secret

    async def configure(
        self,
        app: App,
        *,
        token_format: str | None = None,
        audience: str | None = None,
        post_only: bool | None = None,
        active: bool | None = None,
    ) -> None:
        """Set an application's switches; None leaves one as it is. Raises InvalidRequest."""
        if token_format not in {None, SEALED_FORMAT, JWT_FORMAT}:
            raise InvalidRequest(f"The token format must be {SEALED_FORMAT} or {JWT_FORMAT}.")
        if audience is not None and len(audience) > MAX_AUDIENCE:
            raise InvalidRequest(f"The audience is longer than {MAX_AUDIENCE} characters.")
        given = {"token_format": token_format, "audience": audience, "post_only": post_only, "active": active}
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:
            await self._store.update_app(app.number, changes)
            entry = AuditEntry("app.configured", self._now(), app.portal_id, app.number, changes)
            await self._store.add_audit([entry])

    async def _delete(self, app: App) -> None:
        revocation = await self._revocations.everything(app.portal_id, app_number=app.number)
        entry = AuditEntry("app.deleted", self._now(), app.portal_id, app.number)
        await self._store.delete_app(app.number, revocation, entry)

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


def require_app(directory: Directory, portal: Portal, client_id: str) -> App:
    """The portal's application. Raises UnknownApplication."""
    app = directory.app(portal.id, client_id)
    if app is None:
        raise UnknownApplication("This portal has no such application here.")
    return app


def require_installed(directory: Directory, portal: Portal, client_id: str) -> App:
    """The portal's application, if tokens may be issued for it. Raises UnknownApplication, NotInstalled."""
    app = require_app(directory, portal, client_id)
    if not app.installed:
        raise NotInstalled
    if not app.active:
        raise UnknownApplication("The application is switched off.")
    return app


def _checked(values: Mapping[str, str]) -> dict[str, str]:
    limits = {"title": MAX_TITLE, "redirect_uri": MAX_URL, "scope": MAX_SCOPE}
    checked = {name: readable(value) for name, value in values.items()}
    if "scope" in checked:
        checked["scope"] = ",".join(split_scope(checked["scope"]))
    for name, value in checked.items():
        if len(value) > limits[name]:
            raise InvalidRequest(f"The {name} is longer than {limits[name]} characters.")
    uri = checked.get("redirect_uri", "")
    if uri and not (uri.startswith(("http://", "https://")) and uri.isprintable()):
        raise InvalidRequest("The redirect URI must be an http:// or https:// address.")
    return checked


def _bounded(name: str, value: str, limit: int) -> None:
    if not 0 < len(value) <= limit or not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidRequest(f"The {name} must be 1 to {limit} printable ASCII characters without spaces.")


def _version(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
