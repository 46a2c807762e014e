"""The settings of links and pages: where users reach them, how long, and with which keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import InvalidRequest
from gateway.people_parts import link_maker, link_sealer
from gateway.settings.loading import SettingsError, load
from gateway.settings.root import Settings
from gateway.web.links import LinkForged, Purpose

NOW_MS = 1_790_000_000_000


def settings_of(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "w.toml"
    path.write_text(f'data_dir = "."\n[web]\n{text}')
    return load(path, {})


def key_file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "links"
    path.write_text(text)
    path.chmod(0o600)
    return 'link_key_file = "links"\n'


@pytest.mark.parametrize("url", ["https://x.example.org", "https://x.example.org/a/", "http://127.0.0.1:9090"])
def test_a_public_address_is_taken_without_its_last_slash(tmp_path: Path, url: str) -> None:
    assert settings_of(tmp_path, f'public_url = "{url}"').web.public_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url", ["http://x.example.org", "x.example.org", "https://u:p@x.org", "https://x.org/?a=1", "https://", "ftp://x.org"]
)
def test_an_address_that_would_show_links_to_others_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="public_url"):
        settings_of(tmp_path, f'public_url = "{url}"')


@pytest.mark.parametrize("text", ["", "abc", "g" * 64, "ab" * 16])
def test_a_key_file_with_something_else_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="link_key_file"):
        settings_of(tmp_path, key_file(tmp_path, text))


def test_without_a_public_address_no_links_are_made(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="no public address"):
        link_maker(settings_of(tmp_path, "")).make("wallet", "u", "", 0, NOW_MS)


def test_links_outlive_the_coming_of_a_key_file_and_its_rotation(tmp_path: Path) -> None:
    where = 'public_url = "https://x.org"\n'

    def token(settings: Settings) -> str:
        return link_maker(settings).make("wallet", "u", "", 0, NOW_MS).unsubscribe_url.rpartition("/")[2]

    own = token(settings_of(tmp_path, where))
    first = settings_of(tmp_path, where + key_file(tmp_path, "ab" * 32))
    named = token(first)
    second = settings_of(tmp_path, where + key_file(tmp_path, "\n".join(("cd" * 32, "ab" * 32))))
    for old in (own, named, token(second)):
        assert link_sealer(second).open(Purpose.UNSUBSCRIBE, old, NOW_MS).user_id == "u"
    dropped = settings_of(tmp_path, where + key_file(tmp_path, "cd" * 32))
    with pytest.raises(LinkForged):
        link_sealer(dropped).open(Purpose.UNSUBSCRIBE, named, NOW_MS)
