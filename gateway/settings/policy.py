"""The settings of an app's policy: its categories, hours, caps and defaults."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from core.model import NotificationClass
from core.policy.caps import DAY_S, MAX_LIMIT, MONTH_S, WEEK_S, AdaptiveWeek, CapFilter, CapRule, OverCap, Window
from core.policy.caps import vendor_quotas as quotas_of_vendors
from core.policy.counting import MAX_RULES
from core.policy.people import Category, Channel, LockScreenDetail, QuietWindow
from core.policy.rules import SUMMARY_TEXTS, VIVO_HOURS, AppRules, Backlog
from core.policy.zones import is_country, is_zone
from gateway.settings.builtin_categories import BUILT_IN
from gateway.settings.values import Component

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
ClassName = Literal["security", "transactional", "service", "marketing"]
ChannelName = Literal["push", "sms", "email", "web_push", "in_app"]
Texts = Mapping[str, str]
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"^(\d\d):(\d\d)-(\d\d):(\d\d)((?: [a-z,-]+)*)$")
_WINDOW_HELP = 'must read like "22:00-08:00", "22:00-08:00 mon-fri" or "00:00-24:00 sat,sun holidays"'
_MAX_WINDOWS = 21


def parse_window(text: str, category: str = "") -> QuietWindow:
    """Read a quiet window. Raises ValueError with the form it should have."""
    match = _WINDOW.match(text)
    if match is None:
        raise ValueError(_WINDOW_HELP)
    start_hour, start, end_hour, end = map(int, match.group(1, 2, 3, 4))
    begins, ends = start_hour * 60 + start, end_hour * 60 + end
    if start > 59 or end > 59 or begins >= 1_440 or ends > 1_440:
        raise ValueError(f"{_WINDOW_HELP}; no such time of the day")
    words = match[5].split()
    holidays = "holidays" in words
    days = [word for word in words if word != "holidays"]
    return QuietWindow(begins, ends, _weekdays(days), category, holidays)


def _weekdays(words: Iterable[str]) -> int:
    mask = 0
    for part in (part for word in words for part in word.split(",")):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if first not in WEEKDAYS or last not in WEEKDAYS:
            raise ValueError(f"{_WINDOW_HELP}; {part!r} is no day of the week")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
        for step in range((end - begin) % 7 + 1):
            mask |= 1 << (begin + step) % 7
    return mask


def _window(text: str) -> str:
    parse_window(text)
    return text


def _zone(name: str) -> str:
    if name and not is_zone(name):
        raise ValueError(f"{name} is no zone of the time zone database")
    return name


def _country(code: str) -> str:
    if code and not is_country(code):
        raise ValueError(f"{code} is no country of ISO 3166, two capital letters")
    return code


WindowText = Annotated[str, AfterValidator(_window)]
Windows = Annotated[tuple[WindowText, ...], Field(max_length=_MAX_WINDOWS)]


class CategorySettings(Component):
    """A list that users can say yes or no to; naming any replaces the built-in ones."""

    name: Name = Field(examples=["promotion"])
    """What notifications and consents call it."""
    notification_class: ClassName = Field(examples=["marketing"])
    """security, transactional, service or marketing."""
    default_on: bool | None = Field(default=None, examples=[False])
    """Whether it is on for who said nothing. Default: true, but never for marketing."""
    user_may_disable: bool | None = Field(default=None, examples=[True])
    """Whether a no is followed. Default: true for service and marketing."""
    quiet: bool = True
    """Whether quiet hours hold it, for service."""
    quiet_windows: Windows = Field(default=(), examples=[["20:00-10:00 sat,sun"]])
    """Further windows for this category alone, for users without windows of their own."""
    titles: Texts = Field(default={}, examples=[{"en": "Offers", "zh-CN": "优惠活动"}])
    """Its name by locale."""
    purposes: Texts = Field(default={}, examples=[{"en": "Offers and discounts", "zh-CN": "向您推荐优惠"}])
    """Why the app sends it, by locale."""

    @model_validator(mode="after")
    def _keeps_promises(self) -> Self:
        marketing, urgent = self._klass == NotificationClass.MARKETING, self._klass <= NotificationClass.TRANSACTIONAL
        if marketing and self.default_on:
            raise ValueError(f"{self.name}: marketing is never on by default, it needs each user's consent")
        if marketing and self.user_may_disable is False:
            raise ValueError(f"{self.name}: users may always say no to marketing")
        if urgent and self.default_on is False:
            raise ValueError(f"{self.name}: {self.notification_class} is always on by default")
        return self

    @property
    def _klass(self) -> NotificationClass:
        return NotificationClass[self.notification_class.upper()]

    def to_category(self) -> Category:
        """Return it as the gates see it."""
        marketing, urgent = self._klass == NotificationClass.MARKETING, self._klass <= NotificationClass.TRANSACTIONAL
        default_on = not marketing if self.default_on is None else self.default_on
        may_disable = not urgent if self.user_may_disable is None else self.user_may_disable
        return Category(self.name, self._klass, default_on, may_disable, dict(self.titles), dict(self.purposes))

    def windows(self) -> Iterator[QuietWindow]:
        """Give the category's own windows."""
        yield from (parse_window(text, self.name) for text in self.quiet_windows)


class CapSettings(Component):
    """At most so many messages in a window; naming any replaces the built-in cap of 3 marketing messages a week."""

    name: Name = Field(examples=["promotion_day"])
    """What explanations call it."""
    limit: int = Field(ge=1, le=MAX_LIMIT, examples=[1])
    """How many."""
    window: Literal["rolling", "hour", "day", "week", "month"] = "rolling"
    """rolling: period_s up to now; the others begin with the hour, day, Monday or month of the user's zone."""
    period_s: int = Field(default=WEEK_S, ge=1, le=MONTH_S)
    """Of a rolling window, at most 30 days."""
    classes: tuple[ClassName, ...] = Field(default=("marketing",), min_length=1)
    """Which classes count; security never does."""
    category: str = Field(default="", max_length=64)
    """Only this category."""
    channel: ChannelName | Literal[""] = ""
    """Only this channel."""
    tag: str = Field(default="", max_length=64)
    """Only messages with this tag."""
    over: Literal["suppress", "defer", "in_app_only"] = "suppress"
    """What becomes of a message over the cap."""
    adaptive: bool = False
    """Whether the user's adaptive weekly limit stands in for limit where it is lower."""

    @model_validator(mode="after")
    def _without_security(self) -> Self:
        if "security" in self.classes:
            raise ValueError(f"{self.name}: security is never counted or held back")
        return self

    def to_rule(self) -> CapRule:
        """Return it as the gates see it."""
        classes = frozenset(NotificationClass[name.upper()] for name in self.classes)
        channel = Channel[self.channel.upper()] if self.channel else 0
        return CapRule(
            self.name, self.limit, self.period_s, Window[self.window.upper()],
            CapFilter(classes, self.category, channel, self.tag), OverCap[self.over.upper()], self.adaptive,
        )  # fmt: skip


_WEEK_CAP = CapSettings(name="marketing_week", limit=3, adaptive=True)


class AdaptiveSettings(Component):
    """How the weekly marketing limit follows the days since a user opened the app last."""

    active_days: int = Field(default=7, ge=1, le=365)
    """Opened within so many days: most."""
    quiet_days: int = Field(default=30, ge=1, le=365)
    """Within so many: usual."""
    silent_days: int = Field(default=90, ge=1, le=3_650)
    """Within so many: fewest; after that none."""
    most: int = Field(default=3, ge=0, le=MAX_LIMIT)
    """A week, for active users."""
    usual: int = Field(default=2, ge=0, le=MAX_LIMIT)
    """A week, for others."""
    fewest: int = Field(default=1, ge=0, le=MAX_LIMIT)
    """A week, for users who fell silent, said that it is too many, or never opened anything."""

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        self.to_week()
        return self

    def to_week(self) -> AdaptiveWeek:
        """Return it as the gates see it."""
        days = (self.active_days, self.quiet_days, self.silent_days)
        return AdaptiveWeek(*days, self.most, self.usual, self.fewest)


class PolicySettings(Component):
    """Whether, when and how an app's users hear: hours, caps, defaults."""

    time_zone: Annotated[str, AfterValidator(_zone)] = Field(default="", examples=["Asia/Shanghai"])
    """Zone of users and devices that name none. Empty: all zones of their country, or of the world, must agree."""
    country: Annotated[str, AfterValidator(_country)] = Field(default="", examples=["CN"])
    """Country of users that name none, for zones and public holidays."""
    currency: str = Field(default="", pattern=r"^([A-Z]{3})?$", examples=["CNY"])
    """Currency of users that name none, ISO 4217."""
    default_locale: str = Field(default="en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
    """Locale when neither device nor user names one that a template has, BCP 47."""
    quiet_windows: Windows = ("22:00-08:00",)
    """When marketing and service wait, for users without windows of their own; days and "holidays" may follow."""
    service_is_quiet: bool = True
    """Whether quiet hours hold service notifications too."""
    jitter_s: int = Field(default=1_800, ge=0, le=4 * 3_600)
    """Over how long what quiet hours held back is spread when they end."""
    after_quiet: Literal["each", "newest", "summary"] = "newest"
    """Several that waited for one user: each, the newest per collapse key or category, or one summary of them."""
    summary_titles: Texts = Field(default={one: title for one, (title, _) in SUMMARY_TEXTS.items()})
    """The summary's headline by locale or language; the first stands in for all others."""
    summary_bodies: Texts = Field(default={one: body for one, (_, body) in SUMMARY_TEXTS.items()})
    """The summary's text, for the same languages; {count} is how many messages it stands for."""
    lock_screen: Literal["masked", "full"] = "masked"
    """What a locked screen shows of amounts and cards, unless the user says otherwise."""
    vendor_quotas: bool = True
    """Whether the marketing quotas and hours of Huawei, Honor, OPPO and vivo are kept."""
    news_app: bool = False
    """Whether vendors class the app as news: 5 marketing messages a device and day instead of 2."""
    max_cap_wait_s: int = Field(default=2 * DAY_S, ge=0, le=7 * DAY_S)
    """What a cap would defer for longer is suppressed."""
    wording_versions: tuple[str, ...] = Field(default=(), examples=[["2026-01", "2026-07"]])
    """Versions of the opt-in's wording that a consent may name, the oldest that still counts first; none takes any."""
    caps: Annotated[tuple[CapSettings, ...], Field(max_length=MAX_RULES)] = (_WEEK_CAP,)
    """Frequency caps."""
    adaptive: AdaptiveSettings = AdaptiveSettings()
    """The adaptive weekly limit."""

    @model_validator(mode="after")
    def _unique_caps(self) -> Self:
        for name, count in Counter(cap.name for cap in self.caps).items():
            if count > 1:
                raise ValueError(f"caps: {name} is named {count} times")
        return self

    @model_validator(mode="after")
    def _whole_summary(self) -> Self:
        if not self.summary_titles or set(self.summary_titles) != set(self.summary_bodies):
            raise ValueError("summary_titles and summary_bodies must be in the same languages, one at least")
        for locale, text in self.summary_bodies.items():
            if "{count}" not in text:
                raise ValueError(f"summary_bodies: {locale} does not tell {{count}}")
        return self

    def to_rules(self, app: str, categories: tuple[CategorySettings, ...] = ()) -> AppRules:
        """Return the rules of an app; without categories it has the built-in ones."""
        own = tuple(one.to_category() for one in categories) or BUILT_IN
        windows = (*map(parse_window, self.quiet_windows), *(one for each in categories for one in each.windows()))
        quotas = quotas_of_vendors(self.news_app) if self.vendor_quotas else ()
        return AppRules(
            app, own, time_zone=self.time_zone, country=self.country, currency=self.currency,
            default_locale=self.default_locale, lock_screen=LockScreenDetail[self.lock_screen.upper()],
            quiet_windows=windows, service_is_quiet=self.service_is_quiet,
            never_quiet=frozenset(one.name for one in categories if not one.quiet),
            vendor_hours=(VIVO_HOURS,) if self.vendor_quotas else (), jitter_s=self.jitter_s,
            backlog=Backlog[self.after_quiet.upper()], caps=(*(cap.to_rule() for cap in self.caps), *quotas),
            adaptive=self.adaptive.to_week(), max_cap_wait_s=self.max_cap_wait_s,
            wording_versions=self.wording_versions,
            summary_texts={one: (title, self.summary_bodies[one]) for one, title in self.summary_titles.items()},
        )  # fmt: skip
