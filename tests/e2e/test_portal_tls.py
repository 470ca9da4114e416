"""Promises: the stand-in is served by TLS where a client insists on it, and trusts a relay by its `ca_file` only.

Leans on: a certificate for 127.0.0.1 that is its own authority, made here.
Must never: switch verification off on either side.
"""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.e2e.portal_peers import ScriptedRelay, said
from tests.e2e.portal_process import StandInPortal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    """Certificate and key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path / "both.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + secret)
    return path


async def test_the_portal_answers_by_tls_and_names_that_address(tmp_path: Path, pem: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(pem))
    async with StandInPortal.running(tmp_path / "portal", pem=pem) as portal, aiohttp.ClientSession() as client:
        assert portal.tls_url is not None
        long = {"long": "x" * 300_000}
        async with client.post(f"{portal.tls_url}/rest/profile", json=long, ssl=trusting) as answer:
            assert (await answer.json())["error"] == "NO_AUTH_FOUND"
        assert (await portal.options())["public_url"] == portal.tls_url


async def test_a_long_answer_arrives_whole_by_tls(tmp_path: Path, pem: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(pem))
    async with StandInPortal.running(tmp_path / "portal", pem=pem) as portal, aiohttp.ClientSession() as client:
        await portal.send_items([{"text": "x" * 1000}] * 2000)
        async with client.post(f"{portal.tls_url}/__control/event/lost", json={}, ssl=trusting) as answer:
            lost = (await answer.json())["result"]
        assert len(lost[0]["items"]) == 2000


async def test_a_relay_is_trusted_by_its_authority_alone(tmp_path: Path, pem: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    async with ScriptedRelay.running(context) as relay:
        relay.replies["methods"] = said({"result": ["m"]})
        options = {"oauth_server": relay.url, "service_client_id": "local.x"}
        async with StandInPortal.running(tmp_path / "portal", **options) as portal:
            assert (await portal.call("methods")).is_json is False
            assert relay.requests == []
            await portal.set_options(ca_file=str(pem))
            assert (await portal.call("methods")).result == ["m"]
