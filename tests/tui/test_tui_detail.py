"""The page of a task, and how far a run was from the usual."""

from __future__ import annotations

from datetime import UTC, timedelta

import msgspec
import pytest
from fake_link import FakeLink
from piloting import choose, press, running, said, sees, text_of, verbs
from scenes import NOW, PAUSE, before, center, explained, failed_log, kept_back, live, recent, snapshot, task
from waiting import until

from keiji.errors import NotBuilt
from keiji.reasons import Code, reason
from keiji.records import Run
from keiji.states import RunState, Trigger
from keiji_engine.bus.protocol import ActiveBuild, Disable, RunTask, TaskChanged, TaskRemoved, Upcoming
from keiji_tui.logs.chunk import Chunk
from keiji_tui.logs.run_output import lines_of_run
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.failure import failure_lines
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.state import durations
from keiji_tui.widgets.text_view import TextView


def whole() -> task:  # type: ignore[valid-type]
    return task(
        "import_orders",
        schedule_description="at 02:30 on the last Sunday of the month",
        schedule="cron:30 2 * * L7",
        zone="Europe/Berlin",
        policy="overlap: skip · catch-up: latest · hold after 3 failures",
        description="brings [b]orders[/b] in",
        source_changes=("function.py", "schedule.py"),
        source_error="function.py, line 3: invalid syntax",
        build="3f9a2c1e00000000",
        recent=recent(8, 9, 8, 25, "x", ended=before(minutes=21)),
        is_error=True,
        log_path="/home/user/.local/state/keiji/log/tasks/import_orders/import_orders.log",
        executable="/home/user/.local/share/keiji/exec/tasks/import_orders",
        source_path="/home/user/keiji/tasks/import_orders",
    )


async def test_a_page_has_all_that_is_known_of_a_task() -> None:
    app, link = live(whole())
    explained(link, kept_back()[1])
    link.build = ActiveBuild(
        id="b", task="", hash="3f9a2c1e00000000", created_at=before(days=3, hours=2), import_seconds=0.043, files=4
    )
    async with running(app, (100, 60)) as pilot:
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        for words in (
            "✗ failing", "held since", "$ keiji task resolve import_orders",
            "brings [b]orders[/b] in", "last Sunday of the month", "cron:30 2 * * L7",
            "Europe/Berlin (set by the task)",
            "hold after 3 failures", "Sun 29 Nov 2026 02:30 CET", "skipped: gap 02:30",
            "3f9a2c1e00000000", "Sat 11:31, 3d ago; 4 files, imported in 0.043s",
            "◆ 2 changed: function.py, schedule.py", "function.py, line 3: invalid syntax", "d shows the differences",
            "median      8.5s (successful runs)", "×2.9", "exit 2",
            "~/.local/state/keiji/log/tasks/import_orders/import_orders.log", "~/keiji/tasks/import_orders",
        ):  # fmt: skip
            await until(pilot, sees(app, words), words)


async def test_keys_of_the_task_work_on_its_page() -> None:
    app, link = live(task("ping"))
    async with running(app) as pilot:
        await press(pilot, "enter", "r", "e")
        await until(pilot, lambda: verbs(link) == [RunTask, Disable])
        link.happen(TaskChanged(task=task("ping", is_running=True, running=2, running_since=before(seconds=131))))
        await until(pilot, sees(app, "▶ running for 2m 11s, 2 at once"))
        await press(pilot, "H")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        link.happen(TaskRemoved(slug="ping"))
        await until(pilot, sees(app, "this task no longer exists"))
        await press(pilot, "r")
        await until(pilot, lambda: "no task is selected" in said(app))


async def test_a_task_without_a_build_says_which_key_makes_one() -> None:
    class Unbuilt(FakeLink):
        async def upcoming(self, task: str, count: int) -> Upcoming:
            raise NotBuilt("new_idea has no build yet")

    link = Unbuilt(snapshot([task("new_idea", build=None, schedule="", schedule_description="", policy="")]))
    app = center(link)
    async with running(app, (80, 40)) as pilot:
        await press(pilot, "enter")
        await until(pilot, sees(app, "◌ not built", "not built yet – press b to build it", "no runs yet"))
        assert "to run it now" not in text_of(app)


async def test_the_page_scrolls_and_keeps_its_place_while_things_change() -> None:
    app, link = live(whole())
    explained(link, kept_back()[1])
    async with running(app, (40, 16)) as pilot:
        await press(pilot, "enter")
        sheet = app.screen.query_one(TextView)
        await until(pilot, lambda: sheet.max_scroll_y > 20)
        await press(pilot, "ctrl+d", "j")
        place = sheet.scroll_offset.y
        assert place > 3
        link.happen(TaskChanged(task=task("import_orders", description="another", recent=recent(1, 2, 3))))
        await until(pilot, lambda: app.store.tasks["import_orders"].description == "another")
        await press(pilot, "k")
        assert sheet.scroll_offset.y == place - 1


async def test_the_page_stays_while_the_engine_is_away_and_says_what_is_known_here() -> None:
    app, link = live(task("ping", recent=recent(1, 1, 1)), pause=PAUSE)
    explained(link, kept_back()[0])
    async with running(app, (80, 40)) as pilot:
        await press(pilot, "enter")
        await until(pilot, sees(app, "Next due times (no runs while everything is paused)", "Sun 29 Nov"))
        link.die()
        await until(pilot, sees(app, "last known state", "the engine is offline: nothing runs", "Sun 29 Nov"))
        assert app.base_screen.has_class("stale")
        await press(pilot, "escape")
        await choose(pilot, app, "ping")
        await press(pilot, "enter")
        await until(pilot, sees(app, "unavailable while the engine is not responding", "overlap: skip"))


# ── how far from the usual ───────────────────────────────────────────────────────────────────────────────────────────


def run(number: int, seconds: float, state: RunState = RunState.SUCCEEDED) -> Run:
    began = before(minutes=number)
    return Run(
        run_id=f"{number:032x}", task="ping", trigger=Trigger.SCHEDULE, state=state, created_at=began,
        scheduled_for=began, started_at=began, finished_at=began + timedelta(seconds=seconds), exit_code=0,
    )  # fmt: skip


async def test_the_history_says_how_far_each_run_was_from_the_median() -> None:
    app, link = live(task("ping"))
    link.history = (
        run(1, 6.2), run(2, 2), run(3, 2), run(4, 1), run(5, 96), run(6, 2.2), run(7, 9, RunState.STOPPED),
    )  # fmt: skip
    async with running(app, (120, 24)) as pilot:
        await press(pilot, "H")
        await until(pilot, sees(app, "median 2.1s", "×USUAL", "×3.0", "×1.0", "×0.5", "×46"))
        assert text_of(app).count("×") == 7


@pytest.mark.parametrize(
    ("seconds", "usually", "words"),
    [(2.0, 2.0, "×1.0"), (6.2, 2.0, "×3.1"), (96, 2.0, "×48"), (0.1, 2.0, "×0.1"), (9999, 2.0, "×999+"),
     (None, 2.0, ""), (2.0, None, "")],
)  # fmt: skip
def test_how_far_a_duration_is_from_the_usual(seconds: float | None, usually: float | None, words: str) -> None:
    assert durations.format_ratio(seconds, usually) == words


def test_there_is_no_usual_before_there_are_three_runs_that_went_well() -> None:
    assert durations.median_duration(recent(1, 2, "x", "x")) is None
    assert durations.median_duration(recent(1, 2, 9, "x")) == 2
    assert durations.median_duration(recent(0, 0, 0)) == 0.001


def test_the_failure_comes_first_with_its_reason_and_since_when() -> None:
    cause = reason(Code.EXCEPTION, type="ValueError", message="boom", file="function.py", line=12)
    runs = recent(8, "x", "x", ended=before(minutes=21))
    failing = task("a", is_error=True, recent=(*runs[:-1], msgspec.structs.replace(runs[-1], reason=cause)))
    lines = [line.plain for line in failure_lines(failing, NOW, UTC, 80)]
    assert lines[0] == "✗ the last run failed 21m ago: exit 2"
    assert "ValueError: boom" in lines[1]
    assert "function.py:12" in lines[1]
    assert lines[2].strip().startswith("failing since today ")
    assert lines[2].endswith(", for 2 runs in a row")
    assert not list(failure_lines(task("a", recent=recent(8, "x", 9)), NOW, UTC, 80))
    output = lines_of_run(Chunk(0, 9999, failed_log(failing).text), failing.recent[-1].run_id)
    lines = [line.plain for line in failure_lines(failing, NOW, UTC, 40, output)]
    assert lines[-3:] == [
        "  │   function.py:41, in function",
        "  │     raise ShopError(f'page {page}: …",
        "  │ ShopError: page 7: 503",
    ]
    assert not lines_of_run(Chunk(0, 9999, failed_log(failing).text), "another")
    always = failure_lines(task("a", is_error=True, recent=recent("x", "x")), NOW, UTC, 80)
    assert list(always)[-1].plain.endswith("for at least 2 runs in a row")
