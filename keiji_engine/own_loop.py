"""Runs coroutines that block now and then on an event loop of their own, and threads that do not delay the exit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

_CANCEL_TIMEOUT = 5.0  # seconds; the thread may hang in the disk

T = TypeVar("T")


async def run_in_own_loop(function: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run the coroutine that ``function`` returns in a thread with an event loop of its own; return its result.

    If the caller is cancelled, the coroutine is cancelled, and has ended when this ends unless it hangs.
    """
    inner: asyncio.Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]]
    outer = asyncio.get_running_loop()
    inner = outer.create_future()

    async def run() -> T:
        task = asyncio.ensure_future(function())
        with contextlib.suppress(RuntimeError):  # the outer loop has been closed
            outer.call_soon_threadsafe(_resolve, inner, (asyncio.get_running_loop(), task))
        return await task

    thread = asyncio.ensure_future(asyncio.to_thread(lambda: asyncio.run(run())))
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        if thread.done():
            raise
        first: list[asyncio.Future[Any]] = [thread, inner]
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if inner.done():
            loop, task = inner.result()
            with contextlib.suppress(RuntimeError):  # it has ended in the meantime
                loop.call_soon_threadsafe(task.cancel)
        await asyncio.wait([thread], timeout=_CANCEL_TIMEOUT)
        raise


def _resolve(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


class DaemonThreads(ThreadPoolExecutor):
    """Threads that a shutdown does not wait for: one of them may hang in the disk."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)
