"""Background tasks: they are kept until they end, cancelled together, and logged if they fail."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from keiji.errors import KeijiError
from keiji_engine.background import BackgroundTasks

LOG = logging.getLogger("keiji.engine")


async def fail(error: Exception) -> None:
    raise error


async def test_a_task_is_kept_until_it_ends() -> None:
    background, is_released, is_done = BackgroundTasks(), asyncio.Event(), asyncio.Event()

    async def work() -> None:
        await is_released.wait()
        is_done.set()

    background.start(work(), LOG)
    await asyncio.sleep(0)
    gc.collect()
    is_released.set()
    await asyncio.wait_for(is_done.wait(), 5)


async def test_an_unexpected_error_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.wait([BackgroundTasks().start(fail(ValueError("boom")), LOG)])
    await asyncio.sleep(0)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("keiji.engine", "ERROR")
    assert "ValueError: boom" in caplog.text
    assert "Traceback" in caplog.text


async def test_our_own_errors_are_logged_by_their_message(caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.wait([BackgroundTasks().start(fail(KeijiError("no room")), LOG)])
    await asyncio.sleep(0)
    assert caplog.messages == ["no room"]
    assert "Traceback" not in caplog.text


async def test_all_tasks_are_cancelled_together_without_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    background = BackgroundTasks()
    tasks = [background.start(asyncio.Event().wait(), LOG) for _ in range(3)]
    await background.cancel()
    assert all(task.cancelled() for task in tasks)
    assert caplog.messages == []
    await background.cancel()
