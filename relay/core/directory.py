"""Portals, applications, keys and revocations as one immutable snapshot that requests are answered from.

Leans on the model. A request takes one snapshot and keeps it to its end. Never changes in place: a new
version is a new snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relay.core.model import App, Portal, Revocation, SealingKey
    from relay.core.signing import SigningKey


@dataclass(frozen=True, slots=True)
class Revocations:
    """What no longer counts although its seal is good.

    tokens: (app number, serial) of single tokens → their expiry. portals, apps, users: tokens whose expiry is at
    or before the mark are revoked; users are keyed by (portal id, user id).
    """

    tokens: Mapping[tuple[int, int], int] = field(default_factory=dict)
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


def gather_revocations(stored: Iterable[Revocation]) -> Revocations:
    """Sort stored revocations by what they concern."""
    tokens: dict[tuple[int, int], int] = {}
    portals: dict[int, int] = {}
    apps: dict[int, int] = {}
    users: dict[tuple[int, int], int] = {}
    for one in stored:
        if one.serial is not None:
            tokens[one.app_number or 0, one.serial] = one.through
        elif one.app_number is not None:
            apps[one.app_number] = max(one.through, apps.get(one.app_number, 0))
        elif one.user_id is not None:
            key = (one.portal_id, one.user_id)
            users[key] = max(one.through, users.get(key, 0))
        else:
            portals[one.portal_id] = max(one.through, portals.get(one.portal_id, 0))
    return Revocations(tokens, portals, apps, users)


class Directory:
    """An index over one version of the stored portals, applications, sealing keys and revocations."""

    def __init__(
        self,
        portals: Iterable[Portal] = (),
        apps: Iterable[App] = (),
        keys: Iterable[SealingKey] = (),
        signing_keys: Iterable[SigningKey] = (),
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
        self.signing_keys = tuple(signing_keys)
        self._keys: dict[tuple[int, int], SealingKey] = {}
        self._portal_keys: dict[int, list[SealingKey]] = {}
        for key in keys:
            self._keys[key.portal_id, key.key_id] = key
            self._portal_keys.setdefault(key.portal_id, []).append(key)

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

    def sealing_keys(self, portal_id: int) -> list[SealingKey]:
        """All keys of a portal: published, active and retired."""
        return self._portal_keys.get(portal_id, [])

    def apps_of(self, portal_id: int) -> list[App]:
        """A portal's applications that are not deleted."""
        return [app for (owner, _), app in self._live.items() if owner == portal_id]
