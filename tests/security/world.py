"""What the security tests do again and again: more applications and portals, tokens looked at from every side.

Leans on the integration tests' site. Must never look into the store for what the wire can say.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.integration.live_relay import until
from tests.integration.site import AppSide, PortalSide, Site
from tests.integration.wire import Answer, form, get, post

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.model import App
    from relay.records import AuditEntry

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
QUICK_HOUSEKEEPING: dict[str, Any] = {"housekeeping": {"every_s": 0.05}}


async def another_app(site: Site, *, title: str = "Other", redirect_uri: str = "https://other.test/cb") -> AppSide:
    """Another application of the same portal."""
    fields = {"TITLE": title, "REDIRECT_URI": redirect_uri, "SCOPE": "crm"}
    added = await site.portal.result("application.add", fields)
    return AppSide(site.live, added["client_id"], added["client_secret"])


async def another_portal(site: Site, url: str = "http://second.test") -> Site:
    """Another portal of the same relay, with an application of its own."""
    portal = PortalSide(site.live, url)
    await portal.register()
    fields = {"TITLE": "There", "REDIRECT_URI": "https://there.test/cb", "SCOPE": "crm"}
    added = await portal.result("application.add", fields)
    return Site(site.live, portal, AppSide(site.live, added["client_id"], added["client_secret"]), site.sink)


async def stored_app(site: Site) -> App:
    """The site's application as the operator's commands find it."""
    directory = await site.live.relay.portals.current()
    (app,) = directory.apps_by_client(site.app.client_id)
    return app


async def as_jwt(site: Site, audience: str = "") -> None:
    """What the operator does to have an application given JWTs."""
    await site.live.relay.applications.configure(await stored_app(site), token_format="jwt", audience=audience)


def basic(name: str, password: str) -> tuple[str, str]:
    """An Authorization header."""
    return "Authorization", f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"


async def introspect(app: AppSide, token: str) -> Answer:
    """RFC 7662."""
    return await app.live.ask(post("/oauth/introspect", form(app.grant(token=token))))


async def revoke(app: AppSide, token: str, **hint: str) -> Answer:
    """RFC 7009."""
    return await app.live.ask(post("/oauth/revoke", form(app.grant(token=token, **hint))))


async def begin_pkce(site: Site, state: str, challenge: str = CHALLENGE, method: str = "S256") -> Answer:
    """The browser comes to `/oauth/authorize` with a challenge."""
    query = form(
        {
            "client_id": site.app.client_id,
            "state": state,
            "code_challenge": challenge,
            "code_challenge_method": method,
        }
    )
    return await site.live.ask(get(f"/oauth/authorize/?{query.decode()}"))


async def audit(site: Site, kind: str = "") -> list[AuditEntry]:
    """The audit record's entries of a kind, oldest first."""
    return list(reversed(await site.live.relay.store.list_audit(0, kind, 1000)))


async def written_down(site: Site, kind: str, count: int = 1) -> list[AuditEntry]:
    """Entries that housekeeping writes, once so many events are counted in them."""

    async def there() -> bool:
        return sum(_count(entry) for entry in await audit(site, kind)) >= count

    await until(there)
    return await audit(site, kind)


def details(entry: AuditEntry) -> Mapping[str, Any]:
    """An entry's details."""
    return entry.details or {}


def _count(entry: AuditEntry) -> int:
    return int(details(entry).get("count", 1))


@dataclass(slots=True)
class Verdicts:
    """What `rest.check`, `app.info` and introspection say of a token; they must agree."""

    site: Site

    async def of(self, token: str) -> str:
        """`good`, or the error that `rest.check` and `app.info` give."""
        checked = (await self.site.check(token)).error
        informed = (await self.site.app.info(token)).error
        said = (await introspect(self.site.app, token)).json
        assert checked == informed
        assert said["active"] is (checked is None)
        if checked is not None:
            assert said == {"active": False}
        return checked or "good"
