"""What portals call: `/oauth/register/` and the methods below `/rest/` (protocol.md sections 2 and 3).

Leans on the use cases. Never answers a passing failure with JSON: a portal keeps every JSON error for an hour.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.app.failures import TooManyFailures, shown_client_id
from relay.core.errors import InvalidClient, InvalidRequest, RegistrationRefused, Unavailable
from relay.core.phpform import Form, parse_form
from relay.web.answers import json_answer
from relay.web.peer import client_address
from relay.web.requests import read_body

if TYPE_CHECKING:
    from aiohttp import web

    from relay.app.adoption import Adoption
    from relay.app.failures import Failures
    from relay.app.portal_calls import PortalCalls
    from relay.app.portals import Portals
    from relay.web.limits import ServiceLimits


class PortalRoutes:
    """Answers portals."""

    def __init__(
        self,
        portals: Portals,
        calls: PortalCalls,
        adoption: Adoption,
        failures: Failures,
        limits: ServiceLimits,
    ) -> None:
        self._portals = portals
        self._calls = calls
        self._adoption = adoption
        self._failures = failures
        self._limits = limits

    def knows(self, method: str) -> bool:
        """Whether there is such a method below `/rest/`."""
        return self._calls.knows(method)

    async def call(self, method: str, request: web.Request) -> web.StreamResponse:
        """One `/rest/` method."""
        form = await self._form(request)
        try:
            return json_answer(await self._calls.answer(method, form))
        except InvalidClient:
            self._failed(request, "portal.refused", shown_client_id(form.get("client_id")))
            raise

    async def register(self, request: web.Request) -> web.StreamResponse:
        """`/oauth/register/`."""
        form = await self._form(request)
        address = client_address(request, self._limits.proxies)
        try:
            given = await self._portals.register(form, address)
        except RegistrationRefused:
            self._failed(request, "portal.registration_refused", form.get("redirect_uri"))
            raise
        self._failures.noted("portal.credentials_given", given["client_id"], address)
        return json_answer(given)

    async def adopt(self, request: web.Request) -> web.StreamResponse:
        """`relay.adopt`: a portal that has a connection code hands over what it has."""
        form = await self._form(request)
        address = client_address(request, self._limits.proxies)
        try:
            return json_answer(
                {"result": await self._adoption.adopt_by_code(form.get("CODE"), form.get("PORTAL"), address)}
            )
        except InvalidClient:
            self._failed(request, "portal.adoption_refused", "")
            raise

    def _failed(self, request: web.Request, kind: str, subject: str) -> None:
        """Valid credentials are never held up; failing ones are, and not by a JSON error. Raises Unavailable."""
        address = client_address(request, self._limits.proxies)
        try:
            self._failures.check(("address", address))
        except TooManyFailures as error:
            raise Unavailable("too many failed calls") from error
        self._failures.failed(("address", address), kind, subject, address)

    async def _form(self, request: web.Request) -> Form:
        if request.method != "POST":
            raise InvalidRequest("Use POST.", status=405)
        limits = self._limits.portal_form
        return parse_form(await read_body(request, limits.max_bytes, self._limits.body_timeout_s), limits)
