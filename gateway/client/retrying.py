"""When a transient failure is tried again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from gateway.client.errors import Transient, WalletpushError, from_call
from gateway.client.options import Retry

T = TypeVar("T")


def pause_s(retry: Retry, failures: int, retry_after_s: float = 0.0) -> float:
    """Draw the wait after so many failures in a row, at least what the gateway asked for.

    Source: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    bound = min(retry.cap_s, retry.base_s * 2 ** min(max(failures, 1) - 1, 30))
    return retry_after_s + random.uniform(0.0, bound)  # noqa: S311  # jitter, not a secret


async def retrying(attempt: Callable[[float], Awaitable[T]], retry: Retry) -> T:
    """Call attempt(seconds left) until it works; raise what is not transient, or the last failure at the deadline."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + retry.deadline_s
    failures = 0
    while True:
        try:
            return await attempt(deadline_s - loop.time())
        except grpc.aio.AioRpcError as error:
            failure = from_call(error)
            failures += 1
            wait_s = _wait(failure, failures, retry)
            if wait_s is None or loop.time() + wait_s >= deadline_s:
                raise failure from error
        await asyncio.sleep(wait_s)


def _wait(failure: WalletpushError, failures: int, retry: Retry) -> float | None:
    return pause_s(retry, failures, failure.retry_after_s) if isinstance(failure, Transient) else None
