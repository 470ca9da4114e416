"""PostgreSQL as the store, for several relay nodes.

Leans on psycopg through SQLAlchemy. Every operation has a time limit, in the server and on this side of the wire, so
that a database that hangs or is cut off is a passing failure and not a hanging relay.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import InvalidatePoolError

from relay.core.errors import Unavailable
from relay.store import schema as s

if TYPE_CHECKING:
    from collections.abc import Generator

    from relay.store.database import Database

STATEMENT_TIMEOUT_MS = 15_000
CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 20.0
WRITERS = 2
IDLE_S = 1.0
_USED = "used"


def open_postgres(url: str, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> Engine:
    """An engine over `postgresql://…`; idle connections are checked before use, and no wait is longer than its limit.

    Raises Unavailable if the driver is not installed.
    """
    try:
        engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=8,
            pool_timeout=CONNECT_TIMEOUT_S,
            connect_args={
                "connect_timeout": CONNECT_TIMEOUT_S,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "application_name": "bitrix-relay",
                "options": f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60000",
            },
        )
    except ModuleNotFoundError as error:
        raise Unavailable("A PostgreSQL store needs the driver: pip install 'bitrix-relay[postgres]'") from error
    _limit_waits(engine, answer_timeout_s)
    _check_idle(engine)
    return engine


def reading(engine: Engine) -> Engine:
    """The same engine for reads: a transaction sees one moment, however many statements it has."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def looking_up(engine: Engine) -> Engine:
    """The same engine for reads of one statement each: no round trips for the ends of a transaction."""
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def without_time_limit(connection: Connection) -> None:
    """Let this transaction's statements take as long as they need: a change of the schema."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def _check_idle(engine: Engine) -> None:
    """Before a connection is used again after a while, see whether the server still knows it; all are new if not.

    One that has just been used is not asked each time: that would be a round trip for every transaction.
    """

    @event.listens_for(engine, "checkin")
    def _used(_connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def _check(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get(_USED, time.monotonic()) < IDLE_S:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error


def _limit_waits(engine: Engine, limit_s: float) -> None:
    """Give up a connection on which the server says nothing for too long: it may never speak again."""
    import psycopg  # noqa: PLC0415 - there is none where SQLite is the store

    class Limited(psycopg.Connection[Any]):
        def wait(self, gen: Generator[Any, Any, Any], *options: Any, **named: Any) -> Any:
            return super().wait(self._limited(gen), *options, **named)

        def _limited(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            until = time.monotonic() + limit_s
            try:
                wanted = next(gen)
                while True:
                    ready = yield wanted
                    if time.monotonic() > until:
                        self.pgconn.finish()
                        raise psycopg.OperationalError(f"no answer within {limit_s:g} s")
                    wanted = gen.send(ready)
            except StopIteration as end:
                return end.value

    @event.listens_for(engine, "do_connect")
    def _connect(_dialect: Any, _record: Any, arguments: Any, options: Any) -> Any:
        return Limited.connect(*arguments, **options)


class PostgresChanges:
    """The Changes protocol over PostgreSQL: one look-up by primary key."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, name: str) -> int:
        """The number of that name in `meta`. Raises Unavailable."""
        return await self._database.read_jointly(_versions, name)

    def close(self) -> None:
        """Nothing of its own to let go of."""


def _versions(connection: Connection, names: list[str]) -> list[int]:
    query = select(s.meta.c.name, s.meta.c.value).where(s.meta.c.name.in_(set(names)))
    found = {row.name: int(row.value) for row in connection.execute(query)}
    return [found.get(name, 0) for name in names]
