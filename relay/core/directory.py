"""Portals, applications, keys and revocations as one immutable snapshot that requests are answered from.

Leans on the model. A request takes one snapshot and keeps it to its end. Never changes in place: a new
version is a new snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relay.core.model import App, Portal, SealingKey


@dataclass(frozen=True, slots=True)
class Revocations:
    """What no longer counts although its seal is good.

    tokens: (app number, serial) of single tokens. portals, apps, users: tokens whose expiry is at or before the
    mark are revoked; users are keyed by (portal id, user id).
    """

    tokens: frozenset[tuple[int, int]] = frozenset()
    portals: Mapping[int, int] = field(default_factory=dict)
    apps: Mapping[int, int] = field(default_factory=dict)
    users: Mapping[tuple[int, int], int] = field(default_factory=dict)

    def through(self, portal_id: int, app_number: int, user_id: int) -> int:
        """The latest mark that concerns this portal, app and user; 0 if none."""
        return max(
            self.portals.get(portal_id, 0),
            self.apps.get(app_number, 0),
            self.users.get((portal_id, user_id), 0),
        )


class Directory:
    """An index over one version of the stored portals, applications, sealing keys and revocations."""

    def __init__(
        self,
        portals: Iterable[Portal] = (),
        apps: Iterable[App] = (),
        keys: Iterable[SealingKey] = (),
        revocations: Revocations | None = None,
        version: int = 0,
    ) -> None:
        self.version = version
        self.revocations = revocations or Revocations()
        self.portals = {portal.id: portal for portal in portals}
        self._portals_by_client = {portal.client_id: portal for portal in self.portals.values()}
        self.apps = {app.number: app for app in apps}
        self._live: dict[tuple[int, str], App] = {}
        self._known: dict[tuple[int, str], App] = {}
        self._by_client: dict[str, list[App]] = {}
        for app in sorted(self.apps.values(), key=lambda app: app.number):
            self._known[app.portal_id, app.client_id] = app
            if app.deleted_at is None:
                self._live[app.portal_id, app.client_id] = app
                self._by_client.setdefault(app.client_id, []).append(app)
        self._keys: dict[tuple[int, int], SealingKey] = {}
        self._newest_key: dict[int, SealingKey] = {}
        for key in sorted(keys, key=lambda key: (key.created_at, key.key_id)):
            self._keys[key.portal_id, key.key_id] = key
            self._newest_key[key.portal_id] = key

    def portal_by_client(self, client_id: str) -> Portal | None:
        """The portal that calls itself by this client id."""
        return self._portals_by_client.get(client_id) if client_id else None

    def portal_by_url(self, url: str) -> Portal | None:
        """The portal announced under this origin."""
        return next((portal for portal in self.portals.values() if portal.url == url), None)

    def app(self, portal_id: int, client_id: str) -> App | None:
        """A portal's application that is not deleted."""
        return self._live.get((portal_id, client_id))

    def known_app(self, portal_id: int, client_id: str) -> App | None:
        """A portal's application, deleted ones included (the newest of that client id)."""
        return self._live.get((portal_id, client_id)) or self._known.get((portal_id, client_id))

    def apps_by_client(self, client_id: str) -> list[App]:
        """Every portal's application of that client id (a marketplace app may be at several portals)."""
        return self._by_client.get(client_id, [])

    def sealing_key(self, portal_id: int, key_id: int) -> SealingKey | None:
        """The key to verify with."""
        return self._keys.get((portal_id, key_id))

    def active_key(self, portal_id: int) -> SealingKey | None:
        """The key to seal with."""
        return self._newest_key.get(portal_id)
