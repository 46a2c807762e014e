"""The fan-out: against a plain model, and rule by rule."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import Overloaded
from core.fanout import NEVER, Fanout, FanoutFull

NOW = 1_000_000
QUANTUM = 4

Item = tuple[int, int, int]


class Caller:
    """A fan-out with the buffers that its calls need; an item is (route, priority, flow)."""

    def __init__(self, capacity: int = 4096, batch_size: int = 10, linger_ns: int = 100, max_flows: int = 1000) -> None:
        self.fanout = Fanout(capacity, batch_size, linger_ns, quantum=QUANTUM, max_flows=max_flows)

    def allocate(self, n: int) -> list[int]:
        out = u32([0] * n)
        self.fanout.allocate_many(n, out)
        return list(out)

    def push(self, items: list[Item], now_ns: int = NOW, weights: list[int] | None = None) -> list[int]:
        slots = self.allocate(len(items))
        self.queue(slots, items, now_ns, weights)
        return slots

    def queue(self, slots: list[int], items: list[Item], now_ns: int = NOW, weights: list[int] | None = None) -> None:
        self.fanout.push_many(
            u32(slots),
            memoryview(b"".join(route.to_bytes(2, "little") for route, _, _ in items)).cast("H"),
            bytes(priority for _, priority, _ in items),
            memoryview(b"".join(flow.to_bytes(8, "little") for _, _, flow in items)).cast("Q"),
            now_ns,
            bytes(weights) if weights is not None else None,
        )

    def pull(self, max_count: int, route: int = 0, now_ns: int = NOW, max_priority: int = 7) -> list[int]:
        out = u32([0] * max_count)
        return list(out[: self.fanout.pull(route, max_count, now_ns, out, max_priority)])

    def free(self, slots: list[int]) -> None:
        self.fanout.free_many(u32(slots))

    def give_back(self, slots: list[int]) -> None:
        self.fanout.give_back_many(u32(slots))


def u32(numbers: list[int]) -> memoryview:
    return memoryview(bytearray(b"".join(n.to_bytes(4, "little") for n in numbers))).cast("I")


@dataclass
class ModelFlow:
    slots: deque[int] = field(default_factory=deque)
    weight: int = 1
    allowance: int = 0
    until_ns: int = 0


@dataclass
class Model:
    """Lanes as ordered dicts of flows: the first unpaused one has the turn."""

    lanes: dict[tuple[int, int], dict[int, ModelFlow]] = field(default_factory=dict)
    items: dict[int, tuple[Item, int, int]] = field(default_factory=dict)

    def flow(self, item: Item) -> ModelFlow:
        return self.lanes.setdefault(item[:2], {}).setdefault(item[2], ModelFlow())

    def push(self, slot: int, item: Item, weight: int, now_ns: int) -> None:
        self.items[slot] = (item, weight, now_ns)
        self.flow(item).weight = weight
        self.flow(item).slots.append(slot)

    def give_back(self, slots: list[int]) -> None:
        for slot in reversed(slots):
            item, weight, _ = self.items[slot]
            known = item[2] in self.lanes.setdefault(item[:2], {})
            self.flow(item).slots.appendleft(slot)
            if not known:
                self.flow(item).weight = weight

    def pull(self, route: int, room: int, now_ns: int, max_priority: int) -> list[int]:
        taken: list[int] = []
        for priority in range(max_priority + 1):
            lane = self.lanes.get((route, priority), {})
            self.resume(lane, now_ns)
            while len(taken) < room and (ring := [key for key, flow in lane.items() if not flow.until_ns]):
                turn = ring[0]
                flow = lane[turn]
                flow.allowance = flow.allowance or QUANTUM * flow.weight
                while flow.slots and flow.allowance and len(taken) < room:
                    taken.append(flow.slots.popleft())
                    flow.allowance -= 1
                if not flow.slots:
                    del lane[turn]
                elif not flow.allowance:
                    lane[turn] = lane.pop(turn)
        return taken

    def resume(self, lane: dict[int, ModelFlow], now_ns: int) -> None:
        for key in [k for k, f in lane.items() if f.until_ns and f.until_ns <= now_ns]:
            lane[key] = lane.pop(key)
            lane[key].until_ns = 0

    def pause(self, item: Item, until_ns: int) -> bool:
        lane = self.lanes.get(item[:2], {})
        if item[2] not in lane:
            return False
        flow = lane[item[2]]
        if not flow.until_ns:
            lane[item[2]] = lane.pop(item[2])
        flow.until_ns, flow.allowance = until_ns, 0
        return True

    def remove(self, slot: int) -> bool:
        item = self.items[slot][0]
        flow = self.lanes.get(item[:2], {}).get(item[2])
        if flow is None or slot not in flow.slots:
            return False
        flow.slots.remove(slot)
        if not flow.slots:
            del self.lanes[item[:2]][item[2]]
        return True

    def depth(self, route: int, priority: int) -> int:
        return sum(len(flow.slots) for flow in self.lanes.get((route, priority), {}).values())

    def oldest_ns(self, route: int, priority: int) -> int:
        return min((self.items[f.slots[0]][2] for f in self.lanes.get((route, priority), {}).values()), default=0)

    def ready_ns(self, route: int, now_ns: int, batch_size: int, linger_ns: int) -> int:
        ready, together = NEVER, 0
        for priority in range(8):
            lane = self.lanes.get((route, priority), {})
            self.resume(lane, now_ns)
            active = [flow for flow in lane.values() if not flow.until_ns]
            together += sum(len(flow.slots) for flow in active)
            if together >= batch_size or (active and priority < 2):
                return now_ns
            ready = min([ready, *(self.items[flow.slots[0]][2] + linger_ns for flow in active)])
            ready = min([ready, *(flow.until_ns for flow in lane.values() if flow.until_ns)])
        return max(ready, now_ns)


ITEMS = st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(1, 4))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.lists(st.tuples(ITEMS, st.integers(1, 3)), min_size=1, max_size=20)),
        st.tuples(st.just("pull"), st.tuples(st.integers(0, 1), st.integers(0, 30), st.integers(0, 3))),
        st.tuples(st.just("give back"), st.integers(0, 30)),
        st.tuples(st.just("free"), st.integers(0, 30)),
        st.tuples(st.just("pause"), st.tuples(ITEMS, st.integers(1, 200))),
        st.tuples(st.just("remove"), st.integers(0, 60)),
    ),
    max_size=40,
)


class Pair:
    """The fan-out and its model, taken through the same steps."""

    def __init__(self) -> None:
        self.caller, self.model, self.held, self.now = Caller(), Model(), list[int](), NOW

    def push(self, choices: list[tuple[Item, int]]) -> None:
        items, weights = [item for item, _ in choices], [weight for _, weight in choices]
        for slot, item, weight in zip(self.caller.push(items, self.now, weights), items, weights, strict=True):
            self.model.push(slot, item, weight, self.now)

    def pull(self, choice: tuple[int, int, int]) -> None:
        route, room, max_priority = choice
        pulled = self.caller.pull(room, route, self.now, max_priority)
        assert pulled == self.model.pull(route, room, self.now, max_priority)
        self.held += pulled

    def give_back(self, count: int) -> None:
        slots, self.held = self.held[-count:], self.held[:-count] if count else self.held
        slots = slots if count else []
        self.caller.give_back(slots)
        self.model.give_back(slots)

    def free(self, count: int) -> None:
        self.caller.free(self.held[:count])
        self.held = self.held[count:]

    def pause(self, choice: tuple[Item, int]) -> None:
        item, pause_ns = choice
        until_ns = self.now + pause_ns
        assert self.caller.fanout.pause_flow(*item, until_ns) == self.model.pause(item, until_ns)

    def remove(self, slot: int) -> None:
        removed = slot in self.model.items and self.model.remove(slot)
        assert self.caller.fanout.remove(slot) == removed
        if removed:
            self.held.append(slot)

    def agree(self) -> None:
        for route in range(2):
            ready = self.model.ready_ns(route, self.now, 10, 100)
            assert self.caller.fanout.ready_ns(route, self.now) == ready
            for priority in range(4):
                assert self.caller.fanout.depth(route, priority) == self.model.depth(route, priority)
                assert self.caller.fanout.oldest_ns(route, priority) == self.model.oldest_ns(route, priority)
        assert self.caller.fanout.flows == sum(len(lane) for lane in self.model.lanes.values())


@settings(max_examples=400, deadline=None)
@given(STEPS)
def test_batches_are_those_of_the_plain_model(steps: list[tuple[str, object]]) -> None:
    pair = Pair()
    for name, argument in steps:
        getattr(pair, name.replace(" ", "_"))(argument)
        pair.now += 37
        pair.agree()


def test_equal_flows_of_a_backlogged_lane_stay_within_one_quantum() -> None:
    caller, flows = Caller(), 7
    slots = caller.push([(0, 3, i % flows) for i in range(1400)])
    flow_of = {slot: i % flows for i, slot in enumerate(slots)}
    served = [0] * flows
    while max(served) < 200:
        for slot in caller.pull(9):
            served[flow_of[slot]] += 1
        assert max(served) - min(served) <= QUANTUM


def test_weights_share_a_lane_in_proportion() -> None:
    caller = Caller()
    items = [(0, 3, flow) for flow in (1, 2) for _ in range(600)]
    slots = caller.push(items, weights=[1] * 600 + [3] * 600)
    pulled = set(caller.pull(320))
    assert len(pulled.intersection(slots[:600])) == 80
    assert len(pulled.intersection(slots[600:])) == 240


def test_a_late_payment_overtakes_a_campaign() -> None:
    caller = Caller()
    campaign = caller.push([(0, 3, 9)] * 1000)
    assert caller.pull(100) == campaign[:100]
    payment = caller.push([(0, 1, 5)])
    assert caller.pull(3) == payment + campaign[100:102]
    assert caller.pull(10, max_priority=2) == []


def test_a_batch_is_of_one_route() -> None:
    caller = Caller()
    slots = caller.push([(7, 0, 1), (65_535, 0, 1), (7, 0, 1)])
    assert caller.pull(10, route=65_535) == [slots[1]]
    assert caller.pull(10, route=8) == []
    assert caller.pull(10, route=7) == [slots[0], slots[2]]


def test_what_was_given_back_comes_first_and_in_order() -> None:
    caller = Caller()
    slots = caller.push([(0, 2, 1)] * 6)
    caller.give_back(caller.pull(4))
    assert caller.pull(6) == slots


def test_a_paused_flow_is_skipped_until_its_time() -> None:
    caller = Caller()
    slots = caller.push([(0, 2, 1), (0, 2, 2)])
    assert caller.fanout.pause_flow(0, 2, 1, NOW + 50)
    assert caller.pull(10, now_ns=NOW + 49) == [slots[1]]
    assert caller.fanout.ready_ns(0, NOW) == NOW + 50
    assert caller.fanout.depth(0, 2) == 1
    assert caller.pull(10, now_ns=NOW + 50) == [slots[0]]
    assert not caller.fanout.pause_flow(0, 2, 1, NOW + 99)
    assert not caller.fanout.pause_flow(9, 2, 1, NOW + 99)


def test_a_batch_is_ready_by_size_or_linger() -> None:
    caller = Caller(batch_size=3, linger_ns=100)
    assert caller.fanout.ready_ns(0, NOW) == NEVER
    caller.push([(0, 2, 1)])
    caller.push([(0, 3, 1)], NOW + 10)
    assert caller.fanout.ready_ns(0, NOW + 20) == NOW + 100
    caller.push([(0, 3, 2)], NOW + 20)
    assert caller.fanout.ready_ns(0, NOW + 20) == NOW + 20


def test_the_high_classes_never_linger() -> None:
    caller = Caller(linger_ns=100)
    caller.push([(0, 1, 1)])
    assert caller.fanout.ready_ns(0, NOW) == NOW


def test_a_route_may_have_its_own_batch_and_linger() -> None:
    caller = Caller(batch_size=3, linger_ns=100)
    caller.fanout.set_route(1, 1000, 7)
    caller.push([(1, 3, 1)] * 5)
    assert caller.fanout.ready_ns(1, NOW) == NOW + 7


def test_allocation_is_all_or_nothing_within_the_capacity() -> None:
    caller = Caller(capacity=10)
    slots = caller.allocate(7)
    with pytest.raises(FanoutFull) as refused:
        caller.allocate(4)
    assert refused.value.available == 3
    assert isinstance(refused.value, Overloaded)
    caller.free(slots[:1])
    assert sorted(caller.allocate(4) + slots[1:]) == list(range(10))
    assert caller.fanout.in_use == caller.fanout.capacity == 10


def test_a_large_capacity_costs_nothing_until_used() -> None:
    caller = Caller(capacity=3_000_000_000)
    assert caller.allocate(3) == [0, 1, 2]


def test_more_slots_than_the_first_memory_keep_their_order() -> None:
    caller = Caller(capacity=100_000)
    slots = caller.push([(0, 3, i) for i in range(5_000)])
    assert caller.pull(5_000) == slots
    assert caller.fanout.flows == 0


def test_flows_beyond_the_bound_share_one_and_lose_nothing() -> None:
    caller = Caller(max_flows=2)
    slots = caller.push([(0, 3, i) for i in range(50)] + [(1, 3, 99)])
    assert caller.fanout.flows == 3
    assert sorted(caller.pull(100)) == slots[:50]
    assert caller.pull(100, route=1) == slots[50:]


@pytest.mark.parametrize("broken", ["queued", "unused", "twice", "beyond"])
def test_a_slot_in_another_state_changes_nothing(broken: str) -> None:
    caller = Caller()
    queued, held = caller.push([(0, 0, 1)]), caller.allocate(2)
    unused = caller.allocate(1)
    caller.free(unused)
    slots = held[:1] + {"queued": queued, "unused": unused, "twice": held[:1], "beyond": [10**6]}[broken]
    for call in (caller.free, lambda given: caller.queue(given, [(0, 0, 1)] * 2)):
        with pytest.raises(ValueError, match="is not held, or named twice"):
            call(slots)
    caller.queue(held, [(0, 0, 1)] * 2)
    assert caller.pull(10) == queued + held


def test_a_slot_never_queued_cannot_be_given_back() -> None:
    caller = Caller()
    with pytest.raises(ValueError, match="never queued"):
        caller.give_back(caller.allocate(1))


def test_calls_that_do_not_fit_are_refused() -> None:
    caller = Caller()
    with pytest.raises(ValueError, match="1 slots"):
        caller.fanout.push_many(u32([0]), memoryview(b"").cast("H"), b"\0", memoryview(bytes(8)).cast("Q"), NOW)
    with pytest.raises(ValueError, match="from 0 to 7"):
        caller.push([(0, 8, 1)])
    with pytest.raises(ValueError, match="from 1 to 255"):
        caller.push([(0, 7, 1)], weights=[0])
    with pytest.raises(ValueError, match="2 weights for 1"):
        caller.push([(0, 7, 1)], weights=[1, 1])
    with pytest.raises(ValueError, match="out has room for 1 slots of 2"):
        caller.fanout.pull(0, 2, NOW, u32([0]))
    with pytest.raises(ValueError, match="out has room for 1 slots of 2"):
        caller.fanout.allocate_many(2, u32([0]))


@pytest.mark.parametrize(
    ("capacity", "batch_size", "linger_ns", "quantum", "max_flows"),
    [(0, 1, 0, 1, 1), (1, 0, 0, 1, 1), (1, 1, -1, 1, 1), (1, 1, 0, 0, 1), (1, 1, 0, 1, 0)],
)
def test_an_impossible_fanout_is_refused(
    capacity: int, batch_size: int, linger_ns: int, quantum: int, max_flows: int
) -> None:
    with pytest.raises(ValueError, match=r"must lie|out of range"):
        Fanout(capacity, batch_size, linger_ns, quantum=quantum, max_flows=max_flows)
