"""A typed client of the simulators' control API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, cast

import aiohttp
import orjson

from adapters.simulators.control import FAULTS, TOKENS
from adapters.simulators.faults import Faults
from adapters.simulators.ledger import Duplicate, Summary
from adapters.simulators.settings import PORTS_FILE, Ports, Provider
from adapters.simulators.token_book import TokenEntry

TIMEOUT_S = 30.0


class ControlRefusedError(Exception):
    """The control API did not do as asked."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(f"{status}: {why}")
        self.status = status
        self.why = why


class MessageHistory(TypedDict):
    """One message: its accepted requests in order of arrival, and how many others there were."""

    arrivals: list[dict[str, str | int]]
    refusals: int


class SimulatorClient:
    """Use as `async with`. Raises ControlRefusedError for what is refused, aiohttp.ClientError when nobody is there."""

    def __init__(self, control_port: int, host: str = "127.0.0.1", timeout_s: float = TIMEOUT_S) -> None:
        self._base = f"http://{host}:{control_port}"
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of(cls, directory: Path) -> Self:
        """Make a client of the simulators that run over this directory."""
        return cls(read_ports(directory).control)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def ports(self) -> Ports:
        """Return where the simulators listen."""
        return Ports(**cast("dict[str, int]", await self._ask("GET", "/healthz")))

    async def summary(self, provider: Provider) -> Summary:
        """Return a ledger's totals."""
        return cast("Summary", await self._ask("GET", f"/ledger/{provider}"))

    async def duplicates(self, provider: Provider) -> list[Duplicate]:
        """Return the messages accepted more than once."""
        return cast("list[Duplicate]", await self._ask("GET", f"/ledger/{provider}/duplicates"))

    async def unanswered(self, provider: Provider) -> dict[str, int]:
        """Return how many requests of each message got no answer, though they may have been accepted."""
        return cast("dict[str, int]", await self._ask("GET", f"/ledger/{provider}/unanswered"))

    async def ids(self, provider: Provider) -> list[str]:
        """Return the accepted messages: apns-ids, or for FCM what FcmRules.id_data_key says."""
        return cast("list[str]", await self._ask("GET", f"/ledger/{provider}/ids"))

    async def times(self, provider: Provider) -> dict[str, int]:
        """Return when each message first came, in unix ms; 0 unless the run keeps times."""
        return cast("dict[str, int]", await self._ask("GET", f"/ledger/{provider}/times"))

    async def missing(self, provider: Provider, message_ids: Iterable[str]) -> list[str]:
        """Return those of the given messages that were never accepted."""
        body = orjson.dumps(list(message_ids))
        return cast("list[str]", await self._ask("POST", f"/ledger/{provider}/missing", body))

    async def message(self, provider: Provider, message_id: str) -> MessageHistory:
        """Return what is known of one message."""
        return cast("MessageHistory", await self._ask("GET", f"/ledger/{provider}/messages/{message_id}"))

    async def set_faults(self, provider: Provider, faults: Faults) -> None:
        """Let a provider misbehave so from now on."""
        await self._ask("PUT", f"/faults/{provider}", FAULTS.dump_json(faults))

    async def faults(self, provider: Provider) -> Faults:
        """Return how a provider misbehaves."""
        return FAULTS.validate_python(await self._ask("GET", f"/faults/{provider}"))

    async def set_tokens(self, provider: Provider, entries: Mapping[str, TokenEntry]) -> None:
        """Set the state of single device tokens; APNs tokens in lower case."""
        await self._ask("POST", f"/tokens/{provider}", TOKENS.dump_json(dict(entries)))

    async def clear_tokens(self, provider: Provider) -> None:
        """Make every device healthy."""
        await self._ask("DELETE", f"/tokens/{provider}")

    async def goaway(self, provider: Provider) -> None:
        """Ask every connected client to leave."""
        await self._ask("POST", f"/goaway/{provider}")

    async def disconnect(self, provider: Provider) -> None:
        """Reset every connection."""
        await self._ask("POST", f"/disconnect/{provider}")

    async def connections(self, provider: Provider) -> dict[str, int]:
        """Return how many connections are `present`, and were `accepted` in all."""
        return cast("dict[str, int]", await self._ask("GET", f"/connections/{provider}"))

    async def bodies(self, provider: Provider) -> list[str]:
        """Return the newest requests' bodies, oldest first, as many as the run keeps."""
        return cast("list[str]", await self._ask("GET", f"/bodies/{provider}"))

    async def oauth(self) -> dict[str, int]:
        """Return how many access tokens were `issued` and how many requests for one `refused`."""
        return cast("dict[str, int]", await self._ask("GET", "/oauth"))

    async def revoke_bearers(self) -> None:
        """Refuse all access tokens issued up to now."""
        await self._ask("POST", "/oauth/revoke")

    async def set_oauth_unavailable(self, unavailable: bool) -> None:
        """Let the token endpoint answer 503, or no longer."""
        await self._ask("PUT", "/oauth/unavailable", orjson.dumps(unavailable))

    async def reset(self) -> None:
        """Forget all messages, faults and token states."""
        await self._ask("POST", "/reset")

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> object:
        if self._session is None:
            raise RuntimeError("use the client as an async context manager")
        async with self._session.request(method, self._base + path, data=body) as response:
            content = await response.read()
            if response.status != 200:
                raise ControlRefusedError(response.status, content.decode(errors="replace"))
            return cast("object", orjson.loads(content))


def read_ports(directory: Path) -> Ports:
    """Return where the simulators over this directory listen. Raises FileNotFoundError before they are ready."""
    return Ports(**json.loads((directory / PORTS_FILE).read_text()))
