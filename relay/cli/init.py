"""`relay init`: a home directory with everything `relay serve` needs; running it again changes only what is asked.

Leans on `home.py` and `settings_file.py`. The administrator's password is shown once, when it is made, and stored
only as an argon2 hash. Never overwrites a key, a database or a setting that was not named.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay.cli.failures import Failed
from relay.cli.home import make_home, make_master_key, replace_text
from relay.cli.opening import with_relay
from relay.cli.options import AsJson, Home
from relay.cli.settings_file import new_settings, with_settings
from relay.cli.terminal import Terminal, terminal_of
from relay.config import CONFIG_FILE, MASTER_KEY_FILE, Config, load_config, split_listen
from relay.core.vault import CannotOpen

if TYPE_CHECKING:
    from pathlib import Path

    from relay.opened import Relay

EXAMPLES = """
relay init
relay init --home /var/lib/relay --public-url https://relay.example.com
relay init --public-url https://relay.example.com --listen 0.0.0.0:8080
"""
# No letters that look alike; 20 of 31 signs are 99 bits.
_PASSWORD_SIGNS = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105 - an alphabet
_PASSWORD_GROUPS, _GROUP_SIGNS = 4, 5


def init(
    ctx: typer.Context,
    public_url: Annotated[
        str | None,
        typer.Option(
            "--public-url", metavar="URL", help="The address at which the portal and the apps reach this relay."
        ),
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option(
            "--listen",
            metavar="HOST:PORT",
            help="Where the portal and the apps are answered; 127.0.0.1:8080 unless set.",
        ),
    ] = None,
    admin_listen: Annotated[
        str | None,
        typer.Option(
            "--admin-listen",
            metavar="HOST:PORT",
            help="Where the administrator's page is; 127.0.0.1:8081 unless set.",
        ),
    ] = None,
    new_admin_password: Annotated[
        bool,
        typer.Option("--new-admin-password", help="Make a new administrator's password in place of a forgotten one."),
    ] = False,
    home: Home = None,
    as_json: AsJson = False,
) -> None:
    """Make a relay in the home directory, or change the settings of the one that is there.

    It makes the configuration, the master key, the database and the administrator's password, which is shown once.
    Running it again is safe.
    """
    terminal = terminal_of(ctx, home, as_json)
    given = {"public_url": public_url, "listen": listen, "admin_listen": admin_listen}
    changes = {name: _checked(name, value, terminal) for name, value in given.items() if value is not None}
    new_home = make_home(terminal.home)
    _write_settings(terminal, changes)
    config = load_config(terminal.home)
    key_made = make_master_key(terminal.home)
    try:
        password = with_relay(terminal, lambda relay: _admin_password(relay, new_admin_password), upgrade=True)
    except CannotOpen:
        if key_made:  # a database elsewhere was made with another key: this one must not stay
            (terminal.home / MASTER_KEY_FILE).unlink()
        raise
    if terminal.as_json:
        terminal.document(_result(config, new_home or key_made, password))
    else:
        _tell(terminal, config, key_made, password)


def _write_settings(terminal: Terminal, changes: dict[str, str]) -> None:
    path = terminal.home / CONFIG_FILE
    old = path.read_text(encoding="utf-8") if path.exists() else None
    new = with_settings(new_settings(terminal.tr) if old is None else old, changes)
    if new != old:
        replace_text(path, new)


def _checked(name: str, value: str, terminal: Terminal) -> str:
    """The value in the form the configuration keeps it in. Raises Failed."""
    tr = terminal.tr
    if name != "public_url":
        try:
            split_listen(value)
        except ValueError:
            raise Failed(
                tr("{value} cannot be listened on: write HOST:PORT, like 127.0.0.1:8080.", value=value)
            ) from None
        return value
    from relay.app.portals import normalize_origin  # noqa: PLC0415 - only where it is needed
    from relay.core.errors import InvalidRequest  # noqa: PLC0415

    try:
        origin = normalize_origin(value)
    except InvalidRequest:
        origin = ""
    if not origin or value.strip().rstrip("/").count("/") != 2:
        raise Failed(
            tr(
                "{value} cannot be the public URL: it must be like https://relay.example.com, without a path.",
                value=value,
            )
        )
    return origin


async def _admin_password(relay: Relay, anew: bool) -> str | None:
    """Make the administrator's password unless there is one; the password if it was made."""
    from argon2 import PasswordHasher  # noqa: PLC0415 - only where it is needed

    await relay.store.directory()  # raises CannotOpen for another relay's master key
    if await relay.store.admin_password_hash() is not None and not anew:
        return None
    groups = ("".join(secrets.choice(_PASSWORD_SIGNS) for _ in range(_GROUP_SIGNS)) for _ in range(_PASSWORD_GROUPS))
    password = "-".join(groups)
    await relay.store.set_admin_password_hash(PasswordHasher().hash(password))
    return password


def _result(config: Config, created: bool, password: str | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "home": str(config.home.resolve()),
        "created": created,
        "config": str((config.home / CONFIG_FILE).resolve()),
        "public_url": config.public_url,
        "oauth_url": config.origin,
        "listen": config.listen,
        "admin_listen": config.admin_listen,
        "admin_user": "admin",
    }
    return document | ({"admin_password": password} if password else {})


def _tell(terminal: Terminal, config: Config, created: bool, password: str | None) -> None:
    tr, say = terminal.tr, terminal.say
    home: Path = terminal.home
    if created:
        say(tr("The relay in {home} is made.", home=home.resolve()))
    else:
        say(tr("The relay in {home} was there already and is ready.", home=home.resolve()))
    say(tr("Settings: {path}", path=(home / CONFIG_FILE).resolve()))
    if password:
        say(tr("Administrator: admin, password: {password}", password=password))
        say(tr("Write the password down now: it is not shown again."))
    else:
        say(tr("The administrator's password exists already and is not shown again."))
    say()
    say(tr("What to do next:"))
    relay = terminal.relay
    say("  1. " + tr("Start the relay:") + f"  {relay} serve")
    say("  2. " + tr("Announce your portal:") + f"  {relay} portal add https://portal.example.com")
    if not config.public_url:
        say(
            "  3. "
            + tr("Say at which address the portal reaches this relay:")
            + f"  {relay} init --public-url https://relay.example.com"
        )
