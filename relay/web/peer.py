"""Who is calling: the address of the connection, or what a configured proxy says of it.

Leans on ipaddress. Never believes X-Forwarded-For from anybody but a proxy that was configured.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiohttp import web

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(request: web.Request, proxies: Sequence[Network]) -> str:
    """The nearest address that is no configured proxy's."""
    address = request.remote or ""
    if not proxies or not _is_among(address, proxies):
        return address
    forwarded = ",".join(request.headers.getall("X-Forwarded-For", [])).split(",")
    for hop in reversed([part.strip() for part in forwarded]):
        try:
            address = str(ipaddress.ip_address(hop))
        except ValueError:
            break
        if not _is_among(address, proxies):
            break
    return address


def _is_among(address: str, networks: Sequence[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in networks)
