"""What one process of the relay does: everything, or its share where several share a PostgreSQL store.

Leans on nothing. A role never changes while a process runs.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """`service` answers portals and apps, `worker` delivers events and tidies up; `all` does both."""

    ALL = "all"
    SERVICE = "service"
    WORKER = "worker"

    @property
    def serves(self) -> bool:
        """Whether it answers portals and apps."""
        return self is not Role.WORKER

    @property
    def delivers(self) -> bool:
        """Whether it delivers events and does what is to be done from time to time."""
        return self is not Role.SERVICE
