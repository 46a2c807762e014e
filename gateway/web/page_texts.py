"""What the pages say, in English and Chinese, and which of the two a reader gets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

from core.content.locales import parse_tag
from core.model import NotificationClass
from core.policy.people import Category

ENGLISH: Final = "en"
CHINESE: Final = "zh-CN"
LANGUAGES: Final = {ENGLISH: "English", CHINESE: "简体中文"}
Texts: TypeAlias = Mapping[str, str]
# Key -> (English, Chinese): a text that stands in one language alone cannot be written down.
BOTH: Final[Mapping[str, tuple[str, str]]] = {
    "language_switch": ("Language of this page", "页面语言"),
    "channel_0": ("every channel", "所有渠道"),
    "channel_1": ("Push", "推送"),
    "channel_2": ("SMS", "短信"),
    "channel_3": ("E-mail", "邮件"),
    "channel_4": ("Browser", "浏览器通知"),
    "channel_5": ("In the app", "应用内消息"),
    "kind_SECURITY": ("Security", "安全"),
    "kind_TRANSACTIONAL": ("Transactions", "交易"),
    "kind_SERVICE": ("Service", "服务"),
    "kind_MARKETING": ("Advertising", "营销"),
    "all_marketing": ("All advertising", "全部营销信息"),
    # Unsubscribing
    "stop_title": ("Unsubscribe", "退订"),
    "stop_question": ("Stop these messages?", "确定不再接收以下信息吗？"),
    "stop_by": ("by", "渠道："),
    "stop_rest": (
        "Receipts of your payments and security alerts keep coming. Opening this page has changed nothing yet.",
        "支付凭证和安全提醒不受影响。打开本页面尚未更改任何设置。",
    ),
    "stop_button": ("Unsubscribe", "确认退订"),
    "stop_done": ("You are unsubscribed", "您已退订"),
    "stop_done_text": (
        "It counts from now on. What was already on its way may still arrive.",
        "立即生效。已在发送途中的信息可能仍会送达。",
    ),
    "stop_cannot": ("These messages cannot be switched off", "此类信息无法关闭"),
    "stop_cannot_text": (
        "They protect you, or tell you what happens to your money. Nothing was changed.",
        "此类信息用于保护您的账户，或告知您的资金变动。未更改任何设置。",
    ),
    "undo_question": ("Was it a mistake?", "误操作？"),
    "undo_text": ("With the button below you agree to receive again:", "点击下方按钮，即表示您同意重新接收："),
    "undo_button": ("Subscribe again", "恢复订阅"),
    "undo_done": ("You are subscribed again", "已恢复订阅"),
    "undo_done_text": ("You will hear from us as before.", "您将和以前一样收到我们的信息。"),
    "to_centre": ("See all my settings", "查看全部通知设置"),
    # The preference centre
    "centre_title": ("Notification settings", "通知设置"),
    "centre_intro": (
        "Choose what you want to hear of, by which way and when. Nothing changes until you save.",
        "请选择您希望接收的信息、接收渠道和时间。保存之前不会更改任何设置。",
    ),
    "always_title": ("Always on", "始终开启"),
    "always_text": (
        "These protect you or tell you what happens to your money, so they cannot be switched off.",
        "此类信息用于保护您的账户，或告知您的资金变动，因此无法关闭。",
    ),
    "service_title": ("Service", "服务信息"),
    "service_text": (
        "On unless you switch it off. Never advertising.", "默认开启，您可以随时关闭。不含营销内容。",
    ),
    "marketing_title": ("Advertising", "营销信息"),
    "marketing_text": (
        "Off unless you agree. Each tick is your consent to this purpose by this way; "
        "you may take it back at any time, and nothing else depends on it.",
        "默认关闭，需经您同意。勾选即表示您同意我们通过该渠道、为该目的向您发送信息；您可以随时撤回同意，不影响其他服务。",
    ),
    "stop_all": ("Stop all advertising", "关闭全部营销信息"),
    "paused": (
        "Messages of this kind are paused at present. Your choice is kept and counts again afterwards.",
        "此类信息目前已暂停发送。您的选择会保留，恢复后继续生效。",
    ),
    "quiet_title": ("Quiet hours", "免打扰时段"),
    "quiet_text": (
        "Advertising and service messages wait until quiet hours are over. Payments and security never wait.",
        "免打扰时段内，营销和服务信息会推迟到时段结束后发送。支付和安全提醒不受影响。",
    ),
    "quiet_app": ("As the app has it", "使用应用默认时段"),
    "quiet_own": ("My own hours", "自定义时段"),
    "quiet_keep": ("As set elsewhere", "保留已有设置"),
    "quiet_none": ("none", "无"),
    "quiet_from": ("From", "开始"),
    "quiet_until": ("Until", "结束"),
    "quiet_weekend": ("Also all day on Saturdays and Sundays", "周六、周日全天免打扰"),
    "quiet_holidays": ("Also all day on public holidays", "法定节假日全天免打扰"),
    "days_Mon": ("Mon", "周一"),
    "days_Tue": ("Tue", "周二"),
    "days_Wed": ("Wed", "周三"),
    "days_Thu": ("Thu", "周四"),
    "days_Fri": ("Fri", "周五"),
    "days_Sat": ("Sat", "周六"),
    "days_Sun": ("Sun", "周日"),
    "wrong_hours": (
        "Please give both times, and not the same one twice.", "请填写开始和结束时间，且两者不能相同。",
    ),
    "more_title": ("Language, place and privacy", "语言、时区与隐私"),
    "locale": ("Language of messages", "信息语言"),
    "locale_unset": ("As my device has it", "跟随设备"),
    "zone": ("Time zone", "时区"),
    "zone_unset": ("As my device has it", "跟随设备"),
    "zone_near": ("In my country", "所在国家或地区"),
    "zone_all": ("All", "全部"),
    "lock_title": ("On a locked screen", "锁屏显示"),
    "lock_UNSET": ("As the app has it", "使用应用默认设置"),
    "lock_MASKED": ("Hide amounts and card numbers", "隐藏金额和卡号"),
    "lock_FULL": ("Show everything", "显示全部内容"),
    "often_title": ("Too many?", "打扰太多？"),
    "often": ("It is too many: send me less advertising", "信息太多，请减少营销信息"),
    "often_cap": ("At present you get at most {n} of them a week.", "目前每周最多向您发送 {n} 条营销信息。"),
    "save": ("Save", "保存"),
    "saved": ("Your settings are saved.", "您的设置已保存。"),
    "unchanged": ("Your settings are as before.", "设置没有变化。"),
    "conflict": (
        "Your settings were changed elsewhere while this page was open, so nothing was saved. "
        "Below is what counts now.",
        "页面打开期间，您的设置已在别处更改，本次未保存。以下为当前生效的设置。",
    ),
    "footer": (
        "This page is yours alone: whoever has its link can change these settings.",
        "本页面仅供您本人使用：任何持有此链接的人都可以更改这些设置，请勿转发。",
    ),
    # What goes wrong
    "expired_title": ("This link has expired", "链接已过期"),
    "expired_text": (
        "Please use the link in a newer message, or the settings in the app.",
        "请使用较新信息中的链接，或在应用的设置中操作。",
    ),
    "unknown_title": ("This link does not work", "链接无效"),
    "unknown_text": (
        "Perhaps it was not copied as a whole. Please open it from the message again.",
        "链接可能不完整，请从原信息中重新打开。",
    ),
    "form_title": ("Please try again", "请重试"),
    "form_text": (
        "The page was open for too long, or what was sent did not come from it. Nothing was changed.",
        "页面打开时间过长，或提交的内容并非来自本页面。未更改任何设置。",
    ),
    "busy_title": ("One moment please", "请稍候"),
    "busy_text": (
        "Nothing was changed. Please try again in a moment.", "未更改任何设置，请稍后重试。",
    ),
    "again": ("Back to the page", "返回页面"),
}  # fmt: skip
_TABLES: Final[Mapping[str, Texts]] = {
    language: MappingProxyType({key: pair[place] for key, pair in BOTH.items()})
    for place, language in enumerate(LANGUAGES)
}


def texts_in(language: str) -> Texts:
    """Return all texts of one of LANGUAGES."""
    return _TABLES[language]


def language_for(wishes: Iterable[str]) -> str:
    """Return the language of the first locale that the pages speak, English for none."""
    for locale in wishes:
        tag = parse_tag(locale)
        if tag is not None and tag.language in ("en", "zh"):
            return ENGLISH if tag.language == "en" else CHINESE
    return ENGLISH


def accepted(header: str) -> list[str]:
    """Return the locales of an Accept-Language header, the most wanted first.

    Source: https://www.rfc-editor.org/rfc/rfc9110#name-accept-language
    """
    wanted = []
    for part in header[:512].split(","):
        locale, _, weight = part.partition(";")
        share = weight.strip().removeprefix("q=")
        wanted.append((0.0 if not _is_share(share) else -float(share or 1), locale.strip()))
    return [locale for share, locale in sorted(wanted, key=lambda one: one[0]) if share]


def title_of(category: Category, language: str) -> str:
    """Return a category's name, in another language where it has none in this one."""
    return _nearest(category.titles, language) or category.name


def purpose_of(category: Category, language: str) -> str:
    """Return what a category is for, as title_of."""
    return _nearest(category.purposes, language)


def wording_digest(category: Category, language: str, asking: str = "") -> str:
    """Return which wording a page shows before it asks: the language, and 16 hex digits of all that is said.

    asking: which text asks; without it the preference centre's for categories of this kind.
    """
    texts = texts_in(language)
    kind = NotificationClass(category.klass).name
    about = texts[asking or ("marketing_text" if kind == "MARKETING" else "service_text")]
    said = (texts[f"kind_{kind}"], about, title_of(category, language), purpose_of(category, language))
    return f"{language}:{hashlib.sha256(chr(0).join(said).encode()).hexdigest()[:16]}"


def _is_share(text: str) -> bool:
    return not text or (text.replace(".", "", 1).isdigit() and text.isascii() and 0 <= float(text) <= 1)


def _nearest(texts: Mapping[str, str], language: str) -> str:
    if language in texts:
        return texts[language]
    spoken = language.partition("-")[0]
    alike = [text for locale, text in texts.items() if locale.replace("_", "-").partition("-")[0].lower() == spoken]
    return next(iter((*alike, *texts.values())), "")
