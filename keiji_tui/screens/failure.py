"""The failure of a task as lines of text: how and when its last run failed, why, and since when its runs fail."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo
from itertools import takewhile

from textual.content import Content

from keiji.reasons import render
from keiji.states import FAILURES
from keiji_engine.bus.views import TaskView
from keiji_tui.screens.text_dialog import hanging
from keiji_tui.text.format import format_ago, format_calendar, format_count, format_outcome
from keiji_tui.text.sanitise import plain


def failure_lines(task: TaskView, now: datetime, zone: tzinfo, width: int) -> Iterator[Content]:
    """Yield the lines, each of ``width`` cells at most; none if the last run did not fail."""
    failed = list(takewhile(lambda run: run.state in FAILURES, reversed(task.recent)))
    if not failed or not task.is_error:
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
