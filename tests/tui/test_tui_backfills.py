"""The screen of backfills, the form that starts one, and runs that are repeated from the history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from answers import backfill, backfill_plan, backfills
from piloting import press, running, said, sees, table, text_of, verbs
from scenes import history, live, task
from textual.widgets import Input
from waiting import until

from keiji.errors import BackfillRunning, UsageError
from keiji.states import BackfillState
from keiji_engine.bus.protocol import (
    BackfillChanged,
    BackfillTask,
    RerunTask,
    ResumeBackfill,
    StopBackfill,
    TaskRemoved,
)
from keiji_engine.bus.views import LinkState
from keiji_tui.actions.action import ActionContext
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.app import ControlCenter
from keiji_tui.screens.backfill_form import BackfillFormScreen
from keiji_tui.screens.backfills import BackfillsScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.state.backfills import find_option_error, find_range_error, plan_lines, progress_bar
from keiji_tui.text.commands import command_line

FORM = {"begin": "2026-11-01", "end": "2026-11-07", "parallel": "1", "again": "no"}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, ""),
        ({"begin": "2026-11-01 06:00", "end": "2026-11-01T07:00+01:00"}, ""),
        ({"begin": "yesterday"}, "begin"),
        ({"end": "2026-13-01"}, "end"),
        ({"parallel": "two"}, "parallel"),
        ({"parallel": "0"}, "parallel"),
        ({"parallel": "1001"}, "parallel"),
        ({"parallel": "2"}, "parallel"),
        ({"again": "perhaps"}, "again"),
    ],
)
def test_field_of_the_form_that_is_wrong_is_named(changes: dict[str, str], field: str) -> None:
    values = FORM | changes
    found, error = find_range_error(values)
    if not error:
        found, error = find_option_error(task("report"), values)
    assert (found, bool(error)) == (field, bool(field))


def test_parallel_runs_need_a_policy_that_allows_them() -> None:
    assert find_option_error(task("report", overlap="allow"), FORM | {"parallel": "2"}) == ("", "")


@pytest.mark.parametrize("count", range(1, 10))
@pytest.mark.parametrize("again", [True, False])
def test_plan_takes_the_given_number_of_lines_and_counts_all_instants(count: int, again: bool) -> None:
    first, *others = plan_lines(backfill_plan(), count, again=again)
    assert len(others) == min(count, 7)
    assert first.startswith("7 of 7" if again else "5 of 7 instants would run, in Africa/Nairobi; 2 have succeeded")
    hidden = 7 - (count - 1) if count < 7 else 0
    assert any(f"and {hidden} more" in line for line in others) == bool(hidden)


@pytest.mark.parametrize(("done", "bar"), [(0, "░" * 10), (3, "▓▓▓▓░░░░░░"), (7, "▓" * 10)])
def test_progress_is_a_bar(done: int, bar: str) -> None:
    assert progress_bar(backfill(1, succeeded=done, total=7)) == bar


def test_directives_of_backfills_and_reruns_have_an_equivalent_command() -> None:
    known: dict[str, Any] = {"task": "report", "sender": "keiji-tui"}
    assert command_line(RerunTask(run="f00", **known)) == "keiji task rerun report f00"
    assert command_line(StopBackfill(backfill=3, **known)) == "keiji task backfill report --stop=3"
    assert command_line(ResumeBackfill(backfill=3, **known)) == "keiji task backfill report --resume=3"
    request = BackfillTask(begin="2026-11-01", end="2026-11-07 06:00", parallel=2, again=True, **known)
    expected = "keiji task backfill report --from=2026-11-01 --to='2026-11-07 06:00' --parallel=2 --again"
    assert command_line(request) == expected


async def opened(pilot: Any, app: ControlCenter) -> None:
    await press(pilot, "7")
    await until(pilot, lambda: isinstance(app.screen, BackfillsScreen) and table(app).selected)


async def test_backfills_are_listed_follow_events_and_are_stopped_and_continued() -> None:
    app, link = live(task("report"))
    link.known_backfills = backfills()
    async with running(app, (80, 24)) as pilot:
        await opened(pilot, app)
        await until(pilot, sees(app, "▓▓▓▓░░░░░░", "3/7", "3 backfills, 1 running", "waiting for a slot", "x stop"))
        advanced = msgspec.structs.replace(link.known_backfills[0], succeeded=4, waiting=None)
        link.happen(BackfillChanged(backfill=advanced))
        await until(pilot, sees(app, "5/7"))
        await press(pilot, "c")
        await until(pilot, lambda: said(app) == ["backfill 3 is not stopped"])
        await press(pilot, "escape", "x", "y")
        await until(pilot, lambda: verbs(link) == [StopBackfill])
        link.known_backfills = (
            msgspec.structs.replace(advanced, state=BackfillState.STOPPED),
            *link.known_backfills[1:],
        )
        link.happen(BackfillChanged(backfill=link.known_backfills[0]))
        await until(pilot, sees(app, "c continue"))
        await press(pilot, "c")
        await until(pilot, lambda: verbs(link) == [StopBackfill, ResumeBackfill])
        link.known_backfills = link.known_backfills[1:]
        link.happen(TaskRemoved(slug="report"))
        await until(pilot, lambda: "5/7" not in text_of(app))


async def test_a_new_backfill_appears_and_the_list_stays_while_the_engine_is_offline() -> None:
    app, link = live(task("report"))
    async with running(app, (160, 45)) as pilot:
        await press(pilot, "7")
        await until(pilot, sees(app, "There are no backfills."))
        link.known_backfills = backfills()
        link.happen(BackfillChanged(backfill=link.known_backfills[0]))
        await until(pilot, sees(app, "3 backfills"))
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await until(pilot, sees(app, "last known state", "3/7"))
        await press(pilot, "enter")
        assert isinstance(app.screen, BackfillsScreen)


async def test_a_backfill_shows_what_it_would_run_before_it_is_started() -> None:
    app, link = live(task("report"))
    link.plan = UsageError("report has no past instants", hint="it is due next at noon")
    link.answer = lambda directive: BackfillRunning.named("report", 3) if len(link.sent) == 1 else None
    link.lines = ("backfill 4 of task report: 7 instants", "more")
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "F")
        await until(pilot, lambda: isinstance(app.screen, BackfillFormScreen))
        fields = {name: app.screen.query_one(f"#{name}", Input) for name in FORM}
        await until(pilot, sees(app, "Backfill report", "enter the first day or time"))
        fields["begin"].value = "soon"
        fields["end"].value = "2026-11-07"
        await until(pilot, sees(app, "from: expected a day or a time"))
        assert not link.planned
        fields["begin"].value = "2026-11-01"
        await until(pilot, sees(app, "report has no past instants", "it is due next at noon"))
        link.plan = backfill_plan()
        fields["begin"].value = "2026-11-02"
        await until(pilot, sees(app, "5 of 7 instants would run", "skipped: has succeeded", "--to=2026-11-07"))
        assert link.planned == [("report", "2026-11-01", "2026-11-07"), ("report", "2026-11-02", "2026-11-07")]
        fields["parallel"].value = "2"
        await until(pilot, sees(app, "report runs one at a time (overlap: skip)"))
        await press(pilot, "enter")
        assert fields["parallel"].has_focus
        fields["parallel"].value = "1"
        fields["again"].value = "yes"
        await until(pilot, sees(app, "7 of 7 instants would run"))
        await press(pilot, "enter")
        await until(pilot, sees(app, "✗ report already has a running backfill (3)"))
        fields["again"].value = "no"
        await until(pilot, sees(app, "$ keiji task backfill"))
        await press(pilot, "enter")
        await until(pilot, lambda: not isinstance(app.screen, BackfillFormScreen))
        assert verbs(link) == [BackfillTask, BackfillTask]
        assert isinstance(link.sent[1], BackfillTask)
        assert (link.sent[1].begin, link.sent[1].end, link.sent[1].again) == ("2026-11-02", "2026-11-07", False)
        command = "keiji task backfill report --from=2026-11-02 --to=2026-11-07"
        await until(pilot, lambda: said(app) == [f"backfill 4 of task report: 7 instants\n$ {command}"])


async def test_a_range_in_which_everything_has_succeeded_is_not_started() -> None:
    app, link = live(task("report"))
    plan = backfill_plan()
    link.plan = msgspec.structs.replace(
        plan, instants=tuple(msgspec.structs.replace(each, has_succeeded=True) for each in plan.instants)
    )
    async with running(app) as pilot:
        await press(pilot, "F")
        await until(pilot, lambda: isinstance(app.screen, BackfillFormScreen))
        for name in ("begin", "end"):
            app.screen.query_one(f"#{name}", Input).value = "2026-11-01"
        await until(pilot, sees(app, "all instants have succeeded"))
        await press(pilot, "enter")
        assert app.screen.query_one("#again", Input).has_focus
        assert not link.sent


async def test_a_run_is_repeated_from_the_history_which_shows_its_parameters() -> None:
    app, link = live(task("ping_google"))
    link.history = (history()[0], replace(history()[1], params={"day": "2026-11-01", "note": "a b"}), *history()[2:])
    link.lines = ("repeating run 1 of task ping_google",)
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "H")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and table(app).selected)
        await press(pilot, "a")
        await until(pilot, lambda: said(app) == ["the run has not ended: it is running"])
        await press(pilot, "escape", "j")
        await until(pilot, sees(app, "day=2026-11-01 'note=a b'", "a run again"))
        await press(pilot, "a")
        await until(pilot, sees(app, "Run ping_google again?", "keiji task rerun ping_google", f"{1:032x}"))
        await press(pilot, "y")
        await until(pilot, lambda: verbs(link) == [RerunTask])
        assert isinstance(link.sent[0], RerunTask)
        assert link.sent[0].run == f"{1:032x}"
        assert "\x1b" not in text_of(app)


def test_a_row_for_several_occurrences_cannot_be_repeated() -> None:
    context = ActionContext(task=task("ping_google"), run=history()[5])
    assert "stands for 37 occurrences" in BY_ID["rerun"].disabled_reason(context)


def test_a_task_without_instants_has_no_backfill() -> None:
    for kind in ("Manual", "AtStart", "OnChange"):
        context = ActionContext(task=task("report", type=kind))
        assert BY_ID["backfill"].disabled_reason(context) == "report has no schedule, only events"
    assert not BY_ID["backfill"].disabled_reason(ActionContext(task=task("report")))
