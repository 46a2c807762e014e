"""The options of every command that calls a gateway, and the client they make."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.failure import BAD_SETTINGS, CommandFailed, gateway_failures

if TYPE_CHECKING:
    from gateway.client import Walletpush

PANEL = "Connection"
# A person waits for this, and asks again: shorter than the library's deadline.
DEADLINE_S = 3.0


def _option(name: str, text: str, env: str | None = None) -> object:
    return typer.Option(name, help=text, envvar=env, rich_help_panel=PANEL)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the gateway is and how to reach it."""

    address: Annotated[str, _option("--address", "host:port or unix:/path of the gateway.", "WP_ADDRESS")] = (
        "127.0.0.1:50051"
    )
    key_file: Annotated[Path | None, _option("--key-file", "A file with the caller's key.", "WP_KEY_FILE")] = None
    ca_file: Annotated[Path | None, _option("--ca-file", "PEM bundle to trust; turns TLS on.", "WP_CA_FILE")] = None
    cert_file: Annotated[Path | None, _option("--cert-file", "PEM certificate to show (mTLS).")] = None
    cert_key_file: Annotated[Path | None, _option("--cert-key-file", "Its PEM private key.")] = None
    insecure: Annotated[bool, _option("--insecure", "Talk in plain text to another host.")] = False

    def open(self) -> Walletpush:
        """Make a client. Needs a running loop; raises CommandFailed when a file or the address is wrong."""
        from gateway.client import Retry, Tls, Walletpush

        try:
            key = self.key_file.read_text("ascii").strip() if self.key_file else None
            tls = Tls(self.ca_file, self.cert_file, self.cert_key_file) if self.ca_file or self.cert_file else None
            retry = Retry(deadline_s=DEADLINE_S)
            return Walletpush(self.address, key=key, tls=tls, insecure=self.insecure, retry=retry)
        except (ValueError, OSError) as error:
            raise CommandFailed(str(error), BAD_SETTINGS) from error

    def run(self, work: Callable[[Walletpush], Coroutine[None, None, None]]) -> None:
        """Run one coroutine with a client; tell its failures."""
        import asyncio

        async def connected() -> None:
            async with self.open() as client:
                await work(client)

        with gateway_failures(self.address):
            asyncio.run(connected())
