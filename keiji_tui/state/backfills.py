"""Backfills: the filter of their list, and the form that starts one. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from keiji.errors import InvalidSchedule
from keiji.formats import zone_of
from keiji.parameters import Parameter, find_problem
from keiji.schedule.once import parse_moment
from keiji.states import BackfillState
from keiji_engine.bus.protocol import BackfillPlan, BackfillTask
from keiji_engine.bus.views import BackfillView, TaskView
from keiji_tui.state.list_filter import Category, ListFilter
from keiji_tui.text.commands import SENDER
from keiji_tui.text.format import format_count

MAX_PARALLEL = 1000
_OPTIONS = (Parameter(name="parallel", type="int"), Parameter(name="again", type="bool"))
_YES = ("yes", "true", "on", "1")
_BAR = 10  # cells of a progress bar


def backfills_filter() -> ListFilter[BackfillView]:
    """Return a filter for backfills: by state, and by the name of the task or its schedule."""
    return ListFilter[BackfillView](
        lambda view: f"{view.id}\n{view.task}\n{view.schedule}\n{view.state}",
        Category("running", lambda view: view.state is BackfillState.RUNNING),
        Category("stopped", lambda view: view.state is BackfillState.STOPPED),
        Category("with failures", lambda view: view.failed > 0),
    )


def progress_bar(view: BackfillView) -> str:
    """Return the progress as a bar: "▓▓▓▓░░░░░░"."""
    filled = view.done * _BAR // view.total if view.total else _BAR
    return "▓" * filled + "░" * (_BAR - filled)


def format_instant(moment: datetime, zone: str) -> str:
    """Return an instant in the time zone of a schedule, without seconds if it has none: "2026-11-01 06:00"."""
    local = moment.astimezone(zone_of(zone, ZoneInfo("UTC")))
    return f"{local:%Y-%m-%d %H:%M:%S}".removesuffix(":00")


def is_again(values: Mapping[str, str]) -> bool:
    """Return whether instants that have succeeded run again."""
    return values["again"].strip().lower() in _YES


def find_range_error(values: Mapping[str, str]) -> tuple[str, str]:
    """Return the field of the range that is not a date or a time, and why; two empty texts if both are."""
    for field, what in (("begin", "from"), ("end", "to")):
        try:
            parse_moment(values[field], what)
        except InvalidSchedule:
            return field, f'{what}: expected a day or a time, such as 2026-11-01 or "2026-11-01 06:00"'
    return "", ""


def find_option_error(task: TaskView, values: Mapping[str, str]) -> tuple[str, str]:
    """Return the option that is not valid, and why; two empty texts if all are."""
    for option in _OPTIONS:
        if problem := find_problem((option,), {option.name: values[option.name].strip()}):
            return option.name, problem
    parallel = int(values["parallel"])
    if not 1 <= parallel <= MAX_PARALLEL:
        return "parallel", f"parallel={parallel}: expected a number from 1 to {MAX_PARALLEL}"
    if parallel > 1 and task.overlap != "allow":
        return "parallel", f"parallel={parallel}: {task.name} runs one at a time (overlap: {task.overlap})"
    return "", ""


def runs_of(plan: BackfillPlan, *, again: bool) -> int:
    """Return the number of instants that a backfill would run."""
    return sum(again or not instant.has_succeeded for instant in plan.instants)


def plan_lines(plan: BackfillPlan, count: int, *, again: bool) -> Iterator[str]:
    """Yield what a backfill would run: the number of instants, then at most ``count`` lines about them."""
    total, skipped = len(plan.instants), len(plan.instants) - runs_of(plan, again=again)
    done = f"; {skipped:,} {'has' if skipped == 1 else 'have'} succeeded" if skipped else ""
    yield f"{total - skipped:,} of {format_count(total, 'instant')} would run, in {plan.zone}{done}"
    shown = plan.instants if total <= count else plan.instants[: max(0, count - 1)]
    for instant in shown:
        note = "  skipped: has succeeded" if instant.has_succeeded and not again else ""
        yield f"  {format_instant(instant.at, plan.zone)}{note}"
    if len(shown) < total:
        yield f"  … and {total - len(shown):,} more, the last {format_instant(plan.instants[-1].at, plan.zone)}"
    if plan.note:
        yield plan.note


def backfill_directive(task: TaskView, values: Mapping[str, str]) -> BackfillTask:
    """Return the directive that starts a backfill with the values of the form."""
    return BackfillTask(
        task=task.slug,
        begin=values["begin"].strip(),
        end=values["end"].strip(),
        parallel=int(values["parallel"]),
        again=is_again(values),
        sender=SENDER,
    )
