"""The OAuth2 access token of one service account: fetched by one task, ahead of its expiry, for everyone who uses it.

Source: https://developers.google.com/identity/protocols/oauth2/service-account#httprest
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import aiohttp
import google.auth.crypt
import google.auth.jwt
import orjson
import structlog

from adapters.credentials import ServiceAccount
from core.errors import CredentialFailure
from core.reaction import Backoff

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ASSERTION_LIFE_S = 3_600
_MAX_ANSWER_BYTES = 65_536

_BACKOFF = Backoff(base_ms=1_000, cap_ms=60_000)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class OauthSettings:
    """refresh_ahead_s before expiry a new token is fetched; min_refresh_s lies between two refusals acted upon."""

    refresh_ahead_s: int = 300
    min_refresh_s: int = 60
    timeout_s: float = 10.0
    backoff: Backoff = _BACKOFF


@dataclass(frozen=True, slots=True, eq=False)
class AccessToken:
    """One bearer token; expires_s on the clock of the loop."""

    authorization: bytes = field(repr=False)
    expires_s: float


class AccessTokens:
    """The access token of one service account, shared by its channels; one task fetches, so one fetch is in flight.

    session: the caller's, with its TLS settings. unix_s: the wall clock. current is None while there is no valid token.
    """

    def __init__(
        self, account: ServiceAccount, session: aiohttp.ClientSession, unix_s: Callable[[], float],
        settings: OauthSettings | None = None, rng: random.Random | None = None,
    ) -> None:  # fmt: skip
        self.account = account
        self.fetched = 0
        self.failed = 0
        self._session = session
        self._unix_s = unix_s
        self._settings = settings or OauthSettings()
        self._rng = rng or random.Random()  # noqa: S311
        self._signer = _signer(account)
        self._token: AccessToken | None = None
        self._listeners: list[Callable[[], None]] = []
        self._wanted = asyncio.Event()
        self._asked_s = float("-inf")
        self._task: asyncio.Task[None] | None = None

    @property
    def current(self) -> AccessToken | None:
        """The token to send with, None if there is none that is valid."""
        token = self._token
        if token is not None and token.expires_s > asyncio.get_running_loop().time():
            return token
        return None

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Have listener called on the loop each time a new token is there."""
        self._listeners.append(listener)

    def unsubscribe(self, listener: Callable[[], None]) -> None:
        """Stop calling listener, if it was."""
        self._listeners = [each for each in self._listeners if each != listener]

    def refused(self, token: AccessToken) -> bool:
        """Take FCM's word that a token is not valid; return whether sending again is worth it.

        True if a newer one is there or being fetched; False if a refresh was asked for within min_refresh_s and what
        it brought is refused too.
        """
        if token is not self._token:
            return True
        now_s = asyncio.get_running_loop().time()
        if now_s - self._asked_s < self._settings.min_refresh_s:
            return False
        self._asked_s = now_s
        self._token = None
        self._wanted.set()
        return True

    async def start(self) -> None:
        """Begin fetching; a second call changes nothing."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_fresh(), name=f"oauth {self.account.client_email}")

    async def close(self) -> None:
        """Stop fetching."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_fresh(self) -> None:
        failures = 0
        while True:
            self._wanted.clear()
            try:
                token = await self.fetch()
            except CredentialFailure as exc:
                failures += 1
                self.failed += 1
                wait_s = self._settings.backoff.delay_ms(failures, self._rng) / 1_000
                _log.warning("access_token_failed", account=self.account.client_email, why=str(exc), retry_in_s=wait_s)
            else:
                failures = 0
                self.fetched += 1
                wait_s = self._install(token)
            await self._wait(wait_s)

    def _install(self, token: AccessToken) -> float:
        self._token = token
        for listener in tuple(self._listeners):
            listener()
        life_s = token.expires_s - asyncio.get_running_loop().time()
        # Short-lived tokens are renewed at half their life, or a refresh_ahead_s beyond it would mean fetching forever.
        return max(life_s - self._settings.refresh_ahead_s, life_s / 2) * self._rng.uniform(0.95, 1.0)

    async def _wait(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._wanted.wait()
        except TimeoutError:
            return

    async def fetch(self) -> AccessToken:
        """Ask the token endpoint once. Raises CredentialFailure with the endpoint's error code, never the assertion."""
        form = {"grant_type": _GRANT, "assertion": self._assertion()}
        timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
        uri = self.account.token_uri
        asked_s = asyncio.get_running_loop().time()
        try:
            async with self._session.post(uri, data=form, timeout=timeout, allow_redirects=False) as answer:
                body = await answer.content.read(_MAX_ANSWER_BYTES)
                return _read_answer(answer.status, body, asked_s)
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise CredentialFailure(f"{uri}: {type(exc).__name__}") from exc

    def _assertion(self) -> str:
        now_s = int(self._unix_s())
        claims = {
            "iss": self.account.client_email,
            "scope": SCOPE,
            "aud": self.account.token_uri,
            "iat": now_s,
            "exp": now_s + _ASSERTION_LIFE_S,
        }
        encoded: bytes = google.auth.jwt.encode(self._signer, claims)  # type: ignore[no-untyped-call]
        return encoded.decode("ascii")


def _signer(account: ServiceAccount) -> google.auth.crypt.RSASigner:
    try:
        return google.auth.crypt.RSASigner.from_string(  # type: ignore[no-untyped-call,no-any-return]
            account.private_key_pem, account.private_key_id
        )
    except (ValueError, TypeError):
        raise CredentialFailure(f"the private key of {account.client_email} is not readable") from None


def _read_answer(status: int, body: bytes, asked_s: float) -> AccessToken:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise CredentialFailure(f"token endpoint answered {status} without JSON") from None
    if not isinstance(answer, dict):
        raise CredentialFailure(f"token endpoint answered {status} without a JSON object")
    token, life_s = answer.get("access_token"), answer.get("expires_in")
    if status != 200 or not isinstance(token, str) or not isinstance(life_s, int | float) or life_s <= 0:
        raise CredentialFailure(f"token endpoint answered {status}, error {str(answer.get('error', 'none'))[:64]!r}")
    if not token.isascii() or not token.isprintable():
        raise CredentialFailure("token endpoint answered with a token that no header can carry")
    return AccessToken(b"Bearer " + token.encode("ascii"), asked_s + life_s)
