"""A new task: what is typed is read as one types, nothing of it is lost, and the engine makes and builds it."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from piloting import press, running, said, sees, table, text_of, verbs
from scenes import live, task
from textual.widgets import Input
from waiting import until

from keiji.errors import BuildFailed, TaskExists
from keiji.schedule.parse import parse_schedule
from keiji_engine.bus.protocol import BuildTask, Create, TaskChanged
from keiji_engine.bus.views import LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.state.draft import Draft, preview, suggest_schedule


def opened(app: ControlCenter) -> bool:
    return isinstance(app.screen, NewTaskScreen) and app.screen.query_one("#name", Input).has_focus


def typed(app: ControlCenter, field: str, text: str) -> None:
    app.screen.query_one(f"#{field}", Input).value = text


async def test_a_task_is_made_built_and_selected() -> None:
    app, link = live(task("a"), task("zz"))
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "slash", "z", "enter", "N")
        await until(pilot, lambda: opened(app))
        await press(pilot, *"ping_it")
        typed(app, "description", "what [/b] it is for")
        typed(app, "schedule", 'on.friday.at("22:00")')
        await until(pilot, sees(app, "Fridays at 22:00", "Fri 27 Nov", "22:00", "--schedule="))
        await press(pilot, "enter")
        await until(pilot, lambda: verbs(link) == [Create, BuildTask])
        made, built = link.sent
        assert isinstance(made, Create)
        assert (made.name, made.description, made.schedule) == (
            "ping_it", "what [/b] it is for", 'on.friday.at("22:00")',
        )  # fmt: skip
        assert built.target == "ping_it"
        link.happen(TaskChanged(task=task("ping_it")))
        await until(pilot, lambda: table(app).selected == "ping_it")
        assert not app.store.name_filter, "nothing hides it"
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        assert app.screen.query_one("#name", Input).value == ""


READ = {
    "every(10).seconds": "every 10 seconds",
    'cron("30 2 * * *")': "at 02:30 every day",
    "every 5 minutes": "every 5 minutes interpreted as every(5).minutes",
    "Fri 22:00": 'Fridays at 22:00 interpreted as on.friday.at("22:00")',
    "manual": "manual",
    "at start; every 5m": "at start; every 5 minutes interpreted as [at_start, every(5).minutes]",
    "[at_start, every(5).minutes]": "at start; every 5 minutes",
    "*/5 * * * *": 'every 5 minutes interpreted as cron("*/5 * * * *")',
}
REFUSED = {
    "every(10)": "missing unit",
    "on.firday": "did you mean on.friday?",
    "__import__('os')": "unknown schedule '__import__'",
    "[/b]": "is not a valid schedule",
    "every 5 minutes at noon": "unknown schedule 'every 5 minutes at noon' write every 10 minutes",
    "* * * *": "expected five fields",
    'once("2001-01-01 00:00")': (
        "the schedule is never due again it is 2026-11-24 13:31:57 EAT now; write a later time, such as "
        'once("2026-11-25 13:31")'
    ),
    "0 0 30 2 *": 'there is no day "30" in month "2"',
    "": "the schedule is empty",
    "22:00": "did you mean “every day at 22:00”?",
}
SUGGESTIONS = {
    "22:00": "every day at 22:00",
    " at 9:30 ": "every day at 09:30",
    "10pm": "every day at 22:00",
    "12 am": "every day at 00:00",
    "22.00": "every day at 22:00",
    "5 minutes": "every 5 minutes",
    "5m": "every 5 minutes",
    "Hour": "every hour",
    "daily": "every day at 00:00",
    "friday": "Fridays at 00:00",
    "every Friday at 22:00": "Fridays at 22:00",
    "25:00": "",
    "13pm": "",
    "22": "",
    "[/b]": "",
    "every(10)": "",
}


@pytest.mark.parametrize(("text", "suggestion"), SUGGESTIONS.items())
def test_incomplete_english_gets_a_suggestion_that_is_a_schedule(text: str, suggestion: str) -> None:
    assert suggest_schedule(text) == suggestion
    if suggestion:
        assert parse_schedule(suggestion).describe() == suggestion


@pytest.mark.parametrize("text", ["25:00", "5 lightyears", "[/b]"])
def test_invalid_english_gets_no_error_about_python(text: str) -> None:
    error = preview(text, datetime(2026, 11, 24, tzinfo=UTC), ZoneInfo("UTC")).error
    assert "syntax" not in error
    assert "every day at 22:00" in error


def joined(app: ControlCenter) -> str:
    """Return what the dialog says, whatever is on which of its lines."""
    return " ".join(text_of(app).replace("│", "").split())


async def test_the_schedule_is_read_as_it_is_typed_and_the_buttons_are_always_in_sight() -> None:
    app, link = live(task("a"))
    async with running(app, (40, 24)) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        typed(app, "name", "b")
        for schedule, words in (READ | REFUSED).items():
            typed(app, "schedule", schedule)
            await until(pilot, lambda wanted=words: wanted in joined(app), words)
            await until(pilot, sees(app, "esc Cancel", "enter Create"))
            if schedule in REFUSED:
                app.screen.query_one("#name", Input).focus()
                await press(pilot, "enter")
                await until(pilot, lambda: app.screen.query_one("#schedule", Input).has_focus)
        assert not link.sent
        typed(app, "schedule", " */5 * * * *")
        await press(pilot, "enter")
        await until(pilot, lambda: verbs(link) == [Create, BuildTask])
        assert link.sent[0].schedule == 'cron("*/5 * * * *")', "what any engine understands"


@pytest.mark.parametrize("name", ["a", "../x", "[/b] \x1b[2J", "", "-x"])
async def test_a_name_that_cannot_be_is_told_and_goes_nowhere(name: str) -> None:
    app, link = live(task("a"))
    async with running(app) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        typed(app, "name", name)
        await press(pilot, "tab", "tab", "enter")
        await until(pilot, lambda: app.screen.query_one("#name", Input).has_focus)
        assert "\x1b" not in text_of(app)
        assert not link.sent


async def test_what_was_typed_stays_when_the_engine_refuses_and_when_one_leaves() -> None:
    app, link = live(task("a"))
    link.answer = lambda directive: TaskExists("there is [/b] already", hint="another name")
    async with running(app) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        await press(pilot, *"ping", "enter")
        await until(pilot, sees(app, "✗ there is [/b] already", "another name"))
        assert app.screen.query_one("#name", Input).value == "ping"
        await press(pilot, "escape")
        await until(pilot, lambda: not isinstance(app.screen, NewTaskScreen))
        await press(pilot, "N")
        await until(pilot, lambda: opened(app) and app.screen.query_one("#name", Input).value == "ping")
        link.answer = lambda directive: BuildFailed("boom") if isinstance(directive, BuildTask) else None
        await press(pilot, "enter")
        await until(pilot, lambda: verbs(link)[1:] == [Create, BuildTask])


async def test_a_refusal_is_shown_if_the_form_was_closed_while_the_task_was_created() -> None:
    app, link = live(task("a"))
    link.answer = lambda directive: TaskExists("there is [/b] already", hint="another name")
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        await press(pilot, *"ping", "enter", "escape")
        assert app.screen is app.tasks_screen
        link.hold.set()
        await until(pilot, lambda: said(app) == ["ping was not created: there is [/b] already\nanother name"])
        await press(pilot, "escape", "N")
        await until(pilot, lambda: opened(app) and app.screen.query_one("#name", Input).value == "ping")


async def test_a_task_that_is_created_after_the_form_was_closed_leaves_no_draft() -> None:
    app, link = live(task("a"))
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        await press(pilot, *"ping", "enter", "escape")
        link.hold.set()
        await until(pilot, lambda: verbs(link) == [Create, BuildTask])
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        assert app.screen.query_one("#name", Input).value == ""


async def test_a_second_enter_makes_no_second_task() -> None:
    app, link = live(task("a"))
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        await press(pilot, *"ping", "enter", "enter", "enter")
        await until(pilot, sees(app, "creating and building …"))
        assert verbs(link) == [Create]
        link.hold.set()
        await until(pilot, lambda: verbs(link) == [Create, BuildTask])


async def test_without_an_engine_there_is_no_new_task() -> None:
    app, link = live(task("a"))
    async with running(app) as pilot:
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await press(pilot, "N")
        await until(pilot, lambda: said(app) == ["the engine is offline – press s to start it"])


COMMANDS = {
    "./backup.sh --full": (("./backup.sh", "--full"), ""),
    "echo 'a | b' \"c; d\"": (("echo", "a | b", "c; d"), ""),
    "report {day}": (("report", "{day}"), ""),
    "pg_dump app | gzip > app.gz": ((), "pg_dump app | gzip > app.gz"),
    'echo "$HOME"': ((), 'echo "$HOME"'),
    "rm *.tmp": ((), "rm *.tmp"),
    "LEVEL=1 ./x": ((), "LEVEL=1 ./x"),
    "  ": ((), ""),
}


@pytest.mark.parametrize(("text", "expected"), COMMANDS.items())
def test_command_runs_in_a_shell_only_if_it_needs_one(text: str, expected: tuple[tuple[str, ...], str]) -> None:
    directive = Draft(name="a", command=text, schedule="0 3 * * *").directive()
    assert (directive.command, directive.shell) == expected
    assert directive.schedule == ("0 3 * * *" if text.strip() else 'cron("0 3 * * *")')


async def test_command_and_policy_are_checked_as_typed_and_sent() -> None:
    app, link = live(task("a"))
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "N")
        await until(pilot, lambda: opened(app))
        typed(app, "name", "backup")
        typed(app, "command", "./backup.sh 'unfinished")
        await until(pilot, sees(app, "the command ends with a backslash"))
        await press(pilot, "enter")
        await until(pilot, lambda: app.screen.query_one("#command", Input).has_focus)
        typed(app, "command", "./backup.sh --full")
        typed(app, "schedule", "daily at 3:00")
        typed(app, "policy", "timeuot = 30m")
        await until(pilot, sees(app, "did you mean 'timeout'?"))
        typed(app, "policy", "timeout = 30m, tz = Europe/Berlin")
        await until(pilot, sees(app, "run without a shell", "timeout: 30m", "03:00", "-- ./backup.sh --full"))
        await press(pilot, "enter")
        await until(pilot, lambda: verbs(link) == [Create, BuildTask])
        assert link.sent[0] == Create(
            id=link.sent[0].id, deadline=link.sent[0].deadline, name="backup", command=("./backup.sh", "--full"),
            schedule="daily at 3:00", policy="timeout = 30m, tz = Europe/Berlin", sender="keiji-tui",
        )  # fmt: skip
