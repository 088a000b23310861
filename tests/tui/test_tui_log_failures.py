"""What happens if a log cannot be read, or if background work of a log pane fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from failures import reported
from log_scenes import LogLink, enter, log_lines, open_log
from piloting import log, press, running, said, sees, text_of
from scenes import center
from waiting import until

from keiji.errors import KeijiError, TaskNotFound
from keiji_engine.bus.protocol import LogSlice
from keiji_tui.engine.link import LogPart

END = "end"


class FailingLink(LogLink):
    """A link to a log that cannot be followed or read as long as there is an error for it.

    Attributes:
        follow_error: raised while the log is followed; `END` ends it without an error.
        read_error: raised by each read.
    """

    follow_error: Exception | str = ""
    read_error: Exception | None = None

    async def follow(self, task: str) -> AsyncIterator[LogPart]:
        async for part in super().follow(task):
            if isinstance(self.follow_error, Exception):
                raise self.follow_error
            yield part
            if self.follow_error == END:
                return

    async def read(self, task: str, position: int | None, limit: int) -> LogSlice:
        if self.read_error is not None:
            raise self.read_error
        return await super().read(task, position, limit)


async def test_a_log_that_cannot_be_followed_says_so_and_is_followed_again(caplog: pytest.LogCaptureFixture) -> None:
    link = FailingLink(log_lines(0, 100))
    app = center(link)
    app.tasks_screen.log_pane.retry_seconds = 0.0005
    errors = (
        (RuntimeError("boom"), "the log cannot be followed"),
        (KeijiError("the log is locked."), "the log is locked"),
        (END, "the log cannot be followed"),
    )
    async with running(app) as pilot:
        for number, (error, reason) in enumerate(errors, start=100):
            await until(pilot, sees(app, f"line {number - 1:07}", "following"))
            link.follow_error, followed = error, len(link.followed)
            link.append(log_lines(number, number + 1))
            await until(pilot, sees(app, f"{reason}; retrying"))
            await until(pilot, lambda followed=followed: len(link.followed) > followed + 2)
            link.follow_error = ""
        await until(pilot, sees(app, "line 0000102", "following"))
        assert said(app) == ["boom"]
    assert reported(caplog)
    caplog.clear()


async def test_a_reader_that_fails_is_restarted_and_the_failure_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    link = FailingLink(log_lines(0, 10_000))
    link.read_error = RuntimeError("the reader is broken")
    app = center(link)
    app.tasks_screen.log_pane.retry_seconds = 0.0005
    async with running(app) as pilot:
        await until(pilot, sees(app, "the log cannot be followed; retrying"))
        await until(pilot, lambda: said(app).count("the reader is broken") == 1)
        link.read_error = None
        await open_log(pilot, app, "line 0009999")
        await until(pilot, sees(app, "following"))
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
    assert reported(caplog)
    caplog.clear()


async def test_the_log_of_a_deleted_task_is_not_followed_again() -> None:
    link = FailingLink(log_lines(0, 10))
    link.follow_error = TaskNotFound("there is no task a")
    app = center(link)
    app.tasks_screen.log_pane.retry_seconds = 0.001
    async with running(app) as pilot:
        await until(pilot, sees(app, "there is no task a"))
        await press(pilot, "l", "escape")
        assert "retrying" not in text_of(app)
        assert len(link.followed) == 1


async def test_failures_of_background_work_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    link = FailingLink(log_lines(0, 20_000))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0019999")
        link.read_error = RuntimeError("the search is broken")
        await enter(pilot, app, "slash", "nowhere")
        await until(pilot, lambda: "the search is broken" in said(app))
        link.read_error = RuntimeError("saving is broken")
        await enter(pilot, app, "ctrl+s", str(tmp_path / "saved.txt"))
        await until(pilot, lambda: "saving is broken" in said(app))
        link.read_error = None
        app.tasks_screen.log_pane.prompt.close()
        app.screen.set_focus(log(app))
        await enter(pilot, app, "slash", "0019990")
        await until(pilot, lambda: log(app).is_current_visible)
    assert reported(caplog)
    caplog.clear()
