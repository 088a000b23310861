"""The screens of the terminal, each brought about as somebody would who sits before it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import answers
import msgspec
from answers import FAILURE, daily, day, differing, ledger
from fake_link import FakeLink
from piloting import log, press, settle, text_of
from scenes import (
    NOW,
    PAUSE,
    before,
    center,
    explained,
    failed_log,
    kept_back,
    live,
    recent,
    services,
    shop_error,
    snapshot,
    task,
    tasks,
)  # fmt: skip
from textual.command import CommandList
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input
from waiting import until

from keiji.errors import BuildFailed
from keiji_engine.bus.views import LinkChanged, LinkState, Progress, ServiceStatus, TaskView
from keiji_engine.logs.line_format import format_line
from keiji_tui.app import ControlCenter
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.view import LogView
from keiji_tui.screens.backfill_form import BackfillFormScreen
from keiji_tui.screens.build_output import BuildOutputScreen
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.dialogs import ConfirmScreen
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.screens.palette import Palette
from keiji_tui.screens.run_form import RunFormScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.screens.upcoming import UpcomingScreen
from keiji_tui.screens.why import WhyScreen
from keiji_tui.state.store import Update
from keiji_tui.widgets.table import Table

PING_LINES = 10


@dataclass(frozen=True, slots=True)
class Stage:
    """A terminal, the screen that is to be seen of it, and what brings that about."""

    app: ControlCenter
    shows: type[Screen[Any]]
    play: Callable[[Pilot[None]], Awaitable[None]]


async def painted(pilot: Pilot[None]) -> None:
    """Wait until what was asked for has come, and all that is known is on the screen."""
    app = pilot.app
    assert isinstance(app, ControlCenter)
    await until(pilot, lambda: not _waits(app), "what the screen has asked for has come")
    await until(pilot, lambda: app._paint_timer is None)
    app.repaint()
    await settle(pilot)


def _waits(app: ControlCenter) -> bool:
    board, screen = app.base_screen, app.screen
    if isinstance(screen, WhyScreen):
        return not screen.loader.has_data
    if isinstance(screen, BuildOutputScreen):
        return screen.entry is None
    if isinstance(screen, Palette):
        return not any(found.option_count for found in screen.query(CommandList))
    if any(pane.is_busy for pane in board.query(LogPane)):
        return True
    if isinstance(board, RunsScreen):
        return not board.rows
    if not isinstance(board, LoadingScreen) or not app.store.is_live:
        return False
    return board.loader.is_loading or not board.loader.has_data


def _is_followed(app: ControlCenter) -> bool:
    """Return whether the log below the tasks is that of the selected one: it comes a moment after the selection."""
    link, task = app.screen_context.link, app.tasks_screen.selected_task
    assert isinstance(link, FakeLink)
    if app.base_screen is not app.tasks_screen or task is None or not app.store.is_live:
        return True
    return link.followed[-1:] == [task.slug] and log(app).buffer.end is not None


def stage(
    app: ControlCenter,
    *keys: str,
    shows: type[Screen[Any]] = TasksScreen,
    lines: int | None = None,
    then: Callable[[Pilot[None]], Awaitable[None]] = painted,
) -> Stage:
    """Return what presses ``keys``, each once all is painted that the one before has brought, and then does ``then``.

    Args:
        lines: how many the log has before anything is pressed; None where it is not seen.
    """

    async def play(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: app.store.link is not LinkState.CONNECTING)
        if app.store.tasks:
            await until(pilot, lambda: app.base_screen is not app.tasks_screen or app.tasks_screen.table.selected)
        if lines is not None:
            await until(pilot, lambda: len(log(app).buffer) == lines)
        await settle(pilot)
        for key in keys:
            await press(pilot, key)
            await painted(pilot)
        await then(pilot)
        await until(pilot, lambda: _is_followed(app), "the log of the selected task has come")
        await painted(pilot)

    return Stage(app, shows, play)


def playing(*some: TaskView, **options: Any) -> tuple[ControlCenter, FakeLink]:
    """Return a terminal on an engine that has an answer to everything."""
    app, link = live(*some, **{"task": None if some else "ping_google", **options})
    link.ledger, link.differing, link.day, link.build = ledger(), differing(), day(), answers.build()
    link.known_backfills, link.plan = answers.backfills(), answers.backfill_plan()
    return app, link


# ── the tasks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def pressed(*keys: str, shows: type[Screen[Any]] = TasksScreen) -> Callable[[], Stage]:
    """Return a scene of keys that are pressed over the tasks."""
    return lambda: stage(playing()[0], *keys, shows=shows, lines=PING_LINES)


def stale() -> Stage:
    moments = [NOW]
    app, link = playing(clock=lambda: moments[0])

    async def late(pilot: Pilot[None]) -> None:
        moments[0] += timedelta(seconds=12)
        link.tell(LinkChanged(LinkState.STALE, "the engine is late"))
        await until(pilot, lambda: app.store.link is LinkState.STALE)

    return stage(app, lines=PING_LINES, then=late)


def offline(*keys: str, shows: type[Screen[Any]] = TasksScreen, of: TaskView | None = None) -> Stage:
    app, link = playing(*([of] if of else []))
    explained(link, kept_back()[1])

    async def gone(pilot: Pilot[None]) -> None:
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)

    return stage(app, *keys, shows=shows, lines=None if of else PING_LINES, then=gone)


def held_back() -> Stage:
    return stage(playing(*kept_back(), task="ping_google")[0], lines=PING_LINES)


def paused() -> Stage:
    return stage(playing(*kept_back(), task="ping_google", pause=PAUSE)[0], lines=PING_LINES)


def edited() -> Stage:
    """Show two tasks whose sources differ, one of which is under way and says how far it has got."""
    changes: dict[str, dict[str, Any]] = {
        "ping_google": {"source_changes": ("function.py",)},
        "backup": {"source_changes": ("schedule.py",), "progress": Progress(fraction=0.61)},
    }
    views = [msgspec.structs.replace(view, **changes.get(view.slug, {})) for view in tasks()]
    return stage(playing(*views, task="ping_google")[0], lines=PING_LINES)


def odd_names() -> Stage:
    names = ["[/b]", "[prod] 報告", "x" * 200, "😀👨‍👩‍👧", "\x1b[2Jescape", "ping_google"]
    views = [task(name, slug=f"ping_google{'' if number == 5 else number}") for number, name in enumerate(names)]
    return stage(playing(*views, task="ping_google")[0], lines=PING_LINES)


def no_engine() -> Stage:
    return stage(center(FakeLink(LinkChanged(LinkState.OFFLINE, "no engine is running"))))


def no_answer() -> Stage:
    link = FakeLink(LinkChanged(LinkState.OFFLINE, "the bus of the engine is stopped", engine_is_running=True))
    return stage(center(link))


def no_tasks() -> Stage:
    return stage(center(FakeLink(snapshot([]), LinkChanged(LinkState.LIVE))))


def readonly() -> Stage:
    """Show that a key changes nothing here, and what it says of that."""
    return stage(playing(readonly=True)[0], "r", lines=PING_LINES)


# ── what is asked and told over them ─────────────────────────────────────────────────────────────────────────────────


def many_marked() -> Stage:
    some = [
        task(f"job [{number}]", slug=f"job_{number:02}", is_running=number % 5 > 0, running_since=NOW)
        for number in range(20)
    ]
    return stage(playing(*some)[0], *["space"] * 20, "x", shows=ConfirmScreen)


def new_task(schedule: str, **fields: str) -> Callable[[], Stage]:
    texts = {"name": "invoices", "description": "sends what is due", "schedule": schedule, **fields}
    return lambda: stage(playing()[0], "N", shows=NewTaskScreen, lines=PING_LINES, then=_typing(texts))


def _typing(texts: Mapping[str, str], sees: str = "") -> Callable[[Pilot[None]], Awaitable[None]]:
    """Return what fills in the fields of a form, and waits for a text if it comes later."""

    async def typed(pilot: Pilot[None]) -> None:
        app = pilot.app
        assert isinstance(app, ControlCenter)
        for field, text in texts.items():
            app.screen.query_one(f"#{field}", Input).value = text
        await until(pilot, lambda: sees in text_of(app))

    return typed


def run_form() -> Stage:
    app, _ = playing(*tasks(), task="report")
    texts = {"parameter-0": "2026-11-23", "parameter-1": "500", "parameter-4": "a second attempt"}
    return stage(app, "r", shows=RunFormScreen, then=_typing(texts))


def backfill_form() -> Stage:
    app, _ = playing(*tasks(), task="report")
    texts = {"begin": "2026-11-01", "end": "2026-11-07"}
    return stage(app, "F", shows=BackfillFormScreen, then=_typing(texts, "instants would run"))


def why() -> Stage:
    held = shop_error(kept_back()[1])
    app, link = playing(held, *(view for view in kept_back() if view.slug != held.slug), task=held.slug)
    explained(link, held)
    link.keep(failed_log(held))
    return stage(app, "w", shows=WhyScreen)


def failed_build() -> Stage:
    app, link = playing()
    link.answer = lambda directive: BuildFailed("\n".join(FAILURE[:-1]), hint=FAILURE[-1])

    async def failed(pilot: Pilot[None]) -> None:
        await press(pilot, "b")
        await until(pilot, lambda: isinstance(app.screen, BuildOutputScreen))

    return stage(app, shows=BuildOutputScreen, lines=PING_LINES, then=failed)


# ── whole screens ────────────────────────────────────────────────────────────────────────────────────────────────────


def failing() -> TaskView:
    """Return a task of which there is much to say."""
    return task(
        "import_orders",
        schedule_description="at 02:30 on the last Sunday of the month",
        schedule="cron:30 2 * * L7",
        zone="Europe/Berlin",
        policy="overlap: skip · catch-up: latest · hold after 3 failures",
        description="brings orders in from the shop",
        source_changes=("function.py",),
        build="3f9a2c1e00000000",
        recent=recent(8, 9, 8, 8, 25, 8, "x", "x", "x", ended=before(minutes=21)),
        is_error=True,
        held_since=before(minutes=21),
        failures=3,
        log_path="/home/user/.local/state/keiji/log/tasks/import_orders/import_orders.log",
        executable="/home/user/.local/share/keiji/exec/tasks/import_orders",
        source_path="/home/user/keiji/tasks/import_orders",
    )


def detail() -> Stage:
    app, link = playing(shop_error(failing()))
    explained(link, kept_back()[1])
    link.keep(failed_log(failing()))
    link.build = answers.build(failing().build or "")
    return stage(app, "enter", shows=DetailScreen)


def board(*keys: str, shows: type[Screen[Any]], row: str = "", asked_nothing: bool = False) -> Callable[[], Stage]:
    """Return a scene of a screen that keys lead to, with the row of ``row`` selected there."""

    async def chosen(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, ControlCenter)
        if row:
            pilot.app.base_screen.query_one(Table).select(row)
            await settle(pilot)

    def made() -> Stage:
        app, link = playing(*(daily() if shows is UpcomingScreen else ()))
        link.ledger = () if asked_nothing else link.ledger
        return stage(app, *keys, shows=shows, then=chosen)

    return made


def runs() -> Stage:
    """Show a history that is long enough for what is usual; one run took three times as long."""
    app, link = playing()
    earlier = link.history[1]
    link.history += tuple(
        replace(
            earlier,
            run_id=f"{number:032x}",
            scheduled_for=before(hours=number),
            started_at=before(hours=number),
            finished_at=before(hours=number) + timedelta(seconds=4.6 if number == 35 else 1.4 + number % 3 / 10),
        )
        for number in range(34, 80)
    )
    return stage(app, "H", *"jjjjj", shows=RunsScreen)


def some_services(*keys: str, lines: int) -> Callable[[], Stage]:
    """Return a scene of services that have written something about themselves."""

    def made() -> Stage:
        parts = services(scheduler=ServiceStatus.OFFLINE, watcher=ServiceStatus.FAILED)
        link = ServedLink(snapshot(parts=parts), LinkChanged(LinkState.LIVE))
        app = center(link)

        async def read(pilot: Pilot[None]) -> None:
            await until(pilot, lambda: len(app.base_screen.query_one(LogView).buffer) == lines)

        return stage(app, "4", *keys, shows=ServicesScreen, then=read)

    return made


class ServedLink(FakeLink):
    """A link beside which there are logs of services, from when it is asked until it is closed."""

    _folder: TemporaryDirectory[str] | None = None

    async def updates(self) -> AsyncIterator[Update]:
        self._folder = TemporaryDirectory()
        self.log_folder = Path(self._folder.name)
        for service, ago, level, message in (
            ("engine", 7200.3, "INFO", "keiji 0.1.0 starts (pid 4242)"),
            ("bus", 7200.2, "INFO", "bus online at /run/user/1000/keiji"),
            ("watcher", 7200.1, "INFO", "watcher online"),
            ("scheduler", 61.0, "WARN", "everything is paused: the disk is being replaced"),
            ("watcher", 31.5, "ERROR", "watcher failed: the planner ended: ValueError: boom"),
        ):
            with (self.log_folder / f"{service}.log").open("ab") as log:
                log.write(format_line(before(seconds=ago), level, message, service=service))
        async for update in super().updates():
            yield update

    async def close(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        await super().close()
