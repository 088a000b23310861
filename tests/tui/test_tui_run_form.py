"""The form for the parameters of a run."""

from __future__ import annotations

import pytest
from piloting import press, running, said, sees, verbs
from scenes import PARAMETERS, live, task
from textual.widgets import Input
from waiting import until

from keiji.errors import UsageError
from keiji_engine.bus.protocol import RunTask
from keiji_tui.screens.run_form import RunFormScreen
from keiji_tui.state.run_parameters import find_error, label, placeholder


def test_labels_and_placeholders_name_type_and_default() -> None:
    assert [label(each) for each in PARAMETERS] == ["day: date", "rows: int", "mode: Mode", "dry_run: bool", "note"]
    assert [placeholder(each) for each in PARAMETERS] == [
        "default 2026-11-01", "required", "default fast (fast or full)", "default False (yes or no)", "default empty",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({}, ("rows", "rows is required", True)),
        ({"rows": "1"}, ("", "", False)),
        ({"day": "soon"}, ("day", "day=soon: expected a date such as 2026-11-01", False)),
        ({"rows": "1", "mode": "slow"}, ("mode", "mode=slow: expected one of fast, full", False)),
    ],
)
def test_first_unacceptable_value_is_named(texts: dict[str, str], expected: tuple[str, str, bool]) -> None:
    assert find_error(PARAMETERS, texts) == expected


async def test_parameters_are_checked_as_typed_and_a_refusal_keeps_them() -> None:
    app, link = live(task("report", parameters=PARAMETERS))
    link.answer = lambda directive: UsageError("refused [/b]", hint="report()") if len(link.sent) == 1 else None
    link.lines = ("running task report (run 1)",)
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "r")
        await until(pilot, lambda: isinstance(app.screen, RunFormScreen))
        await until(pilot, sees(app, "Run report", "day: date", "default 2026-11-01", "rows is required"))
        await press(pilot, *"x")
        await until(pilot, sees(app, "day=x: expected a date such as 2026-11-01"))
        await press(pilot, "backspace", *"2026-11-02", "enter")
        await until(pilot, lambda: app.focused is app.screen.query_one("#parameter-1", Input))
        assert not link.sent
        await press(pilot, "4", "1")
        await until(pilot, sees(app, "$ keiji task run report -- day=2026-11-02 rows=41"))
        await press(pilot, "enter")
        await until(pilot, sees(app, "✗ refused [/b]", "report()"))
        await press(pilot, "enter")
        await until(pilot, lambda: not isinstance(app.screen, RunFormScreen))
        assert isinstance(link.sent[1], RunTask)
        assert link.sent[1].params == {"day": "2026-11-02", "rows": "41"}
        await until(pilot, lambda: said(app)[-1:] and said(app)[-1].startswith("report started"))


async def test_a_task_without_parameters_runs_at_once_and_escape_runs_nothing() -> None:
    app, link = live(task("plain"), task("report", parameters=PARAMETERS))
    async with running(app) as pilot:
        await press(pilot, "j", "r")
        await until(pilot, lambda: isinstance(app.screen, RunFormScreen))
        await press(pilot, "escape")
        assert not link.sent
        await press(pilot, "k", "r")
        await until(pilot, lambda: verbs(link) == [RunTask])
