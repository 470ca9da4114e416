"""`relay selftest`: the issuer's security checklist against the running relay, as a table to show a security officer.

Leans on `relay.app.selftest` for the checks and on aiohttp to ask over HTTP. Exit status 1 if any check failed. The
temporary portal is removed again also when the command is stopped.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
import typer
from yarl import URL

from relay.app.selftest import SelfTest, WrongRelay
from relay.app.selftest_bed import NoAnswer, Reply
from relay.cli.failures import FAILED, Failed
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.tables import show_table
from relay.cli.terminal import Terminal, terminal_of
from relay.clock import system_entropy
from relay.config import split_listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from relay.app.selftest import Finding
    from relay.app.selftest_bed import Ask
    from relay.config import Config
    from relay.opened import Relay

EXAMPLES = """
relay selftest
relay selftest --url https://relay.example.com
relay selftest --home /var/lib/relay --json
"""
ANSWER_S = 20.0
_STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def selftest(
    ctx: typer.Context,
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Where to ask the relay; else at its own listener on this machine."),
    ] = None,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Run the security checklist of the OAuth standards against the running relay.

    It makes a temporary portal with applications and removes them again. It ends with status 1 if a check failed.
    """
    terminal = terminal_of(ctx, home, as_json)
    asked, findings = with_relay(terminal, lambda relay: _run(terminal, relay, url))
    passed = all(finding.passed for finding in findings)
    if terminal.as_json:
        checks = [_document(terminal, finding) for finding in findings]
        terminal.document({"ok": passed, "url": asked, "checks": checks})
    else:
        _show(terminal, findings, asked)
    if not passed:
        raise typer.Exit(FAILED)


async def _run(terminal: Terminal, relay: Relay, url: str | None) -> tuple[str, list[Finding]]:
    tr, stopped = terminal.tr, _stop_on_signals()
    asked = (url or _listener_url(relay.config)).rstrip("/")
    test = SelfTest(relay.portals, relay.applications, relay.store, relay.clock, system_entropy, relay.config.origin)
    try:
        async with _asking(asked) as ask:
            return asked, await test.run(ask)
    except WrongRelay:
        raise Failed(tr("The relay that answers at {url} does not use this home directory.", url=asked)) from None
    except NoAnswer:
        message = tr("No relay answers at {url}. Start it: {relay} serve", url=asked, relay=terminal.relay)
        raise Failed(message) from None
    except asyncio.CancelledError:
        if not stopped:
            raise
        raise Failed(tr("Stopped. The temporary portal is removed.")) from None


def _stop_on_signals() -> list[int]:
    """Have the running task cancelled by what would end the process otherwise; which signals came."""
    came: list[int] = []
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def stop(number: int) -> None:
        came.append(number)
        if task is not None and len(came) == 1:
            task.cancel()

    for number in _STOPPING_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    return came


@asynccontextmanager
async def _asking(url: str) -> AsyncIterator[Ask]:
    """A way to ask the relay, which follows no redirect and keeps no cookie."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session:

        async def ask(
            method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
        ) -> Reply:
            try:
                async with session.request(
                    method, URL(url + target, encoded=True), data=body, headers=headers, allow_redirects=False
                ) as answer:
                    named = {name.lower(): value for name, value in answer.headers.items()}
                    return Reply(answer.status, named, await answer.read())
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                raise NoAnswer from error

        yield ask


def _listener_url(config: Config) -> str:
    host, port = split_listen(config.listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _document(terminal: Terminal, finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "title": check_titles(terminal)[finding.check],
        "source": finding.source,
        "result": "ok" if finding.passed else "failed",
        "expected": finding.expected or None,
        "found": finding.found or None,
    }


def _show(terminal: Terminal, findings: list[Finding], asked: str) -> None:
    tr, titles = terminal.tr, check_titles(terminal)
    rows = []
    for finding in findings:
        result = tr("ok")
        if not finding.passed:
            result = tr("FAILED: expected {expected}, found {found}", expected=finding.expected, found=finding.found)
        rows.append([titles[finding.check], finding.source, result])
    terminal.say(tr("The security checklist of the relay at {url}:", url=asked))
    terminal.say()
    show_table(terminal, [tr("Check"), tr("Source"), tr("Result")], rows)
    terminal.say()
    failed = sum(not finding.passed for finding in findings)
    if failed:
        terminal.say(tr("{failed} of {count} checks failed.", failed=failed, count=len(findings)))
    else:
        terminal.say(tr("All {count} checks passed.", count=len(findings)))


def check_titles(terminal: Terminal) -> dict[str, str]:
    """What each check is called."""
    tr = terminal.tr
    return {
        "redirect_uri_exact_match": tr("Codes go to the registered redirect URI only"),
        "code_single_use": tr("A code is good once"),
        "code_reuse_revokes": tr("A code used again ends what it gave"),
        "code_bound_to_client": tr("A code is good for its own client only"),
        "code_lifetime": tr("A code lives 30 seconds at most"),
        "pkce_s256": tr("PKCE: the right verifier is needed"),
        "pkce_s256_only": tr("PKCE: only the method S256 is taken"),
        "verifier_without_challenge": tr("PKCE: a verifier without a challenge is refused"),
        "no_implicit_grant": tr("There is no implicit grant"),
        "no_password_grant": tr("There is no password or client credentials grant"),
        "issuer_in_response": tr("The authorization response names its issuer"),
        "client_authenticated": tr("Clients are authenticated on every endpoint"),
        "portal_authenticated": tr("Portals are authenticated on every call"),
        "one_client_auth_method": tr("A client authenticates in one way at a time"),
        "duplicate_parameters": tr("A parameter given twice is refused"),
        "uniform_client_errors": tr("An unknown client and a wrong secret get one answer"),
        "guessing_is_slowed_down": tr("Guessing secrets is slowed down, valid ones are not"),
        "refresh_bound_to_client": tr("A refresh token is good for its own client only"),
        "refresh_rotates": tr("A refresh token is replaced when it is used"),
        "refresh_ends": tr("A refresh token that is not used ends"),
        "revoke_unknown": tr("Revoking an unknown token is answered 200"),
        "revoke_refuses_foreign": tr("A client cannot revoke another one's token"),
        "revoked_at_once": tr("A revoked token is refused at once everywhere"),
        "introspection_of_foreign": tr("Introspection tells nothing of another one's token"),
        "sealed_token_unforgeable": tr("An access token with any byte changed is refused"),
        "no_store": tr("No answer with a token may be kept"),
        "never_307": tr("No redirect repeats a request"),
        "metadata": tr("The metadata document says what is there"),
        "jwt_by_key_set": tr("JWT: a service verifies it by the key set alone"),
        "jwt_algorithm_pinned": tr("JWT: none and HMAC algorithms are refused"),
        "jwt_brings_no_key": tr("JWT: a key that comes with the token is ignored"),
        "jwt_type_required": tr("JWT: another type of document is refused"),
        "jwt_unknown_crit": tr("JWT: an unknown critical header is refused"),
        "jwt_claims_required": tr("JWT: every required claim is needed"),
        "bundle_verifies": tr("The validation bundle verifies and knows revocations"),
    }
