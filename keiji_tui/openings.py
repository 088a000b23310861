"""What opens the screens that ask the engine for what they show."""

from __future__ import annotations

from functools import partial

from keiji_tui.engine.link import Link
from keiji_tui.messages import WhyOutdated
from keiji_tui.part import Part
from keiji_tui.screens.base import BaseScreen, ScreenContext
from keiji_tui.screens.build_output import BuildOutputScreen, DirectiveOutputScreen
from keiji_tui.screens.detail import DetailScreen
from keiji_tui.screens.difference import DifferenceScreen
from keiji_tui.screens.ledger import LedgerScreen
from keiji_tui.screens.loading import Outdated
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.screens.upcoming import UpcomingScreen
from keiji_tui.screens.why import WhyScreen


class Openings(Part):
    """The part of the terminal that opens screens and has them asked."""

    _link: Link
    screen_context: ScreenContext

    def on_outdated(self, event: Outdated) -> None:
        event.stop()
        self._start(partial(event.load, self._link), "asking")

    # ── what keys do ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _do_services(self) -> None:
        if not isinstance(self.board, ServicesScreen):
            self._to_tasks()
            self.push_screen(ServicesScreen(self.screen_context))

    def _do_runs(self) -> None:
        self._do_history()

    def _do_history(self) -> None:
        task = self.board.subject
        if task is not None and not isinstance(self.board, RunsScreen):
            self.push_screen(RunsScreen(self.screen_context, slug=task.slug))

    def on_runs_outdated(self) -> None:
        board = self.board
        if isinstance(board, RunsScreen):
            self._start(partial(self._errands.load_runs, board))

    def _do_why(self) -> None:
        task = self.board.subject
        if task is not None:
            self.push_screen(WhyScreen(self.store, task.slug))

    def on_why_outdated(self, _: WhyOutdated) -> None:
        if isinstance(self.screen, WhyScreen):
            self._start(partial(self._errands.explain, self.screen))

    def _do_ledger(self) -> None:
        if not isinstance(self.board, LedgerScreen):
            self._to_tasks()
            self.push_screen(LedgerScreen(self.screen_context))

    def _do_upcoming(self) -> None:
        if not isinstance(self.board, UpcomingScreen):
            self._to_tasks()
            self.push_screen(UpcomingScreen(self.screen_context))

    def _do_detail(self) -> None:
        self._open_about_task(DetailScreen)

    def _do_difference(self) -> None:
        self._open_about_task(DifferenceScreen)

    def _open_about_task(self, kind: type[DetailScreen] | type[DifferenceScreen]) -> None:
        task = self.board.subject
        if task is None or isinstance(self.board, kind):
            return
        below = next((s for s in self.screen_stack if isinstance(s, kind)), None)
        while below is not None and below in self.screen_stack:
            self.pop_screen()  # going round from one to the other must not pile them up
        self.push_screen(kind(self.screen_context, slug=task.slug))

    def _do_said(self) -> None:
        board = self.board
        if isinstance(board, LedgerScreen) and board.entry is not None:
            self.push_screen(DirectiveOutputScreen(self.store, board.entry.id))

    def _do_output(self) -> None:
        task = self.board.subject
        if task is not None:
            self.push_screen(BuildOutputScreen(self.store, task.slug))

    def show_failed_build(self, slug: str) -> bool:
        """Show what a build said that failed; return False where somebody is about something else."""
        if not isinstance(self.screen, BaseScreen):
            return False
        self.push_screen(BuildOutputScreen(self.store, slug))
        return True
