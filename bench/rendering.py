"""How many messages a second one core renders, by kind of template, beside other engines: `python -m bench.rendering`.

A message is a title and a body. Every engine writes amounts by the same function, so that engines are compared and not
formats; only ours checks values, chooses the locale, and bounds what a text may do.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from unittest import mock

import liquid
import minijinja
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from rich.console import Console
from rich.table import Table

from bench.results import Better, Figure, cell
from core.content import compiling
from core.content.formats import Formats
from core.content.locales import parse_tag
from core.content.privacy import Privacy
from core.content.rendered import Reader, Rendered, RenderItem
from core.content.rendering import CompiledTemplate, compile_template
from core.content.templates import Raw, TemplateBody, TemplateSource, Values, Variable, VariableType
from core.model import NotificationClass
from core.policy.people import Channel
from core.values import Moment, Money, Value

NOW_UNIX_S = 1_800_000_000
TARGET_PER_S = 100_000
BATCH = 1_000
_SEED = 7
_TIERS = ("gold", "silver", "")
_FUEL = 100_000
_READER = Reader("en-US", "Europe/Berlin", "USD")


@dataclass(frozen=True, slots=True)
class Text:
    """A template to measure: what an author would call it, its Liquid and, for other engines, its Jinja."""

    name: str
    title: str
    body: str
    jinja_body: str = ""

    @property
    def jinja(self) -> str:
        """The body for Jinja2 and minijinja."""
        return self.jinja_body or self.body


TYPICAL = Text(
    "typical", "Payment to {{ merchant }}", "Hi {{ name }}, you paid {{ amount | money }} with card {{ last4 }}."
)
CONDITIONAL = Text(
    "conditional",
    "Payment to {{ merchant }}",
    "Hi {{ name }}{% if tier == 'gold' %}, gold member{% else %}, member{% endif %}, you paid {{ amount | money }}"
    "{% if points > 100 %} and earned {{ points }} points{% endif %}.",
)
LOOP = Text(
    "loop",
    "{{ name }}, your last payments",
    "{% for entry in entries %}{{ entry.label }} {{ entry.price | money }}{% unless forloop.last %}, {% endunless %}"
    "{% endfor %}",
    "{% for entry in entries %}{{ entry.label }} {{ entry.price | money }}{% if not loop.last %}, {% endif %}"
    "{% endfor %}",
)
DATED = Text(
    "dated", "Due {{ due | date }}", "{{ name }}, pay {{ amount | money }} until {{ due | datetime: 'short' }}."
)
TEXTS = (TYPICAL, CONDITIONAL, LOOP)
VARIABLES = (
    Variable("name", VariableType.TEXT),
    Variable("merchant", VariableType.TEXT),
    Variable("amount", VariableType.MONEY, sensitive=True),
    Variable("last4", VariableType.TEXT, sensitive=True),
    Variable("tier", VariableType.TEXT, required=False),
    Variable("points", VariableType.INTEGER, required=False),
    Variable("due", VariableType.TIME),
    Variable(
        "entries",
        VariableType.LIST,
        fields=(Variable("label", VariableType.TEXT), Variable("price", VariableType.MONEY)),
    ),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """What was measured: messages a second on one core, one sample a repeat."""

    engine: str
    text: str
    per_s: tuple[float, ...]

    def figure(self) -> Figure:
        """Return it as a figure; the promise is about ours and the typical template."""
        ours = self.engine == "ours"
        target = TARGET_PER_S if ours and self.text == TYPICAL.name else None
        return Figure(f"rendering.{self.engine}.{self.text}.per_s", "messages/s", self.per_s, Better.HIGHER, target)


def measure(repeats: int = 5, messages: int = 20_000) -> list[Rate]:
    """Measure all engines over all texts, in turns, so that a slow phase of the machine touches each alike."""
    ways = [*_ours(), *_others()]
    samples: dict[tuple[str, str], list[float]] = {(engine, text): [] for engine, text, _, _ in ways}
    for _ in range(repeats):
        for engine, text, run, share in ways:
            samples[engine, text].append(_rate(run, max(messages // share, 1)))
    return [Rate(engine, text, tuple(taken)) for (engine, text), taken in samples.items()]


def _rate(run: Callable[[int], int], messages: int) -> float:
    run(min(messages, BATCH))
    started = time.process_time_ns()
    rendered = run(messages)
    return rendered / (time.process_time_ns() - started) * 1e9


def _ours() -> Iterator[tuple[str, str, Callable[[int], int], int]]:
    items = _items(_READER)
    for text, share in ((TYPICAL, 1), (CONDITIONAL, 1), (DATED, 1), (LOOP, 10)):
        yield "ours", text.name, _batches(_template(text), items), share
    locked = _items(_READER._replace(privacy=Privacy.MASKED))
    yield "ours", "typical, masked", _batches(_template(TYPICAL), locked), 1
    for text in (TYPICAL, CONDITIONAL):
        yield "ours, not reduced", text.name, _batches(_unreduced(text), items), 10


def _batches(template: CompiledTemplate, items: list[RenderItem]) -> Callable[[int], int]:
    def run(messages: int) -> int:
        done = 0
        while done < messages:
            results = template.render_many(items, NOW_UNIX_S)
            done += len(results)
        assert all(isinstance(one, Rendered) for one in results)
        return done

    return run


def _template(text: Text) -> CompiledTemplate:
    body = TemplateBody(Channel.PUSH, "en", title=text.title, body=text.body)
    return compile_template(
        TemplateSource("bench", 1, NotificationClass.TRANSACTIONAL, "payment", "en", VARIABLES, (body,))
    )


def _unreduced(text: Text) -> CompiledTemplate:
    with mock.patch.object(compiling, "reduce", return_value=None):
        return _template(text)


def _items(reader: Reader) -> list[RenderItem]:
    return [RenderItem(Channel.PUSH, reader, Values(data)) for data in _data()]


def _data() -> Iterator[dict[str, Raw]]:
    """Give a batch of values; amounts, names and moments differ from message to message."""
    chance = random.Random(_SEED)
    for number in range(BATCH):
        entries: list[dict[str, Value]] = [
            {"label": f"Shop {place}", "price": Money(chance.randrange(1, 10**5), "USD")} for place in range(5)
        ]
        yield {
            "name": f"User {number}",
            "merchant": "Corner Coffee",
            "amount": Money(chance.randrange(1, 10**7), "USD"),
            "last4": f"{chance.randrange(10_000):04}",
            "tier": chance.choice(_TIERS),
            "points": chance.randrange(500),
            "due": Moment((NOW_UNIX_S + chance.randrange(30) * 86_400) * 1_000),
            "entries": entries,
        }


def _others() -> Iterator[tuple[str, str, Callable[[int], int], int]]:
    data = list(_data())
    for text in TEXTS:
        yield "python-liquid", text.name, _singles(_liquid(text), data), 10
        yield "Jinja2 sandbox", text.name, _singles(_jinja(text), data), 10
        yield "minijinja", text.name, _singles(_minijinja(text), data), 5


def _singles(render: Callable[[dict[str, Raw]], object], data: list[dict[str, Raw]]) -> Callable[[int], int]:
    def run(messages: int) -> int:
        for number in range(messages):
            render(data[number % BATCH])
        return messages

    return run


def _money() -> Callable[[tuple[int, str]], str]:
    tag = parse_tag(_READER.locale)
    assert tag is not None
    money = Formats(tag).money
    # minijinja makes a plain tuple of an amount.
    return lambda amount: money(Money(*amount))


def _liquid(text: Text) -> Callable[[dict[str, Raw]], object]:
    environment = liquid.Environment(undefined=liquid.StrictUndefined)
    environment.add_filter("money", _money())
    title, body = environment.from_string(text.title), environment.from_string(text.body)
    return lambda data: (title.render(data), body.render(data))


def _jinja(text: Text) -> Callable[[dict[str, Raw]], object]:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    environment.filters["money"] = _money()
    title, body = environment.from_string(text.title), environment.from_string(text.jinja)
    return lambda data: (title.render(data), body.render(data))


def _minijinja(text: Text) -> Callable[[dict[str, Raw]], object]:
    environment = minijinja.Environment(templates={"title": text.title, "body": text.jinja}, fuel=_FUEL)
    environment.add_filter("money", _money())
    return lambda data: (environment.render_template("title", **data), environment.render_template("body", **data))


def main() -> None:
    """Print the rates."""
    table = Table("engine", "template", "messages/s on one core", title="Rendering: title and body, batches of 1,000")
    for rate in measure():
        table.add_row(rate.engine, rate.text, cell(rate.per_s))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
