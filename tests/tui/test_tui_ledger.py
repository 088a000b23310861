"""The ledger, and what was said of a directive or a build until it is closed."""

from __future__ import annotations

from answers import BUILT, FAILURE, ledger
from fake_link import FakeLink
from piloting import choose, press, running, said, sees, table, text_of, verbs
from scenes import NOW, center, live, snapshot, task, tasks
from waiting import until

from keiji.errors import BuildFailed, EngineOffline
from keiji_engine.bus.protocol import BuildTask, Directive, DirectiveChanged
from keiji_engine.bus.views import DirectiveView, LinkChanged, LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.screens.build_output import BuildOutputScreen, DirectiveOutputScreen
from keiji_tui.screens.dialogs import ConfirmScreen
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.tasks import TasksScreen


def told(*some: object, **options: object) -> tuple[ControlCenter, FakeLink]:
    app, link = live(*some, **options)  # type: ignore[arg-type]
    link.ledger = ledger()
    return app, link


async def test_the_ledger_has_who_asked_for_what_and_what_became_of_it() -> None:
    app, _ = told()
    async with running(app, (140, 30)) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: isinstance(app.screen, LedgerScreen))
        await until(pilot, sees(app, "9 directives", "build report", "refused", "USER", "lost"))
        shown = text_of(app)
        assert "keiji task build report" in shown
        assert "function.py, line 3: invalid syntax" in shown
        assert "Sun 14:51" in shown
        await until(pilot, lambda: app.focused is table(app))
        table(app).select("directive-30")
        await until(
            pilot,
            sees(
                app,
                "by deploy (sudo from ada, as claimed) via keiji-tui, done after 0.01s",
                "$ keiji system restart --scheduler",
            ),
        )


async def test_the_selected_directive_is_written_out_and_enter_shows_all_of_it() -> None:
    app, _ = told()
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "5")
        await until(pilot, lambda: table(app).selected)
        table(app).select("directive-1")
        await until(pilot, sees(app, "refused after 1.4s", *FAILURE, "$ keiji task build report"))
        table(app).select("directive-3")
        await until(pilot, sees(app, "enter shows all"))
        assert BUILT[-1][:30] not in text_of(app)
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, DirectiveOutputScreen))
        await until(pilot, sees(app, "build ping_google done", BUILT[0], BUILT[-1][:30], "requested by keiji"))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, LedgerScreen))
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))


async def test_what_is_done_here_is_sent_at_once_and_then_moves_on() -> None:
    app, link = live(task("ping"))
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "e", "5")
        await until(pilot, sees(app, "disable ping", "sent; the engine has not answered yet"))
        directive = link.sent[0]
        changed = DirectiveChanged(
            directive=directive.id, verb="disable", target="ping", stage="accepted", sender="keiji-tui"
        )
        link.happen(changed)
        await until(pilot, sees(app, "accepted, in progress"))
        link.lines = ("disabled task ping",)
        link.hold.set()
        await until(pilot, sees(app, "done after", "disabled task ping", "$ keiji task disable ping"))
        assert len(app.store.ledger.entries) == 1


async def test_what_others_do_comes_as_it_happens_and_the_selection_stays() -> None:
    app, link = told()
    async with running(app) as pilot:
        await press(pilot, "5")
        await until(pilot, sees(app, "9 directives"))
        await until(pilot, lambda: app.focused is table(app))
        await press(pilot, "j", "j")
        await until(pilot, lambda: table(app).selected == "directive-2")
        link.happen(
            DirectiveChanged(
                directive="new", verb="delete", target="[/b]", stage="done", sender="somebody [x]", lines=("gone [/b]",)
            )
        )
        await until(pilot, sees(app, "10 directives", "delete [/b]", "somebody [x]", "gone [/b]"))
        assert table(app).selected == "directive-2"


async def test_an_empty_ledger_says_how_something_gets_into_it() -> None:
    app, link = live(task("ping"))
    async with running(app) as pilot:
        await press(pilot, "5")
        await until(pilot, sees(app, "There are no directives yet.", "to show the tasks, then"))
        link.happen(DirectiveChanged(directive="new", verb="run", target="ping", stage="done"))
        await until(pilot, sees(app, "run ping", "1 directive"))
        await until(pilot, lambda: app.focused is table(app))


async def test_the_ledger_stays_while_the_engine_is_away_and_is_asked_for_again() -> None:
    app, link = told()
    async with running(app) as pilot:
        await press(pilot, "5")
        await until(pilot, sees(app, "9 directives"))
        link.tell(LinkChanged(LinkState.STALE, "late"))
        await until(pilot, sees(app, "last known state", "build report"))
        link.die()
        await until(pilot, sees(app, "engine offline", "last known state", "build report"))
        assert app.base_screen.has_class("stale")
        link.ledger = (
            DirectiveView(id="newer", verb="run", target="x", sender="y", stage="done", received_at=NOW),
            *ledger(),
        )  # fmt: skip
        link.come_back(snapshot(tasks(), boot="boot-2"))
        await until(pilot, sees(app, "10 directives"))


async def test_without_an_engine_ever_the_ledger_says_that_it_is_not_known() -> None:
    app = center(FakeLink(LinkChanged(LinkState.OFFLINE, "no engine is running")))
    async with running(app) as pilot:
        await press(pilot, "5")
        await until(pilot, sees(app, "unavailable while the engine is not responding"))


async def test_what_nobody_answered_is_marked_so() -> None:
    app, link = live(task("ping"))

    def gone(directive: Directive) -> EngineOffline:
        return EngineOffline(hint="keiji system start starts it")

    link.answer = gone
    async with running(app) as pilot:
        await press(pilot, "e", "5")
        await until(pilot, sees(app, "unanswered", "sent, but the engine did not answer"))


# ── what a build said ────────────────────────────────────────────────────────────────────────────────────────────────


def fails(directive: Directive) -> BuildFailed | None:
    return BuildFailed("\n".join(FAILURE[:-1]), hint=FAILURE[-1]) if isinstance(directive, BuildTask) else None


async def test_a_failed_build_is_shown_at_once_and_stays_until_it_is_closed() -> None:
    app, link = live(task("ping [/b]", slug="ping"))
    link.answer = fails
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "b")
        await until(pilot, lambda: isinstance(app.screen, BuildOutputScreen))
        await until(pilot, sees(app, "build of ping [/b] ✗ failed", *FAILURE, "$ keiji task build ping"))
        assert not said(app)
        await press(pilot, "escape")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))
        await press(pilot, "B")
        await until(pilot, sees(app, "✗ failed", FAILURE[0]))


async def test_a_failed_build_does_not_push_itself_over_a_question() -> None:
    app, link = live(task("ping"))
    link.answer = fails
    link.hold.clear()
    async with running(app) as pilot:
        await press(pilot, "b", "R")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen))
        link.hold.set()
        await until(pilot, lambda: said(app))
        assert isinstance(app.screen, ConfirmScreen)
        assert said(app)[0].startswith("ping: function.py, line 3: invalid syntax")
        assert said(app)[0].endswith("press B for the full build output")


async def test_a_build_that_went_well_is_told_in_a_line_and_shown_on_demand() -> None:
    app, link = live(task("ping"))
    link.lines = BUILT
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "b")
        await until(pilot, lambda: said(app))
        assert isinstance(app.screen, TasksScreen)
        await press(pilot, "B")
        await until(pilot, sees(app, "build of ping succeeded", *BUILT[:3], "$ keiji task build ping"))


async def test_a_build_from_before_is_taken_from_the_ledger() -> None:
    app, link = told(task="ping_google")
    async with running(app, (80, 24)) as pilot:
        await press(pilot, "B")
        await until(pilot, sees(app, "build of ping_google succeeded", BUILT[0]))
        await press(pilot, "B")
        await until(pilot, lambda: isinstance(app.screen, TasksScreen))
        await choose(pilot, app, "backup")
        await press(pilot, "B")
        await until(pilot, sees(app, "The ledger contains no build of this task.", "Press b to build it"))
        await press(pilot, "escape")
        link.die()
        await until(pilot, sees(app, "engine offline"))
        await press(pilot, "B")
        await until(pilot, sees(app, "unavailable while the engine is not responding"))
        assert not verbs(link)
