"""Which methods are administrative, and what the audit log tells of each; the only list of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.callers import Permission

_V1: Final = "/walletpush.v1."
HOLDS: Final = "/walletpush.internal.v1.WorkerService/Holds"


class Moment(Enum):
    """When a call's line is written: always before anything of it can be seen or done without one.

    BEFORE: then the call runs; what changes something, or answers in a stream. AFTER: when the answer is known and has
    not gone out; what only reads, and whose subject the answer tells. IMPORT: before an app's first users, and how many
    they were at the end.
    """

    BEFORE = "before"
    AFTER = "after"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class Action:
    """What to tell of a method. app, users, detail: fields by their path in the request.

    answered: the path of the user in the answer, for those who are not named in the request. permission: what the
    method asks of its caller; who lacks it is refused by the method itself, and no line is written.
    """

    moment: Moment
    permission: Permission
    app: str = "app"
    users: tuple[str, ...] = ("user_id",)
    answered: str = ""
    detail: tuple[str, ...] = ()


def _reads(permission: Permission = "manage_users") -> Action:
    return Action(Moment.AFTER, permission)


def _changes(*detail: str, permission: Permission = "manage_users") -> Action:
    return Action(Moment.BEFORE, permission, detail=detail)


def _of_templates(moment: Moment, detail: str, app: str = "app", users: tuple[str, ...] = ()) -> Action:
    return Action(moment, "manage_templates", app, users, detail=(detail,))


AUDITED: Final[Mapping[str, Action]] = {
    f"{_V1}UserService/UpsertUser": Action(Moment.BEFORE, "manage_users", "user.app", ("user.user_id",)),
    f"{_V1}UserService/ImportUsers": Action(Moment.IMPORT, "manage_users", users=()),
    f"{_V1}UserService/GetUser": Action(Moment.AFTER, "manage_users", users=(), answered="user.user_id"),
    f"{_V1}UserService/MergeUsers": Action(Moment.BEFORE, "manage_users", users=("from_user_id", "into_user_id")),
    f"{_V1}UserService/DeleteUser": _changes(),
    f"{_V1}PreferenceService/GetPreferences": _reads(),
    f"{_V1}PreferenceService/UpdatePreferences": _changes("consents", "quiet_windows"),
    f"{_V1}PreferenceService/ListConsentHistory": _reads(),
    f"{_V1}PreferenceService/AddSuppression": _changes("suppression.category"),
    f"{_V1}PreferenceService/RemoveSuppression": _changes("category"),
    f"{_V1}PreferenceService/CreatePreferenceLinks": _changes("category"),
    f"{_V1}PreferenceService/ReportFeedback": _changes(),
    f"{_V1}PolicyService/ExplainNotification": Action(
        Moment.AFTER, "manage_users", "notification.app", ("notification.user_ids",)
    ),
    f"{_V1}TemplateService/PublishTemplate": _of_templates(Moment.BEFORE, "template.template_id", "template.app"),
    f"{_V1}TemplateService/RetireTemplate": _of_templates(Moment.BEFORE, "template_id"),
    f"{_V1}TemplateService/PreviewTemplate": _of_templates(Moment.AFTER, "template_id", users=("user_id",)),
    f"{_V1}DeviceService/ListDevices": _reads("manage_devices"),
    f"{_V1}PrivacyService/ExportUser": _changes(permission="manage_privacy"),
    f"{_V1}PrivacyService/EraseUser": _changes("reason", permission="manage_privacy"),
    f"{_V1}PrivacyService/GetErasure": _reads("manage_privacy"),
    f"{_V1}PrivacyService/ListAuditRecords": _reads("manage_privacy"),
    HOLDS: Action(Moment.BEFORE, "manage_devices", users=(), detail=("action",)),
}
EXCUSED: Final[Mapping[str, str]] = {
    f"{_V1}DeliveryService/Send": "sends; its receipt is the record",
    f"{_V1}DeliveryService/SendBatch": "sends; its receipts are the record",
    f"{_V1}DeliveryService/SendStream": "sends; its receipts are the record",
    f"{_V1}DeliveryService/WatchReceipts": "a tenant's own receipts, which name no user",
    f"{_V1}DeliveryService/GetReceipt": "a tenant's own receipt, which names no user",
    f"{_V1}DeliveryService/CancelNotification": "a tenant's own notification; its receipts are the record",
    f"{_V1}DeviceService/RegisterDevice": "apps renew their own token at each start; nobody looks or decides",
    f"{_V1}DeviceService/UnregisterDevice": "apps remove their own token; names no user",
    f"{_V1}TemplateService/GetTemplate": "templates hold no personal data",
    f"{_V1}TemplateService/ListTemplates": "templates hold no personal data",
    f"{_V1}PreferenceService/ListCategories": "settings of the app, no personal data",
    "/walletpush.internal.v1.WorkerService/Cancel": "a caller's cancelling, passed on by a sibling",
    "/walletpush.internal.v1.WorkerService/Erase": "a sibling's part of an erasure, which is told where it was asked",
}


def name_of(method: str) -> str:
    """Return a method as the audit log calls it, for instance PrivacyService.ExportUser."""
    return method.rpartition(".")[2].replace("/", ".")
