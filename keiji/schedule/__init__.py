"""Schedules: immutable values that compute when a task is due."""

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
from keiji.schedule.dsl import OnDays, cron, every, on, once
from keiji.schedule.interval import UNITS, Interval
from keiji.schedule.once import Once
from keiji.schedule.serialize import from_dict

__all__ = [
    "DAYS",
    "DEFAULT_CONTEXT",
    "EPOCH",
    "UNITS",
    "Cron",
    "DayTime",
    "DstFold",
    "DstGap",
    "Interval",
    "Occurrence",
    "OccurrenceRange",
    "OnDays",
    "Once",
    "Schedule",
    "ScheduleContext",
    "cron",
    "every",
    "from_dict",
    "on",
    "once",
]
