"""PolicyService: why a user would hear of something, or would not."""

from __future__ import annotations

from collections.abc import Sequence

from core.content.message import Content
from core.delivery import Notification, assign_place
from core.errors import ContentRefused, InvalidRequest
from core.hashing import SipHash
from core.model import Provider
from core.policy.decision import Gate, GateVerdict, Verdict
from core.policy.people import Recipient, UserDevice
from gateway.callers import current_caller
from gateway.convert import Scope, to_notification
from gateway.fields import timestamp_unix_ms
from gateway.interceptors import Context
from gateway.pipeline.clock import Clock
from gateway.pipeline.flows import FlowBook
from gateway.pipeline.gated import message_of
from gateway.pipeline.lookup import Lookup, Pair, People
from gateway.pipeline.personal import Copy, Personal, payload_of, reader_of
from gateway.pipeline.policies import Policies
from gateway.pipeline.purposes import Purposes
from gateway.pipeline.routes import Routes
from gateway.receipts import to_timestamp
from gateway.scopes import Scopes, require_app
from protos.walletpush.v1 import notification_pb2
from protos.walletpush.v1 import policy_pb2 as pb
from protos.walletpush.v1.policy_pb2_grpc import PolicyServiceServicer

_NO_ID = bytes(16)
_PASSES = GateVerdict(Gate.CHANNEL, Verdict.PASS)


class PolicyServicer(PolicyServiceServicer):
    """Looks at everything as the planner would, and reserves nothing."""

    def __init__(
        self, lookup: Lookup, policies: Policies, personal: Personal, purposes: Purposes, routes: Routes,
        flows: FlowBook, hasher: SipHash, scopes: Scopes, clock: Clock,
    ) -> None:  # fmt: skip
        self._lookup = lookup
        self._policies = policies
        self._personal = personal
        self._purposes = purposes
        self._routes = routes
        self._flows = flows
        self._hasher = hasher
        self._scopes = scopes
        self._clock = clock

    def set_scopes(self, scopes: Scopes) -> None:
        """Take new apps and callers after a reload."""
        self._scopes = scopes

    async def ExplainNotification(  # noqa: N802
        self, request: pb.ExplainNotificationRequest, context: Context
    ) -> pb.ExplainNotificationResponse:
        """Take a notification for one user through every gate."""
        now_unix_ms = self._clock.unix_ms()
        if request.HasField("time"):
            now_unix_ms = timestamp_unix_ms("time", request.time)
        notification = await self._notification(request.notification, self._scope(), now_unix_ms)
        pair = Pair(notification, notification.user_ids[0])
        people = await self._lookup.people(notification.app, [pair])
        recipient = people.recipients.get(pair.user_id) or Recipient(pair.user_id)
        devices = people.devices_of(pair)
        message = message_of(notification, people.rules, people.templates)
        gates = self._policies[notification.app].explain(message, recipient, devices, now_unix_ms)
        decision = next((one for one in gates if one.verdict is not Verdict.PASS), _PASSES)
        answer = pb.ExplainNotificationResponse(gates=[_told(one) for one in gates], decision=_told(decision))
        _tell_reader(answer, people, recipient, devices)
        if decision.verdict is Verdict.PASS:
            answer.devices.extend(self._rendered(notification, recipient, devices, people, now_unix_ms))
        return answer

    def _scope(self) -> Scope:
        caller = current_caller.get()
        caller.require("manage_users")
        return self._scopes.of(caller)

    async def _notification(
        self, told: notification_pb2.Notification, scope: Scope, now_unix_ms: int
    ) -> Notification:
        require_app(scope, "notification.app", told.app)
        if len(told.user_ids) != 1 or told.devices:
            raise InvalidRequest("notification.user_ids", "name one user, and no devices")
        try:
            notification = to_notification(await self._purposes.pinned(told), scope, now_unix_ms)
        except InvalidRequest as error:
            raise InvalidRequest(f"notification.{error.field}", error.why) from None
        assign_place(notification, _NO_ID, 0, 0)
        return notification

    def _rendered(
        self, notification: Notification, recipient: Recipient, devices: Sequence[UserDevice],
        people: People, now_unix_ms: int,
    ) -> list[pb.RenderedDevice]:  # fmt: skip
        copies = [Copy(notification, recipient, device) for device in devices]
        contents = self._personal.contents(copies, people.rules, people.templates, now_unix_ms)
        return [self._device(copy, content) for copy, content in zip(copies, contents, strict=True)]

    def _device(self, copy: Copy, content: Content | ContentRefused) -> pb.RenderedDevice:
        target = copy.device.target
        told = pb.RenderedDevice(
            provider=int(target.provider),  # type: ignore[arg-type]
            device_key=f"{self._hasher.hash64(target.token):016x}",
        )
        lane = self._flows.lane(copy.notification, target)
        if lane is not None and not isinstance(content, ContentRefused):
            parts = payload_of(self._routes[lane[0]], copy.notification, content)
            content = parts if isinstance(parts, ContentRefused) else content
            told.payload_json = "" if isinstance(parts, ContentRefused) else _whole(parts[0], target.provider)
        if isinstance(content, ContentRefused):
            told.refusal = str(content)
        return told


def _whole(payload: bytes, provider: Provider) -> str:
    # FCM's message ends with the device's token, which is spliced in at sending and shown to nobody.
    return (payload + b"}}" if provider is Provider.FCM else payload).decode("utf-8", "replace")


def _told(one: GateVerdict) -> pb.GateVerdict:
    told = pb.GateVerdict(
        gate=one.gate.value, verdict=int(one.verdict), reason=one.reason.value, detail=one.detail  # type: ignore[arg-type]
    )
    if one.until_unix_ms:
        told.until.CopyFrom(to_timestamp(one.until_unix_ms))
    return told


def _tell_reader(
    answer: pb.ExplainNotificationResponse, people: People, recipient: Recipient, devices: Sequence[UserDevice]
) -> None:
    device = devices[0] if devices else None
    if device is not None:
        answer.locale = reader_of(recipient, device, people.rules).locale
    else:
        answer.locale = recipient.locale or people.rules.default_locale
    for zone, whose in (
        (device.time_zone if device is not None else "", "device"), (recipient.time_zone, "user"),
        (people.rules.time_zone, "app"), (recipient.country or people.rules.country, "country"),
    ):  # fmt: skip
        if zone:
            answer.time_zone = f"{zone} ({whose})"
            return
    answer.time_zone = "unknown: the hours allowed everywhere"
