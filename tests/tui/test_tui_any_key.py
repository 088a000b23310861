"""Nothing that a person can press ends the program: keys in random order while the engine comes, goes and changes."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from answers import day, differing, ledger
from fake_link import FakeLink
from scenes import PAUSE, engine, kept_back, live, snapshot, task, tasks
from textual import events
from waiting import until

from keiji_engine.bus.protocol import EngineChanged, TaskChanged, TaskRemoved
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.keymap import ACTIONS
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.screens.reason import ReasonScreen
from keiji_tui.screens.why import WhyScreen

LEAVING = {"q"}
TYPED = ("y", "n", "a", "[", "space", "shift+tab", "backspace", "escape", "escape")
KEYS = sorted({key for action in ACTIONS for key in action.keys} - LEAVING) + list(TYPED)
OPENED = {"w": WhyScreen, "P": ReasonScreen, "N": NewTaskScreen}  # from where on the keys are pressed


def disturb(chance: random.Random, link: FakeLink, number: int) -> None:
    """Let the engine do something, or nothing."""
    slug = chance.choice(["ping_google", "report", "zz"])
    deeds = [
        lambda: link.tell(LinkChanged(LinkState.STALE, "late")),
        link.die,
        lambda: link.come_back(snapshot(tasks(), boot=f"boot-{number}")),
        lambda: link.come_back(snapshot([], boot=f"boot-{number}")),
        lambda: link.happen(TaskRemoved(slug=slug)),
        lambda: link.happen(EngineChanged(engine=engine(pause=chance.choice([None, PAUSE])))),
        lambda: link.happen(TaskChanged(task=chance.choice(kept_back()))),
        lambda: link.happen(TaskChanged(task=task(slug, source_changes=chance.choice([(), ("a.py",)])))),
    ]
    if chance.random() < 0.2:
        chance.choice(deeds)()


@pytest.mark.parametrize(("seed", "first", "presses"), [(2, "w", 60), (4, "P", 40), (6, "N", 80)])
async def test_any_key_in_any_order_leaves_it_running(
    seed: int, first: str, presses: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the keys may well save something
    chance = random.Random(seed)
    app, link = live()
    link.ledger, link.differing, link.day = ledger(), differing(), day()
    async with app.run_test(size=chance.choice([(80, 24), (40, 10)]), notifications=True) as pilot:
        await until(pilot, lambda: app._is_open and app.board.subject)
        driver = app._driver
        assert driver is not None
        await pilot.press(first)
        await until(pilot, lambda: isinstance(app.screen, OPENED[first]))
        for number in range(presses):
            key = chance.choice(KEYS)
            driver.send_message(events.Key(key, key if len(key) == 1 else None))
            disturb(chance, link, number)
            await asyncio.sleep(0 if chance.random() < 0.7 else 0.01)
        await pilot.pause()
        assert app._exception is None
        # Only the palette's own "quit" ends it; a screen that still has something on it was not closed by accident.
        assert app.return_code in (None, 0)
        assert app.screen_stack
