"""Generates the pictures of the documentation: the control center with a real engine and the tasks of the demo.

Usage: make pictures. It takes a minute or two, because the tasks have to run first.
"""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from textual.widgets import Input

from keiji import engine_process
from keiji.paths import Paths
from keiji.settings import template
from keiji_cli import client, demo, services
from keiji_engine.bus.protocol import BuildTask, Create, RunTask
from keiji_tui.app import ControlCenter
from keiji_tui.engine.bus_link import BusLink

PICTURES = Path(__file__).parent / "pictures"
LIMIT = 60.0
ZONE = "Africa/Nairobi"
WIDE, NARROW = (120, 30), (80, 24)
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # web fonts: a picture must not fetch anything
_OWN_NAMES = re.compile(r"terminal-\d+")  # unique prefixes, needed only for inline SVG
# Tasks for the picture of the next 24 hours: few of the demo's are due at times of day.
_DAILY = {
    "clean caches": 'on.day.at("22:00")',
    "mail digest": "every(3).hours",
    "rotate keys": 'on.day.at("22:00")',
    "send invoices": 'on.day.at("6:00", "18:00")',
}
_FAILING = "def function():\n    print('nothing left to clean'\n"
_NEW_TASK = {
    "name": "water plants",
    "description": "opens the valve for a minute",
    "schedule": 'on.weekdays.at("6:00", "18:00")',
}

Steps = Callable[[ControlCenter, "Press"], Awaitable[None]]


class Press:
    """Presses keys and waits for text on the screen."""

    def __init__(self, app: ControlCenter, press: Callable[..., Awaitable[None]]) -> None:
        self._app = app
        self._press = press

    async def __call__(self, *keys: str, sees: str = "") -> None:
        await self._press(*keys)
        await until(lambda: sees in text_of(self._app), sees)

    async def fill(self, text: str, field: str = "Input") -> None:
        """Set the text of an input field."""
        self._app.screen.query_one(field, Input).value = text


def text_of(app: ControlCenter) -> str:
    """Return the text on the screen."""
    return html.unescape(re.sub(r"<[^>]*>", "", app.export_screenshot())).replace("\xa0", " ")


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until ``condition`` holds. Raises TimeoutError, which names ``what`` was expected."""
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not on the screen after {LIMIT:g} s: {what!r}")
        await asyncio.sleep(0.1)


async def save_picture(
    paths: Paths,
    name: str,
    size: tuple[int, int] = WIDE,
    *keys: str,
    sees: str = "",
    steps: Steps | None = None,
    task: str = "nightly_backup",
    theme: str = "",
    ready: Callable[[ControlCenter], bool] | None = None,
) -> None:
    """Run the control center, press ``keys``, perform ``steps``, wait until it ``sees`` a text, and save a screenshot.

    Args:
        task: the task to select.
        ready: returns whether the control center has received the data that the picture shows.
    """
    app = ControlCenter(BusLink(paths), home=str(paths.data), task=task, theme=theme)
    async with app.run_test(size=size) as pilot:
        press = Press(app, pilot.press)
        await until(lambda: (ready or _has_history)(app), name)
        await until(lambda: app.tasks_screen.table.selected == task, task)
        await press(*keys)
        if steps is not None:
            await steps(app, press)
        await press(sees=sees)
        await pilot.pause(0.5)
        image = _OWN_NAMES.sub("t", _FONT_FACE.sub("", app.export_screenshot(title="keiji-tui", simplify=True)))
    if paths.data.name in image:
        raise ValueError(f"{name} contains the path of the temporary folder")
    (PICTURES / f"{name}.svg").write_text("\n".join(line.rstrip() for line in image.strip().splitlines()) + "\n")
    print(f"{PICTURES / name}.svg")


def _has_history(app: ControlCenter) -> bool:
    return sum(len(task.recent) for task in app.store.tasks.values()) > 30


def _has_failed(app: ControlCenter) -> bool:
    task = app.store.tasks.get("flaky_upload")
    return task is not None and len(task.recent) > 6


def _has_ended(app: ControlCenter) -> bool:
    task = app.store.tasks.get("nightly_backup")
    return task is not None and bool(task.source_changes) and not task.is_running


async def _find(_: ControlCenter, press: Press) -> None:
    """Filter out the lines of tracebacks, which contain paths, and search the others."""
    await press("l", sees="following")
    for key, expression in (("ampersand", "!File|Trace|~~"), ("slash", r"try again \w+")):
        await press(key)
        await press.fill(expression, "LogPrompt Input")
        await press("enter", sees=expression.removeprefix("!"))
    await press("N", sees="f follows")


async def _fill_in_new_task(_: ControlCenter, press: Press) -> None:
    await press("N", sees="New task")
    for field, text in _NEW_TASK.items():
        await press.fill(text, f"#{field}")


async def _fail_build(_: ControlCenter, press: Press) -> None:
    """Let a build fail, so that the ledger contains a refused directive, and open the ledger."""
    await press("b", sees="esc closes")
    await press("escape", "5", sees="directives")
    await press(sees="refused")


async def _save_all(paths: Paths) -> None:
    await save_picture(paths, "tasks")
    await save_picture(paths, "tasks-80x24", NARROW)
    await save_picture(paths, "tasks-light", (100, 20), theme="keiji-light")
    await save_picture(paths, "help", WIDE, "question_mark", sees="esc closes")
    await save_picture(paths, "history", (100, 24), "H", sees="median", task="flaky_upload", ready=_has_failed)
    await save_picture(paths, "log", (100, 24), steps=_find, task="flaky_upload", sees="find")
    await save_picture(paths, "new-task", (100, 26), steps=_fill_in_new_task, sees="keiji task create")
    source = paths.source("nightly_backup") / "function.py"
    source.write_text(source.read_text().replace("range(1, 6)", "range(1, 9)").replace("of 5 parts", "of 8 parts"))
    await save_picture(paths, "rebuild", ready=_has_ended)
    await save_picture(paths, "difference", (100, 18), "d", sees="1 file", ready=_has_ended)
    await save_picture(paths, "detail", (100, 50), "enter", sees="Files", ready=_has_ended)
    (paths.source("old_cleanup") / "function.py").write_text(_FAILING)
    await asyncio.to_thread(client.execute, paths, RunTask(task="weekly report"))
    await save_picture(paths, "ledger", (100, 24), steps=_fail_build, task="old_cleanup", sees="never closed")
    await save_picture(
        paths, "why", (120, 36), "p", "w", sees="paused since", ready=_has_ended
    )  # the task stays paused
    for name, schedule in _DAILY.items():
        for directive in (Create(name=name, schedule=schedule), BuildTask(task=name)):
            await asyncio.to_thread(client.execute, paths, directive)
    await save_picture(paths, "next-24-hours", (100, 28), "6", "j", sees="frequent task")


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with demo.temporary_workspace() as paths:
        paths.settings.write_text(template(ZONE), encoding="utf-8")
        demo.create_tasks(paths)
        engine_process.start(paths)
        asyncio.run(_save_all(paths))
        services.stop_engine_and_runs(paths)


if __name__ == "__main__":
    main()
