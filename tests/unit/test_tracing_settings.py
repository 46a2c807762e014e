"""The settings of tracing, and that nothing of OpenTelemetry is loaded without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.settings import tracing
from gateway.settings.loading import SettingsError, load
from gateway.settings.root import Settings


def load_text(tmp_path: Path, text: str, headers: str = "", mode: int = 0o600) -> Settings:
    (tmp_path / "headers").write_text(headers)
    (tmp_path / "headers").chmod(mode)
    (tmp_path / "ca.crt").write_text("pem")
    path = tmp_path / "walletpush.toml"
    path.write_text(f"[tracing]\n{text}")
    return load(path, {})


def test_it_is_off_unless_an_endpoint_is_named(tmp_path: Path) -> None:
    assert load_text(tmp_path, "sample_ratio = 0.5").tracing.endpoint is None


def test_headers_are_read_from_their_file(tmp_path: Path) -> None:
    settings = load_text(
        tmp_path, 'endpoint = "collector:4317"\nheaders_file = "headers"', "authorization: Bearer a:b \n\nx-scope:one\n"
    )
    assert settings.tracing.headers() == (("authorization", "Bearer a:b"), ("x-scope", "one"))


@pytest.mark.parametrize(
    ("text", "headers", "why"),
    [
        ('endpoint = "collector"', "", "host:port"),
        ("sample_ratio = 1.1", "", "less than or equal to 1"),
        ('endpoint = "127.0.0.1:1"\ninsecure = true\nca_file = "ca.crt"', "", "exclude each other"),
        ('endpoint = "collector:1"\ninsecure = true\nheaders_file = "headers"', "a: b", "plain text to another host"),
        ('endpoint = "collector:1"\nheaders_file = "headers"', "Authorization: x", "lower case"),
        ('endpoint = "collector:1"\nheaders_file = "headers"', "x-bin: x", "headers_file must hold"),
        ('endpoint = "collector:1"\nheaders_file = "headers"', "nothing", "headers_file must hold"),
        ('endpoint = "collector:1"\nendpiont = "x"', "", "did you mean tracing.endpoint?"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, headers: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why.replace("?", r"\?")):
        load_text(tmp_path, text, headers)


def test_a_headers_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="chmod 600"):
        load_text(tmp_path, 'endpoint = "collector:1"\nheaders_file = "headers"', "a: b", 0o644)


def test_without_the_optional_packages_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"walletpush\[tracing\]"):
        load_text(tmp_path, 'endpoint = "collector:1"')
    load_text(tmp_path, "sample_ratio = 0.5")


def test_a_worker_and_a_client_load_nothing_of_opentelemetry() -> None:
    words = "import sys, gateway.main_process, gateway.client, gateway.settings.loading as s; s.load(None, {})"
    told = "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run([sys.executable, "-c", f"{words}; {told}"], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
