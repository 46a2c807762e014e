"""What was counted for a user is found again under the gates' own keys when it is to be forgotten."""

from __future__ import annotations

from core.hashing import SipHash
from core.model import Provider, Target
from core.policy.counting import Counting
from core.policy.people import Recipient, UserDevice
from gateway.count_moves import CounterMoves
from tests.unit.policy_stand import app_rules, counters

HASHES = SipHash(b"k" * 16)
PHONE, OTHERS = (UserDevice(Target(Provider.APNS, token * 32)) for token in ("ab", "cd"))


def test_a_user_is_forgotten_with_devices_also_from_before_they_were_the_users() -> None:
    over = counters()
    counting = Counting(app_rules(), over, HASHES, 0)
    mine, theirs = counting.user_keys([Recipient("ana"), Recipient("bob")])
    gone = [mine, counting.device_key(PHONE), counting.stranger_key(PHONE)]
    stays = [theirs, counting.device_key(OTHERS), counting.stranger_key(OTHERS)]
    for key in (*gone, *stays):
        over.add_events(key, [(7, 1, 1, False)], 8)
    devices = [(int(PHONE.target.provider), PHONE.target.token)]
    assert CounterMoves(over, HASHES).forget("app", "ana", devices) == 3
    assert [over.events_of(key) for key in gone] == [[], [], []]
    assert all(over.events_of(key) for key in stays)
