"""When a task runs, as a value."""

from keiji.schedule.authors import OnDays, cron, every, on, once
from keiji.schedule.base import (
    EPOCH,
    UNPLACED,
    DstFold,
    DstGap,
    Occurrence,
    Placement,
    Schedule,
    Stretch,
)
from keiji.schedule.cron import Cron
from keiji.schedule.daytime import DAYS, DayTime
from keiji.schedule.interval import UNITS, Interval
from keiji.schedule.once import Once
from keiji.schedule.stored import from_dict

__all__ = [
    "DAYS",
    "EPOCH",
    "UNITS",
    "UNPLACED",
    "Cron",
    "DayTime",
    "DstFold",
    "DstGap",
    "Interval",
    "Occurrence",
    "OnDays",
    "Once",
    "Placement",
    "Schedule",
    "Stretch",
    "cron",
    "every",
    "from_dict",
    "on",
    "once",
]
