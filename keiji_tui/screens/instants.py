"""The next due times of a task as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, tzinfo

from textual.content import Content

from keiji_engine.bus.views import DueInstant, TaskView
from keiji_tui.screens.text_dialog import hanging
from keiji_tui.text.format import format_until
from keiji_tui.text.sanitise import plain

UNBUILT = "unknown until the first build"
NOT_DUE_AGAIN = "  no more due times"
_SOON = 3600  # seconds; how far ahead a time is is shown only below this


def instants(
    found: Iterable[DueInstant], zone: tzinfo, now: datetime, width: int, *, with_zone: bool = False
) -> Iterator[Content]:
    """Yield a line per due time in ``zone``; a long note takes several lines.

    Args:
        with_zone: whether each time names the zone even if it is always the same.
    """
    found = tuple(found)
    local = [instant.at.astimezone(zone) for instant in found]
    has_seconds = any(moment.second for moment in local)
    has_change = len({moment.utcoffset() for moment in local}) > 1
    has_year = local[-1:] and local[-1].year != now.astimezone(zone).year
    for moment, instant in zip(local, found, strict=True):
        day = f"{moment:%a} {moment.day:2} {moment:%b}" + (f" {moment.year}" if has_year else "")
        at = f"  {day} {moment:%H:%M:%S}" if has_seconds else f"  {day} {moment:%H:%M}"
        at += f" {moment:%Z}".ljust(5) if has_change or with_zone else ""
        is_soon = (instant.at - now).total_seconds() < _SOON and not instant.is_skipped
        ahead = f"{format_until(instant.at, now, zone):10}" if is_soon else ""
        style, noted = ("$text-disabled", "$text-warning") if instant.is_skipped else ("", "$text-muted")
        first = Content.assemble((f"{at}  ", style), (ahead, "$text-muted"))
        yield from hanging(first, plain(instant.note), width, noted)


def no_runs_while(task: TaskView, *, is_all_paused: bool) -> str:
    """Return what keeps a task from running at its due times, as the end of a heading; "" if nothing does."""
    states = (
        (task.is_disabled, "disabled"),
        (task.held_since, "held"),
        (task.pause, "paused"),
        (is_all_paused, "everything is paused"),
    )
    state = next((text for applies, text in states if applies), "")
    return f" (no runs while {state})" if state else ""
