"""Promises: an app built on b24pysdk as it is, its OAuth host hard-coded: one job on stdin, one report on stdout.

Leans on: b24pysdk (requirements.txt), names and a CA given from outside, as a site's own DNS and CA would be.
Must never: touch the library's insides, or let a name through that the test did not give: no network is reached.
"""

from __future__ import annotations

import json
import socket
import sys
from typing import Any

LOOPBACK = "127.0.0.1"


def point_names(ports: dict[str, int]) -> None:
    """From now on each name leads to its port on loopback, whatever port is asked for; no other name exists."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in ports:
            raise socket.gaierror(socket.EAI_NONAME, f"no such name in this test: {host}")
        return real(LOOPBACK, ports[host], socket.AF_INET, socket.SOCK_STREAM)

    socket.getaddrinfo = getaddrinfo


job: dict[str, Any] = json.load(sys.stdin)
point_names(job["names"])

from b24pysdk import BitrixApp, BitrixToken  # type: ignore[import-not-found]  # noqa: E402 - names come first
from b24pysdk.credentials import OAuthEventData  # type: ignore[import-not-found]  # noqa: E402
from b24pysdk.errors import BitrixAPIError  # type: ignore[import-not-found]  # noqa: E402


def error_of(call: Any) -> str:
    """The name of the library's error that the call ends with."""
    try:
        call()
    except BitrixAPIError as error:
        return type(error).__name__
    return "none"


def exchange(app: Any) -> dict[str, Any]:
    """A code for a token, and what the token is good for."""
    oauth = app.get_oauth_token(job["code"])
    token = BitrixToken.from_oauth(oauth, app)
    info = token.get_app_info().result
    client = token.get_client()
    deals = client.crm.deal.list(select=["ID"]).as_list().result
    fast = client.crm.deal.list(select=["ID"]).as_list_fast().result
    renewed = token.refresh_oauth_token()
    return {
        "domain": token.domain,
        "valid": oauth.validate_against_app_info(info) and renewed.validate_against_app_info(info),
        "client_id": info.client_id,
        "scope": info.scope,
        "deals": sorted(int(deal["ID"]) for deal in deals),
        "fast": sorted(int(deal["ID"]) for deal in fast),
        "profile": client.profile().result,
        "refreshed": renewed.oauth_token.access_token != oauth.oauth_token.access_token,
    }


def survive_expiry(app: Any, stale: dict[str, str]) -> dict[str, Any]:
    """Call with a token that has expired without the app's knowledge; the library must refresh and go on."""
    token = BitrixToken(
        domain=job["domain"],
        auth_token=stale["access_token"],
        refresh_token=stale["refresh_token"],
        bitrix_app=app,
    )
    profile = token.call_method("profile")
    renewed = token.auth_token != stale["access_token"] and token.refresh_token != stale["refresh_token"]
    return {"profile": profile["result"], "renewed": renewed, "user_id": token.get_app_info().result.user_id}


def survive_app_info_expiry(app: Any, stale: dict[str, str]) -> dict[str, Any]:
    """The same where the relay itself is asked first."""
    token = BitrixToken(
        domain=job["domain"],
        auth_token=stale["access_token"],
        refresh_token=stale["refresh_token"],
        bitrix_app=app,
    )
    return {"user_id": token.get_app_info().result.user_id, "renewed": token.auth_token != stale["access_token"]}


def read_event(app: Any) -> dict[str, Any]:
    """An event as the handler got it: does the library take it for genuine, and does its token work?"""
    event = OAuthEventData.from_dict(job["event"])
    valid = event.validate_against_app_info(event.get_app_info(app))
    token = BitrixToken.from_oauth_event_data(event, app)
    return {"valid": valid, "event": event.event, "data": event.data, "profile": token.get_client().profile().result}


def main() -> None:
    """Do the whole job."""
    app = BitrixApp(client_id=job["client_id"], client_secret=job["client_secret"])
    stranger = BitrixApp(client_id=job["client_id"], client_secret="wrong")
    report = {
        "exchange": exchange(app),
        "expiry": survive_expiry(app, job["stale"][0]),
        "app_info_expiry": survive_app_info_expiry(app, job["stale"][1]),
        "event": read_event(app),
        "errors": {
            "a code twice": error_of(lambda: app.get_oauth_token(job["code"])),
            "a wrong secret": error_of(lambda: stranger.refresh_oauth_token(job["stale"][0]["refresh_token"])),
            "a forged refresh token": error_of(lambda: app.refresh_oauth_token("0" * 70)),
            "a forged access token": error_of(lambda: app.get_app_info("0" * 70)),
        },
    }
    json.dump(report, sys.stdout)


main()
