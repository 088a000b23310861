"""Schedules as stored data and as source: both are read back unchanged, including data of earlier versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keiji import cron, every, on, once
from keiji.errors import InvalidSchedule
from keiji.schedule import (
    DAYS,
    DEFAULT_CONTEXT,
    EPOCH,
    UNITS,
    Cron,
    DayTime,
    DstFold,
    DstGap,
    Interval,
    Once,
    Schedule,
    ScheduleContext,
    Several,
    at_start,
    from_dict,
    manual,
    on_change,
    to_schedule,
)
from keiji.schedule.parse import MAX_LENGTH, parse_schedule

SECONDS = st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
LINES = ["*/5 9-17 * * mon-fri", "0 0 L * 5L", "30 2 1,15 jan-mar 1#2", "*/20 * * * * *", "@daily", "@Hourly"]

instants = st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))
single = (
    st.builds(Interval, st.integers(1, 5000), st.sampled_from(sorted(UNITS)))
    | st.builds(
        DayTime,
        st.sets(st.sampled_from(DAYS), min_size=1).map(tuple),
        st.sets(st.times(), min_size=1, max_size=4).map(tuple),
    )
    | st.builds(Cron, st.sampled_from(LINES))
    | st.builds(Once, SECONDS | instants | st.datetimes(datetime(1990, 1, 1), datetime(9000, 12, 31)))
    | st.builds(lambda moment, offset: Once(moment.replace(tzinfo=offset)), SECONDS, OFFSETS)
    | st.just(at_start)
    | st.builds(lambda parts: on_change("/" + "/".join(parts)), st.lists(st.text("ab*?[]'\"\\\\; {}é", min_size=1)))
)
several = st.lists(single, min_size=2, max_size=4, unique=True).map(lambda schedules: Several(tuple(schedules)))
schedules = single | several | st.just(manual)
contexts = st.builds(
    ScheduleContext,
    anchor=st.just(EPOCH) | instants,
    zone=st.sampled_from(["UTC", "Africa/Nairobi", "America/Argentina/Buenos_Aires", "EST5EDT"]),
    gap=st.none() | st.sampled_from(DstGap),
    fold=st.none() | st.sampled_from(DstFold),
    not_before=st.none() | instants,
    until=st.none() | instants,
)


@given(schedules)
def test_the_source_form_of_a_schedule_evaluates_to_the_same_schedule(schedule: Schedule) -> None:
    names = {"every": every, "on": on, "cron": cron, "once": once, "manual": manual, "at_start": at_start}
    assert to_schedule(eval(schedule.source_form(), {**names, "on_change": on_change})) == schedule


@given(several)
def test_the_source_form_of_a_list_is_parsed_back(schedule: Schedule) -> None:
    assume(len(schedule.source_form()) < MAX_LENGTH)
    assert parse_schedule(schedule.source_form()) == schedule


@given(schedules, contexts)
def test_a_stored_schedule_is_read_back_with_its_context(schedule: Schedule, context: ScheduleContext) -> None:
    original = schedule.with_context(context)
    restored = from_dict(json.loads(json.dumps(original.to_dict())))
    assert restored == original
    assert type(restored) is type(schedule)
    assert restored.context == context
    assert (restored.describe(), restored.source_form()) == (schedule.describe(), schedule.source_form())


@given(schedules, contexts)
def test_with_context_changes_neither_the_original_nor_its_rule(schedule: Schedule, context: ScheduleContext) -> None:
    copy = schedule.with_context(context)
    assert (schedule.context, copy.context) == (DEFAULT_CONTEXT, context)
    assert copy.is_same_as(schedule)
    assert not copy.is_same_as(once("1969-07-20 20:17"))


def test_only_context_values_that_differ_from_the_defaults_are_stored() -> None:
    assert DEFAULT_CONTEXT.to_dict() == {}
    assert ScheduleContext(zone="Africa/Nairobi", gap=DstGap.SKIP).to_dict() == {
        "zone": "Africa/Nairobi",
        "gap": "skip",
    }


@given(schedules, contexts)
def test_data_with_the_context_under_its_earlier_key_is_read(schedule: Schedule, context: ScheduleContext) -> None:
    original = schedule.with_context(context)
    data = original.to_dict()
    data["place"] = data.pop("context")
    assert from_dict(json.loads(json.dumps(data))) == original


def test_data_of_the_first_version_is_read() -> None:
    anchor = datetime(2026, 11, 23, 7, tzinfo=UTC)
    stored = {"type": "HMS", "interval": 10, "units": "seconds", "anchor": "2026-11-23T07:00:00+00:00"}
    assert from_dict(stored) == every(10).seconds.with_context(ScheduleContext(anchor=anchor))
    stored = {"type": "DayTime", "day": "friday", "at": "22:00", "zone": "Africa/Nairobi"}
    assert from_dict(stored) == on.friday.at("22:00").with_context(ScheduleContext(zone="Africa/Nairobi"))


@pytest.mark.parametrize(
    "data",
    [
        {},
        [],
        None,
        "every 10 seconds",
        {"type": "HMS", "interval": 0, "units": "seconds", "context": {}},
        {"type": "HMS", "interval": 1, "units": "seconds", "anchor": "yesterday"},
        {"type": "HMS", "interval": 1, "units": "seconds", "context": {"gap": "before"}},
        {"type": "HMS", "interval": 1, "units": "seconds", "context": None},
        {"type": "DayTime", "day": "friday", "at": "25:00", "zone": "UTC"},
        {"type": "DayTime", "days": "friday", "times": ["22:00"], "context": {}},
        {"type": "Cron", "expression": "* * * *", "context": {}},
        {"type": "Once", "moment": "soon", "context": {}},
        {"type": "Once", "context": {}},
        {"type": "OnChange", "pattern": "in/*", "context": {}},
        {"type": "List", "schedules": [], "context": {}},
        {"type": "List", "schedules": [{"type": "Tides"}, {"type": "Manual"}], "context": {}},
    ],
)
def test_invalid_stored_data_is_rejected_with_the_data(data: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"stored schedule .* is invalid"):
        from_dict(data)  # type: ignore[arg-type]


def test_a_schedule_type_of_a_newer_version_is_rejected() -> None:
    with pytest.raises(InvalidSchedule, match=r"'Tides'.* has a type that this version does not know"):
        from_dict({"type": "Tides", "context": {}})
