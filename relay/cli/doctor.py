"""`relay doctor`: look at everything, say what is wrong and what to do; exit 1 if anything failed.

Leans on `probes.py` for the looking and on `relay.app.doctor` for the judgement. Changes nothing, and works while
the relay runs as well as while it does not.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import typer

from relay.app.doctor import Finding, Message, Result, examine
from relay.app.observations import DatabaseState, Observed
from relay.cli.failures import FAILED, sentence
from relay.cli.options import AsJson, Home
from relay.cli.terminal import Terminal, terminal_of
from relay.config import CONFIG_FILE, Config, ConfigError, load_config
from relay.core.errors import RelayError
from relay.core.vault import CannotOpen

if TYPE_CHECKING:
    from relay.opened import Relay

EXAMPLES = """
relay doctor
relay doctor --home /var/lib/relay --json
"""


def doctor(ctx: typer.Context, home: Home = None, as_json: AsJson = False) -> None:
    """Check the relay and say what to do about what is wrong.

    It ends with status 1 if a check failed; a warning alone is no failure.
    """
    terminal = terminal_of(ctx, home, as_json)
    findings = _examine(terminal)
    failed = any(finding.result is Result.FAILED for finding in findings)
    if terminal.as_json:
        checks = [_document(terminal, finding) for finding in findings]
        terminal.document({"ok": not failed, "checks": checks})
    else:
        _show(terminal, findings, failed)
    if failed:
        raise typer.Exit(FAILED)


def _examine(terminal: Terminal) -> list[Finding]:
    try:
        config = load_config(terminal.home)
        if not config.home.is_dir():
            raise ConfigError(f"There is no relay in {config.home}. Make one: relay init --home {config.home}")
    except ConfigError as error:
        return [_settings(terminal, error)]
    return [_settings(terminal, None), *examine(asyncio.run(_look(terminal, config)))]


async def _look(terminal: Terminal, config: Config) -> Observed:
    from relay.cli.probes import database_state, look  # noqa: PLC0415 - slow to import
    from relay.opened import configure_logging, open_relay  # noqa: PLC0415 - slow to import

    configure_logging("error", "text")
    state = database_state(config)
    relay: Relay | None = None
    if not state.fault and state.found == state.newest:
        try:
            relay = open_relay(config)
            await relay.store.directory()
        except (RelayError, CannotOpen) as error:
            state = DatabaseState(state.found, state.newest, sentence(error, terminal).rstrip("."))
    try:
        return await look(config, relay, state, terminal.relay)
    finally:
        if relay is not None:
            await relay.store.close()


def _settings(terminal: Terminal, error: ConfigError | None) -> Finding:
    if error is None:
        return Finding("settings", Result.OK, Message("They can be read."))
    remedy = Message(
        "Correct {path}, or make a relay: {relay} init",
        {"path": terminal.home / CONFIG_FILE, "relay": terminal.relay},
    )
    return Finding("settings", Result.FAILED, Message("{reason}", {"reason": sentence(error, terminal)}), remedy)


def _say(terminal: Terminal, message: Message | None) -> str:
    """The message in the user's language; a reason among its values is translated too."""
    if message is None:
        return ""
    tr = terminal.tr
    values = {
        name: tr.finished(value) if name == "reason" and isinstance(value, str) else value
        for name, value in message.values.items()
    }
    return tr(message.text, **values)


def _document(terminal: Terminal, finding: Finding) -> dict[str, Any]:
    return {
        "check": finding.check,
        "subject": finding.subject or None,
        "result": str(finding.result),
        "message": _say(terminal, finding.says),
        "remedy": _say(terminal, finding.remedy) or None,
    }


def _show(terminal: Terminal, findings: list[Finding], failed: bool) -> None:
    from relay.cli.tables import show_wrapped  # noqa: PLC0415 - slow to import

    tr = terminal.tr
    results = {Result.OK: tr("ok"), Result.WARNING: tr("warning"), Result.FAILED: tr("FAILED")}
    names = check_names(terminal)
    rows = []
    for finding in findings:
        name = names[finding.check]
        checked = f"{name}: {finding.subject}" if finding.subject else name
        result = f"{results[finding.result]}. {_say(terminal, finding.says)}"
        rows.append([checked, result, _say(terminal, finding.remedy)])
    show_wrapped(terminal, [tr("Check"), tr("Result"), tr("What to do")], rows)
    terminal.say()
    terminal.say(tr("Something needs your attention.") if failed else tr("Nothing failed."))


def check_names(terminal: Terminal) -> dict[str, str]:
    """What each check is called."""
    tr = terminal.tr
    return {
        "settings": tr("Settings"),
        "permissions": tr("Permissions"),
        "database": tr("Database"),
        "disk": tr("Free disk space"),
        "listener": tr("Listener"),
        "public_url": tr("Public address"),
        "clock": tr("Clock"),
        "portal": tr("Registration of the portal"),
        "portal_reachable": tr("Reaching the portal"),
        "handler_host": tr("Host of handlers"),
        "events": tr("Events"),
        "held_events": tr("Held events"),
    }
