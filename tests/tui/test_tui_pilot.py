"""The terminal under the hands of a person, on an engine that the test plays."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator

import pytest
from answers import differing
from failures import reported
from fake_link import FakeLink
from piloting import Size, choose, found, log, press, resize, running, said, sees, settle, table, text_of, verbs
from scenes import NOW, center, history, live, logged, services, snapshot, task, tasks
from textual.command import CommandList
from textual.widgets import Input
from waiting import until

from keiji.errors import AlreadyRunning, KeijiError
from keiji.reasons import text_reason
from keiji.records import Pause
from keiji_engine.bus.protocol import (
    BuildTask,
    Delete,
    Disable,
    Enable,
    LogChunk,
    Restart,
    RunTask,
    ServiceChanged,
    StopService,
    TaskChanged,
    TaskRemoved,
)
from keiji_engine.bus.views import DueInstant, LinkChanged, LinkState, ServiceStatus
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.dialogs import ConfirmScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.keybar import KeyBar
from keiji_tui.widgets.table import Table
from keiji_tui.widgets.text_view import TextView

# ── the table ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_task_is_shown_with_its_state_in_words() -> None:
    app, _ = live()
    async with running(app) as pilot:
        await until(pilot, sees(app, "running 2m 11s", "retry in 9s", "not built", "disabled", "exit 2, 3h ago"))
        shown = text_of(app)
        assert "weekly [prod]" in shown
        assert "bus ●" in shown
        assert "Tasks 7" in shown
        assert "13:31:57" in shown


async def test_a_change_is_shown_without_touching_selection_and_scroll() -> None:
    many = [task(f"task_{number:03}") for number in range(200)]
    app, link = live(*many)
    async with running(app) as pilot:
        await choose(pilot, app, "task_150")
        offset = table(app).scroll_offset.y
        assert offset > 0
        link.happen(TaskChanged(task=task("task_149", is_running=True, running_since=NOW)))
        await until(pilot, sees(app, "running 0s"))
        assert (table(app).selected, table(app).scroll_offset.y) == ("task_150", offset)
        link.happen(TaskChanged(task=task("aaa")), TaskRemoved(slug="task_001"), TaskRemoved(slug="task_002"))
        await until(pilot, lambda: len(app.store.tasks) == 199)
        await until(pilot, lambda: table(app).virtual_size.height == 200)
        assert (table(app).selected, table(app).scroll_offset.y) == ("task_150", offset - 1)


async def test_the_row_after_a_removed_one_is_selected() -> None:
    app, link = live(task("a"), task("b"), task("c"))
    async with running(app) as pilot:
        await choose(pilot, app, "b")
        link.happen(TaskRemoved(slug="b"))
        await until(pilot, lambda: table(app).selected == "c")


async def test_keys_move_through_the_table() -> None:
    app, _ = live(*[task(f"task_{number:02}") for number in range(60)])
    async with running(app) as pilot:
        for keys, expected in [("j", "task_01"), ("k", "task_00"), ("G", "task_59"), ("g", "task_00")]:
            await press(pilot, keys)
            await until(pilot, lambda wanted=expected: table(app).selected == wanted, expected)
        await press(pilot, "ctrl+d")
        half = table(app).selected
        assert half is not None
        assert half > "task_03"
        await press(pilot, "ctrl+u", "up", "ctrl+u")
        assert table(app).selected == "task_00"


async def test_a_click_selects_and_a_second_one_opens_its_page() -> None:
    app, link = live(task("a"), task("b"), task("c"))
    async with running(app) as pilot:
        await pilot.click(Table, offset=(5, 2))
        await until(pilot, lambda: table(app).selected == "b")
        await pilot.click(Table, offset=(5, 2), times=2)
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        assert not link.sent


async def test_the_filter_hides_and_shows_again() -> None:
    app, _ = live()
    async with running(app) as pilot:
        await press(pilot, "slash", *"pin")
        await until(pilot, sees(app, "1 of 7"))
        assert app.store.visible_slugs() == ["ping_google"]
        await press(pilot, "enter", "j", "escape")
        await until(pilot, lambda: len(app.store.visible_slugs()) == 7)
        assert table(app).selected == "ping_google"


async def test_letters_typed_into_the_filter_are_no_directives() -> None:
    app, link = live()
    async with running(app) as pilot:
        await press(pilot, "slash", *"erxbDq")
        assert app.is_running
        assert not link.sent
        assert app.store.name_filter == "erxbDq"
        await press(pilot, "escape")
        await until(pilot, lambda: app.store.name_filter == "")


# ── directives ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_disable_is_pending_until_the_engine_says_otherwise_and_names_its_way_back() -> None:
    app, link = live(task("ping"))
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "e")
        await until(pilot, sees(app, "disabling …"))
        assert not app.store.tasks["ping"].is_disabled
        link.happen(TaskChanged(task=task("ping", is_disabled=True)))
        link.hold.set()
        await until(pilot, lambda: said(app))
        assert verbs(link) == [Disable]
        assert "press e to enable it" in said(app)[0]
        assert "keiji task disable ping" in said(app)[0]
        await until(pilot, lambda: app.store.tasks["ping"].is_disabled)
        await press(pilot, "e")
        await until(pilot, lambda: verbs(link) == [Disable, Enable])


async def test_a_refusal_is_told_with_its_hint_and_nothing_stays_pending() -> None:
    app, link = live(task("ping"))
    link.answer = lambda directive: AlreadyRunning("ping [/b] is disabled", hint="keiji task enable ping")
    async with running(app) as pilot:
        await press(pilot, "r")
        await until(pilot, lambda: said(app))
        assert said(app) == ["ping [/b] is disabled\nkeiji task enable ping"]
        assert verbs(link) == [RunTask]
        await until(pilot, lambda: not app.store.pending_of(app.store.tasks["ping"]))


async def test_restart_asks_and_the_focus_is_on_cancel() -> None:
    app, link = live(task("ping"))
    async with running(app) as pilot:
        await press(pilot, "R")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await until(pilot, sees(app, "keiji task restart ping"))
        await press(pilot, "enter")
        await until(pilot, lambda: not isinstance(app.screen, ConfirmScreen))
        assert not link.sent
        await press(pilot, "R", "y")
        await until(pilot, lambda: verbs(link) == [Restart])


async def test_delete_wants_the_name() -> None:
    app, link = live(task("ping [b]", slug="ping_b"))
    async with running(app) as pilot:
        await press(pilot, "D")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        await press(pilot, "y", "enter")
        assert isinstance(app.screen, ConfirmScreen)
        app.screen.query_one(Input).value = "ping [b]"
        await press(pilot, "enter")
        await until(pilot, lambda: verbs(link) == [Delete])
        assert link.sent[0].target == "ping_b"


async def test_a_key_that_is_not_available_says_why() -> None:
    app, link = live(task("ping", build=None))
    async with running(app) as pilot:
        await press(pilot, "x", "r")
        await until(
            pilot, lambda: said(app) == ["ping is not built yet – press b to build it"], "the newest refusal alone"
        )
        assert not link.sent


async def test_keys_of_a_log_and_of_a_text_can_be_clicked() -> None:
    app, link = live(task="ping_google")
    link.differing = differing()

    async def click(label: str) -> None:
        await until(pilot, sees(app, label))
        await pilot.click(KeyBar, offset=(text_of(app).splitlines()[-1].index(label), 0))
        await settle(pilot)

    async with running(app, (120, 14)) as pilot:
        await press(pilot, "l")
        assert not app.tasks_screen.log_pane.view.is_wrapped
        await click("w wrap")
        assert app.tasks_screen.log_pane.view.is_wrapped
        await click("O out/err")
        await until(pilot, sees(app, "out only"))
        await click("/ find")
        assert isinstance(app.focused, Input)
        await press(pilot, "escape", "escape", "d")
        await until(pilot, sees(app, "next section"))
        text = app.screen.query_one(TextView)
        await click("] next section")
        assert text.scroll_offset.y > 0


async def test_what_stands_at_the_bottom_can_be_clicked() -> None:
    app, link = live(task("ping"))
    async with running(app) as pilot:
        await until(pilot, sees(app, "r run"))
        await pilot.click(KeyBar, offset=(text_of(app).splitlines()[-1].index("r run"), 0))
        await until(pilot, lambda: verbs(link) == [RunTask])


async def test_readonly_sends_nothing() -> None:
    app, link = live(readonly=True)
    async with running(app) as pilot:
        await until(pilot, sees(app, "read-only"))
        for key in ("e", "r", "b", "D", "R", "x", "p", "P"):
            await press(pilot, key)
            assert len(said(app)) == 1, key
            app.clear_notifications()
        assert not link.sent


# ── sources that differ ──────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_edit_is_marked_and_offered_and_accepting_builds_and_restarts() -> None:
    app, link = live(task("a"), task("b"))
    async with running(app) as pilot:
        await choose(pilot, app, "b")
        link.happen(TaskChanged(task=task("b", source_changes=("function.py",))))
        await until(pilot, sees(app, "sources of b differ: function.py", "rebuild and restart", "◆ sources changed"))
        assert app.focused is table(app)
        await press(pilot, "b")
        await until(pilot, lambda: link.sent)
        directive = link.sent[0]
        assert isinstance(directive, BuildTask)
        assert (directive.task, directive.restart) == ("b", True)
        link.happen(TaskChanged(task=task("b")))
        await until(pilot, lambda: "differ" not in text_of(app))


async def test_an_offer_can_be_dismissed_and_comes_back_with_another_edit() -> None:
    app, link = live(task("a", source_changes=("function.py",)))
    async with running(app) as pilot:
        await until(pilot, sees(app, "sources of a differ"))
        await press(pilot, "L")
        await until(pilot, lambda: "sources of a differ" not in text_of(app))
        error = "function.py, line 3: invalid syntax"
        link.happen(TaskChanged(task=task("a", source_changes=("function.py",), source_error=error)))
        await until(pilot, sees(app, f"sources of a cannot be built: {error}"))
        assert "rebuild" not in text_of(app)


async def test_an_offer_for_another_task_leads_there_and_b_builds_the_selected_one() -> None:
    app, link = live(task("a"), task("z", source_changes=("schedule.py",)))
    async with running(app) as pilot:
        await until(pilot, sees(app, "sources of z differ", "u go to the task"))
        await press(pilot, "b")
        await until(pilot, lambda: link.sent)
        assert link.sent[0].target == "a"
        await press(pilot, "u")
        await until(pilot, lambda: table(app).selected == "z")


# ── logs ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def chunk(task_slug: str, position: int, *messages: str, level: str = "INFO") -> LogChunk:
    part = logged(*((1.0, level, message) for message in messages), slug=task_slug, position=position)
    return LogChunk(task=task_slug, position=part.position, end=part.end, text=part.text)


async def test_the_log_of_the_selected_task_streams_and_marks_errors() -> None:
    app, link = live(task="ping_google")
    async with running(app) as pilot:
        await until(pilot, sees(app, "Pinging Google....", "✗ Traceback", "• build 3f9a2c1e"))
        end = log(app).buffer.end
        assert end is not None
        link.print(chunk("ping_google", end, "just now"))
        await until(pilot, sees(app, "just now", "following"))


async def test_a_reader_who_scrolled_up_is_left_there_and_told_what_came() -> None:
    first = logged(*((60.0, "INFO", f"line {number}") for number in range(100)), slug="a")
    link = FakeLink(snapshot([task("a")]), logs={"a": [first]})
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 99"))
        await press(pilot, "tab", "ctrl+u", "k")
        await until(pilot, lambda: not log(app).following)
        top = log(app).top
        link.print(chunk("a", first.end, "new 1", "new 2", "new 3"))
        await until(pilot, sees(app, "+3 lines"))
        assert log(app).top == top
        await press(pilot, "f")
        await until(pilot, sees(app, "new 3", "following"))


async def test_the_line_that_is_read_stays_when_old_ones_are_dropped() -> None:
    first = logged(*((60.0, "INFO", f"line {number}") for number in range(5000)), slug="a")
    link = FakeLink(snapshot([task("a")]), logs={"a": [first]})
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 4999"))
        await press(pilot, "tab", "ctrl+u")
        at_top = log(app).top
        link.print(chunk("a", first.end, *(f"new {number}" for number in range(500))))
        await until(pilot, sees(app, "+500 lines"))
        assert log(app).top == at_top
        assert len(log(app).buffer) == 5000


async def test_running_through_the_table_subscribes_to_the_last_log_only() -> None:
    app, link = live(*[task(f"task_{number:02}") for number in range(30)])
    async with running(app) as pilot:
        await until(pilot, lambda: link.followed)
        link.followed.clear()
        for _ in range(20):
            await table(app).run_action("rows(1)")
        await until(pilot, lambda: "task_20" in link.followed)
        assert len(link.followed) < 5


async def test_a_log_that_was_deleted_and_begun_anew_replaces_the_old_one() -> None:
    app, link = live(task="ping_google")
    async with running(app) as pilot:
        await until(pilot, sees(app, "Pinging Google...."))
        link.print(chunk("ping_google", 0, "a fresh start"))
        await until(pilot, sees(app, "a fresh start"))
        assert "Pinging" not in text_of(app)


async def test_the_log_takes_the_whole_screen_and_gives_it_back() -> None:
    app, _ = live(task="ping_google")
    async with running(app) as pilot:
        await press(pilot, "l")
        await until(pilot, lambda: "SCHEDULE" not in text_of(app))
        await press(pilot, "escape")
        await until(pilot, sees(app, "SCHEDULE", "Pinging"))
        await press(pilot, "z")
        await until(pilot, lambda: "Pinging" not in text_of(app))
        await press(pilot, "z")
        await until(pilot, sees(app, "Pinging"))


# ── the engine comes and goes ────────────────────────────────────────────────────────────────────────────────────────


async def test_the_terminal_survives_the_engine_and_keeps_its_place() -> None:
    app, link = live()
    async with running(app) as pilot:
        await choose(pilot, app, "report")
        link.tell(LinkChanged(LinkState.STALE, "the engine is late"))
        await until(pilot, sees(app, "stale 0s"))
        link.die()
        await until(pilot, sees(app, "engine offline", "s starts it", "report", "bus ?"))
        await press(pilot, "r")
        await until(pilot, lambda: said(app))
        assert said(app) == ["the engine is offline – press s to start it"]
        await press(pilot, "s")
        await until(pilot, lambda: link.starts == 1)
        link.come_back(snapshot(tasks(), boot="boot-2"))
        await until(pilot, lambda: "engine offline" not in text_of(app))
        assert table(app).selected == "report"
        assert not link.sent


async def test_the_log_goes_on_without_a_repeat_when_the_engine_is_back() -> None:
    app, link = live(task="ping_google")
    async with running(app) as pilot:
        await until(pilot, lambda: len(log(app).buffer) == 10)
        end = log(app).buffer.end
        assert end is not None
        link.die()
        await until(pilot, sees(app, "engine offline"))
        link.print(chunk("ping_google", end, "while nobody looked"))
        link.come_back(snapshot(tasks(), boot="boot-2"))
        await until(pilot, sees(app, "while nobody looked"))
        await until(pilot, lambda: len(log(app).buffer) == 11)


async def test_without_an_engine_the_key_that_starts_one_is_shown() -> None:
    link = FakeLink(LinkChanged(LinkState.OFFLINE, "no engine is running"))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "No engine is running.", "s  start the engine"))
        await press(pilot, "s")
        await until(pilot, lambda: link.starts == 1)
        link.come_back(snapshot([task("ping")]))
        await until(pilot, sees(app, "ping", "every 10s"))
        await press(pilot, "r")
        await until(pilot, lambda: verbs(link) == [RunTask])


async def test_an_engine_that_does_not_start_is_told_with_what_it_said() -> None:
    class Broken(FakeLink):
        async def start_engine(self) -> None:
            raise KeijiError("the engine ended at once (exit code 1)", hint="settings.conf, line 3: [oops]")

    app = center(Broken(LinkChanged(LinkState.OFFLINE, "no engine is running")))
    async with running(app) as pilot:
        await press(pilot, "s")
        await until(pilot, lambda: any("settings.conf, line 3: [oops]" in text for text in said(app)))


async def test_without_a_task_the_command_that_makes_one_is_shown() -> None:
    app = center(FakeLink(snapshot([]), LinkChanged(LinkState.LIVE)))
    async with running(app) as pilot:
        await until(pilot, sees(app, "There are no tasks yet.", "keiji task create"))


async def test_a_task_asked_for_is_selected_and_one_that_is_not_there_is_told() -> None:
    app, _ = live(task="scrape")
    async with running(app) as pilot:
        await until(pilot, lambda: table(app).selected == "scrape")
    app, _ = live(task="nothing")
    async with running(app) as pilot:
        await until(pilot, lambda: said(app) == ["there is no task nothing"])


async def test_a_failure_of_the_link_itself_is_shown_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    class Shaky(FakeLink):
        failures = 1

        async def updates(self) -> AsyncIterator[object]:  # type: ignore[override]
            if self.failures:
                self.failures -= 1
                raise OSError("no such socket")
            async for update in super().updates():
                yield update

    app = center(Shaky(snapshot([task("ping")])))
    async with running(app) as pilot:
        await until(pilot, lambda: app.store.is_live)
        await until(pilot, sees(app, "ping"))
    assert any("OSError: no such socket" in text for text in reported(caplog))
    caplog.clear()


# ── other screens ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_services_can_be_stopped_and_started() -> None:
    app, link = live()
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: isinstance(app.screen, ServicesScreen))
        await until(pilot, sees(app, "scheduler", "online", "bus connects terminals"))
        await press(pilot, "j")
        await until(pilot, sees(app, "scheduler starts runs when they are due"))
        await press(pilot, "x", "y")
        await until(pilot, lambda: link.sent)
        assert isinstance(link.sent[0], StopService)
        assert link.sent[0].service == "scheduler"
        link.happen(ServiceChanged(service=services(scheduler=ServiceStatus.OFFLINE)[1]))
        await until(pilot, sees(app, "scheduler ○ offline"))
        await press(pilot, "s")
        await until(pilot, lambda: len(link.sent) == 2 and len(said(app)) == 2)
        await press(pilot, "escape", "escape")
        await until(pilot, sees(app, "scheduler off"))


async def test_the_history_of_a_task_is_one_key_away() -> None:
    app, _ = live(task="ping_google")
    async with running(app) as pilot:
        await press(pilot, "H")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))
        await until(pilot, sees(app, "5 runs, 38 did not run", "SIGKILL", "retry 1", "still running", "missed × 37"))
        assert "every 10 seconds · overlap: skip · catch-up: latest" in text_of(app)
        table(app).select(f"{16:032x}")
        await until(pilot, sees(app, "missed × 37 until 12:41:57: not caught up"))
        await press(pilot, "escape")
        await until(pilot, sees(app, "SCHEDULE"))


async def test_the_history_grows_while_it_is_looked_at() -> None:
    app, link = live(task="ping_google")
    link.history = link.history[3:]
    async with running(app) as pilot:
        await press(pilot, "H")
        await until(pilot, sees(app, "2 runs, 38 did not run"))
        link.history = history()
        link.happen(TaskChanged(task=task("ping_google", run_id="another", is_running=True)))
        await until(pilot, sees(app, "5 runs", "running"))


async def test_help_is_about_the_focus_and_says_what_is_not_possible_now() -> None:
    app, _ = live(task="ping_google")
    async with running(app, (120, 60)) as pilot:
        await press(pilot, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await until(pilot, sees(app, "The selected task", "x     stop", "enter  show all details of the task"))
        assert "not now" not in text_of(app), "until such a key is selected"
        await press(pilot, "right", "down")
        await until(pilot, sees(app, "e  enable, or disable and stop live runs (asks y/n if"))
        await press(pilot, "left")
        await until(pilot, sees(app, "not now: ping_google is not running"))
        y, line = next((y, line) for y, line in enumerate(text_of(app).splitlines()) if "go to changed" in line)
        await pilot.click(offset=(line.index("go to changed"), y))
        await until(pilot, sees(app, "u  select the task with changed sources"))
        await press(pilot, "escape", "tab", "question_mark")
        await until(pilot, sees(app, "Logs", "f G   follow"))


async def test_the_palette_offers_every_action_of_the_screen() -> None:
    app, link = live(task="ping_google")
    async with running(app, (120, 40)) as pilot:
        await press(pilot, "colon")
        await until(pilot, sees(app, "enable/disable"))
        await press(pilot, *"run")
        await until(pilot, lambda: any(offer.startswith("r      run\nrun the task now") for offer in found(app)[:1]))
        await press(pilot, "enter")
        await until(pilot, lambda: verbs(link) == [RunTask])


async def test_leaving_closes_the_link() -> None:
    app, link = live()
    async with running(app) as pilot:
        await press(pilot, "q")
        await until(pilot, lambda: not app.is_running or link.is_closed)
    assert link.is_closed
    assert not link.sent


# ── what must never break the screen ─────────────────────────────────────────────────────────────────────────────────

WILD = [
    "[/b]",
    "[prod]",
    "x" * 200,
    "報告 " * 30,
    "😀👨‍👩‍👧",
    "a'b\"c",
    "\x1b[2J\x1b]52;c;x\x07",
    "شكرا",
    "a\u0301" * 40,
    "%s {0}",
]


@pytest.mark.parametrize("size", [(40, 12)])
async def test_wild_names_and_outputs_leave_the_screen_whole(size: Size) -> None:
    wild = [
        task(name, slug=f"slug_{number}", description=name, schedule_description=name, error=text_reason(name),
             source_error=name, source_changes=(name,) if number % 2 else (), is_error=True,
             policy=name, waiting=text_reason(name), zone=name,
             pause=Pause(since=NOW, reason=name, by=name) if number % 3 else None)
        for number, name in enumerate(WILD)
    ]  # fmt: skip
    lines = [(1.0, "INFO", name.replace("\\", "\\\\").replace('"', '\\"')) for name in [*WILD, "y" * 10_000]]
    logs = {f"slug_{number}": [logged(*lines, slug=f"slug_{number}")] for number in range(len(WILD))}
    pause = Pause(since=NOW, reason="".join(WILD), by=WILD[0])
    link = FakeLink(snapshot(wild, pause=pause), LinkChanged(LinkState.LIVE), logs=logs)
    link.reasons = tuple(map(text_reason, WILD))
    link.instants = tuple(DueInstant(task="ping", at=NOW, starts_at=NOW, note=name) for name in WILD)
    link.zone = "[/b]"
    link.answer = lambda directive: KeijiError("[/b] \x1b[2J failed", hint="[red]")
    app = center(link)
    async with running(app, size) as pilot:
        await until(pilot, lambda: len(log(app).buffer) == len(lines))
        for number in range(len(WILD)):
            await choose(pilot, app, f"slug_{number}")
            app.base_screen.paint(NOW)
            assert "\x1b" not in text_of(app)
        for number in (0, 6):
            await choose(pilot, app, f"slug_{number}")
            await press(pilot, "b", "D")
            assert "\x1b" not in text_of(app)
            await press(pilot, "escape")
        for key in ("R", "question_mark", "4", "H", "colon", "w"):
            await press(pilot, key)
            text_of(app)
            await press(pilot, "escape")


async def test_the_selected_row_stays_in_view_when_the_terminal_gets_smaller() -> None:
    app, _ = live(*[task(f"task_{number:03}") for number in range(100)])
    async with running(app, (80, 40)) as pilot:
        await choose(pilot, app, "task_018")
        await until(pilot, sees(app, "task_000", "task_018"))
        await resize(pilot, (80, 16))
        await until(pilot, lambda: app.size.height == 16)
        await until(pilot, sees(app, "task_018"))


async def test_a_closed_screen_is_freed_also_after_a_reconnect() -> None:
    app, link = live(task="ping_google")
    async with running(app) as pilot:
        freed = []
        for key in ("enter", "H", "w", "4", "5", "6"):
            await press(pilot, key)
            link.die()
            await until(pilot, lambda: not app.store.is_live)
            link.come_back(snapshot(tasks()))
            await until(pilot, lambda: app.store.is_live)
            freed.append(weakref.ref(app.screen))
            await press(pilot, "escape")
            await until(pilot, lambda: app.screen is app.tasks_screen)
        await press(pilot, "j")
        await settle(pilot)
        await until(pilot, lambda: gc.collect() >= 0 and not any(screen() for screen in freed))


async def test_a_resize_keeps_everything_in_place() -> None:
    app, _ = live(task="ping_google")
    async with running(app) as pilot:
        for size in [(40, 10), (10, 3), (200, 60), (80, 24)]:
            await resize(pilot, size)
            text_of(app)
        await until(pilot, sees(app, "ping_google", "13:31:57"))
        assert table(app).selected == "ping_google"


async def test_a_tick_repaints_nothing_where_nothing_differs() -> None:
    app, _ = live(task="backup")
    async with running(app) as pilot:
        await until(pilot, sees(app, "running 2m 11s"))
        refreshed: list[int] = []
        shown = table(app)
        shown.refresh_line = refreshed.append  # type: ignore[method-assign]
        app.base_screen.paint(NOW)
        assert refreshed == []
        app.base_screen.paint(NOW.replace(second=58))
        assert len(refreshed) < len(tasks())
        assert app.base_screen.query_one("#heading", AdaptiveLine)


@pytest.mark.parametrize("name", ["backup [a=b", "[a=b [x", "costs [50%]", "[red]evil [@click=app.quit]z", "a\\[b]"])
async def test_the_palette_shows_names_as_they_are(name: str) -> None:
    app, _ = live(task(name, slug="odd", build=None))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.base_screen.action_context.task)
        await press(pilot, "ctrl+p")

        def shown() -> str:
            lists = app.screen.query(CommandList)
            return "\n".join(
                str(found.get_option_at_index(index).prompt) for found in lists for index in range(found.option_count)
            )

        await until(pilot, lambda: f"{name} is not built yet" in shown())
