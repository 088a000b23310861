"""What a crontab says. The cronsim library reads it and finds the times of day; instants are ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar

from keiji.errors import InvalidSchedule
from keiji.schedule.base import DstFold, DstGap, Occurrence, Schedule

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
_LONGEST = 1000
_RANGE_OF_ONE = re.compile(r"(?<![\w-])(\w+)-\1/\d+(?!\w)")
_ANY_DAY = datetime(2024, 1, 1)


@dataclass(frozen=True)
class Cron(Schedule):
    """When a crontab line is due, by the clocks of its zone.

    As with Debian's cron, a line whose minute or hour begins with ``*`` goes by the real clock: what does not exist
    does not happen, and an hour that comes twice is followed twice. The same holds for lines with seconds, which cron
    does not have. All others are treated as `DayTime` is. A placement that names a choice is followed in any case.

    Args:
        expression: five fields, or six with seconds first, or a name such as ``@daily``.

    Raises:
        InvalidSchedule: the expression is none; the message names the field.
    """

    type: ClassVar[str] = "Cron"
    expression: str

    def __post_init__(self) -> None:
        if not isinstance(self.expression, str):
            raise InvalidSchedule(f'cron({self.expression!r}): text is needed, such as cron("*/5 9-17 * * mon-fri")')
        if len(self.expression) > _LONGEST:
            raise InvalidSchedule(f'cron("{self.expression[:40]}…"): longer than {_LONGEST} characters')
        object.__setattr__(self, "expression", " ".join(self.expression.split()))
        _check(self.expression)

    @property
    def _fields(self) -> str:
        return _readable(self.expression)

    @property
    def _is_by_the_real_clock(self) -> bool:
        fields = self._fields.split()
        return len(fields) == 6 or fields[0].startswith("*") or fields[1].startswith("*")

    def _following(self, moment: datetime) -> Iterator[Occurrence]:
        from zoneinfo import ZoneInfo

        from cronsim import CronSim

        from keiji.schedule.walltime import occurrences

        context, fields, is_real = self.context, self._fields, self._is_by_the_real_clock
        return occurrences(
            moment,
            lambda after: iter(CronSim(fields, after)),
            ZoneInfo(context.zone),
            gap=context.gap or (None if is_real else DstGap.AFTER),
            fold=context.fold or (DstFold.BOTH if is_real else DstFold.FIRST),
            is_noted=not is_real or context.gap is not None or context.fold is not None,
        )

    def describe(self) -> str:
        from cronsim import CronSim

        said = CronSim(self._fields, _ANY_DAY).explain()
        return said[:1].lower() + said[1:]

    def compact_form(self) -> str:
        return f"cron:{self.expression}"

    def source_form(self) -> str:
        return f'cron("{self.expression}")'

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "expression": self.expression, "context": self.context.to_dict()}


def _readable(expression: str) -> str:
    """Return the fields of an expression as cronsim reads them.

    It takes a range from a number to itself, with a step, for one without an end; cron takes it for the number.
    """
    return _RANGE_OF_ONE.sub(r"\1", NICKNAMES.get(expression.lower(), expression))


def _check(expression: str) -> None:
    from cronsim import CronSim, CronSimError

    if expression.startswith("@") and expression.lower() not in NICKNAMES:
        why = f"the names are {', '.join(NICKNAMES)}"
        if expression.lower() == "@reboot":
            why = "a restart is no moment that can be told beforehand"
        raise InvalidSchedule(f'cron("{expression}"): {why}')
    fields = _readable(expression)
    try:
        CronSim(fields, _ANY_DAY)
    except CronSimError as error:
        raise InvalidSchedule(f'cron("{expression}"): {_explained(str(error), fields.split())}') from error


def _explained(error: str, fields: list[str]) -> str:
    if len(fields) not in {5, 6}:
        return (
            "five fields are needed (minute, hour, day of month, month, day of week), or six with seconds first; "
            f"there {'is' if len(fields) == 1 else 'are'} {len(fields)}"
        )
    names = list(_FIELDS)[6 - len(fields) :]
    name = error.removeprefix("Bad ")
    if name == "day-of-month" and _is_read([*fields[:-2], "*", fields[-1]]):
        return f'there is no day "{fields[-3]}" in month "{fields[-2]}"'
    if name not in names:
        return error
    return f'bad {name} "{fields[names.index(name)]}"; it may have {_FIELDS[name]}, and *, lists, ranges, steps'


def _is_read(fields: list[str]) -> bool:
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join(fields), _ANY_DAY)
    except CronSimError:
        return False
    return True
