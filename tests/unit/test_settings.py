"""The settings file and the environment: what is read, what is refused and how it is said."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.token_buckets import Rate
from gateway.pipeline.limits import NO_LIMIT
from gateway.settings.components import CallerSettings
from gateway.settings.loading import SettingsError, load
from gateway.settings.root import Settings
from gateway.wiring import rule_book

CALLER = f'[[callers]]\nname = "payments"\napps = ["*"]\nkey_sha256 = ["{"a" * 64}"]\n'


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "walletpush.toml"
    path.write_text(text)
    return path


def credential(path: Path, mode: int = 0o600) -> Path:
    path.write_text("secret")
    path.chmod(mode)
    return path


def problems(path: Path | None, env: dict[str, str] | None = None, insecure: bool = False) -> dict[str, str]:
    with pytest.raises(SettingsError) as raised:
        load(path, env or {}, insecure)
    return {problem.path: problem.reason for problem in raised.value.problems}


def apns_app(tmp_path: Path, extra: str = "") -> str:
    credential(tmp_path / "key.p8")
    return (
        '[[apps]]\nid = "wallet"\n[apps.apns]\ntopic = "com.example.wallet"\nteam_id = "ABCDE12345"\n'
        f'key_id = "FGHIJ67890"\nkey_file = "key.p8"\n{extra}'
    )


def test_nothing_set_means_the_defaults_on_loopback() -> None:
    settings = load(None, {})
    assert settings.server.listen == "127.0.0.1:50051"
    assert settings.web.listen == "127.0.0.1:9090"
    assert settings.dispatch.max_pending == 1_000_000
    assert settings.callers == ()


def test_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "[server]\nworkers = 2\ndrain_s = 5\n")
    settings = load(path, {"WALLETPUSH_SERVER__WORKERS": "3", "WALLETPUSH_LOG__LEVEL": "debug"})
    assert (settings.server.workers, settings.server.drain_s, settings.log.level) == (3, 5.0, "debug")


def test_environment_holds_lists_as_json() -> None:
    env = {"WALLETPUSH_CALLERS": f'[{{"name": "a", "apps": ["*"], "key_sha256": ["{"b" * 64}"]}}]'}
    assert load(None, env).callers[0].name == "a"


def test_environment_list_that_is_not_json_is_a_problem() -> None:
    assert "must be JSON" in problems(None, {"WALLETPUSH_CALLERS": "payments"})["environment"]


@pytest.mark.parametrize("name", ["WALLETPUSH_BUILD", "WALLETPUSH_CONFIG", "WALLETPUSH_WORKER", "HOME"])
def test_variables_that_are_no_settings_are_left_alone(name: str) -> None:
    assert load(None, {name: "x"}) == load(None, {})


@pytest.mark.parametrize(
    ("text", "path", "nearest"),
    [
        ("[server]\nworker = 2", "server.worker", "server.workers"),
        ("[serve]\nworkers = 2", "serve", "server"),
        ("[limits.overrides.app.x]\nburs = 2", "limits.overrides.app.x.burs", "limits.overrides.app.x.burst"),
        ('[[callers]]\nnames = "x"', "callers[0].names", "callers[0].name"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_known(tmp_path: Path, text: str, path: str, nearest: str) -> None:
    found = problems(write(tmp_path, text))
    assert found[path] == f"unknown key {path}, did you mean {nearest}?"


def test_unknown_variable_is_refused_with_the_nearest_known() -> None:
    assert problems(None, {"WALLETPUSH_SERVR__WORKERS": "2"}) == {
        "WALLETPUSH_SERVR__WORKERS": "unknown key servr, did you mean server?"
    }


def test_all_problems_are_reported_at_once(tmp_path: Path) -> None:
    text = '[server]\nworkers = 0\n[log]\nlevel = "loud"\n[web]\nlisten = "0.0.0.0:9090"\n[dedup]\nwindow = 3\n'
    repeated = apns_app(tmp_path) + apns_app(tmp_path)
    found = problems(write(tmp_path, text + repeated), {"WALLETPUSH_JURNAL__X": "1"})
    assert found.keys() == {"server.workers", "log.level", "dedup.window", "apps", "WALLETPUSH_JURNAL__X"}


@pytest.mark.parametrize("text", ["[server", "workers = \x00"])
def test_broken_toml_is_one_problem(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    assert problems(path)[str(path)].startswith("not valid TOML")


def test_missing_file_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "none.toml"
    assert "cannot be read" in problems(path)[str(path)]


def test_relative_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    settings = load(write(tmp_path, apns_app(tmp_path)), {})
    assert settings.data_dir == tmp_path / "var"
    apns = settings.apps[0].apns
    assert apns is not None
    assert apns.key_file is not None
    assert apns.key_file.path == tmp_path / "key.p8"
    assert Path(apns.key_file).read_text() == "secret"


def test_missing_credential_file_is_named(tmp_path: Path) -> None:
    text = apns_app(tmp_path)
    (tmp_path / "key.p8").unlink()
    assert "no such file" in problems(write(tmp_path, text))["apps[0].apns.key_file"]


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o620, 0o666])
def test_credential_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    text = apns_app(tmp_path)
    (tmp_path / "key.p8").chmod(mode)
    assert f"mode {mode:04o}" in problems(write(tmp_path, text))["apps[0].apns.key_file"]


def test_credential_that_its_group_may_read_is_taken(tmp_path: Path) -> None:
    text = apns_app(tmp_path)
    (tmp_path / "key.p8").chmod(0o640)
    assert load(write(tmp_path, text), {}).apps[0].id == "wallet"


def test_inline_credential_is_refused_and_not_repeated(tmp_path: Path) -> None:
    text = apns_app(tmp_path).replace('"key.p8"', '"""-----BEGIN PRIVATE KEY-----\nMIGH\n"""')
    found = problems(write(tmp_path, text))
    assert found == {"apps[0].apns.key_file": "must be the path of a file, never the credential itself"}


def test_token_key_and_certificate_together_are_refused(tmp_path: Path) -> None:
    credential(tmp_path / "c.key")
    text = apns_app(tmp_path, 'cert_file = "key.p8"\ncert_key_file = "c.key"\n')
    assert "both a token key and a certificate" in problems(write(tmp_path, text))["apps[0].apns"]


def test_half_a_token_key_is_refused(tmp_path: Path) -> None:
    text = apns_app(tmp_path).replace('team_id = "ABCDE12345"\n', "")
    assert "needs team_id" in problems(write(tmp_path, text))["apps[0].apns"]


@pytest.mark.parametrize(
    ("proxy", "why"),
    [("http://u:p@proxy:3128", "must not hold a password"), ("socks5://p:1", "must be"), ("http://p", "host:port")],
)
def test_proxy_must_be_plain(tmp_path: Path, proxy: str, why: str) -> None:
    assert why in problems(write(tmp_path, apns_app(tmp_path, f'proxy = "{proxy}"\n')))["apps[0].apns.proxy"]


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "unix:/run/w.sock"])
def test_loopback_needs_neither_tls_nor_callers(listen: str) -> None:
    assert load(None, {"WALLETPUSH_SERVER__LISTEN": listen}).server.listen == listen


@pytest.mark.parametrize("listen", ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "example.com:1"])
def test_other_addresses_need_tls_and_callers(listen: str) -> None:
    reason = problems(None, {"WALLETPUSH_SERVER__LISTEN": listen})["server.listen"]
    assert "server.tls_cert_file and server.tls_key_file and at least one caller" in reason
    assert "--insecure" in reason


def test_insecure_allows_other_addresses() -> None:
    assert load(None, {"WALLETPUSH_SERVER__LISTEN": "0.0.0.0:1"}, insecure=True).server.listen == "0.0.0.0:1"


@pytest.mark.parametrize("section", ["server", "web"])
def test_tls_and_callers_allow_other_addresses(tmp_path: Path, section: str) -> None:
    credential(tmp_path / "t.key")
    credential(tmp_path / "t.crt")
    tls = f'[{section}]\nlisten = "0.0.0.0:1"\ntls_cert_file = "t.crt"\ntls_key_file = "t.key"\n'
    assert load(write(tmp_path, tls + CALLER), {}).callers[0].name == "payments"
    assert "at least one caller" in problems(write(tmp_path, tls))[f"{section}.listen"]
    bare = write(tmp_path, f'[{section}]\nlisten = "0.0.0.0:1"\n' + CALLER)
    assert "tls_cert_file" in problems(bare)[f"{section}.listen"]


@pytest.mark.parametrize("listen", ["50051", "host:", ":50051", "host:70000", "::1:50051", "host:-1", "host:1x"])
def test_malformed_address_is_refused(listen: str) -> None:
    assert "server.listen" in problems(None, {"WALLETPUSH_SERVER__LISTEN": listen})


def test_caller_must_have_an_identity() -> None:
    with pytest.raises(ValidationError, match="key_sha256, key_hash_file and client_name"):
        CallerSettings(name="x", apps=("*",))


def test_client_name_needs_a_client_ca(tmp_path: Path) -> None:
    text = CALLER.replace("key_sha256", 'client_name = "svc"\nkey_sha256')
    assert problems(write(tmp_path, text)) == {"callers[0].client_name": "needs server.client_ca_file"}


def test_two_callers_cannot_share_a_key(tmp_path: Path) -> None:
    text = CALLER + CALLER.replace("payments", "loyalty")
    assert problems(write(tmp_path, text)) == {"callers": "two callers have the same key"}


def test_caller_of_an_unknown_app_is_refused(tmp_path: Path) -> None:
    text = CALLER.replace("*", "wallett") + apns_app(tmp_path)
    assert problems(write(tmp_path, text)) == {"callers[0].apps": "no app has the id wallett"}


def test_override_goes_before_the_general_rate(tmp_path: Path) -> None:
    text = '[limits]\napp = { per_s = 5, burst = 6 }\n[limits.overrides.app."com.x"]\nper_s = 1\nburst = 2\n'
    rules = rule_book(load(write(tmp_path, text), {}))
    assert rules.rates[rules.rule_of("app", "com.x") - 1] == Rate(Fraction(1), 2)
    assert rules.rates[rules.rule_of("app", "com.y") - 1] == Rate(Fraction(5), 6)
    assert rules.rule_of("tenant", "t") == NO_LIMIT


@pytest.mark.parametrize("rate", ["{ per_s = 0, burst = 1 }", "{ per_s = inf, burst = 1 }", "{ per_s = 1, burst = 0 }"])
def test_rate_that_lets_nothing_or_everything_pass_is_refused(tmp_path: Path, rate: str) -> None:
    assert any(path.startswith("limits.app") for path in problems(write(tmp_path, f"[limits]\napp = {rate}\n")))


def test_marketing_is_never_shed_after_service(tmp_path: Path) -> None:
    text = "[dispatch]\nmarketing_share = 0.95\nservice_share = 0.9\n"
    assert "marketing is shed first" in problems(write(tmp_path, text))["dispatch"]


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().server.workers = 3
