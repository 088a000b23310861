"""Keys that somebody has bound: they work, the usual ones no longer do, and all that names keys names these."""

from __future__ import annotations

import pytest
from piloting import press, running, said, sees, text_of, verbs
from scenes import live, task
from waiting import until

from keiji_engine.bus.protocol import Disable, RunTask
from keiji_engine.bus.views import LinkState
from keiji_tui.actions import action, catalog
from keiji_tui.actions.key_conflicts import rebound
from keiji_tui.cli import read
from keiji_tui.screens.help import HelpScreen
from keiji_tui.screens.services import ServicesScreen

KEYS = rebound("toggle = t, f5\nrun = e\nstart-engine = v\nfollow = F\nfilter = ctrl+f\ndown = n").keys


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
        assert app.board.subject == app.store.tasks["a"]
        await press(pilot, "n")
        await until(pilot, lambda: app.board.subject == app.store.tasks["b"])
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
        await until(pilot, lambda: any("t enables it again" in text for text in said(app)))
        link.die()
        await until(pilot, sees(app, "v starts it"))
        await press(pilot, "v")
        await until(pilot, lambda: link.starts == 1)


async def test_who_shares_a_key_with_one_that_has_moved_keeps_it() -> None:
    app, link = live(task("a"), keys=rebound("start-service = a").keys)
    async with running(app) as pilot:
        await press(pilot, "4")
        await until(pilot, lambda: isinstance(app.screen, ServicesScreen))
        link.die()
        await until(pilot, lambda: app.store.link is LinkState.OFFLINE)
        await press(pilot, "s")
        await until(pilot, lambda: link.starts == 1)


async def test_what_is_wrong_with_the_file_is_told_at_the_start() -> None:
    found = rebound("toggle = [/b]\nrun = ctrl+m")
    app, _ = live(task("a"), keys=found.keys, complaints=found.complaints)
    async with running(app) as pilot:
        await until(pilot, lambda: said(app))
        [message] = said(app)
        assert message.splitlines() == list(found.complaints)
        assert message.startswith("keys.conf, line 1: there is no key [/b]\n")
        await until(pilot, sees(app, "there is no key [/b]"))


async def test_the_next_terminal_has_the_usual_keys() -> None:
    live(task("a"), keys=KEYS)
    app, link = live(task("a"))
    assert catalog.BY_ID["toggle"].keys == ("e",)
    async with running(app) as pilot:
        await press(pilot, "e")
        await until(pilot, lambda: verbs(link) == [Disable])


def test_all_keys_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    action.bind({})
    with pytest.raises(SystemExit) as ended:
        read(["--keys"])
    assert ended.value.code == 0
    assert "toggle     = e\n" in capsys.readouterr().out
