"""The form that starts a backfill, with the number of instants that it would run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from textual.content import Content
from textual.timer import Timer

from keiji.errors import KeijiError
from keiji_engine.bus.protocol import BackfillPlan, Directive
from keiji_engine.bus.views import TaskView
from keiji_tui.background import start_worker
from keiji_tui.screens.base import ScreenContext
from keiji_tui.screens.form import Field, FormScreen, Problem
from keiji_tui.state import backfills
from keiji_tui.text.sanitise import plain

_DEBOUNCE_SECONDS = 0.15  # after a key, before the engine is asked
_OTHER_LINES = 18  # of the dialog, besides the instants
_MOMENT = "2026-11-01 or 2026-11-01 06:00"
_FIELDS = (
    Field("begin", "from", placeholder=_MOMENT),
    Field("end", "to", placeholder=f"{_MOMENT}, inclusive"),
    Field("parallel", "parallel", "1", "runs at a time"),
    Field("again", "again", "no", "yes or no: also run what has succeeded"),
)


class BackfillFormScreen(FormScreen[None]):
    """Starts a backfill of a task. The engine says which instants are in the range before it can be confirmed."""

    def __init__(
        self, context: ScreenContext, task: TaskView, submit: Callable[[FormScreen[None], Directive], None]
    ) -> None:
        super().__init__(f"Backfill {task.name}", _FIELDS, accept="Start", busy="starting …", submit=submit)
        self._link = context.link
        self._view = task
        self._range: tuple[str, str] = ("", "")  # the range that `_plan` and `_plan_error` are about
        self._plan: BackfillPlan | None = None
        self._plan_error = ""
        self._debounce: Timer | None = None

    def problem(self) -> Problem | None:
        missing = {"begin": "enter the first day or time", "end": "enter the last day or time"}
        for field, text in missing.items():
            if not self.values[field].strip():
                return Problem(field, text, is_error=False)
        field, error = backfills.find_range_error(self.values)
        if not error:
            field, error = backfills.find_option_error(self._view, self.values)
        if error:
            return Problem(field, error)
        if self._plan_error:
            return Problem("begin", self._plan_error)
        if self._plan is None:
            return Problem("", "counting the instants …", is_error=False)
        if not backfills.runs_of(self._plan, again=backfills.is_again(self.values)):
            return Problem("again", "all instants have succeeded; again: yes runs them once more", is_error=False)
        return None

    def directive(self) -> Directive:
        return backfills.backfill_directive(self._view, self.values)

    def preview_text(self, width: int) -> Content:
        if self._plan is None:
            return Content(plain(self._view.schedule_description))
        room = max(1, self.app.size.height - _OTHER_LINES)
        lines = backfills.plan_lines(self._plan, room, again=backfills.is_again(self.values))
        first, *others = map(plain, lines)
        return Content("\n").join(
            [Content.styled(first, "bold"), *(Content.styled(each, "$text-muted") for each in others)]
        )

    def cancelled(self) -> None:
        return None

    def changed(self) -> None:
        wanted = (self.values["begin"].strip(), self.values["end"].strip())
        if wanted == self._range:
            return
        self._range, self._plan, self._plan_error = wanted, None, ""
        if self._debounce is not None:
            self._debounce.stop()
            self._debounce = None
        if all(wanted) and not backfills.find_range_error(self.values)[1]:
            self._debounce = self.set_timer(_DEBOUNCE_SECONDS, self._start_loading)

    def _start_loading(self) -> None:
        start_worker(self, partial(self._load, self._range), group="plan", exclusive=True)

    async def _load(self, wanted: tuple[str, str]) -> None:
        plan, error = None, ""
        try:
            plan = await self._link.plan_backfill(self._view.slug, *wanted)
        except KeijiError as failure:
            error = "\n".join(filter(None, (failure.message, failure.hint)))
        if wanted == self._range:
            self._plan, self._plan_error = plan, error
            self.show()
