"""Settings written as TOML: the example and the redacted print."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from gateway.settings.loading import load
from gateway.settings.printing import example_toml, redacted


def load_text(tmp_path: Path, text: str, name: str = "w.toml") -> object:
    path = tmp_path / name
    path.write_text(text)
    return load(path, {})


def test_example_loads_and_means_the_defaults(tmp_path: Path) -> None:
    assert load_text(tmp_path, example_toml()) == load_text(tmp_path, "")


def test_example_loads_with_every_line_in_use(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^#(?=[a-z\[])", "", example_toml())
    text = re.sub(r"(?m)^cert_.*\n", "", text)
    for relative in re.findall(r'(?m)^\w+_file = "(.+)"$', text):
        path = tmp_path / relative
        path.parent.mkdir(exist_ok=True)
        path.write_text("x-key: ab" if path.name == "trace-headers" else "ab" * 32)
        path.chmod(0o600)
    settings = load(tmp_path / "all.toml", {}) if (tmp_path / "all.toml").write_text(text) else None
    assert settings is not None
    assert settings.apps[0].fcm is not None
    assert settings.limits.overrides.campaign.keys() == {"spring-sale"}


def test_every_key_of_the_example_is_explained() -> None:
    lines = example_toml().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"#?[a-z_]+ = |#?\[", line):
            assert before.startswith("# "), line


def test_redacted_print_shows_no_key_hash_and_reads_as_toml(tmp_path: Path) -> None:
    caller = f'[[callers]]\nname = "p"\napps = ["*"]\nkey_sha256 = ["{"ab" * 32}"]\n'
    override = '[limits.overrides.app."com.x"]\nper_s = 1\nburst = 2\n'
    path = tmp_path / "w.toml"
    path.write_text(caller + override)
    printed = redacted(load(path, {}))
    assert "abab" not in printed
    tree = tomllib.loads(printed)
    assert tree["callers"][0]["key_sha256"] == ["redacted"]
    assert tree["limits"]["overrides"]["app"]["com.x"] == {"per_s": 1.0, "burst": 2}
