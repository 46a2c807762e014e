"""The request headers that many notifications share: topic, push type, priority and authorization."""

from __future__ import annotations

from collections.abc import Mapping

from adapters.apns.provider_token import ProviderToken
from adapters.apns.push_types import RULES, PushTypeRule
from adapters.apns.table import TopicTie
from adapters.http2.headers import HeaderBlock
from core.content.message import ApnsOptions, Content
from core.errors import ContentRefused
from core.model import Environment

MAX_TOPIC_BYTES = 255


class Shape:
    """One combination of shared headers; head is made anew when another token is in force.

    envelope: what every delivery with these headers and its own collapse id carries.
    """

    __slots__ = ("_pairs", "envelope", "head", "max_bytes", "push_type", "tie", "token")

    def __init__(self, authority: str, topic: str, push_type: int, rule: PushTypeRule, priority: int, tie: TopicTie):
        self._pairs = (
            (b":method", b"POST"),
            (b":scheme", b"https"),
            (b":authority", authority.encode("ascii")),
            (b"apns-topic", topic.encode("ascii")),
            (b"apns-push-type", rule.name),
            (b"apns-priority", b"%d" % priority),
        )
        self.push_type = push_type
        self.max_bytes = rule.max_bytes
        self.tie = tie
        self.token: ProviderToken | None = None
        self.envelope: tuple[Shape, bytes] = (self, b"")
        self.head = HeaderBlock(self._pairs)

    def dress(self, token: ProviderToken) -> None:
        """Put a provider token into the headers."""
        self.head = HeaderBlock((*self._pairs, (b"authorization", token.authorization)))
        self.token = token


class ShapeBook:
    """Finds or makes the shape of a notification; forgets all at max_shapes, since they are cheap to make again."""

    def __init__(
        self, bundle_id: str, environment: Environment, authority: str, pass_push_type: int,
        extra_push_types: Mapping[int, PushTypeRule], max_shapes: int, *, token_auth: bool,
    ) -> None:  # fmt: skip
        self._bundle_id = bundle_id
        self._environment = environment
        self._authority = authority
        self._pass_push_type = pass_push_type
        self._rules = RULES | dict(extra_push_types)
        self._max_shapes = max_shapes
        self._token_auth = token_auth
        self._shapes: dict[tuple[int, str, str, int], Shape] = {}

    def of(self, push_type: int, content: Content) -> Shape:
        """Return the shape for a content. Raises ContentRefused for what APNs would refuse by its headers alone."""
        options = content.apns
        topic, priority = (options.topic, options.priority) if options else ("", 0)
        name = (push_type, content.pass_type_id, topic, priority)
        shape = self._shapes.get(name)
        if shape is None:
            shape = self._make(push_type, content.pass_type_id, options or ApnsOptions())
            if len(self._shapes) >= self._max_shapes:
                self._shapes.clear()
            self._shapes[name] = shape
        return shape

    def _make(self, push_type: int, pass_type_id: str, options: ApnsOptions) -> Shape:
        if pass_type_id:
            push_type = self._pass_push_type
        rule = self._rules.get(push_type)
        if rule is None:
            raise ContentRefused("InvalidPushType", f"push type {push_type} is not known")
        if rule.token_auth_only and not self._token_auth:
            raise ContentRefused("InvalidPushType", f"{rule.name.decode()} needs a signing key, not a certificate")
        topic, tie = self._topic(rule, pass_type_id, options.topic)
        if not 0 < len(topic) <= MAX_TOPIC_BYTES or not topic.isascii() or not topic.isprintable() or " " in topic:
            raise ContentRefused("BadTopic", "a topic is 1 to 255 printable ASCII characters")
        priority = (0 if pass_type_id else options.priority) or rule.priority
        if priority not in rule.priorities:
            raise ContentRefused("BadPriority", f"{rule.name.decode()} does not go with priority {priority}")
        return Shape(self._authority, topic, push_type, rule, priority, tie)

    def _topic(self, rule: PushTypeRule, pass_type_id: str, asked: str) -> tuple[str, TopicTie]:
        if pass_type_id:
            # https://developer.apple.com/documentation/walletpasses/adding-a-web-service-to-update-passes
            if self._environment is not Environment.PRODUCTION:
                raise ContentRefused("BadTopic", "wallet passes are updated through the production environment only")
            return pass_type_id, TopicTie.OWN
        if rule.topic_required and not asked:
            raise ContentRefused("MissingTopic", f"{rule.name.decode()} needs a topic of its own")
        own = self._bundle_id + rule.suffix
        topic = asked or own
        if topic == self._bundle_id:
            return topic, TopicTie.PLAIN
        return topic, TopicTie.OWN if topic == own else TopicTie.FOREIGN
