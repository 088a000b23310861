"""The failure of a task as lines of text: how and when its last run failed, why, since when, and what it printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from itertools import takewhile

from textual.content import Content

from keiji.errors import KeijiError
from keiji.reasons import render
from keiji.states import FAILURES
from keiji_engine.bus.views import RecentRun, TaskView
from keiji_tui.engine.link import LogLink
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.line import line_kind, plain_message
from keiji_tui.logs.run_output import last_lines
from keiji_tui.screens.text_dialog import hanging
from keiji_tui.text.format import format_ago, format_calendar, format_count, format_outcome
from keiji_tui.text.sanitise import plain

_OUTPUT_LINES = 6
_COLOURS = {"error": "$text-error", "warning": "$text-warning"}


async def load_failed_output(link: LogLink, task: TaskView | None) -> tuple[Line, ...]:
    """Return the last lines of the last run if it failed; none if they cannot be read."""
    failed = _failed_runs(task) if task is not None else []
    if task is None or not failed:
        return ()
    try:
        return await last_lines(link, task.slug, failed[0].run_id, _OUTPUT_LINES)
    except KeijiError:
        return ()


def failure_lines(
    task: TaskView, now: datetime, zone: tzinfo, width: int, output: Sequence[Line] = ()
) -> Iterator[Content]:
    """Yield the lines, each of ``width`` cells at most; none if the last run did not fail.

    Args:
        output: the last lines of the failed run.
    """
    failed = _failed_runs(task)
    if not failed:
        return
    last, first = failed[0], failed[-1]
    outcome = format_outcome(last.state, last.exit_code, last.signal)
    text = f"the last run failed {format_ago(last.finished_at, now, zone)}: {outcome}"
    yield from hanging(Content.styled("✗ ", "$text-error"), text, width, "$text-error")
    reason = plain(render(last.reason, zone))
    if reason and reason != outcome:
        yield from hanging(Content("  "), reason, width, "")
    if len(failed) > 1:
        count = format_count(len(failed), "run")
        at_least = "at least " if len(failed) == len(task.recent) else ""
        start = format_calendar(first.finished_at, now, zone)
        start += f" {first.finished_at.astimezone(zone):%Z}" if task.zone else ""
        since = f"failing since {start}, for {at_least}{count} in a row"
        yield from hanging(Content("  "), since, width, "$text-muted")
    for line in output:
        message = Content.styled(plain_message(line), _COLOURS.get(line_kind(line), ""))
        yield Content.assemble(("  │ ", "$text-muted"), message).truncate(width, ellipsis=True)


def _failed_runs(task: TaskView) -> list[RecentRun]:
    """Return the latest runs that failed in a row, newest first."""
    return list(takewhile(lambda run: run.state in FAILURES, reversed(task.recent))) if task.is_error else []
