"""What opens logs: of a task, at one of its runs, of several tasks as one, of a service; and has them followed."""

from __future__ import annotations

from functools import partial

from keiji.errors import KeijiError
from keiji.records import Run
from keiji.states import FAILURES
from keiji_tui.logs.source import MAX_RUNS
from keiji_tui.messages import LogOpened
from keiji_tui.openings import Openings
from keiji_tui.screens.log import LogScreen, MergedLogScreen, RunLogScreen
from keiji_tui.screens.runs import RunsScreen
from keiji_tui.screens.services import ServicesScreen
from keiji_tui.text.sanitise import plain

LAST, FAILED = "last", "failed"


class LogOpenings(Openings):
    """The part of the terminal that opens logs."""

    _run_asked_for: tuple[str, str] | None = None  # the task and the run that it was started with

    def on_log_opened(self, event: LogOpened) -> None:
        self._follow_logs()

    def _follow_logs(self) -> None:
        """Follow the log of every screen that shows one, on an engine that has just been joined or before."""
        for screen in self.screen_stack:
            if isinstance(screen, LogScreen) and screen.is_mounted:
                screen.follow(self._link)
        if self._run_asked_for is not None:
            asked, self._run_asked_for = self._run_asked_for, None
            self._start(partial(self._open_asked, *asked))

    def _do_logs(self) -> None:
        marked = {slug: self.store.tasks[slug].name for slug in self.store.marks}
        if len(marked) > 1 and self.board is self._tasks_screen:
            self.push_screen(MergedLogScreen(self.store, self._home, readonly=self._readonly, tasks=marked))
        elif not isinstance(self.board, MergedLogScreen):
            self._to_tasks()
            self._tasks_screen.open_log()

    def _do_service_log(self) -> None:
        if isinstance(self.board, ServicesScreen):
            self.board.open_log()

    def _do_engine_log(self) -> None:
        if isinstance(self.board, ServicesScreen):
            self.board.all_logs()

    def _do_run_log(self) -> None:
        board = self.board
        run = board.run if isinstance(board, RunsScreen) else None
        if run is None:
            self.notify("no run is selected", severity="warning", markup=False)
        else:
            self._open_log(run)

    def _open_log(self, run: Run) -> None:
        self.push_screen(RunLogScreen(self.store, self._home, readonly=self._readonly, run=run))

    async def _open_asked(self, name: str, wanted: str) -> None:
        slug = next((slug for slug, task in self.store.tasks.items() if name in (slug, task.name)), None)
        if slug is None:
            return  # which the list of tasks says
        try:
            runs = await self._link.runs(slug, MAX_RUNS)
        except KeijiError as error:
            self.notify(plain(error.message), severity="error", markup=False)
            return
        run = _chosen(runs, wanted)
        if run is None:
            self.notify(f"{plain(name)} has no run {plain(wanted)}", severity="warning", markup=False)
        else:
            self._open_log(run)


def _chosen(runs: tuple[Run, ...], wanted: str) -> Run | None:
    """Return the run of an id, or of the beginning of one; or the last one that began, or failed."""
    if wanted in (LAST, FAILED):
        began = (run for run in runs if run.started_at is not None)
        return next((run for run in began if wanted == LAST or run.state in FAILURES), None)
    return next((run for run in runs if run.run_id.startswith(wanted.lower())), None)
