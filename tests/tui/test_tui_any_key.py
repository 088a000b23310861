"""Nothing that a person can press ends the program: every key, on every screen, in every state of the link."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from answers import backfill, backfill_plan, backfills, day, differing, ledger
from fake_link import FakeLink
from piloting import log, settle, table
from scenes import PAUSE, center, engine, kept_back, live, snapshot, task, tasks
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from waiting import eventually, until

from keiji_engine.bus.protocol import BackfillChanged, EngineChanged, TaskChanged, TaskRemoved
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.actions.catalog import ACTIONS
from keiji_tui.app import ControlCenter
from keiji_tui.screens.backfill_form import BackfillFormScreen
from keiji_tui.screens.backfills import BackfillsScreen
from keiji_tui.screens.build_output import BuildOutputScreen, DirectiveOutputScreen
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.dialogs import ConfirmScreen, ReasonScreen
from keiji_tui.screens.difference import DifferenceScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.log import MergedLogScreen, RunLogScreen
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.screens.palette import Palette
from keiji_tui.screens.run_form import RunFormScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.screens.tasks import TasksScreen
from keiji_tui.screens.upcoming import UpcomingScreen
from keiji_tui.screens.why import WhyScreen

# By default, a third of the keys on each screen, each in one state of the link. All keys in all states:
# KEIJI_EXAMPLES=4 python -m pytest tests/tui/test_tui_any_key.py -o timeout=0; a multiple repeats them.
TIMES = float(os.environ.get("KEIJI_EXAMPLES", "1")) / 4
LEAVING = {"q", "ctrl+q"}
TYPED = ("y", "n", "a", "(", "!", "1", "shift+tab", "backspace", "delete", "ctrl+c", "ctrl+a", "f1", "é")
KEYS = sorted({key for action in ACTIONS for key in action.keys} - LEAVING | set(TYPED))


def sample(chance: random.Random) -> list[str]:
    """Return a third of the keys, in any order. An action with several keys counts as one."""
    keys = {chance.choice([*(key for key in action.keys if key not in LEAVING), "escape"]) for action in ACTIONS}
    every = sorted(keys | set(TYPED))
    return chance.sample(every, len(every) // 3)


SCREENS: dict[str, tuple[tuple[str, ...], type[Screen[None]]]] = {
    "tasks": ((), TasksScreen),
    "filter": (("slash",), TasksScreen),
    "marks": (("space", "space"), TasksScreen),
    "log": (("l",), TasksScreen),
    "find": (("l", "slash"), TasksScreen),
    "save": (("l", "ctrl+s"), TasksScreen),
    "logs": (("space", "space", "l"), MergedLogScreen),
    "detail": (("enter",), DetailScreen),
    "runs": (("H",), RunsScreen),
    "run": (("H", "j", "enter"), RunLogScreen),
    "why": (("w",), WhyScreen),
    "difference": (("d",), DifferenceScreen),
    "output": (("B",), BuildOutputScreen),
    "services": (("4",), ServicesScreen),
    "ledger": (("5",), LedgerScreen),
    "said": (("5", "j", "enter"), DirectiveOutputScreen),
    "upcoming": (("6",), UpcomingScreen),
    "backfills": (("7",), BackfillsScreen),
    "backfill": (("F",), BackfillFormScreen),
    "run form": (("j", "r"), RunFormScreen),
    "help": (("question_mark",), HelpScreen),
    "palette": (("colon",), Palette),
    "themes": (("T",), Palette),
    "new": (("N",), NewTaskScreen),
    "reason": (("P",), ReasonScreen),
    "stop": (("R",), ConfirmScreen),
    "delete": (("D",), ConfirmScreen),
}


class Person:
    """Somebody at a terminal that is in one state of its link."""

    def __init__(self, app: ControlCenter, link: FakeLink, pilot: Pilot[None]) -> None:
        self.app, self.link, self._pilot = app, link, pilot

    def send(self, key: str) -> None:
        """Press a key and wait for nothing."""
        driver = self.app._driver
        assert driver is not None
        driver.send_message(events.Key(key, key if len(key) == 1 else None))

    async def press(self, key: str) -> None:
        """Press a key, and wait until it has had its effect."""
        self.send(key)
        await settle(self._pilot)
        assert self.app._exception is None

    async def be(self, state: LinkState) -> None:
        """Have the link in a state."""
        if state is LinkState.LIVE:
            self.link.come_back(snapshot(tasks()))
        elif state is LinkState.OFFLINE:
            self.link.die()
        else:
            self.link.tell(LinkChanged(state, "late"))
        await self.until(lambda: self.app.store.link is state)

    async def until(self, condition: Callable[[], object]) -> None:
        await eventually(condition, f"{self.app.screen} {self.app.focused}")

    async def open(self, keys: tuple[str, ...], screen: type[Screen[None]]) -> None:
        """Go to a screen from wherever this is; what an earlier key still brings about may come in between."""
        for _ in range(5):
            await self._begin()
            for key in keys:
                await settle(self._pilot)
                if isinstance(self.app.screen, RunsScreen | LedgerScreen):
                    await self.until(lambda: self.app.screen.is_mounted and table(self.app).selected)
                await self.press(key)
            await settle(self._pilot)
            if type(self.app.screen) is screen and self.app.screen.is_mounted:
                return
        raise AssertionError(f"{screen} does not open: {self.app.screen}")

    async def _begin(self) -> None:
        """Be at the tasks, as if nothing had been pressed."""
        app, tasks = self.app, self.app.tasks_screen
        await self.be(LinkState.LIVE)
        while app.screen is not tasks:
            if app.screen.is_mounted:
                app.screen.dismiss()
            await settle(self._pilot)
        tasks.remove_class("-zoom-log", "-zoom-table")
        tasks.log_pane.prompt.close()
        app.store.clear_marks()
        tasks.drop_filter()
        tasks.set_focus(tasks.table)
        tasks.table.select("ping_google")


async def everything_on(
    opening: tuple[str, ...], screen: type[Screen[None]], person: Person, chance: random.Random
) -> None:
    """Press the keys on one screen."""
    app = person.app
    states = list(LinkState)
    few = sample(chance)
    for number, state in enumerate(states):
        keys = KEYS * round(TIMES) if TIMES >= 1 else few[number :: len(states)]
        chance.shuffle(keys)
        is_open = False
        for key in keys:
            if not is_open:
                await person.open(opening, screen)
                await person.be(state)
            await person.press(key)
            if not app.is_running:  # the palette has "quit", too
                return
            is_open = type(app.screen) is screen


@pytest.mark.parametrize("name", SCREENS)
async def test_every_key_on_every_screen_leaves_it_running(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the keys may well save something
    chance = random.Random(name)
    app, link = live(task="ping_google")
    link.ledger, link.differing, link.day = ledger(), differing(), day()
    link.known_backfills, link.plan = backfills(), backfill_plan()
    async with app.run_test(size=chance.choice([(80, 24), (40, 12)]), notifications=True) as pilot:
        await until(pilot, lambda: app.is_ready and app.base_screen.selected_task and log(app).visible_lines)
        await everything_on(*SCREENS[name], Person(app, link, pilot), chance)
        if app.is_running:
            await settle(pilot)
        assert app._exception is None
        assert app.return_code in (None, 0)


def disturb(chance: random.Random, link: FakeLink, number: int) -> None:
    """Let the engine do something, or nothing."""
    slug = chance.choice(["ping_google", "report", "zz"])
    deeds = [
        lambda: link.tell(LinkChanged(LinkState.STALE, "late")),
        link.die,
        lambda: link.come_back(snapshot(tasks(), boot=f"boot-{number}")),
        lambda: link.come_back(snapshot([], boot=f"boot-{number}")),
        lambda: link.happen(TaskRemoved(slug=slug)),
        lambda: link.happen(BackfillChanged(backfill=backfill(number, task=slug))),
        lambda: link.happen(EngineChanged(engine=engine(pause=chance.choice([None, PAUSE])))),
        lambda: link.happen(TaskChanged(task=chance.choice(kept_back()))),
        lambda: link.happen(TaskChanged(task=task(slug, source_changes=chance.choice([(), ("a.py",)])))),
    ]
    if chance.random() < 0.2:
        chance.choice(deeds)()


@pytest.mark.parametrize("seed", range(max(1, round(TIMES * 4))))
async def test_keys_in_any_order_while_the_engine_does_anything(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    chance = random.Random(seed)
    app, link = live()
    link.ledger, link.differing, link.day = ledger(), differing(), day()
    link.known_backfills, link.plan = backfills(), backfill_plan()
    async with app.run_test(size=chance.choice([(80, 24), (40, 10)]), notifications=True) as pilot:
        await until(pilot, lambda: app.is_ready and app.base_screen.selected_task)
        person = Person(app, link, pilot)
        for number in range(200):
            person.send(chance.choice([*KEYS, "escape", "escape"]))
            disturb(chance, link, number)
            await asyncio.sleep(0 if chance.random() < 0.7 else 0.01)
        await settle(pilot)
        assert app._exception is None
        # Only the palette's own "quit" ends it; a screen that still has something on it was not closed by accident.
        assert app.return_code in (None, 0)
        assert app.screen_stack


@pytest.mark.parametrize("state", [None, LinkState.OFFLINE])
async def test_every_key_where_there_is_no_task_or_no_engine(state: LinkState | None, tmp_path: Path) -> None:
    link = FakeLink(snapshot([]), LinkChanged(LinkState.LIVE)) if state is None else FakeLink(LinkChanged(state))
    app = center(link)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: app.is_ready)
        person = Person(app, link, pilot)
        for key in random.Random(1).sample(KEYS, len(KEYS)):
            await person.press(key)
