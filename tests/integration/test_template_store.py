"""Templates in their file: versions that stay, one class for ever, several workers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.templates.source_json import from_json, to_json
from adapters.templates.sqlite import SqliteTemplates
from core.content.templates import Button, MediaFacts, TemplateBody, TemplateSource, Variable, VariableType
from core.errors import InvalidRequest, StoreFailure, Unavailable
from core.model import NotificationClass
from core.policy.people import Channel
from core.values import Moment, Money, Value, from_plain, to_plain

SOURCE = TemplateSource(
    "payment.done", 0, NotificationClass.TRANSACTIONAL, "payment", "en",
    variables=(
        Variable("amount", VariableType.MONEY, default=Money(100, "CNY"), sensitive=True),
        Variable("items", VariableType.LIST, fields=(Variable("name", VariableType.TEXT),)),
    ),
    bodies=(
        TemplateBody(
            Channel.PUSH, "zh-CN", title="收款 {{ amount | money }}", body="到账", image_url="https://a.example/b.png",
            buttons=(Button("查看", "wallet://t"),), image=MediaFacts(1_000, "image/png"),
        ),
    ),
    tags=("receipts",),
)  # fmt: skip


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteTemplates]:
    opened = await SqliteTemplates.open(tmp_path)
    yield opened
    await opened.close()


@given(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
    | st.builds(Money, st.integers(-(2**63), 2**63 - 1), st.sampled_from(("", "CNY", "JPY")))
    | st.builds(Moment, st.integers(0, 2**42)) | st.dates()
)  # fmt: skip
def test_every_kind_of_value_comes_back_as_it_was(value: Value) -> None:
    back = from_plain(to_plain(value))
    assert (type(back), back) == (type(value), value)


@pytest.mark.parametrize("wrong", [("money", "1", "CNY"), ("date", 5), ("what", 1), ("date", "2026-02-30"), ()])
def test_what_is_no_value_is_refused(wrong: tuple[int | str, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_plain(wrong)


def test_a_source_comes_back_from_json_as_it_was() -> None:
    dated = replace(SOURCE, variables=(*SOURCE.variables, Variable("day", VariableType.DATE, default=date(2026, 2, 1))))
    assert from_json(to_json(dated)) == dated


async def test_a_published_version_is_current_and_the_earlier_ones_stay(store: SqliteTemplates) -> None:
    first = await store.publish("wallet", SOURCE, "marketing", 1_000)
    second = await store.publish("wallet", replace(SOURCE, tags=()), "marketing", 2_000)
    assert (first.source.version, second.source.version) == (1, 2)
    current = await store.get("wallet", "payment.done")
    assert current == second
    old = await store.get("wallet", "payment.done", 1)
    assert old is not None
    assert old.source == replace(SOURCE, version=1)
    assert old.current == 2


async def test_a_template_never_changes_its_class(store: SqliteTemplates) -> None:
    await store.publish("wallet", SOURCE, "a", 1)
    with pytest.raises(InvalidRequest, match="is transactional in earlier versions"):
        await store.publish("wallet", replace(SOURCE, klass=NotificationClass.MARKETING), "a", 2)
    other_app = await store.publish("other", replace(SOURCE, klass=NotificationClass.MARKETING), "a", 2)
    assert other_app.source.version == 1


async def test_a_retired_template_says_so_until_it_is_published_again(store: SqliteTemplates) -> None:
    assert not await store.retire("wallet", "payment.done")
    await store.publish("wallet", SOURCE, "a", 1)
    assert await store.retire("wallet", "payment.done")
    retired = await store.get("wallet", "payment.done")
    assert retired is not None
    assert retired.retired
    assert not (await store.publish("wallet", SOURCE, "a", 2)).retired


async def test_templates_are_listed_by_id_page_by_page(store: SqliteTemplates) -> None:
    for name in ("b", "a", "c"):
        await store.publish("wallet", replace(SOURCE, template_id=name), "x", 1)
    await store.publish("wallet", replace(SOURCE, template_id="b"), "x", 2)
    page = await store.list_current("wallet", "", 2)
    assert [(one.source.template_id, one.source.version) for one in page] == [("a", 1), ("b", 2)]
    assert [one.source.template_id for one in await store.list_current("wallet", "b", 2)] == ["c"]


async def test_two_workers_see_and_number_each_others_versions(store: SqliteTemplates, tmp_path: Path) -> None:
    other = await SqliteTemplates.open(tmp_path)
    await store.publish("wallet", SOURCE, "a", 1)
    assert (await other.publish("wallet", SOURCE, "b", 2)).source.version == 2
    seen = await store.get("wallet", "payment.done")
    assert seen is not None
    assert seen.publisher == "b"
    await other.close()


async def test_a_closed_or_foreign_file_is_told(tmp_path: Path) -> None:
    store = await SqliteTemplates.open(tmp_path)
    await store.close()
    with pytest.raises(Unavailable):
        await store.get("wallet", "x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "templates.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreFailure):
        await SqliteTemplates.open(tmp_path / "elsewhere")
