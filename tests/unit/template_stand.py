"""Templates and readers that the tests of templates share."""

from __future__ import annotations

from core.content.faults import TemplateRefused
from core.content.links import HTTPS_ONLY, LinkPolicy
from core.content.privacy import Privacy
from core.content.rendered import NotRendered, Reader, Rendered, RenderItem
from core.content.rendering import CompiledTemplate, compile_template
from core.content.templates import Raw, TemplateBody, TemplateSource, Values, Variable, VariableType
from core.model import NotificationClass
from core.policy.people import Channel
from core.values import Moment, Money, Value

NOW_UNIX_S = 1_800_000_000
NAME = Variable("name", VariableType.TEXT)
MERCHANT = Variable("merchant", VariableType.TEXT)
CARD = Variable("card", VariableType.TEXT, sensitive=True)
AMOUNT = Variable("amount", VariableType.MONEY, sensitive=True)
POINTS = Variable("points", VariableType.INTEGER, required=False)
RATE = Variable("rate", VariableType.NUMBER, required=False)
VIP = Variable("vip", VariableType.FLAG, required=False)
PAID_AT = Variable("paid_at", VariableType.TIME, required=False)
DUE = Variable("due", VariableType.DATE, required=False)
PAGE = Variable("page", VariableType.URL, required=False)
NICK = Variable("nick", VariableType.TEXT, required=False)
ENTRIES = Variable(
    "entries",
    VariableType.LIST,
    required=False,
    fields=(Variable("label", VariableType.TEXT), Variable("price", VariableType.MONEY)),
)
WORDS = Variable("words", VariableType.LIST, required=False)
VARIABLES = (NAME, MERCHANT, CARD, AMOUNT, POINTS, RATE, VIP, PAID_AT, DUE, PAGE, NICK, ENTRIES, WORDS)
_ENTRIES: list[dict[str, Value]] = [
    {"label": "tea", "price": Money(300, "USD")},
    {"label": "cake", "price": Money(450, "USD")},
]
DATA: dict[str, Raw] = {
    "name": "Ana",
    "merchant": "Corner Coffee",
    "card": "4111111111111111",
    "amount": Money(125_050, "USD"),
    "points": 1_234,
    "rate": 0.125,
    "vip": True,
    "paid_at": Moment(NOW_UNIX_S * 1_000),
    "page": "https://example.com/receipt?id=1",
    "entries": _ENTRIES,
    "words": ["one", "two"],
}
ENGLISH = Reader("en-US", "UTC", "USD")


def source(*bodies: TemplateBody, variables: tuple[Variable, ...] = VARIABLES, default: str = "") -> TemplateSource:
    """Return a template of these bodies; its default locale is the first one's unless given."""
    return TemplateSource(
        "payment.sent",
        1,
        NotificationClass.TRANSACTIONAL,
        "payment",
        default or (bodies[0].locale if bodies else "en"),
        variables,
        bodies,
    )


def push(body: str, title: str = "", locale: str = "en") -> TemplateBody:
    """Return the body of a push."""
    return TemplateBody(Channel.PUSH, locale, title=title, body=body)


def compiled(*bodies: TemplateBody, links: LinkPolicy = HTTPS_ONLY) -> CompiledTemplate:
    """Compile a template of these bodies and the shared variables."""
    return compile_template(source(*bodies), links)


def show(
    template: CompiledTemplate,
    data: dict[str, Raw] | None = None,
    reader: Reader = ENGLISH,
    channel: Channel = Channel.PUSH,
    user: dict[str, Raw] | None = None,
) -> Rendered | NotRendered:
    """Render one message; data is added to DATA."""
    item = RenderItem(channel, reader, Values({**DATA, **(data or {})}, user or {}))
    return template.render_many([item], NOW_UNIX_S)[0]


def text(
    body: str, data: dict[str, Raw] | None = None, reader: Reader = ENGLISH, user: dict[str, Raw] | None = None
) -> str:
    """Render the text of a push that must succeed."""
    result = show(compiled(push(body)), data, reader, user=user)
    assert isinstance(result, Rendered), result
    return result.body


def failure(body: str, data: dict[str, Raw] | None = None, user: dict[str, Raw] | None = None) -> NotRendered:
    """Render the text of a push that must fail."""
    result = show(compiled(push(body)), data, user=user)
    assert isinstance(result, NotRendered), result
    return result


def faults(body: TemplateBody | str, links: LinkPolicy = HTTPS_ONLY) -> list[str]:
    """Return what is told of a body that must be refused."""
    try:
        compiled(push(body) if isinstance(body, str) else body, links=links)
    except TemplateRefused as exc:
        return [str(fault) for fault in exc.faults]
    raise AssertionError("the template was taken")


def private(privacy: Privacy) -> Reader:
    """Return a reader with a wish for the locked screen."""
    return ENGLISH._replace(privacy=privacy)
