"""Templates become messages: the right body, escaped values, checked variables, and no failure but one's own."""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest

from core.content.limits import PUSH_BODY_MAX_BYTES
from core.content.message import Content
from core.content.rendered import BUTTONS_KEY, NotRendered, Reader, Refusal, Rendered, RenderItem
from core.content.rendering import check_many, check_values, compile_template
from core.content.templates import Button, TemplateBody, Values, Variable, VariableType
from core.content.truncation import byte_count
from core.errors import ContentRefused
from core.policy.people import Channel
from core.values import Money
from tests.unit.template_stand import DATA, ENGLISH, NAME, NOW_UNIX_S, compiled, failure, push, show, source, text


def test_a_batch_is_answered_in_order_and_by_each_readers_locale_zone_and_currency() -> None:
    template = compiled(
        push("{{ name }}: {{ amount }}, {{ paid_at | time }}"),
        push("{{ name }}：{{ amount }}，{{ paid_at | time }}", locale="zh"),
    )
    readers = [
        Reader("en-US", "America/New_York", "USD"),
        Reader("zh-Hans-CN", "Asia/Shanghai", "CNY"),
        Reader("fr", "", "EUR"),
        Reader("en-GB", "Europe/London", "GBP"),
    ]
    values = Values({**DATA, "amount": Money(123_456)})
    results = template.render_many([RenderItem(Channel.PUSH, reader, values) for reader in readers], NOW_UNIX_S)
    assert [one.body for one in results if isinstance(one, Rendered)] == [
        "Ana: $1,234.56, 3:00\u202fAM",
        "Ana：¥1,234.56，16:00",
        "Ana: €1,234.56, 8:00\u202fAM UTC",
        "Ana: £1,234.56, 08:00",
    ]


def test_a_readers_language_goes_before_the_channels_own_text() -> None:
    template = compiled(
        push("push en"), push("push zh", locale="zh"), TemplateBody(Channel.WEB_PUSH, "en", body="web en")
    )
    for locale, channel, shown in (
        ("zh-CN", Channel.WEB_PUSH, "push zh"),
        ("en-GB", Channel.WEB_PUSH, "web en"),
        ("fr", Channel.WEB_PUSH, "web en"),
        ("fr", Channel.IN_APP, "push en"),
    ):
        result = show(template, reader=Reader(locale), channel=channel)
        assert isinstance(result, Rendered)
        assert result.body == shown


def test_a_channel_without_a_body_is_an_answer() -> None:
    result = show(compiled(push("x")), channel=Channel.SMS)
    assert isinstance(result, NotRendered)
    assert result.reason is Refusal.NO_BODY


def test_one_message_alone_is_returned_or_refused() -> None:
    template = compiled(push("Hi {{ name }}"))
    assert template.render(Channel.PUSH, ENGLISH, Values(DATA), NOW_UNIX_S).body == "Hi Ana"
    with pytest.raises(ContentRefused) as caught:
        template.render(Channel.PUSH, ENGLISH, Values({}), NOW_UNIX_S)
    assert (caught.value.reason, caught.value.why) == ("MissingValue", "name: has no value")


def test_a_missing_attribute_of_a_user_needs_a_default() -> None:
    for body in ("Hi {{ user.first_name }}", "{% for w in words %}{% endfor %}Hi {{ user.first_name }}"):
        assert failure(body)[:2] == (Refusal.MISSING_VALUE, "user.first_name")
        assert text(body, user={"first_name": "Li"}) == "Hi Li"
    assert text("Hi {{ user.first_name | default: 'friend' }}") == "Hi friend"
    assert text("{% if user.tier == 'gold' %}gold{% else %}member{% endif %}") == "member"


def test_attributes_and_events_have_the_type_of_their_value() -> None:
    template = compiled(push("{{ user.balance }} {{ event.total }} {{ app.name }}"))
    values = Values(DATA, {"balance": Money(100, "EUR")}, {"total": 3}, {"name": "Wallet"})
    assert template.render(Channel.PUSH, ENGLISH, values, NOW_UNIX_S).body == "€1.00 3 Wallet"
    assert template.user_attributes == {"balance"}


def test_an_optional_variable_without_value_is_empty_and_a_default_stands_in() -> None:
    assert text("[{{ nick }}]") == "[]"
    city = Variable("city", VariableType.TEXT, default="Bonn")
    fee = Variable("fee", VariableType.MONEY, default=Money(150))
    template = compile_template(source(push("{{ city }} {{ fee }}"), variables=(city, fee)))
    assert template.render(Channel.PUSH, ENGLISH, Values(), NOW_UNIX_S).body == "Bonn $1.50"


def test_values_are_escaped_in_html_and_not_in_text() -> None:
    body = TemplateBody(Channel.EMAIL, "en", title="{{ name }}", body="{{ name }}", html="<p>{{ name }}</p>")
    result = show(compiled(body), {"name": "<b>&\"'"}, channel=Channel.EMAIL)
    assert isinstance(result, Rendered)
    assert result.title == result.body == "<b>&\"'"
    assert result.html == "<p>&lt;b&gt;&amp;&quot;&#x27;</p>"


def test_html_is_escaped_in_loops_and_assignments_too() -> None:
    html = "{% assign x = name %}{% for w in words %}{{ x }}{{ w | append: '<' }}{% endfor %}"
    body = TemplateBody(Channel.EMAIL, "en", title="x", html=html)
    result = show(compiled(body), {"name": "<i>", "words": ["&"]}, channel=Channel.EMAIL)
    assert isinstance(result, Rendered)
    assert result.html == "&lt;i&gt;&amp;&lt;"


def test_values_keep_their_direction_in_text_that_runs_the_other_way() -> None:
    assert text("Hi {{ name }}!", {"name": "דנה"}) == "Hi \u2068דנה\u2069!"
    result = show(compiled(push("مرحبا {{ name }}", locale="ar")), reader=Reader("ar"))
    assert isinstance(result, Rendered)
    assert result.body == "مرحبا \u2068Ana\u2069"


def test_a_push_too_long_for_its_payload_is_cut_between_characters_and_a_mail_is_not() -> None:
    long = "👩‍👩‍👧‍👦" * 200
    result = show(compiled(push(f"{long}{{{{ name }}}}")))
    assert isinstance(result, Rendered)
    assert byte_count(result.body) <= PUSH_BODY_MAX_BYTES
    assert result.body.endswith("👩‍👩‍👧‍👦…")
    mail = show(compiled(TemplateBody(Channel.EMAIL, "en", title="x", body=long)), channel=Channel.EMAIL)
    assert isinstance(mail, Rendered)
    assert mail.body == long


def test_a_message_that_says_nothing_is_not_sent() -> None:
    assert failure("{% if vip == false %}x{% endif %}").reason is Refusal.SAYS_NOTHING


def test_a_message_longer_than_the_limit_is_refused() -> None:
    html = "{{ name }}" * 20
    result = show(
        compiled(TemplateBody(Channel.EMAIL, "en", title="x", html=html)), {"name": "a" * 1_000}, channel=Channel.EMAIL
    )
    assert isinstance(result, NotRendered)
    assert (result.reason, result.field) == (Refusal.TOO_LONG, "html")


def test_what_cannot_be_computed_fails_for_that_reader_only() -> None:
    template = compiled(push("{{ points | divided_by: rate }}"))
    bad, good = show(template, {"rate": 0}), show(template, {"rate": 2})
    assert isinstance(bad, NotRendered)
    assert (bad.reason, bad.field, bad.why) == (Refusal.TEMPLATE_FAILED, "body", "division by zero")
    assert isinstance(good, Rendered)
    assert failure("{{ points | modulo: rate }}", {"rate": 1e-30}).reason is Refusal.TEMPLATE_FAILED
    assert failure("{% if user.born < 3 %}{% endif %}x", user={"born": "a"}).reason is Refusal.TEMPLATE_FAILED
    assert "use default" in failure("{{ due | date }}").why


def test_a_rendered_push_fills_the_content_that_a_notification_brought() -> None:
    body = replace(
        push("{{ name }}", title="Paid"),
        subtitle="at {{ merchant }}",
        icon="ic_pay",
        sound="coin.caf",
        image_url="https://a.example/a.jpg",
        deep_link="https://a.example/{{ name }}",
        buttons=(Button("View {{ name }}", "https://a.example/view"),),
    )
    result = show(compiled(body))
    assert isinstance(result, Rendered)
    content = result.content(Content(badge=3, data={"a": "b"}))
    assert content.apns is not None
    assert content.fcm is not None
    assert (content.title, content.body, content.badge, content.sound) == ("Paid", "Ana", 3, "coin.caf")
    assert (content.apns.subtitle, content.fcm.icon) == ("at Corner Coffee", "ic_pay")
    assert content.data is not None
    assert content.data["a"] == "b"
    assert orjson.loads(content.data[BUTTONS_KEY]) == [{"label": "View Ana", "link": "https://a.example/view"}]


def test_every_missing_or_wrong_variable_is_named_before_sending() -> None:
    template = compiled(push("x"))
    told = check_values(template, Values({"name": 5, "amount": Money(1), "words": "a", "merchant": "m"}))
    assert [str(one) for one in told] == [
        "variables[name]: is not text",
        "variables[card]: is missing",
        "variables[words]: is not a list",
    ]
    assert check_values(template, Values(DATA)) == ()
    assert [len(one) for one in check_many(template, [Values(DATA), Values({})])] == [0, 4]


def test_variables_that_come_from_users_are_not_asked_of_callers() -> None:
    first_name = Variable("user.first_name", VariableType.TEXT, default="friend", sensitive=True)
    template = compile_template(source(push("Hi {{ user.first_name }} {{ name }}"), variables=(NAME, first_name)))
    assert check_values(template, Values({"name": "a"})) == ()
    assert template.render(Channel.PUSH, ENGLISH, Values({"name": "a"}), NOW_UNIX_S).body == "Hi friend a"
