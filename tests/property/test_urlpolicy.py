"""The address policy under any allow-list: the metadata address is never allowed, and nothing is by accident.

Leans on hypothesis and on the standard library's own reading of addresses. Must never open a socket.
"""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.urlpolicy import allows, build_policy, parse_allow, parse_target

METADATA = ("169.254.169.254", "100.100.100.200", "fd00:ec2::254")
PRIVATE = [ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")]
addresses = st.ip_addresses()
names = st.from_regex(r"[a-z][a-z0-9-]{0,10}(\.[a-z][a-z0-9]{0,5})?", fullmatch=True)
networks = st.builds(
    lambda address, bits: str(ipaddress.ip_network((address, min(bits, address.max_prefixlen)), strict=False)),
    addresses,
    st.integers(0, 128),
)
lists = st.lists(networks | names, max_size=6)


@given(entries=lists, host=names, metadata=st.sampled_from(METADATA), mapped=st.booleans())
def test_no_allow_list_opens_a_metadata_address(entries: list[str], host: str, metadata: str, mapped: bool) -> None:
    policy = build_policy(tuple(parse_allow(entry) for entry in [*entries, host, f"{metadata}"]))
    spelled = f"::ffff:{metadata}" if mapped and "." in metadata else metadata
    assert not allows(policy, host, spelled)


@given(address=addresses, host=names)
def test_by_default_exactly_the_private_ranges_are_open(address: ipaddress.IPv4Address, host: str) -> None:
    private = any(address.version == network.version and address in network for network in PRIVATE)
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        private = any(network.version == 4 and mapped in network for network in PRIVATE)
    assert allows(build_policy(()), host, str(address)) == (private and str(address) not in METADATA)


@given(entries=lists, address=addresses, host=names)
def test_an_address_is_open_only_by_a_private_range_or_by_an_entry(
    entries: list[str], address: ipaddress.IPv4Address, host: str
) -> None:
    allowed = [parse_allow(entry) for entry in entries]
    if not allows(build_policy(tuple(allowed)), host, str(address)):
        return
    ranges = [ipaddress.ip_network(entry) for entry in allowed if "/" in entry] + PRIVATE
    spelled = [address, getattr(address, "ipv4_mapped", None)]
    inside = [one for one in spelled for network in ranges if one is not None and one in network]
    assert inside or host in allowed


@given(entry=networks | names)
def test_the_canonical_form_of_an_entry_is_canonical(entry: str) -> None:
    assert parse_allow(parse_allow(entry)) == parse_allow(entry)


@given(text=st.text(max_size=30))
def test_any_text_is_an_entry_or_a_value_error(text: str) -> None:
    try:
        canonical = parse_allow(text)
    except ValueError:
        return
    assert canonical.isascii()
    assert canonical == canonical.lower().strip()


@given(
    url=st.text(max_size=60)
    | st.builds(
        "{}{}{}".format, st.sampled_from(["http://", "https://", "HTTP://", "//"]), st.text(max_size=20), st.text()
    )
)
def test_any_text_is_a_target_or_none(url: str) -> None:
    target = parse_target(url)
    if target is not None:
        assert target.host
        assert target.host.isascii()
        assert 0 < target.port < 65536


@given(number=st.integers(0, 2**32 - 1), shape=st.sampled_from(["decimal", "hex", "octal", "two", "three"]))
def test_an_ipv4_address_in_an_odd_spelling_is_no_target(number: int, shape: str) -> None:
    a, b, c, d = number.to_bytes(4, "big")
    spelled = {
        "decimal": str(number),
        "hex": hex(number),
        "octal": f"0{number:o}",
        "two": f"{a}.{(b << 16) + (c << 8) + d}",
        "three": f"{a}.{b}.{(c << 8) + d}",
    }[shape]
    with pytest.raises(ValueError, match="does not appear to be"):
        ipaddress.ip_address(spelled)
    assert parse_target(f"http://{spelled}/") is None
