"""Stand-ins for the bench's peers, each as small as its interface allows: they push, really, and are slow.

`lines HOST PORT KEY_FILE`, `dies`: programs that speak the bench's lines. `gorush -c FILE`: gorush's HTTP API.
`sygnal`: Matrix' push gateway API, its settings where SYGNAL_CONF says.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import ssl
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import jwt
from aiohttp import web

from adapters.simulators.credentials import KEY_ID, TEAM_ID, TOPIC

APPLE = "https://api.push.apple.com"


class Apns:
    """APNs, as any client of it sees it. What it trusts is what SSL_CERT_FILE says."""

    def __init__(self, base: str, key_file: str, key_id: str, team_id: str, topic: str, proxy: str | None) -> None:
        issued = {"iss": team_id, "iat": int(time.time())}
        token = jwt.encode(issued, Path(key_file).read_text(), algorithm="ES256", headers={"kid": key_id})
        headers = {"authorization": f"bearer {token}", "apns-topic": topic, "apns-push-type": "alert"}
        self._client = httpx.AsyncClient(
            http2=True, base_url=base, headers=headers, proxy=proxy, verify=ssl.create_default_context(),
            trust_env=False, timeout=30,
        )  # fmt: skip

    async def push(self, token: str, aps: dict[str, Any]) -> str:
        """Push; return the reason of a refusal, empty if there is none."""
        answer = await self._client.post(f"/3/device/{token}", json={"aps": aps})
        return "" if answer.status_code == 200 else str(answer.json()["reason"])


async def lines(host: str, port: str, key_file: str) -> None:
    apns = Apns(f"https://{host}:{port}", key_file, KEY_ID, TEAM_ID, TOPIC, None)
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        number, _, text = line.partition(" ")
        reasons = [await apns.push(token, alert(title, body)) for token, title, body in json.loads(text)]
        failed = [reason for reason in reasons if reason]
        say(f"{number} " + (f"{len(failed)} failed: {failed[0]}" if failed else "ok"))


def dies() -> None:
    say("ready")
    sys.stdin.readline()


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def alert(title: str, body: str) -> dict[str, Any]:
    return {"alert": {"title": title, "body": body}}


def gorush() -> None:
    settings = json.loads(Path(sys.argv[2]).read_text())
    ios, core, api = settings["ios"], settings["core"], settings["api"]
    assert ios["enabled"]
    assert ios["production"]

    async def start(app: web.Application) -> None:
        app["apns"] = Apns(APPLE, ios["key_path"], ios["key_id"], ios["team_id"], TOPIC, core["http_proxy"])

    async def push(request: web.Request) -> web.Response:
        asked = (await request.json())["notifications"]
        assert len(asked) <= core["max_notification"]
        assert {one["platform"] for one in asked} == {1}
        reasons = [
            await request.app["apns"].push(one["tokens"][0], alert(one["title"], one["message"])) for one in asked
        ]
        failed = [{"type": "failed-push", "error": reason} for reason in reasons if reason]
        return web.json_response({"success": "ok", "counts": len(asked), "logs": failed})

    serve(start, api["push_uri"], push, api["health_uri"], int(core["port"]))


def sygnal() -> None:
    settings = json.loads(Path(os.environ["SYGNAL_CONF"]).read_text())
    ((topic, app_settings),) = settings["apps"].items()

    async def start(app: web.Application) -> None:
        keys = app_settings["keyfile"], app_settings["key_id"], app_settings["team_id"], app_settings["topic"]
        app["apns"] = Apns(APPLE, *keys, settings["proxy"])

    async def notify(request: web.Request) -> web.Response:
        rejected = []
        for device in (await request.json())["notification"]["devices"]:
            assert device["app_id"] == topic
            token = base64.b64decode(device["pushkey"]).hex()
            if await request.app["apns"].push(token, device["data"]["default_payload"]["aps"]):
                rejected.append(device["pushkey"])
        return web.json_response({"rejected": rejected})

    serve(start, "/_matrix/push/v1/notify", notify, "/health", settings["http"]["port"])


def serve(start: Any, path: str, handle: Any, health_path: str, port: int) -> None:
    async def health(request: web.Request) -> web.Response:
        return web.Response()

    app = web.Application(client_max_size=1 << 24)
    app.on_startup.append(start)
    app.add_routes([web.post(path, handle), web.get(health_path, health)])
    web.run_app(app, host="127.0.0.1", port=port, print=lambda *words: None, access_log=None)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["lines", *words]:
            asyncio.run(lines(*words))
        case ["dies"]:
            dies()
        case ["-c", _]:
            gorush()
        case ["--version"]:
            say("Gorush 9.9.9, Compiler: none")
        case _:
            sygnal()
