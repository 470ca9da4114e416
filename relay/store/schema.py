"""The tables, as the newest migration leaves them.

Leans on SQLAlchemy Core. Times ending in `_ms` are unix milliseconds, others unix seconds. No column holds a
secret or a token in the clear: `_hash` columns are hashes, `_sealed` columns are sealed under the master key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect

metadata = MetaData()

# SQLite gives ids of its own only to a column that is exactly INTEGER.
_Id = BigInteger().with_variant(Integer, "sqlite")


def without_nul(text: str) -> str:
    """What PostgreSQL, which stores no U+0000, keeps of a text of foreign making: the symbol for it instead."""
    return text.replace("\x00", "\u2400")


class _WithoutNul(TypeDecorator[str]):
    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return without_nul(value) if value else value


_Foreign = Text().with_variant(_WithoutNul(), "postgresql")

meta = Table(
    "meta",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

portals = Table(
    "portals",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("url", String(500), nullable=False, unique=True),
    Column("licence_md5", String(32)),
    Column("window_until", BigInteger, nullable=False),
    Column("allow", Text, nullable=False),
    Column("client_id", String(128), unique=True),
    Column("secret_hash", LargeBinary),
    Column("secret_sealed", LargeBinary),
    Column("licence_pin", LargeBinary),
    Column("created_at", BigInteger, nullable=False),
    Column("registered_at", BigInteger),
    Column("connect_hash", LargeBinary),
    sqlite_autoincrement=True,
)

portal_facts = Table(
    "portal_facts",
    metadata,
    Column("portal_id", _Id, primary_key=True, autoincrement=False),
    Column("facts", Text, nullable=False),
    Column("received_at", BigInteger, nullable=False),
)

# portal_id 0: the relay's own signing keys; otherwise that portal's sealing keys.
keys = Table(
    "keys",
    metadata,
    Column("portal_id", _Id, primary_key=True),
    Column("key_id", Integer, primary_key=True),
    Column("key_sealed", LargeBinary, nullable=False),
    Column("active_from", BigInteger, nullable=False),
    Column("good_until", BigInteger),
)

# A row revokes one token (serial), or all of an app, of a user, or of the portal whose expiry is not after through.
revocations = Table(
    "revocations",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("portal_id", _Id, nullable=False),
    Column("through", BigInteger, nullable=False, index=True),
    Column("app_number", _Id),
    Column("user_id", BigInteger),
    Column("serial", BigInteger),
    sqlite_autoincrement=True,
)

apps = Table(
    "apps",
    metadata,
    Column("number", _Id, primary_key=True),
    Column("portal_id", _Id, ForeignKey("portals.id"), nullable=False),
    Column("client_id", String(128), nullable=False),
    Column("secret_hash", LargeBinary, nullable=False),
    Column("title", String(500), nullable=False),
    Column("redirect_uri", String(1000), nullable=False),
    Column("scope", String(2000), nullable=False),
    Column("status", String(1), nullable=False),
    Column("version", Integer, nullable=False),
    Column("installed", Boolean, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("date_finish", BigInteger),
    Column("deleted_at", BigInteger),
    Column("old_secret_hash", LargeBinary),
    Column("old_secret_until", BigInteger),
    Column("signing_keys_sealed", LargeBinary),
    Column("token_format", String(8), nullable=False, server_default="sealed"),
    Column("audience", String(2000), nullable=False, server_default=""),
    Column("post_only", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)
Index(
    "apps_live",
    apps.c.portal_id,
    apps.c.client_id,
    unique=True,
    sqlite_where=apps.c.deleted_at.is_(None),
    postgresql_where=apps.c.deleted_at.is_(None),
)

grants = Table(
    "grants",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("app_number", _Id, ForeignKey("apps.number"), nullable=False, index=True),
    Column("user_id", BigInteger, nullable=False),
    Column("scope", String(2000)),
    Column("tz_offset", _Foreign),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
    sqlite_autoincrement=True,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("grant_id", _Id, ForeignKey("grants.id"), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("replaced_at", BigInteger),
    Column("successor_sealed", LargeBinary),
    Column("access_serial", BigInteger, nullable=False),
    Column("access_expires", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

codes = Table(
    "codes",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("app_number", _Id, ForeignKey("apps.number"), nullable=False, index=True),
    Column("user_id", BigInteger, nullable=False),
    Column("parameters", Text, nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("used_at", BigInteger),
    Column("grant_id", _Id),
    Column("code_challenge", String(128)),
    sqlite_with_rowid=False,
)

# Challenges of RFC 7636 between /oauth/authorize and the portal's rest.code, known by client id and state.
code_challenges = Table(
    "code_challenges",
    metadata,
    Column("hash", LargeBinary, primary_key=True),
    Column("code_challenge", String(128), nullable=False),
    Column("expires", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

token_parameters = Table(
    "token_parameters",
    metadata,
    Column("app_number", _Id, primary_key=True),
    Column("serial", BigInteger, primary_key=True),
    Column("expires", BigInteger, nullable=False, index=True),
    Column("parameters", Text, nullable=False),
    Column("scope", String(2000)),
    sqlite_with_rowid=False,
)

# A handler is one URL of one application (empty client id: outgoing webhooks) of one portal.
handlers = Table(
    "handlers",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("portal_id", _Id, ForeignKey("portals.id"), nullable=False),
    Column("client_id", _Foreign, nullable=False),
    Column("url", _Foreign, nullable=False),
    Column("paused", Boolean, nullable=False, server_default=false()),
    Column("probe_at_ms", BigInteger, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)
# On PostgreSQL over the md5 of both texts: an entry of an index has not room for every URL.
Index("handlers_url", handlers.c.portal_id, handlers.c.client_id, handlers.c.url, unique=True)

# blocks: while it is true the later deliveries of its lane wait. due_at_ms of a held one: when it is probed.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("event_id", String(32), nullable=False, unique=True),
    Column("portal_id", _Id, nullable=False),
    Column("handler_id", _Id, nullable=False),
    Column("event", _Foreign, nullable=False),
    Column("category", _Foreign, nullable=False),
    Column("entity", _Foreign),
    Column("item_id", String(32)),
    Column("lane", BigInteger),
    Column("blocks", Boolean, nullable=False),
    Column("state", String(8), nullable=False),
    Column("hold_reason", String(20)),
    Column("replay", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("retry_base", Integer, nullable=False),
    Column("tries_since_ms", BigInteger),
    Column("accepted_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("lease_until_ms", BigInteger),
    Column("lease_owner", String(64)),
    Column("finished_at_ms", BigInteger),
    Column("last_status", Integer),
    Column("last_error", String(200)),
    Column("collapsed_into", String(32)),
    Column("payload_gone", Boolean, nullable=False, server_default=false()),
    sqlite_autoincrement=True,
)


def _partial(name: str, *columns: Column[Any], where: str, unique: bool = False) -> Index:
    """A partial index. SQLite uses it only if a query spells the condition alike, and there a Boolean is `= 1`."""
    for_sqlite = where.replace(" AND blocks", " AND blocks = 1").replace("NOT payload_gone", "payload_gone = 0")
    return Index(name, *columns, unique=unique, sqlite_where=text(for_sqlite), postgresql_where=text(where))


_partial("deliveries_due", deliveries.c.handler_id, deliveries.c.due_at_ms, deliveries.c.id, where="state = 'due'")
_partial("deliveries_leased", deliveries.c.lease_until_ms, where="state = 'leased'")
_partial("deliveries_held", deliveries.c.id, where="state = 'held'")
_partial(
    "deliveries_probe",
    deliveries.c.handler_id,
    deliveries.c.due_at_ms,
    where="state = 'held' AND hold_reason = 'budget'",
)
_partial(
    "deliveries_lane",
    deliveries.c.lane,
    deliveries.c.state,
    deliveries.c.id,
    where="lane IS NOT NULL AND blocks",
)
_partial("deliveries_over", deliveries.c.finished_at_ms, where="finished_at_ms IS NOT NULL")
_partial("deliveries_spent", deliveries.c.finished_at_ms, where="finished_at_ms IS NOT NULL AND NOT payload_gone")
_partial("deliveries_entity", deliveries.c.entity, where="entity IS NOT NULL")
_partial("deliveries_item", deliveries.c.portal_id, deliveries.c.item_id, where="item_id IS NOT NULL", unique=True)

# Kept by triggers (store/counts.py), so that statistics cost the same with any backlog.
delivery_counts = Table(
    "delivery_counts",
    metadata,
    Column("handler_id", _Id, primary_key=True, autoincrement=False),
    Column("state", String(8), primary_key=True),
    Column("shard", Integer, primary_key=True, autoincrement=False),
    Column("count", BigInteger, nullable=False),
)

# form is the urlencoded QUERY_DATA, sealed under the master key if `sealed`.
payloads = Table(
    "payloads",
    metadata,
    Column("delivery_id", _Id, primary_key=True, autoincrement=False),
    Column("form", LargeBinary, nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("auth_sealed", LargeBinary, nullable=False),
    Column("has_ts", Boolean, nullable=False),
    Column("send_auth", Boolean, nullable=False),
    Column("send_refresh_token", Boolean, nullable=False),
    Column("auth_given", Boolean, nullable=False),
)

# A replay that was asked for: it goes through the matching deliveries by id, from cursor up to upto.
replays = Table(
    "replays",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("wanted", Text, nullable=False),
    Column("rate", Integer, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("cursor", BigInteger, nullable=False),
    Column("upto", BigInteger, nullable=False),
    Column("replayed", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("delivery_id", _Id, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("started_at_ms", BigInteger, nullable=False),
    Column("duration_ms", Integer, nullable=False),
    Column("verdict", String(12), nullable=False),
    Column("status", Integer),
    Column("error", String(200)),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("kind", String(50), nullable=False),
    Column("portal_id", _Id),
    Column("app_number", _Id),
    Column("details", Text, nullable=False),
    sqlite_autoincrement=True,
)

admins = Table(
    "admins",
    metadata,
    Column("name", String(50), primary_key=True),
    Column("password_hash", String(200), nullable=False),
)
