"""Promises: b24pysdk, fast-bitrix24 and @bitrix24/b24jssdk, unchanged, work with the relay by a swapped OAuth host.

Leans on: the libraries as their registries give them, each in its own process (`clients/`), a site behind TLS.
Must never: patch a library; what is swapped is the name's address and the trusted CA.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.e2e.client_environment import node_with_clients, python_with_clients, run_app
from tests.e2e.client_site import DEALS, PORTAL_HOST, ClientSite, client_site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERY_DEAL = list(range(1, DEALS + 1))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def named(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClientSite]:
    async with client_site(tmp_path_factory.mktemp("named"), by_name=True) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClientSite]:
    async with client_site(tmp_path_factory.mktemp("world"), by_name=False) as world:
        yield world


async def test_b24pysdk_with_its_hard_coded_host_led_to_the_relay(named: ClientSite) -> None:
    python = python_with_clients()
    report = await run_app([str(python), "b24pysdk_app.py"], await named.job(), named.trusted)
    exchange = report["exchange"]
    assert exchange["domain"] == PORTAL_HOST
    assert exchange["valid"] is True
    assert (exchange["client_id"], exchange["scope"]) == (named.app.client_id, ["crm", "user"])
    assert exchange["deals"] == exchange["fast"] == EVERY_DEAL
    assert exchange["profile"]["ID"] == "1"
    assert exchange["refreshed"] is True
    expiry = report["expiry"]
    assert (expiry["profile"]["ID"], expiry["renewed"], expiry["user_id"]) == ("1", True, 1)
    assert report["app_info_expiry"] == {"user_id": 1, "renewed": True}
    event = report["event"]
    assert (event["valid"], event["event"], event["data"]) == (True, "ONCRMDEALADD", {"FIELDS": {"ID": "5"}})
    assert event["profile"]["ID"] == "1"
    assert report["errors"] == {
        "a code twice": "BitrixOAuthInvalidGrant",
        "a wrong secret": "BitrixOAuthInvalidClient",
        "a forged refresh token": "BitrixOAuthInvalidGrant",
        "a forged access token": "BitrixAPIInvalidToken",
    }


async def test_fast_bitrix24_with_a_token_function_that_asks_the_relay(world: ClientSite) -> None:
    python = python_with_clients()
    report = await run_app([str(python), "fast_bitrix24_app.py"], await world.job(), world.trusted)
    assert report["deals"] == EVERY_DEAL
    assert report["by_id"] == ["1", "2", "3"]
    assert report["profile"]["ID"] == "1"
    assert report["batch"]["me"]["ID"] == "1"
    assert report["code"] == world.app.client_id
    assert report["relay_info"]["client_id"] == world.app.client_id
    assert report["refreshes"] == [1, 1]


async def test_b24jssdk_following_the_server_endpoint(world: ClientSite) -> None:
    node = node_with_clients()
    report = await run_app([node, "b24jssdk_app.mjs"], await world.job(), world.trusted)
    expiry = report["expiry"]
    assert expiry["profiles"] == ["1"] * 5
    assert expiry["code"] == world.app.client_id
    assert expiry["deals"] == EVERY_DEAL
    assert (expiry["batch"], expiry["isAdmin"]) == (True, True)
    assert expiry["renewals"] == 1
    renewed = expiry["renewed"]
    assert (renewed["server_endpoint"], renewed["status"]) == (f"{world.site.relay.public_url}/rest/", "L")
    assert renewed["expires_in"] == 3600
    assert report["first"] == {"profile": "1", "renewals": 1}
    assert report["shared"] == {"ids": ["1", "1"], "tokens": 1}
    assert report["errors"] == {
        "a wrong secret": "invalid_client 401",
        "a forged refresh token": "invalid_grant 400",
    }
