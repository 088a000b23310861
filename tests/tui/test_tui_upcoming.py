"""The next 24 hours: all tasks merged, those that are due often above, and where they pile up."""

from __future__ import annotations

from datetime import timedelta

import msgspec
from answers import daily, day
from fake_link import FakeLink
from piloting import press, running, said, sees, table, text_of, verbs
from scenes import NOW, PAUSE, center, engine, live, snapshot, task
from waiting import until

from keiji_engine.bus.protocol import EngineChanged, RunTask, TaskChanged, TaskRemoved, Timeline
from keiji_engine.bus.views import DueInstant, LinkChanged, LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.screens.upcoming import UpcomingScreen


def coming() -> tuple[ControlCenter, FakeLink]:
    app, link = live(*daily())
    link.day = day()
    return app, link


async def test_every_instant_of_all_tasks_stands_in_order_and_often_ones_have_one_line() -> None:
    app, _ = coming()
    async with running(app, (100, 30)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "13 due times, 2 frequent tasks", "Wed 10:45"))
        lines = [line for line in text_of(app).splitlines() if line.startswith((" ●", " ○"))]
        assert len(lines) == 15
        assert ["every 10s" in lines[0], "every minute" in lines[1]] == [True, True]
        assert "in 13m" in lines[2]
        assert "starts 4.2s later (jitter)" in lines[5]
        assert lines[6].startswith(" ○  22:00")
        assert "disabled" in lines[6]
        assert "skipped: gap 02:30" in lines[10]


async def test_what_is_due_in_the_same_minute_is_drawn_together_and_hours_have_bars() -> None:
    app, _ = coming()
    async with running(app, (120, 30)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "┌  backup", "│  invoices", "└  weekly [prod]", "3 at once", "most 4 per hour"))
        bars, hours = text_of(app).splitlines()[3:5]
        assert hours[bars.index("█") :].startswith("22")
        assert hours.split()[:3] == ["13", "14", "15"]


async def test_tasks_that_wait_for_events_are_listed_after_the_instants() -> None:
    on_change = task("feed", type="OnChange", events=("on change of /data/in/*.csv",), next_execution_time=None)
    app, link = live(*daily(), on_change, task("by_hand", type="Manual", events=("manual",), next_execution_time=None))
    link.day = day()
    async with running(app, (100, 30)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "13 due times, 2 frequent tasks, 2 tasks on event"))
        by_hand, feed = [line.split() for line in text_of(app).splitlines() if "by_hand" in line or "feed" in line]
        assert by_hand == ["●", "manual", "by_hand"]
        assert " ".join(feed) == "● on change feed on change of /data/in/*.csv"
        link.happen(TaskRemoved(slug="feed"))
        await until(pilot, sees(app, "1 task on event"))


async def test_a_day_with_events_only_is_not_empty() -> None:
    app, link = live(task("boot", type="AtStart", events=("at start",), next_execution_time=None, zone="Europe/Berlin"))
    link.day = Timeline(id="a", until=NOW + timedelta(hours=24), instants=(), frequent_tasks=())
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "1 task on event", "at start", "boot"))


async def test_enter_goes_to_the_task_and_its_keys_work_here() -> None:
    app, link = coming()
    async with running(app) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "13 due times", "backup"))
        await press(pilot, "j", "j", "r")
        await until(pilot, lambda: verbs(link) == [RunTask])
        assert link.sent[0].target == "mail"
        await press(pilot, "enter")
        await until(
            pilot, lambda: isinstance(app.screen, DetailScreen) and app.base_screen.selected_task.slug == "mail"
        )
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, UpcomingScreen))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))


async def test_a_second_click_goes_to_the_task() -> None:
    app, _ = coming()
    async with running(app) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "backup"))
        row = next(number for number, line in enumerate(text_of(app).splitlines()) if "backup" in line)
        await pilot.click(offset=(30, row), times=2)
        await until(
            pilot, lambda: isinstance(app.screen, DetailScreen) and app.base_screen.selected_task.slug == "backup"
        )


async def test_it_is_asked_anew_as_tasks_change_and_the_selection_stays() -> None:
    app, link = coming()
    async with running(app) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "13 due times", "backup"))
        await press(pilot, *"jjjj")
        await until(
            pilot, lambda: app.base_screen.selected_task is not None and app.base_screen.selected_task.slug == "mail"
        )
        selected = table(app).selected
        new = DueInstant(task="report", at=NOW + timedelta(minutes=2), starts_at=NOW + timedelta(minutes=2))
        link.day = msgspec.structs.replace(day(), instants=(new, *day().instants))
        link.happen(TaskChanged(task=task("report", schedule="units:minutes,interval:2")))
        await until(pilot, sees(app, "14 due times", "in 2m"))
        assert table(app).selected == selected
        link.happen(TaskRemoved(slug="mail"))
        await until(pilot, lambda: "mail" not in text_of(app))


async def test_a_pause_is_said_on_every_row() -> None:
    app, link = coming()
    async with running(app) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "13 due times"))
        link.happen(EngineChanged(engine=engine(pause=PAUSE)))
        await until(pilot, lambda: text_of(app).count("paused") >= 15)


async def test_where_it_is_cut_it_says_up_to_when_it_is_complete() -> None:
    app, link = live(task("ping"))
    many = tuple(
        DueInstant(task="ping", at=NOW + timedelta(seconds=n + 1), starts_at=NOW) for n in range(2000)
    )  # fmt: skip
    link.day = Timeline(id="a", until=NOW + timedelta(hours=2), instants=many, frequent_tasks=())
    async with running(app, (100, 24)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "2,000 due times, complete until today 15:31"))


async def test_an_unchanged_list_is_not_rebuilt_and_an_instant_disappears_when_it_is_over() -> None:
    moments = [NOW]
    app, link = live(*daily(), clock=lambda: moments[0])
    link.day = day()
    async with running(app, (100, 30)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "13 due times", "at most 4 per hour"))
        rows, first = app.base_screen.rows, day().instants[0]
        app.base_screen.paint(NOW)
        assert app.base_screen.rows is rows
        assert app.base_screen.list_filter.visible_keys(rows) is app.base_screen.list_filter.visible_keys(rows)
        moments[0] = first.at
        app.base_screen.paint(first.at)
        assert len(app.base_screen.rows) == len(rows) - 1
        await until(pilot, sees(app, "12 due times"))


async def test_nothing_due_says_so_with_the_way_on() -> None:
    app, _ = live(task("ping"))
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "Nothing is due within the next 24 hours.", "Press 1 to show the tasks"))
        await press(pilot, "r")
        await until(pilot, lambda: said(app) == ["no task is selected"])


async def test_what_was_known_stays_while_the_engine_is_away() -> None:
    app, link = coming()
    async with running(app, (40, 24)) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "backup"))
        link.tell(LinkChanged(LinkState.STALE, "late"))
        await until(pilot, sees(app, "stale", "backup"))
        link.die()
        await until(pilot, sees(app, "engine offline", "backup"))
        assert app.base_screen.has_class("stale")
        link.come_back(snapshot(daily(), boot="boot-2"))
        await until(pilot, lambda: "offline" not in text_of(app))
    app = center(FakeLink(LinkChanged(LinkState.OFFLINE, "no engine is running")))
    async with running(app) as pilot:
        await press(pilot, "6")
        await until(pilot, sees(app, "unavailable while the engine is not responding"))
