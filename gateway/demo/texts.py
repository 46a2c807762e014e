"""What a wallet says, in the user's language."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

from gateway.client import Content

Locale = Literal["zh-CN", "en"]


class Words(NamedTuple):
    """One language: templates and what fills them."""

    paid: tuple[str, str]
    received: tuple[str, str]
    sign_in: tuple[str, str]
    points: tuple[str, str]
    campaign: tuple[str, str]
    currency: str
    merchants: tuple[str, ...]
    people: tuple[str, ...]
    places: tuple[str, ...]


WORDS: dict[Locale, Words] = {
    "zh-CN": Words(
        paid=("支付成功", "您在{merchant}支付了{amount}，卡尾号{card}，当前余额{balance}。"),
        received=("到账提醒", "{person}向您转账{amount}，已存入余额。"),
        sign_in=("新设备登录", "您的账户刚刚在{place}的新设备上登录。如非本人操作，请立即冻结账户。"),
        points=("积分即将过期", "您有{points}积分将于本月底过期，去看看可以换什么。"),
        campaign=("服务条款更新", "新的服务条款将于下月1日生效，点击查看有哪些变化。"),
        currency="¥",
        merchants=("街角咖啡", "江南小馆", "城市地铁", "向阳超市", "蓝鲸书店", "青禾药房", "云上茶舍"),
        people=("王芳", "李伟", "张敏", "刘洋", "陈静"),
        places=("上海", "成都", "广州", "杭州", "西安"),
    ),
    "en": Words(
        paid=("Payment sent", "You paid {amount} at {merchant} with card ending {card}. Balance: {balance}."),
        received=("Money received", "{person} sent you {amount}. It is in your balance."),
        sign_in=("New sign-in", "Your account was just used on a new device in {place}. Not you? Freeze it now."),
        points=("Points expire soon", "{points} of your points expire at the end of the month."),
        campaign=("New terms of service", "From the 1st of next month new terms apply. Open to see what changes."),
        currency="$",
        merchants=("Corner Coffee", "Harbour Bakery", "Metro Line 2", "Green Grocer", "Blue Whale Books"),
        people=("Maria", "James", "Aisha", "Tom", "Yuki"),
        places=("Lisbon", "Leeds", "Boston", "Dublin", "Oslo"),
    ),
}


class Writer:
    """Fills templates; the same seed writes the same texts."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def payment(self, locale: Locale, reference: str) -> Content:
        """Write about money that left, or in every sixth case came in."""
        words, rng = WORDS[locale], self._rng
        title, body = words.received if rng.random() < 1 / 6 else words.paid
        text = body.format(
            merchant=rng.choice(words.merchants),
            person=rng.choice(words.people),
            amount=self._amount(words, 2_000),
            balance=self._amount(words, 90_000),
            card=f"{rng.randrange(10_000):04}",
        )
        return Content(title=title, body=text, sound="default", deep_link=f"wallet://payments/{reference}")

    def sign_in(self, locale: Locale) -> Content:
        """Write about a sign-in."""
        title, body = WORDS[locale].sign_in
        text = body.format(place=self._rng.choice(WORDS[locale].places))
        return Content(title=title, body=text, sound="default", deep_link="wallet://security/devices")

    def points(self, locale: Locale) -> Content:
        """Write about points that expire."""
        title, body = WORDS[locale].points
        text = body.format(points=self._rng.randrange(100, 9_000))
        return Content(title=title, body=text, deep_link="wallet://points")

    def campaign(self, locale: Locale) -> Content:
        """Write what every device is told."""
        title, body = WORDS[locale].campaign
        image = "https://cdn.example.com/terms.jpg"
        return Content(title=title, body=body, image_url=image, deep_link="wallet://terms")

    def _amount(self, words: Words, below: int) -> str:
        return f"{words.currency}{self._rng.randrange(100, below * 100) / 100:,.2f}"
