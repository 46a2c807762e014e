"""Compares what callers were told with the providers' ledgers: what was lost, given up, or came twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from adapters.apns.push_id import push_id
from adapters.simulators.client import SimulatorClient
from adapters.simulators.settings import Provider
from bench.soak.book import DEATHS, Book, Delivered
from bench.soak.load import ledger_name
from bench.soak.people import People, provider_of
from bench.soak.weather import PROVIDERS
from core.hashing import SipHash

_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Account:
    """The result. accepted: notifications, each to one device. no_receipt: of them without an end.

    not_there: said to be delivered, and unknown to the provider. given_up: ended otherwise than by a provider's yes or
    a dead device. mistaken: called dead though the device never died. twice: a provider took them again.
    twice_untold: of these, whose receipt does not say that it may have been so. strangers: receipts of nothing that was
    accepted, or a second one. ends: the reasons of what was not delivered.
    """

    accepted: int
    delivered: int
    no_receipt: int
    not_there: int
    given_up: int
    mistaken: int
    twice: int
    twice_untold: int
    strangers: int
    refused: int
    ends: dict[str, int]

    @property
    def lost(self) -> int:
        """How many accepted notifications nobody can account for."""
        return self.no_receipt + self.not_there


async def draw_up(book: Book, people: People, simulator: SimulatorClient, devices: SipHash) -> Account:
    """Ask both ledgers. devices: the gateway's hasher of tokens, which makes apns-ids."""
    twice = {one["id"] for provider in PROVIDERS for one in await simulator.duplicates(provider)}
    not_there = untold = 0
    ones = book.delivered_ones()
    while part := list(islice(ones, _AT_ONCE)):
        named = {name: one for one in part for name in _names(people, one, devices)}
        not_there += await _absent(part, named, simulator)
        untold += sum(name in twice and not one.uncertain for name, one in named.items())
    deaths = sum(count for reason, count in book.failed.items() if reason in DEATHS)
    return Account(
        accepted=book.accepted, delivered=book.delivered, no_receipt=book.open, not_there=not_there,
        given_up=book.failed.total() - deaths,
        mistaken=sum(people.deaths[user] == 0 for user in book.ended_by_death),
        twice=len(twice), twice_untold=untold, strangers=book.strangers, refused=book.refused.total(),
        ends=dict(book.failed),
    )  # fmt: skip


async def _absent(part: Sequence[Delivered], named: dict[str, Delivered], simulator: SimulatorClient) -> int:
    """Return how many of these no ledger knows under any of their names."""
    names: dict[Provider, list[str]] = {provider: [] for provider in PROVIDERS}
    for name, one in named.items():
        names[provider_of(one.user)].append(name)
    unknown = {name for provider in PROVIDERS for name in await simulator.missing(provider, names[provider])}
    known = {one.number for name, one in named.items() if name not in unknown}
    return sum(one.number not in known for one in part)


def _names(people: People, one: Delivered, devices: SipHash) -> Iterator[str]:
    """Yield what a ledger may call it: one name for each token that the user's device has had."""
    for token in people.tokens(one.user):
        if provider_of(one.user) == "apns":
            yield push_id(one.id, devices.hash64(token)).decode()
        else:
            yield f"{ledger_name(one.number)}/{token}"
