"""Pausing one task or all, and asking why a task does not run."""

from __future__ import annotations

from piloting import choose, press, resize, running, said, sees, text_of, verbs
from scenes import NOW, PAUSE, engine, explained, kept_back, live, task
from textual.containers import VerticalScroll
from textual.widgets import Input
from waiting import until

from keiji.reasons import Code, reason
from keiji.records import Pause
from keiji_engine.bus.protocol import EngineChanged, PauseSystem, PauseTask, ResumeSystem, ResumeTask, TaskChanged
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.screens.dialogs import ReasonScreen
from keiji_tui.screens.why import WhyScreen


async def test_a_task_is_paused_at_once_and_the_same_key_undoes_it() -> None:
    app, link = live(task("ping"))
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "p")
        await until(pilot, sees(app, "pausing …"))
        link.lines = ("paused task ping", "live runs continue")
        link.hold.set()
        await until(pilot, lambda: said(app))
        assert said(app) == ["ping paused – press p to resume\nlive runs continue\n$ keiji task pause ping"]
        link.happen(TaskChanged(task=task("ping", pause=Pause(since=NOW, reason="[/b] too slow"))))
        await until(pilot, sees(app, "‖  ping", "paused: [/b] too slow", "paused 1", "p resume"))
        await press(pilot, "p")
        await until(pilot, lambda: verbs(link) == [PauseTask, ResumeTask])


async def test_everything_is_paused_with_a_reason_and_every_screen_says_so() -> None:
    app, link = live(task("ping"), task("pong", is_running=True, running_since=NOW))
    async with running(app) as pilot:
        await press(pilot, "P")
        await until(pilot, lambda: isinstance(app.screen, ReasonScreen))
        await press(pilot, *"q P", "enter")
        await until(pilot, lambda: verbs(link) == [PauseSystem])
        assert isinstance(link.sent[0], PauseSystem)
        assert link.sent[0].reason == "q P"
        await until(pilot, lambda: said(app))
        assert said(app) == ["everything paused – press P to resume\n$ keiji system pause --reason='q P'"]
        link.happen(EngineChanged(engine=engine(pause=PAUSE)))
        line = "‖ everything has been paused since 13:00 by keiji: the disk is being replaced – P resumes"
        await until(pilot, sees(app, line, "every 10s  paused", "running 0s"))
        await press(pilot, "H")
        await until(pilot, sees(app, line))
        await press(pilot, "4")
        await until(pilot, sees(app, line))
        await resize(pilot, (40, 24))
        await until(pilot, sees(app, "‖ all paused: the disk is b…", "P resumes"))
        await press(pilot, "P")
        await until(pilot, lambda: verbs(link) == [PauseSystem, ResumeSystem])
        link.happen(EngineChanged(engine=engine()))
        await until(pilot, lambda: "is paused" not in text_of(app))


async def test_the_reason_may_be_empty_and_escape_or_cancel_do_nothing() -> None:
    app, link = live(task("ping"))
    async with running(app) as pilot:
        for keys, sent in ((["escape"], []), (["x", "tab", "enter"], []), (["enter"], [""])):
            await press(pilot, "P")
            await until(pilot, lambda: isinstance(app.screen, ReasonScreen) and app.screen.query_one(Input).has_focus)
            await press(pilot, *keys)
            await until(pilot, lambda: not isinstance(app.screen, ReasonScreen))
            await until(pilot, lambda wanted=sent: len(link.sent) == len(wanted))
            assert [directive.reason for directive in link.sent if isinstance(directive, PauseSystem)] == sent


async def test_why_shows_reasons_remedies_instants_and_policy() -> None:
    app, link = live(*kept_back())
    explained(link, kept_back()[1])
    async with running(app, (80, 44)) as pilot:
        await choose(pilot, app, "import_orders")
        await press(pilot, "w")
        await until(pilot, sees(app, "it is resolved; exit code 2", "$ keiji task resolve import_orders"))
        await until(pilot, sees(app, "Sun 29 Nov 2026 02:30 CET", "later (jitter)", "skipped: gap 02:30"))
        await until(pilot, sees(app, "overlap: skip · catch-up: latest · jitter: 5s"))
        link.reasons = (reason(Code.SOURCES_CHANGED, files="something else [/b]"),)
        link.happen(TaskChanged(task=task("import_orders")))
        await until(pilot, sees(app, "something else [/b]", "$ keiji task build import_orders --restart"))
        assert not link.sent


async def test_why_is_scrolled_and_closed_by_keys() -> None:
    app, link = live(*kept_back())
    explained(link, kept_back()[0])
    async with running(app, (60, 16)) as pilot:
        for key in ("escape", "q", "w"):
            await press(pilot, "w")
            await until(pilot, lambda: isinstance(app.screen, WhyScreen) and app.screen._upcoming)
            page = app.screen.query_one(VerticalScroll)
            await until(pilot, lambda page=page: page.max_scroll_y > 3)
            for move, line in (("j", 1), ("down", 2), ("k", 1)):
                await press(pilot, move)
                await until(pilot, lambda page=page, line=line: page.scroll_offset.y == line)
            await press(pilot, key)
            await until(pilot, lambda: not isinstance(app.screen, WhyScreen))
        assert app.is_running


async def test_why_is_told_from_what_is_known_while_the_engine_is_away() -> None:
    app, link = live(*kept_back())
    explained(link, kept_back()[0])
    async with running(app, (80, 44)) as pilot:
        await press(pilot, "w")
        await until(pilot, sees(app, "Sun 29 Nov 2026"))
        link.tell(LinkChanged(LinkState.STALE, "late"))
        await until(pilot, sees(app, "! the engine is not responding", "unavailable while the engine"))
        assert "nothing runs" not in text_of(app)
        link.die()
        await until(pilot, sees(app, "! the engine is offline", "• the engine is offline: nothing runs"))
        assert "$ keiji system start" in text_of(app)
        assert "paused since" in text_of(app)
