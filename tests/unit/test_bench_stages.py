"""What the stages' costs are booked on: the innermost stage that runs, and never one that waits."""

from __future__ import annotations

import asyncio
import threading

import pytest

from bench.stages import callgrind, samples
from bench.stages.budget import BUDGETS
from bench.stages.marks import Marks


class Counter:
    """A meter that counts what it is told was spent."""

    def __init__(self) -> None:
        self.spent = 0
        self.booked: dict[str, int] = {}

    def begin(self) -> None:
        self.spent = 0

    def book(self, stage: str) -> None:
        self.booked[stage] = self.booked.get(stage, 0) + self.spent
        self.spent = 0


class Work:
    """Stages that lie within one another."""

    meter = Counter()

    def outer(self) -> None:
        self.meter.spent += 1
        self.inner()
        self.meter.spent += 2

    def inner(self) -> None:
        self.meter.spent += 10

    def failing(self) -> None:
        self.meter.spent += 20
        raise LookupError

    async def waiting(self, until: asyncio.Event) -> str:
        self.meter.spent += 100
        await until.wait()
        self.meter.spent += 200
        return "done"


@pytest.fixture
def marks(monkeypatch: pytest.MonkeyPatch) -> Marks:
    """Wrap the work's methods for one test, counting from the start."""
    monkeypatch.setattr(Work, "meter", Counter())
    made = Marks(Work.meter, "outside", "elsewhere")
    for name in ("outer", "inner", "failing", "waiting"):
        monkeypatch.setattr(Work, name, getattr(Work, name))
        made.wrap(Work, name, name)
    made.begin()
    return made


def test_an_inner_stage_pays_for_itself_alone(marks: Marks) -> None:
    Work().outer()
    marks.end()
    assert (Work.meter.booked["outer"], Work.meter.booked["inner"]) == (3, 10)


def test_a_stage_that_fails_ends_all_the_same(marks: Marks) -> None:
    with pytest.raises(LookupError):
        Work().failing()
    Work.meter.spent += 7
    marks.end()
    assert Work.meter.booked == {"outside": 7, "failing": 20}


async def test_a_coroutine_pays_while_it_runs_and_not_while_it_waits(marks: Marks) -> None:
    until = asyncio.Event()
    task = asyncio.ensure_future(Work().waiting(until))
    await asyncio.sleep(0)
    Work.meter.spent += 5
    until.set()
    assert await task == "done"
    marks.end()
    assert Work.meter.booked == {"outside": 5, "waiting": 300}


def test_each_thread_has_a_stage_of_its_own(marks: Marks) -> None:
    before = marks.enter("outer")
    thread = threading.Thread(target=Work().inner)
    thread.start()
    thread.join()
    assert marks.enter(before) == "outer"
    assert Work.meter.booked["inner"] == 10


FILE = """# callgrind format
desc: Trigger: Client Request: read
events: Ir
ob=(1) /usr/lib/libone.so
fl=(1) ???
fn=(1) first
0 5
cob=(2) /usr/lib/libtwo.so
cfn=(2) second
calls=3 0
0 90
+1 2

ob=(2)
fn=(2)
0 90
"""


def test_instructions_are_told_by_the_function_that_ran_them() -> None:
    counts = callgrind.Counts()
    callgrind.read_one(FILE.splitlines(), counts)
    assert counts.by_stage["read"] == 97
    assert counts.top("read", 9) == [("second", "libtwo.so", 90), ("first", "libone.so", 7)]


def test_every_library_belongs_to_a_part() -> None:
    names = ("[kernel.kallsyms]", "libcrypto.so.3", "quick_read.cpython-311-x86_64-linux-gnu.so", "libwhatever.so")
    parts = [samples.part_of(name) for name in names]
    assert parts == ["kernel: TCP, disk, scheduling", "TLS", "our Cython", "other libraries"]


def test_the_budget_is_that_of_the_design() -> None:
    assert 10 <= sum(budget.us for budget in BUDGETS) <= 25
