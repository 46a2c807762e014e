"""The categories of an app that names none of its own, with what the preference centre says of them."""

from __future__ import annotations

from core.model import NotificationClass
from core.policy.people import Category

_SECURITY, _TRANSACTIONAL = NotificationClass.SECURITY, NotificationClass.TRANSACTIONAL
_SERVICE, _MARKETING = NotificationClass.SERVICE, NotificationClass.MARKETING


def _category(
    name: str, klass: NotificationClass, en: tuple[str, str], zh: tuple[str, str], may_disable: bool = True
) -> Category:
    titles, purposes = {"en": en[0], "zh-CN": zh[0]}, {"en": en[1], "zh-CN": zh[1]}
    return Category(name, klass, klass != _MARKETING, may_disable, titles, purposes)


BUILT_IN = (
    _category(
        "payment", _TRANSACTIONAL,
        ("Payments", "Tells you at once of payments, refunds and transfers from and to your wallet."),
        ("支付通知", "您的钱包发生付款、退款或转账时,立即通知您。"), may_disable=False,
    ),
    _category(
        "account", _TRANSACTIONAL,
        ("Account", "Tells you when your account, your cards or their limits change."),
        ("账户通知", "您的账户、银行卡或限额发生变动时通知您。"), may_disable=False,
    ),
    _category(
        "security", _SECURITY,
        ("Security", "Sign-in alerts, one-time codes and fraud warnings. They protect you and cannot be turned off."),
        ("安全提醒", "登录提醒、验证码和风险警示。为保护您的资金安全,无法关闭。"), may_disable=False,
    ),
    _category(
        "service", _SERVICE,
        ("Service notices", "Maintenance, changed terms and points that are about to expire."),
        ("服务通知", "系统维护、条款变更以及积分即将到期的提醒。"),
    ),
    _category(
        "promotion", _MARKETING,
        ("Offers", "Advertising: discounts and offers that may suit you. Only if you agree."),
        ("优惠活动", "商业营销信息:向您推荐可能适合的优惠与折扣。仅在您同意后发送。"),
    ),
    _category(
        "loyalty", _MARKETING,
        ("Rewards", "Advertising: points, levels and benefits that you can earn. Only if you agree."),
        ("会员权益", "商业营销信息:积分、等级与可获得的会员权益。仅在您同意后发送。"),
    ),
    _category(
        "survey", _MARKETING,
        ("Surveys", "Asks now and then how content you are with us. Only if you agree."),
        ("满意度调查", "偶尔邀请您评价我们的服务。仅在您同意后发送。"),
    ),
    _category(
        "news", _MARKETING,
        ("News", "Advertising: what is new in the app. Only if you agree."),
        ("资讯动态", "商业营销信息:应用的新功能与资讯。仅在您同意后发送。"),
    ),
)  # fmt: skip
