"""No key that is pressed in a log ends the program, whatever the log and the engine do at the same time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from log_scenes import LogLink, log_lines
from scenes import center, snapshot, task
from textual import events
from waiting import until

from keiji_tui.actions.action import Scope
from keiji_tui.actions.catalog import actions_in

TYPED = ("enter", "escape", "escape", "a", "1", "(", "!", "backspace", "tab", "l", "H")
KEYS = [*sorted({key for action in actions_in(Scope.LOG) for key in action.keys}), *TYPED]


@pytest.mark.parametrize("seed", [1, 2])
async def test_any_key_in_a_log(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chance = random.Random(seed)
    link = LogLink(log_lines(0, 5_000))
    app = center(link)

    def prune() -> None:
        link.oldest["a"] = link.files["a"].find(b"\n", len(link.files["a"]) // 2) + 1

    events_of_engine = [
        lambda: link.append(log_lines(0, 3_000)),
        lambda: link.append(log_lines(0, 10), is_pushed=False),
        link.delete_log,
        prune,
        link.die,
        lambda: link.come_back(snapshot([task("a")], boot="boot-2")),
    ]
    async with app.run_test(size=chance.choice([(80, 24), (40, 10)]), notifications=True) as pilot:
        await until(pilot, lambda: app.is_ready and app.base_screen.selected_task)
        driver = app._driver
        assert driver is not None
        await pilot.press("l")
        for _ in range(100):
            key = chance.choice(KEYS)
            driver.send_message(events.Key(key, key if len(key) == 1 else None))
            if chance.random() < 0.1:
                chance.choice(events_of_engine)()
            await asyncio.sleep(0 if chance.random() < 0.5 else 0.01)
        await pilot.pause()
        assert app._exception is None
        assert not [note for note in app._notifications if note.severity == "error"]
        assert app.screen_stack
