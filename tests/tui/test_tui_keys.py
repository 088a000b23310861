"""Keys that somebody has bound: they work, the usual ones no longer do, and all that names keys names these."""

from __future__ import annotations

from pathlib import Path

import pytest
from piloting import press, running, said, sees, text_of, verbs
from scenes import live, task
from textual.widget import Widget
from waiting import until

import keiji_tui
from keiji_engine.bus.protocol import Disable, Restart, RunTask
from keiji_engine.bus.views import LinkState
from keiji_tui.actions import action, catalog
from keiji_tui.actions.action import Scope
from keiji_tui.actions.catalog import ACTIONS
from keiji_tui.actions.keys_config import parse
from keiji_tui.app import ControlCenter
from keiji_tui.cli import parse_options
from keiji_tui.logs.pane import LogPane
from keiji_tui.logs.view import LogView
from keiji_tui.screens.base import BaseScreen
from keiji_tui.screens.build_output import BuildOutputScreen
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.screens.why import WhyScreen
from keiji_tui.widgets.table import Table
from keiji_tui.widgets.text_view import TextView

KEYS = parse("toggle = t, f5\nrun = e\nstart-engine = v\nfollow = F\nfilter = ctrl+f\ndown = n").keys


async def test_bound_keys_do_what_the_usual_ones_did() -> None:
    app, link = live(task("a"), task("b"), keys=KEYS)
    async with running(app) as pilot:
        await press(pilot, "t")
        await until(pilot, lambda: verbs(link) == [Disable])
        await press(pilot, "f5")
        await until(pilot, lambda: verbs(link) == [Disable, Disable])
        await press(pilot, "e")
        await until(pilot, lambda: verbs(link)[2:] == [RunTask])
        await press(pilot, "r", "j")
        assert len(link.sent) == 3
        assert app.base_screen.selected_task == app.store.tasks["a"]
        await press(pilot, "n")
        await until(pilot, lambda: app.base_screen.selected_task == app.store.tasks["b"])
        await press(pilot, "ctrl+f", "b")
        await until(pilot, lambda: app.store.visible_slugs() == ["b"])


async def test_footer_help_palette_and_reasons_name_them() -> None:
    app, link = live(task("a"), keys=KEYS)
    async with running(app, (120, 40)) as pilot:
        await until(pilot, sees(app, "t disable", "e run", "^f filter" if "^f" in text_of(app) else "filter"))
        await press(pilot, "question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        await until(pilot, sees(app, "t f5 "))
        await press(pilot, "escape", "t")
        await until(pilot, lambda: any("press t to enable it" in text for text in said(app)))
        link.die()
        await until(pilot, sees(app, "v starts it"))
        await press(pilot, "v")
        await until(pilot, lambda: link.starts == 1)


async def test_who_shares_a_key_with_one_that_has_moved_keeps_it() -> None:
    app, link = live(task("a"), keys=parse("start-service = a").keys)
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: isinstance(app.screen, ServicesScreen))
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await press(pilot, "s")
        await until(pilot, lambda: link.starts == 1)


async def test_what_is_wrong_with_the_file_is_told_at_the_start() -> None:
    found = parse("toggle = [/b]\nrun = ctrl+m")
    app, _ = live(task("a"), keys=found.keys, config_errors=found.errors)
    async with running(app) as pilot:
        await until(pilot, lambda: said(app))
        [message] = said(app)
        assert message.splitlines() == list(found.errors)
        assert message.startswith("keys.conf, line 1: unknown key [/b]\n")
        await until(pilot, sees(app, "unknown key [/b]"))


async def test_the_next_terminal_has_the_usual_keys() -> None:
    live(task("a"), keys=KEYS)
    app, link = live(task("a"))
    assert catalog.BY_ID["toggle"].keys == ("e",)
    async with running(app) as pilot:
        await press(pilot, "e")
        await until(pilot, lambda: verbs(link) == [Disable])


async def test_the_key_that_opens_a_dialog_closes_it_also_where_it_has_been_changed() -> None:
    keys = parse("why = W\noutput = o\nhelp = h\nclose = c\nconfirm = j\ncancel = k").keys
    app, link = live(task("a"), keys=keys)
    async with running(app) as pilot:
        for key, usual, screen in (
            ("W", "w", WhyScreen),
            ("o", "B", BuildOutputScreen),
            ("h", "question_mark", HelpScreen),
        ):
            for closing in (key, "c"):
                await press(pilot, key)
                await until(pilot, lambda wanted=screen: isinstance(app.screen, wanted))
                await press(pilot, usual, "q", "escape")
                assert isinstance(app.screen, screen)
                await press(pilot, closing)
                assert app.screen is app.tasks_screen
        await press(pilot, "R")
        await until(pilot, sees(app, "k Cancel", "j Restart"))
        await press(pilot, "y", "n")
        assert not link.sent
        await press(pilot, "j")
        await until(pilot, lambda: verbs(link) == [Restart])


def test_every_binding_comes_from_the_catalog() -> None:
    folder = Path(keiji_tui.__file__).parent
    paths = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if "Binding(" in path.read_text()}
    assert paths == {"actions/bindings.py"}


WIDGETS: dict[Scope, tuple[type[Widget], ...]] = {
    Scope.LIST: (Table, TextView),
    Scope.TEXT: (TextView,),
    Scope.LOG: (LogView, LogPane),
}


def test_every_call_of_the_catalog_is_an_action() -> None:
    screens = all_subclasses(BaseScreen)
    for each in ACTIONS:
        target, dot, name = each.call.partition("(")[0].rpartition(".")
        owners = (ControlCenter,) if target == "app" else screens if dot else WIDGETS.get(each.scope, ())
        found = [owner for owner in owners if hasattr(owner, f"action_{name}")]
        is_complete = len(found) == len(owners) if each.scope is Scope.LIST and not dot else bool(found)
        assert is_complete or not owners, each


def all_subclasses(kind: type) -> tuple[type, ...]:
    """Return a class and all classes that derive from it."""
    return (kind, *(each for child in kind.__subclasses__() for each in all_subclasses(child)))


def test_fixed_keys_cannot_be_changed() -> None:
    found = parse("filter-keep = x")
    assert (found.keys, found.errors) == ({}, ("keys.conf, line 1: the keys of filter-keep are fixed",))


def test_all_keys_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    action.rebind({})
    with pytest.raises(SystemExit) as ended:
        parse_options(["--keys"])
    assert ended.value.code == 0
    assert "toggle     = e\n" in capsys.readouterr().out
