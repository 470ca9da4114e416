"""Where a portal's events may be sent: private networks by default, what the operator allowed, nothing else.

Leans on ipaddress. Decides over names and addresses only; who connects must ask again with the address that was
really resolved (a name may change between the two). Never allows a cloud's metadata address.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_URL_LENGTH = 2000
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
_METADATA = frozenset(ipaddress.ip_address(text) for text in ("169.254.169.254", "100.100.100.200", "fd00:ec2::254"))


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """The hosts and networks one portal's handlers may be at, beside the private ranges."""

    hosts: frozenset[str]
    networks: tuple[Network, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """A handler's URL taken apart. host is lower case, without brackets."""

    host: str
    port: int


def parse_allow(entry: str) -> str:
    """The canonical form of one `--allow` entry; ValueError if it is neither a host name nor an address range."""
    text = entry.strip().lower().rstrip(".")
    try:
        text = text if text.isascii() else text.encode("idna").decode("ascii")
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        if "/" in text or not text.isascii() or not _is_host_name(text):
            raise ValueError(f"{entry!r} is neither a host name nor an address range like 10.1.0.0/16") from None
        return text


def build_policy(allow: tuple[str, ...]) -> UrlPolicy:
    """Make a policy of canonical entries as `parse_allow` returns them."""
    networks: list[Network] = list(_PRIVATE)
    hosts: set[str] = set()
    for entry in allow:
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            hosts.add(entry)
    return UrlPolicy(frozenset(hosts), tuple(networks))


def parse_target(url: str) -> Target | None:
    """Take a handler's URL apart; None if it is no http or https URL that can be called.

    A URL beyond ASCII is none: what calls it may read its host otherwise than this does (fullwidth digits).
    """
    if len(url) > MAX_URL_LENGTH or not url.isascii() or not url.isprintable():
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    host = parts.hostname.lower().rstrip(".")
    if host_is_literal(host) is None and _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None  # an address in a spelling that only some readers know: 127.1, 0x7f.1, 2130706433
    return Target(host, port or (443 if parts.scheme == "https" else 80))


def host_is_literal(host: str) -> Address | None:
    """The address, if the host is written as one."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def allows(policy: UrlPolicy, host: str, address: str) -> bool:
    """Whether a handler named `host`, found at `address`, may be called."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped
    if found in _METADATA:
        return False
    return allows_name(policy, host) or any(
        found.version == network.version and found in network for network in policy.networks
    )


def allows_name(policy: UrlPolicy, host: str) -> bool:
    """Whether a host is allowed by its very name, wherever it is."""
    return host.lower().rstrip(".") in policy.hosts


def _is_host_name(text: str) -> bool:
    labels = text.split(".")
    return len(text) <= 253 and all(
        0 < len(label) <= 63 and label.replace("-", "a").replace("_", "a").isalnum() for label in labels
    )
