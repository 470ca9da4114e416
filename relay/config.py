"""Configuration: relay.toml in the home directory, overridden by the environment, every fault reported at once.

Leans on pydantic-settings. Unknown keys are refused, so that a typing error is never a silent default. Secrets are
not configuration: the master key is a file of its own (or RELAY_MASTER_KEY).
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from relay.app.portals import normalize_origin
from relay.app.settings import DeliverySettings, IntakeSettings, IssuerSettings, RetentionSettings, RoomSettings
from relay.app.transport import tls_context
from relay.core.breaker import BreakerPolicy
from relay.core.errors import ConfigError, InvalidRequest
from relay.core.lanes import Order
from relay.core.phpform import FormLimits
from relay.core.retry import RetryPolicy
from relay.core.rules import DEFAULT, DeliveryRules, RuleBook, Transport
from relay.core.throttle import BucketPolicy
from relay.core.tokens import Lifetimes
from relay.names import (
    CONFIG_FILE,
    DATABASE_FILE,
    DEFAULT_HOME,
    HOME_VARIABLE,
    LANGUAGE_VARIABLE,
    MASTER_KEY_FILE,
    MASTER_KEY_VARIABLE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.core.urlpolicy import Network

# Names that are this module's to give too.
__all__ = [
    "CONFIG_FILE",
    "DATABASE_FILE",
    "DEFAULT_HOME",
    "HOME_VARIABLE",
    "MASTER_KEY_FILE",
    "MASTER_KEY_VARIABLE",
    "ConfigError",
]

_NOT_SETTINGS = {HOME_VARIABLE, MASTER_KEY_VARIABLE, LANGUAGE_VARIABLE, "RELAY_DEBUG", "RELAY_VENV"}

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PROXY = re.compile(r"https?://[^/\s]+/?")
_OWN_HEADER = re.compile(
    r"host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|x-relay-.*|webhook-.*", re.IGNORECASE
)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TokensSection(_Section):
    """Lifetimes of tokens and codes."""

    access_s: Annotated[int, Field(gt=0, le=86400)] = 3600
    refresh_s: Count = 180 * 86400
    refresh_absolute_s: Count = 5 * 365 * 86400
    code_s: Annotated[int, Field(gt=0, le=30)] = 30
    refresh_grace_s: Annotated[int, Field(ge=0)] = 60


class LimitsSection(_Section):
    """Bounds of requests."""

    portal_body_bytes: Count = 16 * 1024 * 1024
    portal_fields: Count = 100_000
    app_body_bytes: Count = 64 * 1024
    app_fields: Count = 200
    depth: Count = 32
    items: Count = 5000
    batch_commands: Count = 50
    body_timeout_s: Seconds = 15


class DeliverySection(_Section):
    """How a worker delivers."""

    concurrency: Count = 512
    lease_s: Annotated[float, Field(ge=1)] = 30
    sweep_s: Seconds = 1
    drain_s: Seconds = 20
    probe_s: Seconds = 600
    encrypt_payloads: bool = False
    max_backlog: Count = 5_000_000
    min_free_bytes: Annotated[int, Field(ge=0)] = 200 * 1024 * 1024
    warn_at: Annotated[float, Field(gt=0, le=1)] = 0.8


class RetentionSection(_Section):
    """How long what is over is kept."""

    payload_days: Seconds = 14
    delivery_days: Seconds = 14
    batch: Count = 500


class RulesSection(_Section):
    """How one application's events are delivered; `[apps."*"]` for all that have no section of their own."""

    order: Order = Order.LANE
    collapse: bool = False
    skip_after: Annotated[int, Field(ge=0)] = 0
    concurrency: Count = 8
    rate: Annotated[float, Field(ge=0)] = 0
    timeout_s: Seconds = 30
    response_bytes: Count = 64 * 1024
    retry_first_s: Seconds = 2
    retry_factor: Annotated[float, Field(ge=1)] = 2
    retry_cap_s: Seconds = 7200
    retry_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.2
    retry_budget_s: Seconds = 72 * 3600
    retry_after_cap_s: Annotated[float, Field(ge=0)] = 3600
    breaker_failures: Count = 5
    breaker_first_s: Seconds = 2
    breaker_cap_s: Seconds = 300
    headers: dict[str, str] = {}
    ca_file: str = ""
    client_cert: str = ""
    client_key: str = ""
    proxy: str = ""
    amqp: dict[str, str] = {}

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER_NAME.fullmatch(name):
                raise ValueError(f"{name} is no header's name")
            if _OWN_HEADER.fullmatch(name):
                raise ValueError(f"{name} is a header that the relay sets itself")
            if not text.isascii() or not text.isprintable():
                raise ValueError(f"the value of {name} must be printable ASCII on one line")
        return value

    @field_validator("proxy")
    @classmethod
    def _check_proxy(cls, value: str) -> str:
        if value and not _PROXY.fullmatch(value):
            raise ValueError("must be empty or an HTTP proxy like http://proxy.example.com:3128")
        return value

    @model_validator(mode="after")
    def _check_collapse(self) -> RulesSection:
        if self.collapse and self.order is Order.NONE:
            raise ValueError("collapse is of no use with order = none: no event waits for another")
        return self

    @model_validator(mode="after")
    def _check_tls(self) -> RulesSection:
        if self.client_key and not self.client_cert:
            raise ValueError("client_key is of no use without client_cert")
        try:
            tls_context(self._transport())
        except OSError as error:
            files = ", ".join(name for name in (self.ca_file, self.client_cert, self.client_key) if name)
            raise ValueError(f"{files}: {error.strerror or error}") from error
        return self

    @field_validator("amqp")
    @classmethod
    def _check_amqp(cls, value: dict[str, str]) -> dict[str, str]:
        for handler, target in value.items():
            exchange, _, key = target.removeprefix("amqp:").partition("/")
            if not handler.startswith(("http://", "https://")):
                raise ValueError(f"{handler} is no handler: it must be the http or https URL that the portal knows")
            if not target.startswith("amqp:") or not key or max(len(exchange.encode()), len(key.encode())) > 255:
                raise ValueError(f"{target} must be amqp:EXCHANGE/ROUTING-KEY, or amqp:/QUEUE for one queue")
        return value

    def rules(self) -> DeliveryRules:
        """The rules as the core knows them."""
        return DeliveryRules(
            order=self.order,
            collapse=self.collapse,
            skip_after=self.skip_after,
            concurrency=self.concurrency,
            rate=self.rate,
            timeout_s=self.timeout_s,
            response_bytes=self.response_bytes,
            retry_after_cap_s=self.retry_after_cap_s,
            retry=RetryPolicy(
                self.retry_first_s, self.retry_factor, self.retry_cap_s, self.retry_jitter, self.retry_budget_s
            ),
            breaker=BreakerPolicy(self.breaker_failures, self.breaker_first_s, self.breaker_cap_s),
            transport=self._transport(),
            amqp=self.amqp,
        )

    def _transport(self) -> Transport:
        return Transport(self.headers, self.ca_file, self.client_cert, self.client_key, self.proxy)


class KeysSection(_Section):
    """Rotation of keys, and how long a portal's module may go on without the relay."""

    rotate_s: Count = 30 * 86400
    bundle_life_s: Annotated[int, Field(ge=120, le=30 * 86400)] = 86400


class HousekeepingSection(_Section):
    """How what has ended is deleted."""

    every_s: Seconds = 60
    batch: Count = 500
    rounds: Count = 20


class ThrottleSection(_Section):
    """Token buckets for clients and addresses that fail: units, units a second, units a failure."""

    capacity: Annotated[float, Field(ge=1)] = 5000
    rate: Seconds = 1000
    failure_cost: Annotated[float, Field(ge=1)] = 20


class LogSection(_Section):
    """The log on standard error."""

    level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = "info"
    format: Annotated[str, Field(pattern="^(text|json)$")] = "text"


class Config(BaseSettings):
    """The whole configuration. Names in the environment: RELAY_LISTEN, RELAY_DELIVERY__TIMEOUT_S and so on."""

    model_config = SettingsConfigDict(env_prefix="RELAY_", env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Field(default=Path(DEFAULT_HOME), exclude=True)
    public_url: str = ""
    listen: str = "127.0.0.1:8080"
    admin_listen: str = "127.0.0.1:8081"
    tokens: TokensSection = TokensSection()
    limits: LimitsSection = LimitsSection()
    trusted_proxies: tuple[str, ...] = ()
    ca_file: str = ""
    store: str = ""
    queue: str = ""
    delivery: DeliverySection = DeliverySection()
    apps: dict[str, RulesSection] = {}
    retention: RetentionSection = RetentionSection()
    keys: KeysSection = KeysSection()
    housekeeping: HousekeepingSection = HousekeepingSection()
    throttle: ThrottleSection = ThrottleSection()
    log: LogSection = LogSection()

    @field_validator("listen", "admin_listen")
    @classmethod
    def _check_listen(cls, value: str) -> str:
        split_listen(value)
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        try:
            return normalize_origin(value) if value else ""
        except InvalidRequest as error:
            raise ValueError("must be an origin like https://relay.example.com, without a path") from error

    @field_validator("trusted_proxies")
    @classmethod
    def _check_proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            ipaddress.ip_network(entry, strict=False)
        return value

    @field_validator("store")
    @classmethod
    def _check_store(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be empty (one SQLite file) or postgresql://user:password@host/database")
        return value

    @field_validator("queue")
    @classmethod
    def _check_queue(cls, value: str) -> str:
        if value and not value.startswith(("amqp://", "amqps://")):
            raise ValueError("must be empty (no broker) or amqp://user:password@host/vhost")
        return value

    @model_validator(mode="after")
    def _check_broker(self) -> Config:
        wanting = [client_id for client_id, section in self.apps.items() if section.amqp]
        if wanting and not self.queue:
            raise ValueError(f"apps.{wanting[0]}.amqp: events can go to a broker only if `queue` names one")
        return self

    @property
    def origin(self) -> str:
        """The public URL, or the one the service listener has on this machine."""
        if self.public_url:
            return self.public_url
        host, port = split_listen(self.listen)
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared, not bound
        return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over default."""
        home = Path(init_settings().get("home", DEFAULT_HOME))
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, home / CONFIG_FILE)

    def issuer(self) -> IssuerSettings:
        """What the token issuer is told."""
        return IssuerSettings(
            public_url=self.origin,
            lifetimes=Lifetimes(**self.tokens.model_dump()),
            bundle_life_s=self.keys.bundle_life_s,
            key_rotate_s=self.keys.rotate_s,
            housekeeping_s=self.housekeeping.every_s,
            purge_batch=self.housekeeping.batch,
            purge_rounds=self.housekeeping.rounds,
        )

    def throttling(self) -> BucketPolicy:
        """The buckets of failing clients and addresses."""
        return BucketPolicy(**self.throttle.model_dump())

    def proxies(self) -> tuple[Network, ...]:
        """The proxies whose X-Forwarded-For is believed."""
        return tuple(ipaddress.ip_network(entry, strict=False) for entry in self.trusted_proxies)

    def intake(self) -> IntakeSettings:
        """What the intake is told."""
        return IntakeSettings(self.limits.items, self.limits.batch_commands, self.delivery.encrypt_payloads)

    def delivering(self) -> DeliverySettings:
        """What a worker is told."""
        section = self.delivery
        return DeliverySettings(section.concurrency, section.lease_s, section.sweep_s, section.drain_s, section.probe_s)

    def rules(self) -> RuleBook:
        """Every application's rules; what a section leaves out it has from `[apps."*"]`."""
        default = self.apps.get(DEFAULT, RulesSection())
        book = {DEFAULT: default.rules()}
        for client_id, section in self.apps.items():
            given = {name: getattr(section, name) for name in section.model_fields_set}
            book[client_id] = default.model_copy(update=given).rules()
        return RuleBook(book)

    def retaining(self) -> RetentionSettings:
        """What housekeeping is told of deliveries."""
        return RetentionSettings(**self.retention.model_dump())

    def room(self) -> RoomSettings:
        """When new events are refused."""
        section = self.delivery
        return RoomSettings(section.max_backlog, section.min_free_bytes, section.warn_at)

    def form_limits(self) -> tuple[FormLimits, FormLimits]:
        """Bounds of a portal's forms and of an app's."""
        limits = self.limits
        return (
            FormLimits(limits.portal_body_bytes, limits.portal_fields, limits.depth),
            FormLimits(limits.app_body_bytes, limits.app_fields, limits.depth),
        )


def load_config(home: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Read the configuration of a home directory. Raises ConfigError naming every fault."""
    environment = os.environ if environment is None else environment
    faults = _unknown_variables(environment)
    config = None
    try:
        config = Config(home=home)
    except ValidationError as error:
        faults += [_describe(fault) for fault in error.errors()]
    except ValueError as error:  # a TOML file that is none
        faults.append(f"{home / CONFIG_FILE}: {error}")
    if faults or config is None:
        raise ConfigError("The configuration has faults:\n" + "\n".join(f"  - {fault}" for fault in faults))
    return config


def split_listen(value: str) -> tuple[str, int]:
    """`HOST:PORT` taken apart. Raises ValueError."""
    host, _, port = value.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 0 <= int(port) < 65536:
        raise ValueError("must be HOST:PORT, like 127.0.0.1:8080")
    return host.strip("[]"), int(port)


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """RELAY_… variables that look like settings but name none."""
    faults = []
    for name in environment:
        if not name.startswith("RELAY_") or name in _NOT_SETTINGS:
            continue
        section, _, key = name.removeprefix("RELAY_").lower().partition("__")
        field = Config.model_fields.get(section)
        inner = getattr(field.annotation, "model_fields", {}) if field else {}
        if field is None or (key and key not in inner):
            faults.append(f"the environment variable {name} names no setting")
    return faults


def _describe(fault: Any) -> str:
    name = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return f"{name}: there is no such setting"
    said = fault["msg"].removeprefix("Value error, ")
    return f"{name}: {said}" if name else str(said)
