"""What keys do with lists: their filters, the order of tasks, marks, copying, and one directive for several tasks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from textual.app import App
from textual.theme import ThemeProvider

from keiji.errors import KeijiError
from keiji_tui.actions import bulk
from keiji_tui.actions.action import Action, ActionContext
from keiji_tui.part import Part
from keiji_tui.screens.confirm import ConfirmScreen
from keiji_tui.screens.list import ListScreen
from keiji_tui.screens.new_task import NewTaskScreen
from keiji_tui.screens.palette import Palette
from keiji_tui.state.draft import Draft
from keiji_tui.text.sanitise import plain
from keiji_tui.toasts import Toasts


class ListKeys(Toasts, Part):
    """The part of the terminal that filters, sorts, marks and copies."""

    _draft = Draft()
    _now: Callable[[], datetime]
    _edit: Callable[[App[None], Path], None]

    # ── the file of a task, colours, a new task ──────────────────────────────────────────────────────────────────────

    def _do_edit(self) -> None:
        task = self.board.subject
        if task is None:
            return
        try:
            self._edit(self, Path(task.source_path) / "function.py")
        except KeijiError as error:
            self._errands.report_error(error.message, error.hint)

    def _do_theme(self) -> None:
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(providers=[ThemeProvider], placeholder="the name of a theme …"))

    def _do_new_task(self) -> None:
        def make(screen: NewTaskScreen, draft: Draft) -> None:
            def created(slug: str) -> None:
                self._tasks_screen.await_task(slug)
                screen.made()

            self._start(partial(self._errands.create_task, draft, on_created=created, on_error=screen.failed))

        def closed(draft: Draft | None) -> None:
            self._draft = draft or Draft()

        self.push_screen(NewTaskScreen(self.store, self._now, self._draft, make), closed)

    # ── several tasks ────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask_together(self, action: Action, action_context: ActionContext) -> None:
        plan = bulk.plan(action, action_context, self._tasks_screen.subjects)
        if not plan.steps:
            self._refuse(action, plan.left_out[0][1])
            return

        def answered(is_yes: bool | None) -> None:
            if is_yes:
                self._errands.mark_sent(*(directive for directive, _ in plan.steps))
                self._start(partial(self._errands.send_all, plan))

        self.push_screen(ConfirmScreen(bulk.question(plan)), answered)

    def _refuse(self, action: Action, reason: str) -> None:
        self.refuse(action.label, plain(reason))

    # ── filters ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _do_filter(self) -> None:
        board = self.board
        if isinstance(board, ListScreen):
            board.open_filter()
        else:
            self._to_tasks()
            self._tasks_screen.open_filter()

    def _do_runs_kind(self) -> None:
        self._next_kind()

    def _do_ledger_kind(self) -> None:
        self._next_kind()

    def _next_kind(self) -> None:
        if isinstance(self.board, ListScreen):
            self.board.next_kind()

    # ── order, marks, copies ─────────────────────────────────────────────────────────────────────────────────────────

    def _do_status(self) -> None:
        self.store.index.next_status(self.store.tasks.values())
        self._paint()

    def _do_sort(self) -> None:
        self.store.index.next_sort()
        self._paint()

    def _do_reverse(self) -> None:
        self.store.index.sort_by(self.store.index.sort)
        self._paint()

    def _do_mark(self) -> None:
        self._tasks_screen.mark()

    def _do_copy(self) -> None:
        self._copy(bulk.names_of(self._tasks_screen.subjects))

    def _do_copy_command(self) -> None:
        self._copy(bulk.commands_of(self._tasks_screen.subjects))

    def _do_copy_run(self) -> None:
        self._copy_selected()

    def _do_copy_directive(self) -> None:
        self._copy_selected()

    def _do_copy_due(self) -> None:
        self._copy_selected()

    def _copy_selected(self) -> None:
        if isinstance(self.board, ListScreen):
            self._copy("\n".join(self.board.copied()))

    def _copy(self, text: str) -> None:
        if not text:
            self.notify("nothing to copy", severity="warning", timeout=3, markup=False)
            return
        self.copy_to_clipboard(text)
        lines = text.splitlines()
        more = f" and {len(lines) - 1:,} more" if len(lines) > 1 else ""
        self.notify(f"copied: {plain(lines[0])}{more}", timeout=3, markup=False)
