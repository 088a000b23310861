"""Reads schedules back from stored JSON data."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from keiji.errors import InvalidSchedule
from keiji.schedule.base import Schedule, ScheduleContext
from keiji.schedule.cron import Cron
from keiji.schedule.daytime import DayTime
from keiji.schedule.event import AtStart, Manual, OnChange
from keiji.schedule.interval import Interval
from keiji.schedule.once import Once
from keiji.schedule.several import Several


def from_dict(data: dict[str, Any]) -> Schedule:
    """Return the schedule that `Schedule.to_dict` stored, in this or an earlier version.

    Raises:
        InvalidSchedule: the data is invalid, or of a schedule type that this version does not know.
    """
    try:
        # Earlier versions stored the context under "place", or its values at the top level.
        context = ScheduleContext.from_dict(data.get("context", data.get("place", data)))
        if data["type"] == Interval.type:
            return Interval(data["interval"], data["units"], context=context)
        if data["type"] == DayTime.type:
            days = data["days"] if "days" in data else [data["day"]]
            times = data["times"] if "times" in data else [data["at"]]
            return DayTime(tuple(days), tuple(map(time.fromisoformat, times)), context=context)
        if data["type"] == Cron.type:
            return Cron(data["expression"], context=context)
        if data["type"] == Once.type:
            return Once(datetime.fromisoformat(data["moment"]), context=context)
        if data["type"] == Several.type:
            return Several(tuple(map(from_dict, data["schedules"])), context=context)
        if data["type"] == OnChange.type:
            return OnChange(data["pattern"], context=context)
        for event in (Manual, AtStart):
            if data["type"] == event.type:
                return event(context=context)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidSchedule(f"stored schedule {data!r} is invalid: {error}") from error
    raise InvalidSchedule(f"stored schedule {data!r} has a type that this version does not know")
