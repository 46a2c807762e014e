"""What an author entered on the preview page, read from a form or an address, every part of it bounded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from core.content.limits import MAX_VARIABLES
from core.content.templates import TemplateBody, Variable, VariableType
from core.policy.people import Channel

MAX_WORD_CHARS: Final = 64
BLANK_ROWS: Final = 2
MIN_ROWS: Final = 4
MAX_VERSION_DIGITS: Final = 9
LOCALES: Final = ("zh-CN", "en")
TEXTS: Final = ("title", "body", "sms")
STORED: Final = "stored"


class Row(NamedTuple):
    """A variable as entered. name "": a row that nobody filled."""

    name: str = ""
    type: VariableType = VariableType.TEXT
    text: str = ""
    sensitive: bool = False

    @property
    def variable(self) -> Variable:
        """The declaration that the row amounts to."""
        return Variable(self.name, self.type, required=False, sensitive=self.sensitive)


@dataclass(frozen=True, slots=True)
class Entered:
    """All fields. texts: "LOCALE_FIELD" -> Liquid. source: STORED, or "" for the texts. version: "" for the current."""

    source: str
    app: str
    template: str
    version: str
    texts: Mapping[str, str]
    rows: tuple[Row, ...]
    locale: str
    time_zone: str
    currency: str
    app_name: str

    @property
    def shown_rows(self) -> list[Row]:
        """The rows with what room there is for more."""
        filled = [row for row in self.rows if row.name or row.text]
        blank = max(BLANK_ROWS, MIN_ROWS - len(filled))
        return (filled + [Row()] * blank)[: max(MAX_VARIABLES, len(filled))]

    @property
    def version_number(self) -> int | None:
        """The version, 0 for the current one; None where something else was entered."""
        if not self.version:
            return 0
        return int(self.version) if self.version.isascii() and self.version.isdigit() else None

    def bodies(self) -> list[TemplateBody]:
        """Return the texts that were entered, as bodies of a template."""
        found = []
        for locale in LOCALES:
            title, body, sms = (self.texts[key_of(locale, field)] for field in TEXTS)
            if title or body:
                found.append(TemplateBody(Channel.PUSH, locale, title=title, body=body))
            if sms:
                found.append(TemplateBody(Channel.SMS, locale, body=sms))
        return found


EXAMPLE: Final = Entered(
    "", "", "", "",
    {
        "zh-CN_title": "付款成功",
        "zh-CN_body": "{{ name }}，您已向{{ merchant }}付款{{ amount }}，付款卡{{ card | mask_card }}。",
        "zh-CN_sms": "【钱包】您已向{{ merchant }}付款{{ amount }}，如非本人操作请立即联系客服。",
        "en_title": "Payment sent",
        "en_body": "{{ name }}, you paid {{ amount }} at {{ merchant }} with card {{ card | mask_card }}.",
        "en_sms": "Wallet: you paid {{ amount }} at {{ merchant }}. Not you? Call us.",
    },
    (
        Row("name", VariableType.TEXT, "Lin"),
        Row("merchant", VariableType.TEXT, "Corner Coffee"),
        Row("amount", VariableType.MONEY, "128.50 CNY", sensitive=True),
        Row("card", VariableType.TEXT, "6222021234567890", sensitive=True),
    ),
    "zh-CN", "Asia/Shanghai", "CNY", "Wallet",
)  # fmt: skip


def key_of(locale: str, field: str) -> str:
    """Return a text's name in the form."""
    return f"{locale}_{field}"


def read_form(sent: Mapping[str, str]) -> Entered:
    """Return what was entered. Words are cut to what any of them may be; what texts may be their compiler says."""

    def word(name: str) -> str:
        return sent.get(name, "").strip()[:MAX_WORD_CHARS]

    return Entered(
        STORED if word("source") == STORED else "", word("app"), word("template"), word("version")[:MAX_VERSION_DIGITS],
        {key: _text(sent.get(key, "")) for key in (key_of(locale, field) for locale in LOCALES for field in TEXTS)},
        tuple(_row(sent, number) for number in range(MAX_VARIABLES) if f"name_{number}" in sent),
        word("locale"), word("time_zone"), word("currency").upper(), word("app_name"),
    )  # fmt: skip


def _row(sent: Mapping[str, str], number: int) -> Row:
    kind = sent.get(f"type_{number}", "")
    known = kind in VariableType.__members__
    return Row(
        sent[f"name_{number}"].strip()[: 2 * MAX_WORD_CHARS],
        VariableType[kind] if known else VariableType.TEXT,
        sent.get(f"value_{number}", ""),
        f"sensitive_{number}" in sent,
    )


def _text(sent: str) -> str:
    """Return a text with the line ends of templates; browsers send CRLF."""
    return sent.replace("\r\n", "\n")
