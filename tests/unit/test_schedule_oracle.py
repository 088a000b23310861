"""Schedules compared with a brute-force oracle that steps through time and checks every wall-clock time.

The oracle has its own parser of crontab fields and takes only UTC offsets from `zoneinfo`. KEIJI_EXAMPLES=50 runs fifty
times as many examples; then also disable the time limit of tests (``-o timeout=0``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import given, settings
from hypothesis import strategies as st

from keiji.schedule import DAYS, Cron, DayTime, DstFold, DstGap, Once, Schedule, ScheduleContext

EXAMPLES = float(os.environ.get("KEIJI_EXAMPLES", "1"))
HOUR, DAY, END = 3600, 86400, 2_145_916_800  # the end of 2037
PSEUDO_ZONES = ("posix/", "right/", "Factory", "localtime", "posixrules")
ZONES = sorted(name for name in available_timezones() if not name.startswith(PSEUDO_ZONES))
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")

Due = Callable[[datetime], bool]
Draw = Callable[..., Any]


# ── the oracle ───────────────────────────────────────────────────────────────────────────────────────────────────────


def numbers(field: str, low: int, high: int, names: tuple[str, ...] = (), first: int = 0) -> set[int]:
    """Parse ``*``, lists, ranges, steps and names."""

    def number(word: str) -> int:
        return names.index(word) + first if word in names else int(word)

    result: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        start, dash, end = span.partition("-")
        if span == "*":
            start, dash, end = str(low), "-", str(high)
        last = number(end) if dash else high if step else number(start)
        result |= set(range(number(start), last + 1, int(step or 1)))
    return result


def matcher(line: str) -> Due:
    """Return a function that decides whether a line is due.

    As in Debian's cron, both day fields must match if one of them begins with ``*``; otherwise one is enough.
    """
    *seconds, minute, hour, dom, month, dow = line.split()
    second_of, minute_of = numbers(seconds[0] if seconds else "0", 0, 59), numbers(minute, 0, 59)
    hour_of, month_of = numbers(hour, 0, 23), numbers(month, 1, 12, MONTHS, 1)
    dom_of, dow_of = numbers(dom, 1, 31), {day % 7 for day in numbers(dow, 0, 7, WEEK)}
    join = all if dom.startswith("*") or dow.startswith("*") else any

    def is_due(wall_time: datetime) -> bool:
        return (
            wall_time.minute in minute_of
            and wall_time.second in second_of
            and wall_time.hour in hour_of
            and wall_time.month in month_of
            and join((wall_time.day in dom_of, wall_time.isoweekday() % 7 in dow_of))
        )

    return is_due


def expected(
    is_due: Due, zone: str, span: tuple[int, int], *, step: int, gap: DstGap | None, fold: DstFold
) -> tuple[list[int], list[tuple[int, str]]]:
    """Return the due instants within a span, excluding its start, in seconds since 1970; and the skipped times.

    Args:
        step: seconds between two checks. The checks extend beyond the span, to find both instants of a time in a fold.
        gap: None to omit skipped times.
    """
    tz = ZoneInfo(zone)
    margin = 8 * HOUR if step > 1 else 3 * HOUR + 1  # no fold since 1970 is longer; with seconds, no tested one
    seen = [
        (instant, datetime.fromtimestamp(instant, tz).replace(tzinfo=None, fold=0))
        for instant in range(span[0] - margin, span[1] + margin + 1, step)
    ]
    instants_by_time: dict[datetime, list[int]] = {}
    for instant, wall_time in seen:
        if is_due(wall_time):
            instants_by_time.setdefault(wall_time, []).append(instant)
    selected = {DstFold.FIRST: slice(1), DstFold.SECOND: slice(-1, None), DstFold.BOTH: slice(None)}[fold]
    due = {instant for same_time in instants_by_time.values() for instant in same_time[selected]}
    skipped = []
    tick = timedelta(seconds=step)
    for (_, before), (instant, after) in pairwise(seen):
        missing = before + tick
        while missing < after and gap:
            if is_due(missing):
                if gap is DstGap.AFTER:
                    due.add(instant)
                elif span[0] < instant <= span[1]:
                    skipped.append((instant, f"skipped: gap {str(missing.time()).removesuffix(':00')}"))
            missing += tick
    return sorted(instant for instant in due if span[0] < instant <= span[1]), skipped


# ── test cases ───────────────────────────────────────────────────────────────────────────────────────────────────────


@cache
def transitions(zone: str) -> list[int]:
    """Return the clock changes of a zone in seconds since 1970; found by search, as `zoneinfo` does not list them."""

    def offset(instant: int) -> timedelta | None:
        return datetime.fromtimestamp(instant, tz).utcoffset()

    tz, changes = ZoneInfo(zone), []
    for start, end in pairwise(range(0, END, 6 * DAY)):
        if offset(start) != offset(end):
            before, after = start, end
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (middle, after) if offset(middle) == offset(start) else (before, middle)
            changes.append(after)
    return changes


@dataclass
class Case:
    """A span of time in a zone, and a wall-clock time near a clock change in it."""

    zone: str
    span: tuple[int, int]
    step: int
    gap: DstGap | None
    fold: DstFold | None
    near: datetime

    @property
    def context(self) -> ScheduleContext:
        return ScheduleContext(zone=self.zone, gap=self.gap, fold=self.fold)

    def check(self, schedule: Schedule, is_due: Due, is_wildcard: bool = False) -> None:
        gap = self.gap or (None if is_wildcard else DstGap.AFTER)
        fold = self.fold or (DstFold.BOTH if is_wildcard else DstFold.FIRST)
        due, skipped = expected(is_due, self.zone, self.span, step=self.step, gap=gap, fold=fold)
        start, end = (datetime.fromtimestamp(instant, UTC) for instant in self.span)
        occurrences = list(takewhile(lambda each: each.at <= end, schedule.with_context(self.context).preview(start)))
        assert [int(each.at.timestamp()) for each in occurrences if not each.is_skipped] == due
        assert [(int(each.at.timestamp()), each.note) for each in occurrences if each.is_skipped] == skipped


@st.composite
def cases(draw: st.DrawFn, *, longest: int, step: int = 60) -> Case:
    """Draw a span near a clock change or, rarely, anywhere."""
    zone = draw(st.sampled_from(ZONES))
    changed = transitions(zone)
    is_near = bool(changed) and draw(st.integers(0, 9)) > 0
    instant = draw(st.sampled_from(changed) if is_near else st.integers(30 * DAY, END - 30 * DAY))
    step = 30 if step == 60 and zone == "Africa/Monrovia" else step  # until 1972 its offset included half a minute
    begin = instant // step * step - draw(st.integers(0, longest // step // 2)) * step
    end = begin + draw(st.integers(longest // step // 4, longest // step)) * step
    near = datetime.fromtimestamp(instant - draw(st.sampled_from([0, 1, HOUR])), ZoneInfo(zone))
    gap = draw(st.none() | st.sampled_from(DstGap))
    fold = draw(st.none() | st.sampled_from(DstFold))
    return Case(zone, (begin, end), step, gap, fold, near.replace(tzinfo=None, fold=0, second=0))


def times_near(case: Case) -> st.SearchStrategy[datetime]:
    """Return wall-clock times in the hours around the clock change, at quarters of an hour or any minute."""
    minutes = st.integers(-12, 12).map(lambda n: n * 15) | st.integers(-150, 150) | st.sampled_from([-1440, 0, 1440])
    return minutes.map(lambda n: case.near + timedelta(minutes=n))


def hours_and_days(draw: Draw, case: Case, *, hours: tuple[str, ...] = ()) -> str:
    at = draw(times_near(case))
    hour, day, month, weekday = at.hour, at.day, at.month, at.isoweekday() % 7
    around = [
        *hours,
        str(hour),
        f"{hour},{(hour + 1) % 24}",
        f"{max(hour - 2, 0)}-{min(hour + 2, 23)}",
        "0-23/3",
        "0-4",
    ]
    doms = ["*", "*", f"{day}", f"{max(day - 1, 1)}-{day}", "*/2", f"{day},15"]
    months = ["*", "*", f"{month}", MONTHS[month - 1], f"{month}/2", "1-12/3"]
    dows = ["*", "*", f"{weekday}", WEEK[weekday], "sat,sun", "mon-fri", "7", "*/2", "5-7", "0-6/3"]
    return " ".join(draw(st.sampled_from(choices)) for choices in (around, doms, months, dows))


def minutes_near(draw: Draw, case: Case) -> str:
    at = draw(times_near(case)).minute
    choices = [str(at), f"{at},{(at + 20) % 60}", f"{at}-59/25", f"{at % 30}/30", "0", "15-45"]
    return str(draw(st.sampled_from(choices)))


@settings(max_examples=int(20 * EXAMPLES))
@given(st.data(), cases(longest=4 * DAY))
def test_days_and_times_match_the_oracle(data: st.DataObject, case: Case) -> None:
    days = data.draw(st.just(DAYS) | st.sets(st.sampled_from(DAYS), min_size=1).map(tuple))
    times = data.draw(st.sets(times_near(case).map(datetime.time), min_size=1, max_size=3))

    def is_due(wall_time: datetime) -> bool:
        return wall_time.time() in times and DAYS[wall_time.weekday()] in days

    case.check(DayTime(days, tuple(times)), is_due)


@settings(max_examples=int(20 * EXAMPLES))
@given(st.data(), cases(longest=2 * DAY))
def test_once_matches_the_oracle(data: st.DataObject, case: Case) -> None:
    moment = data.draw(times_near(case))
    case.check(Once(moment), moment.__eq__)


@settings(max_examples=int(25 * EXAMPLES))
@given(st.data(), cases(longest=4 * DAY))
def test_crontab_lines_at_fixed_times_match_the_oracle(data: st.DataObject, case: Case) -> None:
    line = f"{minutes_near(data.draw, case)} {hours_and_days(data.draw, case)}"
    case.check(Cron(line), matcher(line))


def wildcard_line(draw: Draw, case: Case) -> str:
    star = draw(st.sampled_from(["*", "*/7", "*/20", "*/30"]))
    rest = hours_and_days(draw, case, hours=("*", "*/2"))
    if draw(st.booleans()):
        return f"{star} {rest}"
    return f"{minutes_near(draw, case)} {draw(st.sampled_from(['*', '*/2', '*/5']))} {rest.split(' ', 1)[1]}"


@settings(max_examples=int(25 * EXAMPLES))
@given(st.data(), cases(longest=2 * DAY))
def test_crontab_lines_with_a_wildcard_match_the_oracle(data: st.DataObject, case: Case) -> None:
    line = wildcard_line(data.draw, case)
    case.check(Cron(line), matcher(line), is_wildcard=True)


@settings(max_examples=int(8 * EXAMPLES))
@given(st.data(), cases(longest=3 * HOUR, step=1))
def test_crontab_lines_with_seconds_match_the_oracle(data: st.DataObject, case: Case) -> None:
    second = data.draw(st.sampled_from(["0", "30", "*/25", "1,59", "10-20/5", "59", "*"]))
    minute = data.draw(st.sampled_from(["*/30", "*/10"])) if data.draw(st.booleans()) else minutes_near(data.draw, case)
    line = f"{second} {minute} {hours_and_days(data.draw, case, hours=('*',))}"
    case.check(Cron(line), matcher(line), is_wildcard=True)


# ── tests of the oracle ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_oracle_parses_fields_as_described_in_crontab_5() -> None:
    assert numbers("*/20", 0, 59) == {0, 20, 40}
    assert numbers("5/20,59", 0, 59) == {5, 25, 45, 59}
    assert numbers("10-20/5", 0, 59) == {10, 15, 20}
    assert numbers("feb-apr,dec", 1, 12, MONTHS, 1) == {2, 3, 4, 12}
    assert numbers("sun,fri", 0, 7, WEEK) == {0, 5}


def test_the_oracle_combines_day_fields_as_debian_does() -> None:
    friday, thirteenth = datetime(2026, 11, 27), datetime(2026, 12, 13)
    either, both = matcher("0 0 13 * fri"), matcher("0 0 */3 * fri")
    assert (either(friday), either(thirteenth)) == (True, True)
    assert (both(friday), both(thirteenth), both(datetime(2026, 12, 4))) == (False, False, True)


def test_the_oracle_finds_clock_changes() -> None:
    changes = [datetime.fromtimestamp(instant, UTC) for instant in transitions("America/New_York")]
    assert datetime(2026, 3, 8, 7, tzinfo=UTC) in changes
    assert datetime(2026, 11, 1, 6, tzinfo=UTC) in changes
    assert len(changes) == 2 * 68  # daylight saving in every year from 1970 to 2037
