"""The demonstration's account: it must see what was lost, what came twice, and what was never taken."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.client import Accepted, DeliveryState, Failed, Receipt, apns_token, fcm_token
from gateway.demo.account import Account, Devices, reckon
from gateway.demo.book import Book, Sent
from gateway.demo.gauges import parse
from gateway.demo.ledgers import Ledgers

PHONE = apns_token("aa" * 32)
TABLET = fcm_token("fcm-token")
LEDGERS = Ledgers(apns={"apns-1": PHONE.token}, fcm=frozenset({f"k/{TABLET.token}"}), twice=0)
DEVICES = Devices(frozenset({"dead"}), frozenset({"live"}), frozenset({"live"}))


def receipt(message_id: str, state: DeliveryState = DeliveryState.DELIVERY_STATE_DELIVERED) -> Receipt:
    made = Receipt(notification_id="n1", state=state, provider_message_id=message_id)
    made.time.FromMilliseconds(1_000_200)
    return made


@pytest.fixture
def sent() -> Sent:
    return Sent("payment", "k", (PHONE, TABLET), sent_unix_s=1_000.0)


@pytest.fixture
def book(sent: Sent) -> Book:
    """A payment to two devices, accepted and delivered to both."""
    book = Book()
    book.add(sent)
    book.on_receipt(receipt("apns-1"))
    book.on_accepted(sent, Accepted("n1", duplicate=False))
    book.on_receipt(receipt("projects/p/messages/1"))
    return book


def account(book: Book, ledgers: Ledgers = LEDGERS, devices: Devices = DEVICES) -> Account:
    return reckon(book, ledgers, devices, [])


def test_all_is_well_when_receipts_and_ledgers_agree(book: Book) -> None:
    found = account(book)
    assert (found.good, found.lost, found.sent_twice, found.delivered) == (True, 0, 0, 2)
    assert (found.payments_all.n, found.payments_all.p50_ms) == (2, 200.0)


@pytest.mark.parametrize(
    "ledgers",
    [replace(LEDGERS, apns={}), replace(LEDGERS, fcm=frozenset()), replace(LEDGERS, apns={"apns-1": "another device"})],
)
def test_a_delivered_receipt_that_no_ledger_knows_is_a_loss(book: Book, ledgers: Ledgers) -> None:
    found = account(book, ledgers)
    assert (found.lost, found.good) == (1, False)


def test_an_accepted_notification_without_all_receipts_is_lost(sent: Sent) -> None:
    book = Book()
    book.on_accepted(sent, Accepted("n1", duplicate=False))
    book.on_receipt(receipt("apns-1"))
    assert not book.is_settled
    assert account(book).lost == 1


def test_a_send_that_no_receipt_tells_of_counts_as_sent_twice(book: Book) -> None:
    found = account(book, replace(LEDGERS, apns={**LEDGERS.apns, "apns-2": PHONE.token}))
    assert (found.sent_twice, found.good) == (1, False)


def test_what_a_provider_accepted_again_counts_as_sent_twice(book: Book) -> None:
    assert account(book, replace(LEDGERS, twice=3)).sent_twice == 3


def test_a_repeat_taken_as_new_counts_as_sent_twice(book: Book, sent: Sent) -> None:
    book.on_repeat(sent, Accepted("n2", duplicate=False))
    found = account(book)
    assert (found.sent_twice, found.duplicates_answered, found.good) == (1, 0, False)


@pytest.mark.parametrize("repeat_comes_first", [True, False])
def test_a_repeat_is_a_duplicate_whichever_answer_comes_first(sent: Sent, repeat_comes_first: bool) -> None:
    book = Book()
    book.on_repeat(sent, Accepted("n1", duplicate=not repeat_comes_first))
    book.on_accepted(sent, Accepted("n1", duplicate=repeat_comes_first))
    assert (book.repeats, book.duplicates_answered, book.repeats_taken_anew) == (1, 1, 0)


def test_a_gateway_that_takes_nothing_is_not_good(sent: Sent) -> None:
    book = Book()
    assert not account(book).good
    book.on_error(Failed("internal error"))
    assert account(book).not_taken == {"Failed: internal error": 1}


def test_dead_tokens_that_stay_and_live_ones_that_go_are_not_good(book: Book) -> None:
    stayed = account(book, devices=replace(DEVICES, listed=frozenset({"live", "dead"})))
    assert (stayed.dead_removed, stayed.good) == (0, False)
    gone = account(book, devices=replace(DEVICES, listed=frozenset()))
    assert (gone.removed_by_mistake, gone.good) == (1, False)


def test_gauges_are_read_from_an_exposition() -> None:
    gauges = parse(
        '# TYPE walletpush_queue_depth gauge\nwalletpush_queue_depth{app="a",class="marketing",provider="apns"} 7.0\n'
        '# TYPE walletpush_breaker_state gauge\nwalletpush_breaker_state{app="a",provider="fcm"} 2.0\n'
        "# TYPE walletpush_deliveries_retried counter\n"
        'walletpush_deliveries_retried_total{app="a",provider="apns",reason="ServiceUnavailable"} 3.0\n'
    )
    assert (gauges.queue["marketing"], gauges.breakers, gauges.retried.total()) == (7, {"fcm": "OPEN"}, 3)
