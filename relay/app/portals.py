"""Announcing, registering and recognising portals.

Leans on the directory store and the vault. Registration is not open: only an announced portal, at its announced
address, within its window, and with a valid licence hash where the licence was given. The stored URL of a portal
is the announced one; nothing a call says ever replaces it (from cron the portal does not know its own name).
"""

from __future__ import annotations

import base64
import hmac
import json
from hashlib import md5
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from relay.core.errors import InvalidClient, InvalidRequest, NotFound, RegistrationRefused
from relay.core.sealed import KEY_BYTES
from relay.core.urlpolicy import parse_allow
from relay.core.vault import NONCE_BYTES, hash_token
from relay.records import AuditEntry, NewPortal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from relay.core.directory import Directory
    from relay.core.model import Portal
    from relay.core.phpform import Form
    from relay.core.vault import Vault
    from relay.ports import Clock, Entropy, Store

PORTAL_SECRET = "portal-client-secret"  # noqa: S105 - the purpose of a sealed value, not a secret
SEALING_KEY = "sealing-key"
SECRET_BYTES = 25
CONNECT_CODE_BYTES = 16
_REFUSED = "This portal may not register here. Announce it first: relay portal add {}"


class Portals:
    """The portals of this relay."""

    def __init__(self, store: Store, vault: Vault, clock: Clock, entropy: Entropy) -> None:
        self._store = store
        self._vault = vault
        self._clock = clock
        self._entropy = entropy

    async def announce(
        self, url: str, *, licence_md5: str | None = None, window_s: int, allow: Sequence[str] = ()
    ) -> Portal:
        """Let the portal at `url` register for `window_s` seconds; again for one already known.

        allow: hosts and CIDRs added to where its handlers may be. Raises InvalidRequest for a bad URL or entry.
        """
        origin = normalize_origin(url)
        if licence_md5 is not None and not _is_md5(licence_md5):
            raise InvalidRequest("The licence md5 must be 32 hexadecimal characters: md5 of the licence key.")
        try:
            entries = tuple(dict.fromkeys(parse_allow(entry) for entry in allow))
        except ValueError as error:
            raise InvalidRequest(str(error)) from error
        portal_id = await self._store.announce_portal(
            NewPortal(
                url=origin,
                licence_md5=licence_md5.lower() if licence_md5 else None,
                window_until=self._now() + window_s,
                allow=entries,
                key_sealed=self._vault.seal(SEALING_KEY, self._entropy(KEY_BYTES), self._entropy(NONCE_BYTES)),
            ),
            self._now(),
        )
        return (await self._store.directory()).portals[portal_id]

    async def connection_code(self, portal: Portal, oauth_url: str, ca_pem: str | None = None) -> str:
        """One line for the portal's module: where the relay is, whose certificate to trust, and a one-time code.

        The code is good within the portal's window; its hash alone is kept.
        """
        code = self._entropy(CONNECT_CODE_BYTES).hex()
        await self._store.set_connect_hash(portal.id, hash_token(code))
        document: dict[str, object] = {"v": 1, "url": oauth_url, "code": code}
        if ca_pem:
            document["ca"] = ca_pem
        return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()

    async def find(self, name: str) -> Portal:
        """The portal of that id or URL, for the command line. Raises NotFound."""
        directory = await self._store.directory()
        if name.isdigit() and int(name) in directory.portals:
            return directory.portals[int(name)]
        try:
            portal = directory.portal_by_url(normalize_origin(name))
        except InvalidRequest:
            portal = None
        if portal is None:
            raise NotFound(f"No portal {name} is announced here. `relay portal list` shows those that are.")
        return portal

    async def remove(self, portal: Portal) -> None:
        """Forget a portal, its applications and grants. Raises Conflict while events wait for delivery."""
        await self._store.remove_portal(portal.id)

    async def authenticate(self, form: Form) -> tuple[Directory, Portal]:
        """The portal a `/rest/` call comes from (protocol.md section 2). Raises InvalidClient."""
        directory = await self._store.directory()
        portal = directory.portal_by_client(form.get("client_id"))
        stored = portal.secret_hash if portal and portal.secret_hash else b""
        if not self._vault.matches(form.get("client_secret"), stored) or portal is None:
            raise InvalidClient("The portal's client id or secret is not valid here.")
        return directory, portal

    async def current(self) -> Directory:
        """The newest snapshot."""
        return await self._store.directory()

    async def register(self, form: Form, address: str = "") -> dict[str, str]:
        """Answer `/oauth/register/` (protocol.md section 3): top-level client_id and client_secret.

        The same portal gets the same pair again, also when two of its processes register at once.
        Raises RegistrationRefused or InvalidRequest; `{}` would wipe the portal's registration.
        """
        directory = await self._store.directory()
        portal = self._announced(directory, form)
        licence = form.get("BX_LICENCE")
        pin = hash_token(licence) if licence else None
        self._check_licence(portal, form, pin)
        if portal.client_id is None:
            portal = await self._register_new(portal, pin, address)
        elif portal.licence_pin is None and pin is not None:
            await self._store.pin_licence(portal.id, pin)
        secret = self._vault.open(PORTAL_SECRET, portal.secret_sealed or b"").decode()
        return {"client_id": portal.client_id or "", "client_secret": secret}

    async def _register_new(self, portal: Portal, pin: bytes | None, address: str) -> Portal:
        client_id = new_client_id("portal", self._entropy)
        secret = self._entropy(SECRET_BYTES).hex()
        await self._store.register_portal(
            portal.id,
            client_id,
            self._vault.hash_secret(secret),
            self._vault.seal(PORTAL_SECRET, secret.encode(), self._entropy(NONCE_BYTES)),
            pin,
            AuditEntry("portal.registered", self._now(), portal.id, None, {"address": address}),
        )
        return (await self._store.directory()).portals[portal.id]

    def _announced(self, directory: Directory, form: Form) -> Portal:
        redirect_uri = form.get("redirect_uri")
        member_id = form.get("member_id")
        if redirect_uri.rstrip("/") in {"http:", "https:", ""}:
            # From cron the portal does not know its own address; its member_id does as well.
            known = (portal for portal in directory.portals.values() if member_id and portal.member_id == member_id)
            portal = next(known, None)
            where = "URL"
        else:
            origin = normalize_origin(redirect_uri)
            portal = directory.portal_by_url(origin)
            where = origin
        if portal is None:
            raise RegistrationRefused(_REFUSED.format(where))
        if self._now() >= portal.window_until:
            raise RegistrationRefused(
                f"The time to register this portal is over. Open it again: relay portal add {portal.url}"
            )
        return portal

    def _check_licence(self, portal: Portal, form: Form, pin: bytes | None) -> None:
        if portal.licence_md5 is not None and not licence_hash_is_valid(form, portal.licence_md5):
            raise RegistrationRefused("The licence check failed: BX_HASH was not made with this portal's key.")
        pinned = portal.licence_pin
        if portal.licence_md5 is None and pinned is not None and not hmac.compare_digest(pinned, pin or b""):
            raise RegistrationRefused(
                f"Another licence registered as this portal before. If it changed: relay portal add {portal.url}"
            )

    def _now(self) -> int:
        return self._clock.now_ms() // 1000


def normalize_origin(url: str) -> str:
    """`scheme://host[:port]` without the scheme's own port, as the portal writes it. Raises InvalidRequest."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"Not a URL: {url[:200]!r}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or not url.isprintable():
        raise InvalidRequest("A portal's URL is its address in the browser, like https://portal.example.com")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    standard = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != standard else "")


def licence_hash_is_valid(form: Form, licence_md5: str) -> bool:
    """Whether BX_HASH = md5(md5(all values joined by "|") + md5(KEY)) (protocol.md section 2)."""
    values = "|".join(value for name, value in form.pairs if name != "BX_HASH")
    inner = md5(values.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()
    expected = md5((inner + licence_md5).encode(), usedforsecurity=False).hexdigest()
    return hmac.compare_digest(expected.encode(), form.get("BX_HASH").encode("utf-8", "surrogateescape"))


def new_client_id(prefix: str, entropy: Callable[[int], bytes]) -> str:
    """An id of the cloud's shape, e.g. `local.5c8bb1b0891cf2.87252039` (protocol.md section 6)."""
    return f"{prefix}.{entropy(7).hex()}.{int.from_bytes(entropy(4), 'little') % 10**8:08d}"


def _is_md5(text: str) -> bool:
    return len(text) == 32 and all(char in "0123456789abcdefABCDEF" for char in text)
