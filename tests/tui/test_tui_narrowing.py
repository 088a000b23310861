"""Histories, the ledger and the coming day, narrowed down to kinds and letters; what is copied of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec
import pytest
from answers import daily, day, ledger
from piloting import press, running, said, sees, settle, table, text_of
from scenes import FAILED, NOW, before, history, live, snapshot, task
from waiting import until

from keiji.reasons import Code, reason
from keiji.records import Run
from keiji.states import RunState, Trigger
from keiji_engine.bus.protocol import DirectiveChanged, TaskChanged
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.screens.upcoming import UpcomingScreen
from keiji_tui.widgets.filter_input import FilterBar
from keiji_tui.widgets.table import Table

HELD = reason(Code.HELD, since=datetime(2026, 11, 24, 10, 12, tzinfo=UTC), failures=2)


def skipped(count: int) -> tuple[Run, ...]:
    """Return what a task of every ten seconds has that is held."""
    made = []
    for number in range(count):
        at = before(seconds=10 * number)
        made.append(
            Run(run_id=f"held-{number}", task="ping", trigger=Trigger.SCHEDULE, state=RunState.SKIPPED, reason=HELD,
                created_at=at, scheduled_for=at)
        )  # fmt: skip
    return tuple(made)


def failed(number: int) -> Run:
    at = before(hours=number)
    return Run(run_id=f"failed-{number}", task="ping", trigger=Trigger.SCHEDULE, state=FAILED,
               reason=reason(Code.EXIT_CODE, exit_code=3),
               exit_code=3, created_at=at, scheduled_for=at, started_at=at, finished_at=at)  # fmt: skip


async def test_a_history_folds_what_did_not_run_and_shows_the_kind_that_is_asked_for() -> None:
    app, link = live(task("ping"))
    link.history = (*skipped(250), failed(1), failed(2))
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "H")
        await until(pilot, sees(app, "skipped × 250", "2 runs, 250 did not run", "exit 3", "until 13:31:57: held"))
        await until(pilot, lambda: text_of(app).count("skipped") == 2, "in its row, and written out")
        await press(pilot, "j")
        await until(pilot, lambda: text_of(app).count("skipped") == 1, "the result of the run says it all")
        assert "exit code 3" not in text_of(app)
        for kind, rows in (("2 of 3 that ran", 2), ("2 of 3 that failed", 2), ("1 of 3 that did not run", 1)):
            await press(pilot, "f")
            await until(pilot, sees(app, f"{kind} esc shows all"))
            assert len(table(app)._keys) == rows
        await press(pilot, "f")
        await until(pilot, sees(app, "2 runs, 250 did not run  / filter"))
        assert table(app).selected == "failed-1", "again, after it was hidden"
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard == "failed-1")
        await press(pilot, "slash", *"FAILED-2", "enter")
        await until(pilot, sees(app, "1 of 3 with “FAILED-2”"))
        assert table(app).selected == "failed-2"
        await press(pilot, "j", "G", "ctrl+d")
        assert table(app).selected == "failed-2", "there is no other"
        link.history = (replace(link.history[0], run_id="newer"), *link.history)
        link.happen(TaskChanged(task=task("ping", next_execution_time=NOW)))
        await until(pilot, lambda: app.base_screen.rows["held-249"].run.count == 251)
        assert table(app).selected == "failed-2"
        await press(pilot, "escape")
        await until(pilot, sees(app, "skipped × 251"))
        assert table(app).selected == "failed-1"
        await press(pilot, "slash", *"xyz")
        await until(pilot, sees(app, "no rows with “xyz” – esc shows all", "0 of 3"))
        await press(pilot, "escape")
        await until(pilot, lambda: table(app).selected == "failed-1")
        assert isinstance(app.base_screen, RunsScreen)
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.base_screen, TasksScreen))


async def test_where_little_is_wide_the_duration_goes_before_the_start_and_nothing_ran_says_how_to() -> None:
    app, link = live(task("ping [/b]", slug="ping"))
    link.history = history()
    async with running(app, (40, 24)) as pilot:
        await press(pilot, "H")
        await until(pilot, sees(app, "DUE", "RESULT", "TOOK", "1.5s", "missed × 37"))
        assert "STARTED" not in text_of(app)
        await press(pilot, "escape")
        link.history = ()
        await press(pilot, "H")
        await until(pilot, sees(app, "ping [/b] has not run yet.", "It is due in 4s.", "Press r to run it now."))
        await press(pilot, "f", "y", "slash", "x", "escape")
        assert isinstance(app.base_screen, RunsScreen)
        link.happen(TaskChanged(task=task("ping [/b]", slug="ping", build=None, next_execution_time=None)))
        await until(pilot, sees(app, "has not run yet", "is not built yet"))
        link.history = history()
        link.happen(TaskChanged(task=task("ping [/b]", slug="ping", run_id="another")))
        await until(pilot, lambda: table(app).selected and app.focused is table(app))


async def test_the_ledger_shows_the_kind_and_the_letters_that_are_asked_for() -> None:
    app, link = live()
    link.ledger = ledger()
    async with running(app, (100, 24)) as pilot:
        await press(pilot, "5")
        await until(pilot, sees(app, "9 directives, 1 in progress  / filter", "◐", "accepted"))
        await until(pilot, lambda: app.focused is table(app))
        table(app).select("directive-2")
        for kind, first in (("2 of 9 refused or lost", 1), ("1 of 9 in progress", 0), ("5 of 9 sent by keiji-tui", 0)):
            await press(pilot, "f")
            await until(pilot, sees(app, f"{kind} esc shows all"))
            assert table(app)._keys[0] == f"directive-{first}"
        assert table(app).selected == "directive-2"
        await press(pilot, "slash", *"INVALID syntax", "enter")
        await until(pilot, sees(app, "1 of 9 sent by keiji-tui with “INVALID syntax”"))
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard == "keiji task build report")
        await press(pilot, "escape")
        await until(pilot, lambda: table(app).selected == "directive-2" and len(table(app)._keys) == 9)
        await press(pilot, "slash", *"cron [", "enter", "escape")
        await until(pilot, lambda: len(table(app)._keys) == 9)
        assert isinstance(app.base_screen, LedgerScreen)
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.base_screen, TasksScreen))


async def test_what_is_sent_comes_into_sight_above_a_long_ledger_and_the_selection_stays() -> None:
    app, link = live()
    kept = ledger()[2]
    link.ledger = tuple(
        msgspec.structs.replace(kept, id=f"d-{number}", received_at=before(minutes=number + 1)) for number in range(60)
    )
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "5")
        await until(pilot, sees(app, "60 directives"))
        await until(pilot, lambda: table(app).selected == "d-0")
        for stage, glyph in (("accepted", "◐"), ("done", "●")):
            link.happen(DirectiveChanged(directive="new", verb="build", target="mail", stage=stage, sender="me"))
            await until(pilot, lambda wanted=(stage, glyph): sees(app, "build mail", *wanted)(), stage)
        assert table(app).selected == "d-0"
        await press(pilot, "G")
        await settle(pilot)
        link.happen(DirectiveChanged(directive="newer", verb="build", target="other", stage="done", sender="me"))
        await until(pilot, sees(app, "62 directives"))
        assert "build other" not in text_of(app), "who reads further down is left there"


async def test_an_empty_ledger_fits_a_workspace_without_tasks() -> None:
    app, link = live(task("ping"))
    link._updates.put_nowait(snapshot([]))
    async with running(app) as pilot:
        await until(pilot, lambda: not app.store.tasks)
        await press(pilot, "5")
        await until(pilot, sees(app, "There are no directives yet.", "to show the tasks, then N to create one."))
        assert "f kind" not in text_of(app)


async def test_the_coming_day_shows_the_tasks_that_are_asked_for_with_all_the_width_there_is() -> None:
    long = "the nightly import of orders from the shop"
    some = [*daily(), task(long, slug="long")]
    app, link = live(*some)
    first = day().instants[0]
    link.day = msgspec.structs.replace(
        day(), instants=(*day().instants, msgspec.structs.replace(first, task="long", at=first.at)), frequent_tasks=()
    )
    link.day = msgspec.structs.replace(
        link.day, instants=tuple(msgspec.structs.replace(due, note="") for due in link.day.instants)
    )
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "14 due times  / filter"))
        await until(pilot, lambda: app.focused is table(app))
        selected = table(app).selected
        await press(pilot, "slash", *"nightly", "enter")
        await until(pilot, sees(app, "1 of 14 with “nightly” esc shows all", long[:36]))
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard == long)
        await press(pilot, "n", "N")
        assert isinstance(app.screen, UpcomingScreen), "nothing of the list of tasks is here"
        await press(pilot, "escape")
        await until(pilot, lambda: table(app).selected == selected)
        assert isinstance(app.screen, UpcomingScreen)
        await press(pilot, "4")
        await until(pilot, lambda: isinstance(app.screen, ServicesScreen))
        await press(pilot, "slash", *"mail")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen) and app.store.name_filter == "mail")
        assert all("clipboard" in words for words in said(app))


@pytest.mark.parametrize("keys", ["", "H", "5"])
async def test_the_filter_line_is_hidden_once_another_widget_is_clicked(keys: str) -> None:
    app, link = live(task="ping_google")
    link.ledger = ledger()
    async with running(app) as pilot:
        await press(pilot, *keys)
        await until(pilot, lambda: table(app).selected)
        await press(pilot, "slash", "n")
        bar = app.screen.query_one(FilterBar)
        assert bar.has_class("-shown")
        app.app_focus = False
        await settle(pilot)
        app.app_focus = True
        await settle(pilot)
        assert bar.has_class("-shown"), "it is still being typed"
        await pilot.click(Table, offset=(10, 2))
        await until(pilot, lambda: not bar.has_class("-shown"))
        assert app.focused is table(app)
        await until(pilot, sees(app, "“n”"))
        await press(pilot, "slash", "backspace", "enter")
        assert not bar.has_class("-shown")
        assert "“n”" not in text_of(app)
