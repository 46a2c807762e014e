"""Links of wallet users: they come back whole, for their purpose and time alone, and nothing else does."""

from __future__ import annotations

import base64
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.web.links import (
    FORM_LIFETIME_S,
    MAX_TOKEN_LENGTH,
    Link,
    LinkExpired,
    LinkForged,
    LinkMalformed,
    LinkRefused,
    LinkSealer,
    Purpose,
    SealedLinks,
)

OLD, NEW = b"o" * 32, b"n" * 32
SEALER = LinkSealer([NEW])
NOW_MS = 1_790_000_000_000
LINK = Link(
    Purpose.UNSUBSCRIBE, "com.example.wallet", "user-0042", "promotion", 3, NOW_MS // 1_000, NOW_MS // 1_000 + 60
)
NAMES = st.text(max_size=32)


def links() -> st.SearchStrategy[Link]:
    return st.builds(
        lambda purpose, app, user, category, channel, life: Link(
            purpose, app, user, category, channel, LINK.issued_unix_s, LINK.issued_unix_s + life
        ),
        st.sampled_from(Purpose), NAMES, NAMES, st.text(max_size=16), st.integers(0, 5), st.integers(1, 10**8),
    )  # fmt: skip


@given(links())
def test_a_link_comes_back_whole_and_hides_what_it_says(link: Link) -> None:
    token = SEALER.seal(link)
    assert SEALER.open(link.purpose, token, NOW_MS) == link
    assert re.fullmatch(f"[A-Za-z0-9_-]{{1,{MAX_TOKEN_LENGTH}}}", token)
    raw = base64.urlsafe_b64decode(token + "==")
    for name in (link.app, link.user_id, link.category):
        assert len(name.encode()) < 4 or name.encode() not in raw


def test_the_longest_names_that_the_contract_takes_fit_into_a_link() -> None:
    link = LINK._replace(app="a" * 128, user_id="\N{GRINNING FACE}" * 32, category="c" * 64)
    assert SEALER.open(link.purpose, SEALER.seal(link), NOW_MS) == link
    with pytest.raises(ValueError, match="too long"):
        SEALER.seal(LINK._replace(user_id="u" * 700))


@given(links(), st.data())
def test_a_link_changed_in_any_place_is_refused(link: Link, data: st.DataObject) -> None:
    token = SEALER.seal(link)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCxyz019-_=+ é").filter(lambda one: one != token[place]))
    with pytest.raises((LinkForged, LinkMalformed)):
        SEALER.open(link.purpose, token[:place] + letter + token[place + 1 :], NOW_MS)


@given(st.text(max_size=900) | st.binary(max_size=600).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_what_was_never_a_link_is_refused(token: str) -> None:
    with pytest.raises(LinkRefused):
        SEALER.open(Purpose.UNSUBSCRIBE, token, NOW_MS)


def test_a_link_cut_short_is_malformed_or_forged_and_never_opens() -> None:
    token = SEALER.seal(LINK)
    for length in range(len(token)):
        with pytest.raises((LinkForged, LinkMalformed)):
            SEALER.open(LINK.purpose, token[:length], NOW_MS)


def test_a_link_opens_only_the_page_it_was_made_for() -> None:
    with pytest.raises(LinkForged):
        SEALER.open(Purpose.PREFERENCES, SEALER.seal(LINK), NOW_MS)


def test_a_link_ends_at_its_second() -> None:
    token = SEALER.seal(LINK)
    assert SEALER.open(LINK.purpose, token, LINK.expires_unix_s * 1_000 - 1) == LINK
    with pytest.raises(LinkExpired):
        SEALER.open(LINK.purpose, token, LINK.expires_unix_s * 1_000)


def test_links_of_an_older_key_open_until_the_key_is_dropped_and_new_ones_are_made_with_the_newest() -> None:
    before, rotated, after = LinkSealer([OLD]), LinkSealer([NEW, OLD]), LinkSealer([NEW])
    assert rotated.open(LINK.purpose, before.seal(LINK), NOW_MS) == LINK
    assert after.open(LINK.purpose, rotated.seal(LINK), NOW_MS) == LINK
    with pytest.raises(LinkForged):
        after.open(LINK.purpose, before.seal(LINK), NOW_MS)
    proof = before.sign_form("token", "form", NOW_MS)
    assert rotated.form_is_ours("token", "form", proof, NOW_MS)
    assert not after.form_is_ours("token", "form", proof, NOW_MS)


def test_two_links_of_one_content_are_never_the_same() -> None:
    assert len({SEALER.seal(LINK) for _ in range(100)}) == 100


@given(st.text(max_size=200))
def test_no_form_passes_but_the_one_that_was_shown(proof: str) -> None:
    assert not SEALER.form_is_ours("token", "form", proof, NOW_MS)


def test_a_form_counts_for_its_link_its_content_and_its_time() -> None:
    proof = SEALER.sign_form("token", "form", NOW_MS)
    assert SEALER.form_is_ours("token", "form", proof, NOW_MS + FORM_LIFETIME_S * 1_000 - 1)
    assert not SEALER.form_is_ours("token", "form", proof, NOW_MS + FORM_LIFETIME_S * 1_000)
    assert not SEALER.form_is_ours("other", "form", proof, NOW_MS)
    assert not SEALER.form_is_ours("token", "other", proof, NOW_MS)
    later = proof.replace(proof[:10], str(int(proof[:10]) + 1))
    assert not SEALER.form_is_ours("token", "form", later, NOW_MS)


def test_made_links_carry_their_scope_and_end_together() -> None:
    made = SealedLinks(SEALER, "https://push.example.org/mail", 30).make("wallet", "u1", "news", 3, NOW_MS)
    assert made.expire_unix_ms == NOW_MS + 30 * 86_400_000
    base = "https://push.example.org/mail"
    one_click = SEALER.open(Purpose.UNSUBSCRIBE, made.unsubscribe_url.removeprefix(f"{base}/u/"), NOW_MS)
    centre = SEALER.open(Purpose.PREFERENCES, made.preference_centre_url.removeprefix(f"{base}/p/"), NOW_MS)
    assert (one_click.app, one_click.user_id, one_click.category, one_click.channel) == ("wallet", "u1", "news", 3)
    assert (centre.app, centre.user_id, centre.category, centre.channel) == ("wallet", "u1", "", 0)
    assert one_click.expires_unix_s == centre.expires_unix_s == made.expire_unix_ms // 1_000
