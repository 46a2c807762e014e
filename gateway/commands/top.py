"""`walletpush top`: a live view of a running gateway."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.connection import PANEL
from gateway.commands.failure import BAD_SETTINGS, UNREACHABLE, CommandFailed, settings_failures
from gateway.commands.spread import spread

if TYPE_CHECKING:
    from gateway.top.run import Show
    from gateway.top.source import Source

DEFAULT_WEB = "127.0.0.1:9090"


def _option(*names: str, text: str, env: str) -> object:
    return typer.Option(*names, help=text, envvar=env, rich_help_panel=PANEL)


@dataclass(frozen=True, slots=True)
class WebConnection:
    """Where a gateway's HTTP side is and how to reach it."""

    web: Annotated[
        str | None,
        _option("--web", text=f"host:port or URL; default: of the settings, else {DEFAULT_WEB}.", env="WP_WEB"),
    ] = None
    config: Annotated[
        Path | None, _option("--config", "-c", text="The settings file, for its web address.", env="WALLETPUSH_CONFIG")
    ] = None
    key_file: Annotated[
        Path | None, _option("--key-file", text="A file with a key that may read metrics.", env="WP_KEY_FILE")
    ] = None
    ca_file: Annotated[
        Path | None, _option("--ca-file", text="PEM bundle to trust; turns TLS on.", env="WP_CA_FILE")
    ] = None

    @property
    def address(self) -> str:
        """What to connect to, as the person would call it."""
        return self.web or (_of_settings(self.config) if self.config else None) or DEFAULT_WEB


@spread
def top(
    connection: WebConnection,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Print one snapshot and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show rates, lanes, providers, latencies, stores and processes as they are now; q ends it.

    Reads /metrics of all workers together. Rates and quantiles are those of the time since the last look.
    """
    import asyncio

    from gateway.top.run import watch
    from gateway.top.source import NoAnswer

    address = connection.address
    source = _source(address, connection.key_file, connection.ca_file)
    try:
        asyncio.run(watch(source, lambda: _show(address, json=json, once=once), interval, once=once))
    except NoAnswer as failure:
        raise CommandFailed(f"{source.url}: {failure}", UNREACHABLE) from failure


def _show(address: str, *, json: bool, once: bool) -> Show:
    import sys

    from gateway.top.run import Lines, LiveScreen, Plain

    if json:
        return Lines(sys.stdout)
    return LiveScreen(address, sys.stdout) if sys.stdout.isatty() and not once else Plain(address, sys.stdout)


def _of_settings(config: Path) -> str:
    from gateway.settings.loading import load
    from gateway.settings.values import split_address

    with settings_failures(config):
        settings = load(config, insecure=True).web
    host, port = split_address(settings.listen)
    # What listens on all addresses is reached on this one.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # no listener is made here
    named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return f"https://{named}" if settings.tls_cert_file is not None else named


def _source(address: str, key_file: Path | None, ca_file: Path | None) -> Source:
    import ssl
    from urllib.parse import urlsplit

    from gateway.client.channel import is_loopback
    from gateway.top.source import Source

    url = address if "://" in address else f"{'https' if ca_file else 'http'}://{address}"
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port is None:
            raise ValueError("must be host:port, or a URL with a port")
        if key_file and parts.scheme == "http" and not is_loopback(parts.netloc):
            raise ValueError("a key is sent over TLS alone: name an https URL, or --ca-file")
        key = key_file.read_text("ascii").strip() if key_file else None
        tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
    except (ValueError, OSError) as error:
        raise CommandFailed(f"{address}: {error}", BAD_SETTINGS) from error
    return Source(f"{parts.scheme}://{parts.netloc}/metrics", key, tls)
