"""Promises: the bare server the relay is compared with: a form in, JSON out, nothing else, on aiohttp.

Leans on: aiohttp as it comes; prints its port, ends when standard input ends.
Must never: do less than any aiohttp service must: read the form, build and write the JSON.
"""

from __future__ import annotations

from aiohttp import web

from tests.bench.loop import run, until_stdin_ends


async def answer(request: web.Request) -> web.Response:
    """Read the form; answer eleven fields, as a token answer has."""
    form = await request.post()
    return web.json_response(
        {
            "access_token": "0" * 70,
            "refresh_token": str(form.get("refresh_token", form.get("TOKEN", ""))),
            "expires": 1780319382,
            "expires_in": 3600,
            "scope": "crm,im",
            "domain": "relay.local",
            "server_endpoint": "https://relay.local/rest/",
            "client_endpoint": "https://portal.local/rest/",
            "member_id": "0" * 32,
            "status": "L",
            "user_id": 67,
        }
    )


async def _serve() -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(runner.addresses[0][1], flush=True)
    await until_stdin_ends()
    await runner.cleanup()


if __name__ == "__main__":
    run(_serve())
