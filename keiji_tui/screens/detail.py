"""All details of one task on one page, in two columns if it is wide; the keys for tasks work here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from keiji.errors import NotBuilt
from keiji.formats import format_duration, format_measurement, zone_of
from keiji.reasons import Reason, remedy, render
from keiji.states import RunState
from keiji_engine.bus.explain import event_reason
from keiji_engine.bus.protocol import ActiveBuild, Upcoming
from keiji_engine.bus.views import RecentRun, TaskView
from keiji_tui.actions.action import Action, Scope
from keiji_tui.actions.bindings import bindings
from keiji_tui.actions.catalog import BY_ID
from keiji_tui.logs.chunk import Line
from keiji_tui.screens.base import WIDE, ScreenContext
from keiji_tui.screens.failure import failure_lines, load_failed_output
from keiji_tui.screens.instants import NOT_DUE_AGAIN, UNBUILT, instants, no_runs_while
from keiji_tui.screens.loading import LoadingScreen
from keiji_tui.screens.text_dialog import hanging, section
from keiji_tui.state import durations
from keiji_tui.state.task_state import TaskState, is_overdue, state_of
from keiji_tui.text.format import (
    abbreviate_path,
    format_ago,
    format_calendar,
    format_count,
    format_elapsed,
    format_outcome,
    format_until,
)
from keiji_tui.text.sanitise import plain
from keiji_tui.widgets.adaptive_line import AdaptiveLine
from keiji_tui.widgets.run_bars import run_bars
from keiji_tui.widgets.task_row import COLOURS
from keiji_tui.widgets.text_view import TextView

INSTANTS = 10
_RUNS = 5  # latest runs with a line of their own
_LABEL = 14
_WIDEST = 100  # cells; longer lines are hard to read


class DetailScreen(LoadingScreen):
    """The state, schedule, build, sources, runs and files of a task."""

    BINDINGS = bindings(Scope.TASK)
    SCOPES = (Scope.TASK,)
    AUTO_FOCUS = "#detail"

    def __init__(self, context: ScreenContext, *, slug: str) -> None:
        super().__init__(context)
        self.slug = slug
        self._reasons: tuple[Reason, ...] | None = None
        self._upcoming: Upcoming | None = None
        self._build: ActiveBuild | None = None
        self._failed_output: tuple[Line, ...] = ()

    def body(self) -> ComposeResult:
        yield AdaptiveLine(id="detail-title", classes="title")
        with Horizontal(id="detail-columns"):
            yield TextView(id="detail")
            yield TextView(id="detail-right")

    @property
    def selected_task(self) -> TaskView | None:
        return self.store.tasks.get(self.slug)

    def is_hidden(self, action: Action) -> bool:
        return action.id in ("detail", "services") or super().is_hidden(action)

    async def load(self) -> None:
        link = self.context.link
        self._reasons = await link.explain(self.slug)
        self._failed_output = await load_failed_output(link, self.selected_task)
        try:
            self._upcoming = await link.upcoming(self.slug, INSTANTS)
            self._build = await link.active_build(self.slug)
        except NotBuilt:
            self._upcoming = self._build = None

    def paint_body(self, now: datetime) -> None:
        task, store = self.selected_task, self.store
        if task is not None:
            # Everything the data depends on; a run that starts or ends also changes the next due time.
            self.loader.update((task, store.engine, tuple(store.services.values()), is_overdue(task, now)))
        name = plain(task.name) if task else plain(self.slug)
        standing = self.loader.status if self.loader.error or not store.is_live else ""
        state = Content.styled(standing, "$text-warning")
        self.query_one("#detail-title", AdaptiveLine).set_variants(
            (Content.assemble(("task ", "$text-muted"), (name, "bold")), state)
        )
        is_wide = self.size.width >= WIDE
        self.set_class(is_wide, "-beside")
        if self.focused is None:
            self.set_focus(self.query_one("#detail", TextView))  # a hidden column loses the focus
        width = max(12, min(self.size.width // (2 if is_wide else 1) - 3, _WIDEST))
        # Values are frozen at the last update while the engine is offline.
        as_of = now if store.is_live else store.heard_at or now
        left, right = [Content("this task no longer exists")], []
        if task is not None:
            left, right = list(self._left_lines(task, as_of, width)), list(self._right_lines(task, as_of, width))
        columns = (left, right[1:]) if is_wide else ([*left, *right], [])  # a column has no blank line at its top
        for name, lines in zip(("#detail", "#detail-right"), columns, strict=True):
            self.query_one(name, TextView).set_lines(lines, [number for number, line in enumerate(lines) if not line])

    def on_resize(self) -> None:
        if self.is_ready:
            self.paint_body(self.now)

    def action_other_pane(self) -> None:
        """Move the focus to the other column, if there are two."""
        right = self.query_one("#detail-right", TextView)
        if right.display:
            self.set_focus(self.query_one("#detail", TextView) if self.focused is right else right)

    # ── what is shown ────────────────────────────────────────────────────────────────────────────────────────────────

    def _left_lines(self, task: TaskView, now: datetime, width: int) -> Iterator[Content]:
        own = zone_of(task.zone, self.store.zone)
        failure = list(failure_lines(task, now, own, width, self._failed_output))
        yield from [*failure, Content("")] if failure else ()
        yield from self._state(task, now, width)
        if task.description:
            yield from _row("description", plain(task.description), width)
        yield from self._next(task, now, width)
        yield from _section("Schedule")
        yield from _row("when", plain(task.schedule_description) or UNBUILT, width)
        yield from _row("stored form", plain(task.schedule), width, "$text-muted")
        yield from _row("time zone", self._zone(task), width, "$text-muted")
        yield from _row("policy", plain(task.policy) or UNBUILT, width)

    def _right_lines(self, task: TaskView, now: datetime, width: int) -> Iterator[Content]:
        yield from _section("Build and sources")
        yield from self._built(task, now, width)
        yield from self._sources(task, width)
        yield from _section("Runs")
        yield from self._runs(task, now, width)
        yield from _section("Files")
        for label, path in (("log", task.log_path), ("executable", task.executable), ("sources", task.source_path)):
            yield from _row(
                label, plain(abbreviate_path(path, self.context.home)) if path else "", width, "$text-muted"
            )

    def _state(self, task: TaskView, now: datetime, width: int) -> Iterator[Content]:
        state, zone = state_of(task), zone_of(task.zone, self.store.zone)
        word = state.label
        if task.running_since is not None:
            word += f" for {format_elapsed((now - task.running_since).total_seconds())}"
            word += f", {task.running} at once" if task.running > 1 else ""
        if state is TaskState.IDLE and task.next_execution_time is not None:
            due = format_until(task.next_execution_time, now, zone, with_zone=bool(task.zone))
            word += f", due {due}"
        yield Content.styled(f"{state.glyph} {word}", f"bold {COLOURS[state]}")
        known = self._reasons if self._reasons is not None and self.store.is_live else self.store.reasons(task, now)
        for reason in known:
            yield from hanging(Content("  • "), plain(render(reason, zone)), width, "")
            if command := remedy(reason, task.slug):
                yield from hanging(Content.styled("    $ ", "$text-muted"), plain(command), width, "$text-accent")

    def _zone(self, task: TaskView) -> str:
        if task.zone:
            return f"{plain(task.zone)} (set by the task)"
        return f"{plain(self.store.engine.time_zone)} (workspace default)" if self.store.engine else ""

    def _next(self, task: TaskView, now: datetime, width: int) -> Iterator[Content]:
        found = self._upcoming
        no_runs = no_runs_while(task, is_all_paused=self.store.pause is not None)
        yield from _section(f"Next due times{no_runs}")
        if found is None:
            unknown = UNBUILT if task.build is None else self.loader.status
            yield from hanging(Content("  "), unknown, width, "$text-muted")
            return
        if not found.instants and not found.events:
            yield Content.styled(NOT_DUE_AGAIN, "$text-muted")
        for event in found.events:
            yield from hanging(Content("  "), plain(render(event_reason(event))), width, "$text-muted")
        ahead = tuple(instant for instant in found.instants if instant.at > now) or found.instants
        zone, is_own = zone_of(found.zone, self.store.zone), found.zone != self.store.zone.key
        yield from instants(ahead, zone, now, width, with_zone=is_own)

    def _built(self, task: TaskView, now: datetime, width: int) -> Iterator[Content]:
        build = self._build
        if task.build is None:
            yield from _row("build", f"not built yet – press {BY_ID['build'].key} to build it", width, "$text-warning")
            return
        yield from _row("build", plain(task.build), width)
        if build is None or build.hash != task.build:
            return
        zone = self.store.zone
        made = f"{format_calendar(build.created_at, now, zone)}, {format_ago(build.created_at, now, zone)}"
        imported = (
            f", imported in {format_duration(max(build.import_seconds, 0.001))}" if task.kind in {"", "python"} else ""
        )
        yield from _row("built", f"{made}; {format_count(build.files, 'file')}{imported}", width)

    def _sources(self, task: TaskView, width: int) -> Iterator[Content]:
        if not task.source_changes:
            text, style = ("unchanged since the build", "$text-muted") if task.build else ("", "")
            yield from _row("sources", text, width, style)
            return
        paths = ", ".join(plain(path) for path in task.source_changes[:20])
        more = len(task.source_changes) - 20
        text = f"◆ {len(task.source_changes)} changed: {paths}" + (f" and {more} more" if more > 0 else "")
        yield from _row("sources", text, width, "$text-warning")
        yield from _row("error", plain(task.source_error), width, "$text-error")
        keys = f"{BY_ID['difference'].key} shows the differences, {BY_ID['build'].key} builds and restarts"
        yield from _row("", keys, width, "$text-muted")

    def _runs(self, task: TaskView, now: datetime, width: int) -> Iterator[Content]:
        if not task.recent:
            hint = f" – press {BY_ID['run'].key} to run it now" if task.build else ""
            yield from hanging(Content("  "), f"no runs yet{hint}", width, "$text-muted")
            return
        shown = run_bars(task.recent[-max(1, width - _LABEL - 2) :])
        yield Content.assemble((f"  {'last ' + str(len(task.recent)):{_LABEL - 2}}", "$text-muted"), shown)
        median = durations.median_duration(task.recent)
        if median is not None:
            yield from _row("median", f"{format_measurement(median)} (successful runs)", width)
        for run in reversed(task.recent[-_RUNS:]):
            yield from self._run(run, median, now, width)
        yield from _row("", f"{BY_ID['history'].key} shows the full history", width, "$text-muted")

    def _run(self, run: RecentRun, median: float | None, now: datetime, width: int) -> Iterator[Content]:
        is_bad = run.state not in (RunState.SUCCEEDED, RunState.STOPPED)
        took = format_measurement(run.seconds) if run.seconds is not None else ""
        factor = durations.format_ratio(run.seconds, median) if run.state is RunState.SUCCEEDED else ""
        first = Content.assemble(
            (f"  {format_ago(run.finished_at, now, self.store.zone):{_LABEL - 2}}", "$text-muted"),
            (f"{format_outcome(run.state, run.exit_code, run.signal):10} ", "$text-error" if is_bad else ""),
            f"{took:>7} ",
            (f"{factor:<6}", durations.ratio_colour(run.seconds, median)),
        )
        yield from hanging(first, plain(render(run.reason, self.store.zone)) if is_bad else "", width, "$text-muted")


def _section(name: str) -> Iterator[Content]:
    yield Content("")
    yield section(name)[1:]


def _row(label: str, text: str, width: int, style: str = "") -> Iterator[Content]:
    if text:
        yield from hanging(Content.styled(f"  {label:{_LABEL - 2}}", "$text-muted"), text, width, style)
