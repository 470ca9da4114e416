"""The table of `/rest/` methods a portal may call, and `batch` over it (protocol.md section 3).

Leans on the use cases, one a method. A method that is not in the table does not exist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from relay import __version__
from relay.core.errors import InvalidRequest, RelayError, Unavailable, UnknownMethod
from relay.core.phpform import parse_form, readable
from relay.core.portal_rpc import parse_batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from relay.app.applications import Applications
    from relay.app.bundles import Bundles
    from relay.app.facts import Facts
    from relay.app.intake import Intake
    from relay.app.portals import Portals
    from relay.app.settings import IntakeSettings
    from relay.app.tokens import Tokens
    from relay.core.directory import Directory
    from relay.core.model import Portal
    from relay.core.phpform import Form, FormLimits
    from relay.ports import Clock

    Method = Callable[[Directory, Portal, Form], Awaitable[Any]]


MAX_ECHO = 200


class PortalCalls:
    """Answers a portal's `/rest/` calls."""

    def __init__(
        self,
        portals: Portals,
        applications: Applications,
        tokens: Tokens,
        intake: Intake,
        bundles: Bundles,
        facts: Facts,
        settings: IntakeSettings,
        form_limits: FormLimits,
        clock: Clock,
    ) -> None:
        self._portals = portals
        self._clock = clock
        self._settings = settings
        self._form_limits = form_limits
        self._methods: dict[str, Method] = {
            "application.add": lambda _directory, portal, form: applications.add_from_portal(portal, form),
            "application.update": applications.update,
            "application.delete": applications.delete,
            "application.install": applications.install,
            "application.install.subscription": applications.install,
            "application.uninstall": applications.uninstall,
            "application.list": _nothing_to_list,
            "application.usage.add": _taken_note_of,
            "rest.authorize": tokens.authorize,
            "rest.check": tokens.check,
            "rest.code": tokens.issue_code,
            "rest.event.call": lambda _directory, portal, form: intake.event_call(portal, form),
            "relay.bundle": bundles.bundle,
            "relay.echo": self._echo,
            "relay.facts": facts.take,
            "methods": self._list_methods,
            "batch": self._batch,
        }

    def knows(self, method: str) -> bool:
        """Whether there is such a method."""
        return method in self._methods

    async def answer(self, method: str, form: Form) -> dict[str, Any]:
        """The whole JSON answer of one call. Raises RelayError."""
        directory, portal = await self._portals.authenticate(form)
        return await self._answer(method, directory, portal, form)

    async def _answer(self, method: str, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        call = self._methods.get(method)
        if call is None:
            raise UnknownMethod
        result = await call(directory, portal, form)
        return result if method == "batch" else {"result": result}

    async def _echo(self, _directory: Directory, _portal: Portal, form: Form) -> dict[str, Any]:
        """`relay.echo`: what the module's check sends comes back, with the relay's time and version."""
        return {
            "echo": readable(form.get("TOKEN"))[:MAX_ECHO],
            "time": self._clock.now_ms() // 1000,
            "version": __version__,
        }

    async def _list_methods(self, _directory: Directory, _portal: Portal, _form: Form) -> list[str]:
        return sorted(self._methods)

    async def _batch(self, directory: Directory, portal: Portal, form: Form) -> dict[str, Any]:
        """Each command's result under its key; a command that fails does not stop the others.

        A passing failure fails the whole batch, so that no JSON error of it is cached (section 4).
        """
        results: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        for key, (method, query) in parse_batch(form, self._settings.max_batch_commands).items():
            try:
                if method == "batch":
                    raise InvalidRequest("A batch may not hold a batch.")
                answer = await self._answer(method, directory, portal, parse_form(query, self._form_limits))
                results[key] = answer["result"]
            except Unavailable:
                raise
            except RelayError as error:
                errors[key] = {"error": error.code, "error_description": error.description}
            directory = await self._portals.current()
        return {"result": results, "result_error": errors}


async def _nothing_to_list(_directory: Directory, _portal: Portal, _form: Form) -> list[Any]:
    """`application.list`: a local application must never be listed, or the portal adds it again."""
    return []


async def _taken_note_of(_directory: Directory, _portal: Portal, _form: Form) -> bool:
    """`application.usage.add`: exactly true, or the portal repeats it every hour."""
    return True
