"""What the preview page says, in English and Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

LANGUAGES: Final = {"en": "English", "zh-CN": "简体中文"}
# Key -> (English, Chinese): a text that stands in one language alone cannot be written down.
BOTH: Final[Mapping[str, tuple[str, str]]] = {
    "heading": ("Template preview", "模板预览"),
    "intro": (
        "How a message looks on a locked and an open phone, what a screen would cut, and how many texts an SMS takes. "
        "Nothing is stored or sent.",
        "查看消息在锁屏与解锁手机上的样子、屏幕会截断哪些内容，以及短信要占几条。这里不会保存或发送任何内容。",
    ),
    "language": ("Language of this page", "页面语言"),
    "texts": ("Texts", "文案"),
    "texts_hint": (
        "Liquid: {{ name }}, {{ amount }}, {{ card | mask_card }}, {% if vip %}…{% endif %}",
        "Liquid 语法：{{ name }}、{{ amount }}、{{ card | mask_card }}、{% if vip %}…{% endif %}",
    ),
    "locale_zh-CN": ("Chinese", "中文"),
    "locale_en": ("English", "英文"),
    "field_title": ("Push title", "推送标题"),
    "field_body": ("Push text", "推送正文"),
    "field_sms": ("SMS", "短信"),
    "field_bodies": ("Texts", "文案"),
    "variable": ("Variable", "变量"),
    "variables": ("Variables", "变量"),
    "variables_hint": (
        "A sensitive value is covered on a locked screen. Each preview adds two empty rows.",
        "敏感变量在锁屏上会被遮盖。每次预览会多出两个空行。",
    ),
    "name": ("Name", "名称"),
    "type": ("Type", "类型"),
    "value": ("Value", "值"),
    "sensitive": ("Sensitive", "敏感"),
    "type_TEXT": ("text", "文本"),
    "type_INTEGER": ("whole number", "整数"),
    "type_NUMBER": ("number", "数字"),
    "type_FLAG": ("yes or no", "是或否"),
    "type_TIME": ("time", "时间"),
    "type_DATE": ("day", "日期"),
    "type_MONEY": ("amount", "金额"),
    "type_URL": ("link", "链接"),
    "type_LIST": ("list", "列表"),
    "reader": ("Reader", "收件人"),
    "reader_locale": ("Language", "语言"),
    "time_zone": ("Time zone", "时区"),
    "currency": ("Currency", "币种"),
    "app_name": ("App name", "应用名称"),
    "preview_texts": ("Preview these texts", "预览以上文案"),
    "stored": ("Published template", "已发布的模板"),
    "stored_hint": ("Shows what is published, filled with the variables above or with samples.",
                    "显示已发布的内容，用上面的变量或示例值填充。"),
    "app": ("App", "应用"),
    "template": ("Template", "模板"),
    "version": ("Version", "版本"),
    "current": ("current", "当前"),
    "preview_stored": ("Preview the published one", "预览已发布的模板"),
    "shown_stored": ("Published: {template}, version {version}", "已发布：{template}，版本 {version}"),
    "result": ("Preview", "预览"),
    "masked": ("Locked, covered", "锁屏 · 遮盖"),
    "open": ("In full", "完整显示"),
    "now": ("now", "现在"),
    "count_title": ("Title", "标题"),
    "count_body": ("Text", "正文"),
    "cut": ("is cut", "会被截断"),
    "fits": ("fits", "完整"),
    "image": ("With a picture", "含图片"),
    "sms_one": ("1 text message", "1 条短信"),
    "sms_many": ("{count} text messages", "{count} 条短信"),
    "sms_units": ("{units} of {room} units, {encoding}", "{units} / {room} 单位，{encoding}"),
    "notes": ("Good to know", "提示"),
    "problems": ("This cannot be shown yet", "暂时无法显示"),
    "line": ("line {line}", "第 {line} 行"),
    "nothing": ("Enter a push or an SMS text.", "请填写推送或短信文案。"),
    "limits": (
        "Where screens cut is what marketing tools go by: neither Apple nor Google promises figures.",
        "截断位置为业内经验值，Apple 与 Google 均未承诺具体数字。",
    ),
    "channel_PUSH": ("Push", "推送"),
    "channel_SMS": ("SMS", "短信"),
    "request": ("Form", "表单"),
    "wrong_integer": ("must be a whole number, such as 1280", "必须是整数，例如 1280"),
    "wrong_number": ("must be a number, such as 0.25", "必须是数字，例如 0.25"),
    "wrong_flag": ("must be yes or no", "必须是 yes（是）或 no（否）"),
    "wrong_time": ("must be a time, such as 2026-11-26T09:30", "必须是时间，例如 2026-11-26T09:30"),
    "wrong_date": ("must be a day, such as 2026-11-26", "必须是日期，例如 2026-11-26"),
    "wrong_money": ("must be an amount, such as 128.50 CNY", "必须是金额，例如 128.50 CNY"),
    "wrong_record": ("must be fields of its items, such as label=tea, price=3 CNY; label=cake, price=5 CNY",
                     "必须是各项的字段，例如 label=茶, price=3 CNY; label=蛋糕, price=5 CNY"),
    "wrong_version": ("must be a number, or empty for the current one", "必须是数字，留空表示当前版本"),
    "no_template": ("the app has no such template or version", "该应用没有这个模板或版本"),
    "no_app": ("no such app, or not one of yours", "没有这个应用，或您无权查看"),
    "no_store": ("templates cannot be read now; try again", "暂时无法读取模板，请稍后再试"),
    "too_large": ("is too large: at most {size} KiB in all", "内容过大：总共最多 {size} KiB"),
    "no_form": ("could not be read", "无法读取"),
    "busy": ("many previews are being made; try again in a moment", "正在生成的预览较多，请稍后再试"),
    "foreign": ("was sent from another site", "来自其他网站"),
}  # fmt: skip
_COLUMNS: Final = {"en": 0, "zh-CN": 1}
_IN: Final = {
    language: MappingProxyType({key: both[column] for key, both in BOTH.items()})
    for language, column in _COLUMNS.items()
}


def texts_in(language: str) -> Mapping[str, str]:
    """Return all texts in one of LANGUAGES."""
    return _IN[language]
