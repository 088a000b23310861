"""Makes the pictures of the documentation: the control center itself, on a real engine with the tasks of the demo.

``make pictures`` runs it. It takes half a minute, since what it shows has to happen first.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from keiji import daemon
from keiji.paths import Paths
from keiji_cli import demo, services
from keiji_tui.app import ControlCenter
from keiji_tui.link.bus import BusLink

PICTURES = Path(__file__).parent / "pictures"
LIMIT = 60.0
_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # fonts from elsewhere: a picture must not fetch anything


async def picture(
    paths: Paths, name: str, size: tuple[int, int], *keys: str, until: Callable[[ControlCenter], bool]
) -> None:
    """Run the control center, press ``keys``, wait for ``until``, and save what it shows."""
    app = ControlCenter(BusLink(paths), home=str(paths.data.parent), task="nightly_backup")
    async with app.run_test(size=size) as pilot:
        await _wait(pilot.pause, lambda: until(app))
        await pilot.press(*keys)
        await pilot.pause(1.0)
        drawn = _FONT_FACE.sub("", app.export_screenshot(title="keiji-tui"))
        (PICTURES / f"{name}.svg").write_text(drawn.rstrip() + "\n")
        print(f"{PICTURES / name}.svg")


async def _wait(pause: Callable[[float], Awaitable[None]], condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the demo did not get to what the picture shows")
        await pause(0.1)


def _has_history(app: ControlCenter) -> bool:
    return sum(len(task.recent) for task in app.store.tasks.values()) > 30


def _has_ended(app: ControlCenter) -> bool:
    task = app.store.tasks.get("nightly_backup")
    return task is not None and bool(task.source_changes) and not task.is_running


async def _all(paths: Paths) -> None:
    await picture(paths, "tasks", (120, 30), until=_has_history)
    await picture(paths, "tasks-80x24", (80, 24), until=_has_history)
    await picture(paths, "help", (120, 30), "question_mark", until=_has_history)
    source = paths.source("nightly_backup") / "function.py"
    source.write_text(source.read_text() + "\n# edited\n")
    await picture(
        paths,
        "rebuild",
        (120, 30),
        until=lambda app: any(task.source_changes for task in app.store.tasks.values()),
    )
    await picture(paths, "why", (120, 36), "p", "w", until=_has_ended)  # last, for the task stays paused


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with demo.throw_away() as paths:
        demo.set_up(paths)
        daemon.start(paths)
        asyncio.run(_all(paths))
        services.end_everything(paths)


if __name__ == "__main__":
    main()
