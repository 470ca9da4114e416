"""Promises: an app built on fast-bitrix24 as it is: its `token_func` refreshes at the relay; job in, report out.

Leans on: fast-bitrix24 (requirements.txt); a CA given from outside.
Must never: touch the library's insides.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import aiohttp
from fast_bitrix24 import BitrixAsync  # type: ignore[import-not-found]

job: dict[str, Any] = json.load(sys.stdin)


class Keeper:
    """What an app keeps of its tokens. The first token it gives has expired; the app does not know."""

    def __init__(self, stale: dict[str, str]) -> None:
        self.refresh_token = stale["refresh_token"]
        self.given = [stale["access_token"]]
        self.refreshes = 0
        self._first = True

    async def token(self) -> str:
        """The library's `token_func`: asked for at the start and whenever the portal says 401."""
        if self._first:
            self._first = False
            return self.given[0]
        grant = {"grant_type": "refresh_token", "refresh_token": self.refresh_token}
        keys = {"client_id": job["client_id"], "client_secret": job["client_secret"]}
        url = job["server_endpoint"].replace("/rest/", "/oauth/token/")
        async with aiohttp.ClientSession() as client, client.get(url, params=grant | keys) as answer:
            document = await answer.json()
        self.refresh_token = document["refresh_token"]
        self.given.append(document["access_token"])
        self.refreshes += 1
        return str(document["access_token"])


async def main() -> None:
    """Do the whole job."""
    keeper = Keeper(job["stale"][0])
    portal = BitrixAsync(job["client_endpoint"], token_func=keeper.token, verbose=False)
    deals = await portal.get_all("crm.deal.list", params={"select": ["ID"]})
    by_id = await portal.get_by_ID("crm.deal.get", [1, 2, 3])
    profile = await portal.call("profile", raw=True)
    batch = await portal.call_batch({"halt": 0, "cmd": {"me": "profile", "one": "crm.deal.get?id=1"}})
    app_info = await portal.call("app.info", raw=True)
    # The relay's own app.info, with a token that has expired as well.
    asker = Keeper(job["stale"][1])
    relay_info = await BitrixAsync(job["server_endpoint"], token_func=asker.token, verbose=False).call(
        "app.info", raw=True
    )
    report = {
        "deals": sorted(int(deal["ID"]) for deal in deals),
        "by_id": sorted(by_id),
        "profile": profile["result"],
        "batch": batch,
        "code": app_info["result"]["CODE"],
        "relay_info": relay_info["result"],
        "refreshes": [keeper.refreshes, asker.refreshes],
    }
    json.dump(report, sys.stdout)


asyncio.run(main())
