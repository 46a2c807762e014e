"""A loop whose clock jumps to the next timer instead of waiting for it, so that an hour of waiting takes no time."""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
START_UNIX_MS = 1_750_000_000_000


class _JumpingSelector(selectors.DefaultSelector):
    """Moves the loop's clock forward by what it was asked to wait; turns: how often it was asked."""

    now_s = 1_000.0
    turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.turns += 1
        if timeout is None:
            raise RuntimeError("everything waits and nothing will happen")
        self.now_s += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Use through `in_virtual_time`."""

    def __init__(self) -> None:
        self.jumping = _JumpingSelector()
        super().__init__(self.jumping)

    def time(self) -> float:
        return self.jumping.now_s

    def run_in_executor(
        self, executor: object, func: Callable[..., T], *args: object
    ) -> asyncio.Future[T]:
        """Do it at once: a thread would take real time, in which this clock runs ahead."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001  # whoever awaits gets it
            future.set_exception(error)
        return future


class LoopClock:
    """gateway.pipeline.clock.Clock that reads the running loop's time."""

    def unix_ms(self) -> int:
        return START_UNIX_MS + self.monotonic_ns() // 1_000_000

    def monotonic_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1_000_000_000)


def in_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run an async test on a loop of its own in virtual time."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def body() -> None:
            await test(*args, **kwargs)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(body())

    return run
