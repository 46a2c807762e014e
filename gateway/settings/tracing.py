"""The settings of tracing: where spans go, how many notifications have them, and what bounds them."""

from __future__ import annotations

import re
from importlib.util import find_spec
from typing import Self

from pydantic import Field, model_validator

from gateway.settings.values import Component, CredentialFile, PublicFile, WebListen, is_loopback

# What the optional dependency `tracing` brings.
_NEEDS = ("opentelemetry", "opentelemetry.trace", "opentelemetry.proto")
# https://grpc.github.io/grpc/core/md_doc__p_r_o_t_o_c_o_l-_h_t_t_p2.html, Custom-Metadata, without the binary ones
_HEADER = re.compile(r"([a-z0-9_.-]+)\s*:\s*([\x20-\x7e]+)")


class TracingSettings(Component):
    """OpenTelemetry traces, from the caller's context to the provider's answer; off without an endpoint."""

    endpoint: WebListen | None = Field(default=None, examples=["127.0.0.1:4317"])
    """host:port of an OTLP receiver over gRPC; none turns tracing off. Needs walletpush[tracing]."""
    sample_ratio: float = Field(default=0.01, ge=0, le=1)
    """Share of the notifications traced whose caller sent no traceparent; one that did decides itself."""
    service_name: str = Field(default="walletpush", min_length=1, max_length=255)
    """What traces call this gateway."""
    insecure: bool = False
    """Talk in plain text, to a receiver beside the gateway for instance."""
    ca_file: PublicFile | None = Field(default=None, examples=["tls/traces.crt"])
    """PEM bundle to trust instead of gRPC's own."""
    headers_file: CredentialFile | None = Field(default=None, examples=["tls/trace-headers"])
    """A file with headers for the receiver, one "name: value" a line."""
    max_per_batch: int = Field(default=100, ge=1, le=1_000)
    """Notifications of one call or chunk that are traced, at most."""
    max_requests: int = Field(default=100, ge=1, le=100_000)
    """Provider requests of one notification that have spans, at most."""
    max_open: int = Field(default=10_000, ge=1, le=1_000_000)
    """Traced notifications under way per worker; more are not traced."""
    queue_spans: int = Field(default=16_384, ge=64, le=1_000_000)
    """Spans that may wait for the receiver per worker; more are dropped and counted."""
    batch_spans: int = Field(default=512, ge=1, le=10_000)
    """Spans in one export; as many that wait are exported at once."""
    interval_s: float = Field(default=1.0, gt=0, le=60)
    """Fewer wait at most this long."""
    timeout_s: float = Field(default=5.0, gt=0, le=60)
    """Time for one export, its repetitions included, and for what is left at the end."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.endpoint is None:
            return self
        if not all(find_spec(name) for name in _NEEDS):
            raise ValueError("tracing needs more packages: pip install 'walletpush[tracing]'")
        if self.insecure and self.ca_file is not None:
            raise ValueError("ca_file and insecure exclude each other")
        if self.insecure and self.headers_file is not None and not is_loopback(self.endpoint):
            raise ValueError("headers_file would be sent in plain text to another host: drop insecure")
        self.headers()
        return self

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the headers for the receiver. Raises ValueError when the file holds something else."""
        if self.headers_file is None:
            return ()
        lines = self.headers_file.path.read_text("utf-8", "replace").splitlines()
        found = [_HEADER.fullmatch(line.strip()) for line in lines if line.strip()]
        headers = tuple((match[1], match[2]) for match in found if match is not None)
        if len(headers) < len(found) or any(name.endswith("-bin") for name, _ in headers):
            raise ValueError('headers_file must hold one "name: value" a line, names in lower case')
        return headers
