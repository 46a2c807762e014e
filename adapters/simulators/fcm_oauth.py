"""A stand-in of Google's OAuth 2 token endpoint for service accounts: checks the assertion, issues bearer tokens.

Source: https://developers.google.com/identity/protocols/oauth2/service-account
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from adapters.simulators.bearer_tokens import BearerTokens

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPES = frozenset(
    ("https://www.googleapis.com/auth/firebase.messaging", "https://www.googleapis.com/auth/cloud-platform")
)
MAX_LIFETIME_S = 3600
# Google's tolerance is not published; its client libraries date assertions up to 5 minutes back.
SKEW_S = 300


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Whose assertions are taken, and the audience that they must name."""

    email: str
    public_key: RSAPublicKey
    token_uri: str


class AssertionRefusedError(Exception):
    """The assertion is not good for a token; error is RFC 6749's code."""

    def __init__(self, error: str, why: str) -> None:
        super().__init__(why)
        self.error = error
        self.why = why


class OauthEndpoint:
    """The `/token` resource; clock_s gives unix seconds. `unavailable` makes it answer 503."""

    def __init__(self, account: ServiceAccount, bearers: BearerTokens, clock_s: Callable[[], float]) -> None:
        self._account = account
        self._bearers = bearers
        self._clock_s = clock_s
        self.unavailable = False
        self.issued = 0
        self.refused = 0

    def application(self) -> web.Application:
        """Make the aiohttp application."""
        application = web.Application(client_max_size=64 * 1024)
        application.router.add_post("/token", self.handle)
        return application

    async def handle(self, request: web.Request) -> web.Response:
        """Answer one token request."""
        if self.unavailable:
            return web.json_response({"error": "internal_failure"}, status=503)
        form = await request.post()
        try:
            self.check(str(form.get("grant_type", "")), str(form.get("assertion", "")))
        except AssertionRefusedError as refused:
            self.refused += 1
            return web.json_response({"error": refused.error, "error_description": refused.why}, status=400)
        self.issued += 1
        token = self._bearers.issue()
        return web.json_response(
            {"access_token": token, "expires_in": self._bearers.lifetime_s, "token_type": "Bearer"}
        )

    def check(self, grant_type: str, assertion: str) -> None:
        """Raise AssertionRefusedError unless the assertion is good for an access token now."""
        if grant_type != GRANT_TYPE:
            raise AssertionRefusedError("unsupported_grant_type", f"grant_type must be {GRANT_TYPE}")
        claims = self._verify(assertion)
        now_s = self._clock_s()
        issued_s, expires_s = claims.get("iat"), claims.get("exp")
        if not isinstance(issued_s, int | float) or not isinstance(expires_s, int | float):
            raise AssertionRefusedError("invalid_grant", "iat and exp must be numbers")
        if issued_s > now_s + SKEW_S or expires_s < now_s or expires_s - issued_s > MAX_LIFETIME_S:
            raise AssertionRefusedError("invalid_grant", "iat and exp must enclose the present, by an hour at most")
        if claims.get("iss") != self._account.email:
            raise AssertionRefusedError("invalid_grant", "no such account")
        if not SCOPES.intersection(str(claims.get("scope", "")).split()):
            raise AssertionRefusedError("invalid_scope", "the scope does not allow to send messages")

    def _verify(self, assertion: str) -> dict[str, object]:
        try:
            return jwt.decode(
                assertion,
                self._account.public_key,
                algorithms=["RS256"],
                audience=self._account.token_uri,
                options={"verify_iat": False, "verify_exp": False},
            )
        except jwt.InvalidAudienceError as error:
            raise AssertionRefusedError("invalid_grant", "aud must be the token endpoint") from error
        except jwt.InvalidTokenError as error:
            raise AssertionRefusedError("invalid_grant", "the signature does not verify") from error
