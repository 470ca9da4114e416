"""relay.toml: written once with every setting explained and switched off, edited in place afterwards.

Leans on tomlkit, which keeps comments and order. The defaults shown are those of the configuration itself, so the
two cannot differ. Never changes a setting that was not named.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import ParseError

from relay.config import Config, ConfigError, RulesSection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.i18n import Translator

TOP_SETTINGS = {
    "public_url": "The address at which the portal and the apps reach this relay, e.g. https://relay.example.com",
    "listen": "Where the portal and the apps are answered (HOST:PORT).",
    "admin_listen": "Where the administrator's page and the metrics are (HOST:PORT); keep it off the network.",
    "trusted_proxies": "Addresses of web servers before the relay whose X-Forwarded-For is believed.",
    "ca_file": "A PEM file with the authority that issued the relay's certificate, for the portal's module to trust.",
    "store": "Where the data are: empty for one SQLite file, or postgresql://user:password@host/database.",
    "queue": "The broker between several relays: empty for none, or amqp://user:password@host/vhost.",
}
SECTIONS = {
    "tokens": "How long tokens and codes live, in seconds.",
    "limits": "The largest requests that are taken.",
    "delivery": "How much is delivered at once, and how much may wait.",
    'apps."*"': "How events are delivered to an application's handlers: * for every one, or a client id for its own.",
    "retention": "How many days events that are over are kept.",
    "keys": "How often keys change, and how long the portal's module may go on without the relay, in seconds.",
    "housekeeping": "How what has ended is deleted: every so many seconds, so many rows a round.",
    "throttle": "How much a client or address that fails may ask: units at once, units a second, units a failure.",
    "log": 'The log on standard error: level is "debug", "info", "warning" or "error", format is "text" or "json".',
}
INTRODUCTION = "Settings of the relay. A line that begins with # shows a default: remove the # to change it."
AFTERWARDS = "A change takes effect when `relay serve` is started again."


def new_settings(tr: Translator) -> str:
    """The text of a first relay.toml: everything explained, nothing set."""
    lines = [f"# {tr(INTRODUCTION)}", f"# {tr(AFTERWARDS)}"]
    for name, comment in TOP_SETTINGS.items():
        lines += ["", f"# {tr(comment)}", _switched_off(name, Config.model_fields[name].default)]
    for name, comment in SECTIONS.items():
        lines += ["", f"# {tr(comment)}", f"[{name}]"]
        section = Config.model_fields[name].default if name in Config.model_fields else RulesSection()
        lines += [_switched_off(key, value) for key, value in section.model_dump(mode="json").items()]
    return "\n".join(lines) + "\n"


def with_settings(text: str, changes: Mapping[str, str]) -> str:
    """The text with these top-level settings set; all else stays as it is. Raises ConfigError for a broken file."""
    for name, value in changes.items():
        text = _with_setting(text, name, value)
    return text


def _with_setting(text: str, name: str, value: str) -> str:
    document = _parse(text)
    if name not in document:
        # Switch on the line that shows the default, which stands beside its explanation.
        line = re.compile(rf"^#\s*{re.escape(name)}\s*=.*$", re.MULTILINE)
        head, table, rest = _split_at_first_table(text)
        replaced, found = line.subn(lambda _: f"{name} = {_toml(value)}", head, count=1)
        if found:
            return replaced + table + rest
        return f"{name} = {_toml(value)}\n" + text
    if document[name] != value:
        document[name] = value
    return tomlkit.dumps(document)


def _split_at_first_table(text: str) -> tuple[str, str, str]:
    found = re.search(r"^\s*\[", text, re.MULTILINE)
    return (text, "", "") if found is None else (text[: found.start()], found.group(), text[found.end() :])


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except ParseError as error:
        raise ConfigError(f"relay.toml is not a TOML file: {error}") from error


def _switched_off(name: str, value: Any) -> str:
    return f"# {name} = {_toml(value)}"


def _toml(value: Any) -> str:
    if value == {}:
        return "{}"
    text: str = tomlkit.item(list(value) if isinstance(value, tuple) else value).as_string()
    return text
