"""What tests of users and preferences have in common: stubs, a whole user, and hostile values by field."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from protos.walletpush.v1 import preference_pb2, user_pb2, value_pb2

APP = "wallet"
FAR = Timestamp(seconds=4_000_000_000)
EditUser = Callable[[user_pb2.User], object]
EditConsent = Callable[[preference_pb2.Consent], object]


class Wrong(NamedTuple):
    """A user that must be refused by its field."""

    name: str
    field: str
    edit: EditUser


def whole_user(user_id: str) -> user_pb2.User:
    """Return a user with every field set."""
    user = user_pb2.User(
        app=APP, user_id=user_id, locale="zh-CN", time_zone="Asia/Shanghai", country="CN", phone="+8613800138000",
        email=f"{user_id}@example.com", birthday="1990-02-28", tier="gold", tags=["vip", "beta"],
        external_ids={"crm": f"crm-{user_id}"}, lock_screen_detail=user_pb2.LOCK_SCREEN_DETAIL_FULL, currency="CNY",
        last_open_time=Timestamp(seconds=1_700_000_000),
    )  # fmt: skip
    for name, value in VALUES.items():
        user.attributes[name].CopyFrom(value)
    return user


VALUES = {
    "nickname": value_pb2.Value(text="琳 \"'"),
    "cards": value_pb2.Value(integer=-3),
    "ratio": value_pb2.Value(number=1.0),
    "premium": value_pb2.Value(flag=False),
    "joined": value_pb2.Value(time=Timestamp(seconds=1_600_000_000)),
    "renewal": value_pb2.Value(date="2024-02-29"),
    "balance": value_pb2.Value(money=value_pb2.Money(currency="CNY", minor_units=12_50)),
}


def _attribute(name: str, value: value_pb2.Value) -> EditUser:
    return lambda user: user.attributes[name].CopyFrom(value)


def _many_attributes(user: user_pb2.User) -> None:
    for number in range(129):
        user.attributes[f"a{number}"].integer = number


def _large_attributes(user: user_pb2.User) -> None:
    for number in range(17):
        user.attributes[f"a{number}"].text = "x" * 1_000


def _set(**fields: str | int) -> Callable[[object], None]:
    def edit(message: object) -> None:
        for name, value in fields.items():
            setattr(message, name, value)

    return edit


USERS = (
    Wrong("no app", "user.app", _set(app="")),
    Wrong("another's app", "user.app", _set(app="nobody's")),
    Wrong("no id", "user.user_id", _set(user_id="")),
    Wrong("long id", "user.user_id", _set(user_id="u" * 129)),
    Wrong("id with a NUL", "user.user_id", _set(user_id="a\0b")),
    Wrong("locale of nobody", "user.locale", _set(locale="xx-Nowhere-99")),
    Wrong("locale that injects", "user.locale", _set(locale="en'; DROP TABLE users")),
    Wrong("long locale", "user.locale", _set(locale="en-" + "a" * 40)),
    Wrong("zone of nowhere", "user.time_zone", _set(time_zone="Mars/Olympus")),
    Wrong("zone that climbs", "user.time_zone", _set(time_zone="../../etc/passwd")),
    Wrong("this host's zone", "user.time_zone", _set(time_zone="localtime")),
    Wrong("small country", "user.country", _set(country="cn")),
    Wrong("no country", "user.country", _set(country="QQ")),
    Wrong("phone without plus", "user.phone", _set(phone="8613800138000")),
    Wrong("long phone", "user.phone", _set(phone="+8613800138000123")),
    Wrong("phone in other digits", "user.phone", _set(phone="+٨٦١٣٨٠٠١٣٨")),
    Wrong("mail without at", "user.email", _set(email="lin.example.com")),
    Wrong("mail with a second header", "user.email", _set(email="lin@example.com\r\nBcc: all@example.com")),
    Wrong("mail to two", "user.email", _set(email="lin@example.com,wei@example.com")),
    Wrong("long mail", "user.email", _set(email="l" * 250 + "@example.com")),
    Wrong("birthday of a leap", "user.birthday", _set(birthday="2023-02-29")),
    Wrong("birthday in another order", "user.birthday", _set(birthday="28.02.1990")),
    Wrong("birthday of the week", "user.birthday", _set(birthday="2020-W01-1")),
    Wrong("yearless 30th of February", "user.birthday", _set(birthday="--02-30")),
    Wrong("long tier", "user.tier", _set(tier="t" * 65)),
    Wrong("65 tags", "user.tags", lambda user: user.tags.extend(f"t{n}" for n in range(65))),
    Wrong("empty tag", "user.tags[2]", lambda user: user.tags.append("")),
    Wrong("129 attributes", "user.attributes", _many_attributes),
    Wrong("17 KB of attributes", "user.attributes", _large_attributes),
    Wrong("attribute with a capital", "user.attributes", _attribute("Tier", value_pb2.Value(integer=1))),
    Wrong("attribute of nothing", "user.attributes.x", _attribute("x", value_pb2.Value())),
    Wrong("long text", "user.attributes.x", _attribute("x", value_pb2.Value(text="é" * 600))),
    Wrong("number without end", "user.attributes.x", _attribute("x", value_pb2.Value(number=float("inf")))),
    Wrong("date of nowhere", "user.attributes.x", _attribute("x", value_pb2.Value(date="2024-13-01"))),
    Wrong("time before all", "user.attributes.x", _attribute("x", value_pb2.Value(time=Timestamp(seconds=-1)))),
    Wrong(
        "a list", "user.attributes.x", _attribute("x", value_pb2.Value(list=value_pb2.ValueList(values=[])))
    ),
    Wrong(
        "17 systems", "user.external_ids", lambda user: user.external_ids.update({f"s{n}": "1" for n in range(17)})
    ),
    Wrong("empty id there", "user.external_ids[crm]", lambda user: user.external_ids.update({"crm": ""})),
    Wrong("unknown detail", "user.lock_screen_detail", _set(lock_screen_detail=9)),
    Wrong("currency of nobody", "user.currency", _set(currency="AAA")),
    Wrong("opened tomorrow", "user.last_open_time", lambda user: user.last_open_time.CopyFrom(FAR)),
)  # fmt: skip


def a_yes(category: str = "promotion") -> preference_pb2.Consent:
    """Return a consent to one category by push."""
    return preference_pb2.Consent(
        category=category, channel=preference_pb2.CHANNEL_PUSH, granted=True, wording_version="2026-01",
        method=preference_pb2.CONSENT_METHOD_APP,
    )  # fmt: skip


def a_no(category: str = "", channel: int = 0) -> preference_pb2.Consent:
    """Return the withdrawal of a consent."""
    return preference_pb2.Consent(
        category=category, channel=preference_pb2.Channel.Name(channel),
        method=preference_pb2.CONSENT_METHOD_UNSUBSCRIBE_LINK,
    )  # fmt: skip


CONSENTS: tuple[tuple[str, EditConsent], ...] = (
    ("category", _set(category="")),
    ("category", _set(category="nothing")),
    ("channel", _set(channel=0)),
    ("channel", _set(channel=99)),
    ("method", _set(method=0)),
    ("method", _set(method=99)),
    ("wording_version", _set(wording_version="")),
    ("wording_version", _set(wording_version="v" * 65)),
    ("actor", _set(actor="a" * 129)),
    ("evidence", _set(evidence="e" * 257)),
    ("evidence", _set(evidence="a\0b")),
    ("consent_time", lambda consent: consent.consent_time.CopyFrom(FAR)),
)
