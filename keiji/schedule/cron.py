"""Crontab schedules. The cronsim library parses the line and finds times of day; `walltime` maps them to instants."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.formats import quote
from keiji.schedule.base import DstFold, DstGap, Occurrence, Schedule

if TYPE_CHECKING:
    from keiji.schedule.cron_text import CronValues

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FIELDS = {
    "second": "0-59",
    "minute": "0-59",
    "hour": "0-23",
    "day-of-month": "1-31, L",
    "month": "1-12, jan-dec",
    "day-of-week": "0-7, sun-sat",
}
_MAX_LENGTH = 1000
_SINGLE_VALUE_RANGE = re.compile(r"(?<![\w-])(\w+)-\1/\d+(?!\w)")
_ANY_DAY = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Cron(Schedule):
    """A crontab line, evaluated in the zone of its context.

    Daylight saving is handled as in Debian's cron. A wildcard line, whose minute or hour begins with ``*``, is due
    whenever the clock shows a matching time: never in a gap, twice in a fold. The same applies to lines with a seconds
    field, which cron does not have. All other lines behave like `DayTime`. ``gap`` and ``fold`` of the context override
    both.

    Args:
        expression: five fields, six fields with seconds first, or a nickname such as ``@daily``.

    Raises:
        InvalidSchedule: the expression is invalid; the message names the field.
    """

    type: ClassVar[str] = "Cron"
    expression: str

    def __post_init__(self) -> None:
        if not isinstance(self.expression, str):
            raise InvalidSchedule(
                f'cron({quote(self.expression)}): expected text, such as cron("*/5 9-17 * * mon-fri")'
            )
        if len(self.expression) > _MAX_LENGTH:
            raise InvalidSchedule(f'cron("{self.expression[:40]}…"): longer than {_MAX_LENGTH} characters')
        object.__setattr__(self, "expression", " ".join(self.expression.split()))
        _validate(self.expression)

    @property
    def _fields(self) -> str:
        return _cronsim_fields(self.expression)

    @property
    def _is_wildcard(self) -> bool:
        fields = self._fields.split()
        return len(fields) == 6 or fields[0].startswith("*") or fields[1].startswith("*")

    def _occurrences_after(self, instant: datetime) -> Iterator[Occurrence]:
        from zoneinfo import ZoneInfo

        from cronsim import CronSim

        from keiji.schedule.walltime import occurrences

        context, fields, is_wildcard = self.context, self._fields, self._is_wildcard
        return occurrences(
            instant,
            lambda after: iter(CronSim(fields, after)),
            ZoneInfo(context.zone),
            gap=context.gap or (None if is_wildcard else DstGap.AFTER),
            fold=context.fold or (DstFold.BOTH if is_wildcard else DstFold.FIRST),
            with_notes=not is_wildcard or context.gap is not None or context.fold is not None,
        )

    def describe(self) -> str:
        from keiji.schedule import cron_text  # deferred: every task imports this module

        return cron_text.describe(self.values())

    def values(self) -> CronValues:
        """Return the values that the line selects."""
        from cronsim import CronSim

        from keiji.schedule import cron_text

        sim = CronSim(self._fields, _ANY_DAY)
        days = {CronSim.LAST: cron_text.LAST_DAY, CronSim.LAST_WEEKDAY: cron_text.LAST_WEEKDAY}
        weekdays = [day if isinstance(day, tuple) else (day, 0) for day in sim.weekdays]
        return cron_text.CronValues(
            seconds=sorted(sim.seconds),
            minutes=sorted(sim.minutes),
            hours=sorted(sim.hours),
            days={days.get(day, day) for day in sim.days},
            months=sorted(sim.months),
            weekdays={(day % 7, cron_text.LAST if which == CronSim.LAST else which) for day, which in weekdays},
            needs_both=sim.day_and,
        )

    def compact_form(self) -> str:
        return f"cron:{self.expression}"

    def source_form(self) -> str:
        return f'cron("{self.expression}")'

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "expression": self.expression, "context": self.context.to_dict()}


def _cronsim_fields(expression: str) -> str:
    """Return the fields of an expression in a form that cronsim interprets as cron does.

    cronsim treats a stepped range from a number to itself as open-ended; cron treats it as the number.
    """
    return _SINGLE_VALUE_RANGE.sub(r"\1", NICKNAMES.get(expression.lower(), expression))


def _validate(expression: str) -> None:
    from cronsim import CronSim, CronSimError

    if expression.startswith("@") and expression.lower() not in NICKNAMES:
        reason = f"unknown nickname; expected one of {', '.join(NICKNAMES)}"
        if expression.lower() == "@reboot":
            reason = "use at_start: a reboot is an event, not a schedule"
        raise InvalidSchedule(f'cron("{expression}"): {reason}')
    fields = _cronsim_fields(expression)
    try:
        CronSim(fields, _ANY_DAY)
    except CronSimError as error:
        raise InvalidSchedule(f'cron("{expression}"): {_explain_error(str(error), fields.split())}') from error


def _explain_error(error: str, fields: list[str]) -> str:
    if len(fields) not in {5, 6}:
        return (
            "expected five fields (minute, hour, day of month, month, day of week), or six with seconds first; "
            f"got {len(fields)}"
        )
    names = list(_FIELDS)[6 - len(fields) :]
    name = error.removeprefix("Bad ")
    if name == "day-of-month" and _is_valid([*fields[:-2], "*", fields[-1]]):
        return f'there is no day "{fields[-3]}" in month "{fields[-2]}"'
    if name not in names:
        return error
    return f'invalid {name} "{fields[names.index(name)]}"; allowed: {_FIELDS[name]}, *, lists, ranges and steps'


def _is_valid(fields: list[str]) -> bool:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join(fields), _ANY_DAY)
    except CronSimError:
        return False
    return True
