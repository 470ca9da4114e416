"""Fixtures of the tests that need a server: one of each for all tests, a fresh database for each test.

Leans on the packages that bring the servers; without one the test is skipped, which CI counts as a failure.
Must never hand a database to a second test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.postgres import PostgresServer, postgres_programs
from tests.servers.rabbitmq import RabbitServer, rabbitmq_program

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running PostgreSQL. A test that stops it starts it again."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with PostgresServer.running(programs) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A database with the newest schema and nothing in it."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def rabbit_server() -> Iterator[RabbitServer]:
    """A running RabbitMQ. A test that stops it starts it again."""
    program = rabbitmq_program()
    if program is None:
        pytest.skip("RabbitMQ is not installed: apt-get install rabbitmq-server")
    with RabbitServer.running(program) as server:
        yield server
