"""Schedules and events: immutable values that say when a task is due."""

from keiji.schedule.base import (
    DEFAULT_CONTEXT,
    EPOCH,
    DstFold,
    DstGap,
    Occurrence,
    OccurrenceRange,
    Schedule,
    ScheduleContext,
)
from keiji.schedule.cron import Cron
from keiji.schedule.daytime import DAYS, DayTime
from keiji.schedule.dsl import OnDays, at_start, cron, every, manual, on, on_change, once, to_schedule
from keiji.schedule.event import AtStart, Event, Manual, OnChange
from keiji.schedule.interval import UNITS, Interval
from keiji.schedule.once import Once
from keiji.schedule.serialize import from_dict
from keiji.schedule.several import Several, combine

__all__ = [
    "DAYS",
    "DEFAULT_CONTEXT",
    "EPOCH",
    "UNITS",
    "AtStart",
    "Cron",
    "DayTime",
    "DstFold",
    "DstGap",
    "Event",
    "Interval",
    "Manual",
    "Occurrence",
    "OccurrenceRange",
    "OnChange",
    "OnDays",
    "Once",
    "Schedule",
    "ScheduleContext",
    "Several",
    "at_start",
    "combine",
    "cron",
    "every",
    "from_dict",
    "manual",
    "on",
    "on_change",
    "once",
    "to_schedule",
]
