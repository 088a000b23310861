"""A schedule as data and as source: what is read back is what was written, in this version and of the one before."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
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
    from_dict,
)

SECONDS = st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31)).map(lambda moment: moment.replace(microsecond=0))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
LINES = ["*/5 9-17 * * mon-fri", "0 0 L * 5L", "30 2 1,15 jan-mar 1#2", "*/20 * * * * *", "@daily", "@Hourly"]

instants = st.datetimes(datetime(1970, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC))
schedules = (
    st.builds(Interval, st.integers(1, 5000), st.sampled_from(sorted(UNITS)))
    | st.builds(
        DayTime,
        st.sets(st.sampled_from(DAYS), min_size=1).map(tuple),
        st.sets(st.times(), min_size=1, max_size=4).map(tuple),
    )
    | st.builds(Cron, st.sampled_from(LINES))
    | st.builds(Once, SECONDS | instants | st.datetimes(datetime(1990, 1, 1), datetime(9000, 12, 31)))
    | st.builds(lambda moment, offset: Once(moment.replace(tzinfo=offset)), SECONDS, OFFSETS)
)
placements = st.builds(
    ScheduleContext,
    anchor=st.just(EPOCH) | instants,
    zone=st.sampled_from(["UTC", "Africa/Nairobi", "America/Argentina/Buenos_Aires", "EST5EDT"]),
    gap=st.none() | st.sampled_from(DstGap),
    fold=st.none() | st.sampled_from(DstFold),
    not_before=st.none() | instants,
    until=st.none() | instants,
)


@given(schedules)
def test_the_source_of_a_schedule_makes_the_same_schedule(schedule: Schedule) -> None:
    assert eval(schedule.source_form(), {"every": every, "on": on, "cron": cron, "once": once}) == schedule


@given(schedules, placements)
def test_a_schedule_survives_being_stored_wherever_it_was_placed(schedule: Schedule, place: ScheduleContext) -> None:
    placed = schedule.with_context(place)
    back = from_dict(json.loads(json.dumps(placed.to_dict())))
    assert back == placed
    assert type(back) is type(schedule)
    assert back.context == place
    assert (back.describe(), back.source_form()) == (schedule.describe(), schedule.source_form())


@given(schedules, placements)
def test_placing_a_schedule_leaves_the_original_and_what_it_says(schedule: Schedule, place: ScheduleContext) -> None:
    placed = schedule.with_context(place)
    assert (schedule.context, placed.context) == (DEFAULT_CONTEXT, place)
    assert placed.is_same_as(schedule)
    assert not placed.is_same_as(once("1969-07-20 20:17"))


def test_only_what_is_not_the_default_is_stored_of_a_placement() -> None:
    assert DEFAULT_CONTEXT.to_dict() == {}
    assert ScheduleContext(zone="Africa/Nairobi", gap=DstGap.SKIP).to_dict() == {
        "zone": "Africa/Nairobi",
        "gap": "skip",
    }


def test_what_the_version_before_stored_is_still_read() -> None:
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
        {"type": "HMS", "interval": 0, "units": "seconds", "place": {}},
        {"type": "HMS", "interval": 1, "units": "seconds", "anchor": "yesterday"},
        {"type": "HMS", "interval": 1, "units": "seconds", "place": {"gap": "before"}},
        {"type": "HMS", "interval": 1, "units": "seconds", "place": None},
        {"type": "DayTime", "day": "friday", "at": "25:00", "zone": "UTC"},
        {"type": "DayTime", "days": "friday", "times": ["22:00"], "place": {}},
        {"type": "Cron", "expression": "* * * *", "place": {}},
        {"type": "Once", "moment": "soon", "place": {}},
        {"type": "Once", "place": {}},
    ],
)
def test_stored_data_that_cannot_be_read_is_an_error_that_shows_it(data: object) -> None:
    with pytest.raises(InvalidSchedule, match=r"stored schedule .* cannot be read"):
        from_dict(data)  # type: ignore[arg-type]


def test_a_kind_of_a_newer_version_is_refused_as_that() -> None:
    with pytest.raises(InvalidSchedule, match=r"'Tides'.* is of a kind that this version does not know"):
        from_dict({"type": "Tides", "place": {}})
