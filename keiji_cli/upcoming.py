"""When a task is due: asked for, and shown."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from keiji.errors import InvalidSchedule, UsageError
from keiji.paths import Paths
from keiji.settings import Settings
from keiji_cli import as_json, client, output
from keiji_engine.bus.protocol import GetUpcoming


def shown(paths: Paths, name: str, count: int, after: str | None, *, for_programs: bool) -> str:
    """Return the next instants of a task as text, for people or for programs.

    Args:
        after: a moment by the clocks of the workspace, or with an offset; None for now.

    Raises:
        UsageError: ``after`` is no moment.
        TaskNotFound, NotBuilt: there is nothing to show.
    """
    settings = client.settings(paths)
    moment = _moment(after, settings) if after is not None else None
    reply = client.ask(paths, GetUpcoming(task=name, count=count, after=moment))
    zone = ZoneInfo(reply.zone)
    if for_programs:
        return as_json.upcoming(reply.instants, zone)
    if not reply.instants:
        return f"{reply.task} is never due {'after that' if moment else 'again'}"
    shown = output.upcoming_table(reply.instants, zone, datetime.now(UTC))
    return f"{shown}\nnone of this runs while {reply.blocked_reason}" if reply.blocked_reason else shown


def _moment(text: str, settings: Settings) -> datetime:
    from keiji.schedule.once import parse_moment
    from keiji.schedule.walltime import instant_of

    try:
        moment = parse_moment(text, "--from")
    except InvalidSchedule as error:
        hint = 'it looks like "2027-03-28", "2027-03-28 01:00" or "2027-03-28T01:00+02:00"'
        raise UsageError(error.message, hint=hint) from error
    return moment if moment.tzinfo is not None else instant_of(moment, settings.zone)
