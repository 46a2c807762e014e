"""Callers of the simulated providers that share no code with ours: httpx over h2, tokens signed by PyJWT."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec

from adapters.simulators.credentials import KEY_ID, PROJECT_ID, TEAM_ID, TOPIC, SimulatorCredentials, make_credentials
from adapters.simulators.fcm_oauth import GRANT_TYPE
from adapters.simulators.server import run_simulators
from adapters.simulators.settings import SimulatorSettings
from adapters.simulators.simulation import Simulation

APNS_TOKEN = "aabbccdd" * 8
FCM_TOKEN = "cJ2xkQ0RT2:APA91bF-simulated_registration-token_0123456789"
PAYLOAD = b'{"aps":{"alert":"You paid 12.50"}}'
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"


@cache
def simulator_directory() -> Path:
    """Return the process's directory of simulator credentials, made once because RSA keys take long."""
    directory = Path(tempfile.mkdtemp(prefix="walletpush-simulators-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    make_credentials(directory)
    return directory


@asynccontextmanager
async def simulated(settings: SimulatorSettings | None = None) -> AsyncIterator[Simulation]:
    """Run the simulators on this loop while the context is open."""
    async with run_simulators(settings or SimulatorSettings(simulator_directory())) as simulation:
        yield simulation


async def eventually(holds: Callable[[], bool]) -> None:
    """Wait, at most 5 s, for what the simulators note without telling anybody."""
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.002)


def provider_token(
    credentials: SimulatorCredentials,
    *,
    age_s: int = 0,
    key_id: str | None = KEY_ID,
    team_id: str = TEAM_ID,
    key: ec.EllipticCurvePrivateKey | None = None,
) -> str:
    """Sign an APNs provider token, wrong in whatever way is asked for."""
    claims = {"iss": team_id, "iat": int(time.time()) - age_s}
    headers = {} if key_id is None else {"kid": key_id}
    return jwt.encode(claims, key or credentials.apns_key.read_text(), algorithm="ES256", headers=headers)


class ApnsCaller:
    """One HTTP/2 connection to the simulated APNs; use as `async with`."""

    def __init__(self, simulation: Simulation, *, sandbox: bool = False, certificate: bool = False) -> None:
        port = simulation.ports.sandbox if sandbox else simulation.ports.apns
        context = simulation.credentials.client_context()
        if certificate:
            context.load_cert_chain(*simulation.credentials.client)
        self._client = httpx.AsyncClient(http1=False, http2=True, verify=context, base_url=f"https://127.0.0.1:{port}")
        self._headers = {"apns-topic": TOPIC, "apns-push-type": "alert", "apns-priority": "10", "apns-expiration": "0"}
        if not certificate:
            self._headers["authorization"] = f"bearer {provider_token(simulation.credentials)}"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def push(
        self,
        token: str = APNS_TOKEN,
        body: bytes = PAYLOAD,
        *,
        method: str = "POST",
        path: str = "/3/device/",
        twice: str = "",
        **headers: str | None,
    ) -> httpx.Response:
        """Send one push. headers: by name with `_` for `-`, None leaves one out. twice: a header to repeat."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        fields = [(name, text) for name, text in {**self._headers, **named}.items() if text is not None]
        fields += [(name, text) for name, text in fields if name == twice]
        return await self._client.request(method, f"{path}{token}", headers=fields, content=body)


class FcmCaller:
    """One HTTP/2 connection to the simulated FCM, and the way to its OAuth endpoint; use as `async with`."""

    def __init__(self, simulation: Simulation) -> None:
        self._simulation = simulation
        self._account = orjson.loads(simulation.credentials.service_account.read_bytes())
        context = simulation.credentials.client_context
        base = f"https://127.0.0.1:{simulation.ports.fcm}"
        self._client = httpx.AsyncClient(http1=False, http2=True, verify=context(), base_url=base)
        self._oauth = httpx.AsyncClient(verify=context())
        self.bearer: str | None = None

    async def __aenter__(self) -> Self:
        answer = await self.grant()
        self.bearer = answer.json()["access_token"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()
        await self._oauth.aclose()

    async def grant(self, *, key: str | None = None, grant_type: str = GRANT_TYPE, **claims: object) -> httpx.Response:
        """Ask for an access token, with claims replaced."""
        now_s, uri = int(time.time()), self._account["token_uri"]
        usual = {"iss": self._account["client_email"], "scope": SCOPE, "aud": uri, "iat": now_s, "exp": now_s + 3600}
        assertion = jwt.encode({**usual, **claims}, key or self._account["private_key"], algorithm="RS256")
        return await self._oauth.post(uri, data={"grant_type": grant_type, "assertion": assertion})

    async def send(self, message: object = None, *, project: str = PROJECT_ID, **envelope: object) -> httpx.Response:
        """Send one message; None is a small valid one. envelope: further fields beside `message`."""
        body = {"message": {"token": FCM_TOKEN} if message is None else message, **envelope}
        return await self.post(orjson.dumps(body), path=f"/v1/projects/{project}/messages:send")

    async def post(self, body: bytes, *, path: str = f"/v1/projects/{PROJECT_ID}/messages:send") -> httpx.Response:
        """Send a body as it is."""
        headers = {} if self.bearer is None else {"authorization": f"Bearer {self.bearer}"}
        return await self._client.post(path, headers=headers, content=body)
