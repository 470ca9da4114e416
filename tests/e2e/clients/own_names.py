"""Promises: host names that lead where the test says, for this process alone: what a site's own DNS would do.

Leans on: every client asking socket.getaddrinfo.
Must never: let a name through that the test did not give: nothing here may reach a network.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = "127.0.0.1"


def point_names(ports: Mapping[str, int]) -> None:
    """From now on each name leads to its port on loopback, whatever port is asked for; no other name exists."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host == LOOPBACK:
            return real(host, port, *args, **options)
        if host not in ports:
            raise socket.gaierror(socket.EAI_NONAME, f"no such name in this test: {host}")
        return real(LOOPBACK, ports[host], socket.AF_INET, socket.SOCK_STREAM)

    socket.getaddrinfo = getaddrinfo
