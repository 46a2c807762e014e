"""The access token: fetched once for everyone, ahead of time, and again when FCM refuses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import jwt
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.credentials import ServiceAccount
from adapters.fcm.oauth import SCOPE, AccessTokens, OauthSettings
from core.errors import CredentialFailure
from core.reaction import Backoff

KEY = rsa.generate_private_key(65537, 2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
).decode()
QUICK = OauthSettings(backoff=Backoff(base_ms=1, cap_ms=5), timeout_s=5)


class Endpoint:
    """A token endpoint that says what the test wants and keeps what it was asked."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.life_s = 3_600
        self.failures = 0
        self.at_once = self.most_at_once = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        form = await request.post()
        self.forms.append({name: str(value) for name, value in form.items()})
        self.at_once -= 1
        if self.failures:
            self.failures -= 1
            return web.json_response({"error": "invalid_grant", "error_description": "secret words"}, status=400)
        number = len(self.forms)
        return web.json_response({"access_token": f"ya29.{number}", "expires_in": self.life_s, "token_type": "Bearer"})


@asynccontextmanager
async def tokens_from(endpoint: Endpoint, settings: OauthSettings = QUICK) -> AsyncIterator[AccessTokens]:
    application = web.Application()
    application.router.add_post("/token", endpoint.answer)
    async with TestServer(application) as server, aiohttp.ClientSession() as session:
        account = ServiceAccount("gateway@p.iam", "p", "kid1", str(server.make_url("/token")), PEM)
        tokens = AccessTokens(account, session, lambda: 1_750_000_000.0, settings)
        try:
            yield tokens
        finally:
            await tokens.close()


async def next_token(tokens: AccessTokens) -> None:
    """Wait for the next token that is put in force."""
    arrived = asyncio.Event()
    tokens.subscribe(arrived.set)
    await arrived.wait()
    tokens.unsubscribe(arrived.set)


async def test_assertion_claims_and_signature() -> None:
    endpoint = Endpoint()
    async with tokens_from(endpoint) as tokens:
        await tokens.fetch()
    [form] = endpoint.forms
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert jwt.get_unverified_header(form["assertion"])["kid"] == "kid1"
    claims = jwt.decode(
        form["assertion"], KEY.public_key(), ["RS256"], audience=tokens.account.token_uri,
        options={"verify_exp": False, "verify_iat": False},
    )  # fmt: skip
    assert (claims["iss"], claims["scope"]) == ("gateway@p.iam", SCOPE)
    assert claims["exp"] - claims["iat"] == 3_600


async def test_no_token_until_the_first_fetch() -> None:
    async with tokens_from(Endpoint()) as tokens:
        assert tokens.current is None
        await tokens.start()
        await next_token(tokens)
        assert tokens.current is not None
        assert tokens.current.authorization == b"Bearer ya29.1"


async def test_token_is_refreshed_once_under_concurrent_refusals() -> None:
    endpoint = Endpoint()
    async with tokens_from(endpoint) as tokens:
        await tokens.start()
        await next_token(tokens)
        first = tokens.current
        assert first is not None
        assert all(tokens.refused(first) for _ in range(500))
        assert tokens.current is None
        await next_token(tokens)
        assert all(tokens.refused(first) for _ in range(500))
        assert tokens.current is not None
        assert tokens.current.authorization == b"Bearer ya29.2"
    assert len(endpoint.forms) == 2
    assert endpoint.most_at_once == 1


async def test_a_fresh_token_that_is_refused_too_is_not_fetched_in_a_loop() -> None:
    endpoint = Endpoint()
    async with tokens_from(endpoint) as tokens:
        await tokens.start()
        await next_token(tokens)
        first = tokens.current
        assert first is not None
        tokens.refused(first)
        await next_token(tokens)
        second = tokens.current
        assert second is not None
        assert not tokens.refused(second)
        assert tokens.current is second
    assert len(endpoint.forms) == 2


async def test_token_is_refreshed_ahead_of_its_expiry() -> None:
    endpoint = Endpoint()
    endpoint.life_s = 1
    async with tokens_from(endpoint, OauthSettings(refresh_ahead_s=300)) as tokens:
        await tokens.start()
        await next_token(tokens)
        first = tokens.current
        assert first is not None
        await next_token(tokens)
        assert asyncio.get_running_loop().time() < first.expires_s


async def test_failures_are_retried_and_say_nothing_secret() -> None:
    endpoint = Endpoint()
    endpoint.failures = 3
    async with tokens_from(endpoint) as tokens:
        with pytest.raises(CredentialFailure) as caught:
            await tokens.fetch()
        await tokens.start()
        await next_token(tokens)
        assert (tokens.failed, tokens.fetched) == (2, 1)
    assert "invalid_grant" in str(caught.value)
    assert "secret words" not in str(caught.value)
    assert endpoint.forms[0]["assertion"] not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(text="<html>"), web.json_response([]), web.json_response({"access_token": "x"}),
        web.json_response({"access_token": "x", "expires_in": 0}), web.json_response({"expires_in": 5}),
        web.json_response({"access_token": "a\r\nb", "expires_in": 5}),
        web.Response(status=302, headers={"location": "http://elsewhere/"}),
    ],
)  # fmt: skip
async def test_answers_that_are_no_token_are_failures(answer: web.Response) -> None:
    class Odd(Endpoint):
        async def answer(self, request: web.Request) -> web.Response:
            return answer

    async with tokens_from(Odd()) as tokens:
        with pytest.raises(CredentialFailure):
            await tokens.fetch()


async def test_unreachable_endpoint_is_a_failure() -> None:
    async with tokens_from(Endpoint()) as tokens:
        pass
    async with aiohttp.ClientSession() as session:
        lonely = AccessTokens(tokens.account, session, lambda: 0.0)
        with pytest.raises(CredentialFailure, match=r"127\.0\.0\.1"):
            await lonely.fetch()


async def test_unreadable_key_is_a_failure_that_does_not_show_it() -> None:
    account = ServiceAccount("a", "p", "k", "https://x", "-----BEGIN PRIVATE KEY-----\nSECRET\n")
    async with aiohttp.ClientSession() as session:
        with pytest.raises(CredentialFailure) as caught:
            AccessTokens(account, session, lambda: 0.0)
    assert "SECRET" not in str(caught.value)
