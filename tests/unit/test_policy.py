"""Policies: defaults, validation, storage and description."""

from __future__ import annotations

import copy
import json
import math
import pickle
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import make_agenda

from keiji import Policy, Retry, cron, every, on, once
from keiji.errors import InvalidPolicy
from keiji.policy import MAX_SECONDS, CatchUp, Leave, Overlap
from keiji.reasons import render
from keiji.records import Run, Task
from keiji.schedule import DstFold, DstGap, Schedule, ScheduleContext
from keiji.states import RunState, Trigger
from keiji_engine.scheduler.clock_changes import anchor_schedule
from keiji_engine.scheduler.model import Conditions
from keiji_engine.scheduler.planner import plan

retries = st.builds(
    Retry,
    tries=st.integers(1, 100),
    delay=st.floats(0, MAX_SECONDS),
    backoff=st.floats(1, 1000),
    jitter=st.floats(0, MAX_SECONDS),
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)) | st.datetimes(
    datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)
)
policies = st.builds(
    Policy,
    timeout=st.none() | st.floats(0.001, MAX_SECONDS),
    stop_grace=st.floats(0, MAX_SECONDS),
    leave=st.sampled_from(Leave),
    retry=retries,
    overlap=st.sampled_from(Overlap),
    queue=st.integers(1, 1000),
    max_parallel=st.none() | st.integers(1, 1000),
    catch_up=st.sampled_from(CatchUp),
    catch_up_window=st.none() | st.floats(1, MAX_SECONDS),
    catch_up_cap=st.integers(1, 1000),
    jitter=st.floats(0, MAX_SECONDS),
    not_before=st.none() | moments,
    until=st.none() | moments.map(str),
    hold_after=st.integers(0, 1000),
    dst_gap=st.none() | st.sampled_from(DstGap),
    dst_fold=st.none() | st.sampled_from([str(fold) for fold in DstFold]),
    tz=st.none() | st.sampled_from(["Africa/Nairobi", "UTC", "America/New_York"]),
)


def test_the_default_policy_has_no_limits_and_no_retries() -> None:
    policy = Policy()
    assert policy.timeout is None
    assert policy.retry.delay_after(1) is None
    assert (policy.overlap, policy.catch_up, policy.hold_after, policy.jitter) == ("skip", "latest", 0, 0)
    assert policy.describe() == "overlap: skip · catch-up: latest"


def test_delays_grow_by_the_backoff_until_the_last_try() -> None:
    retry = Retry(tries=4, delay=1.5, backoff=2)
    assert [retry.delay_after(attempt) for attempt in range(1, 6)] == [1.5, 3.0, 6.0, None, None]


@given(retries)
def test_every_delay_is_within_the_limit(retry: Retry) -> None:
    delays = [retry.delay_after(attempt) for attempt in range(1, retry.tries + 1)]
    assert delays.pop() is None
    for delay in delays:
        assert delay is not None
        assert 0 <= delay <= MAX_SECONDS


@given(policies)
def test_a_stored_policy_is_read_back(policy: Policy) -> None:
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


def test_unknown_keys_of_a_newer_version_are_ignored() -> None:
    data = Policy(timeout=3, retry=Retry(tries=2)).to_dict() | {"moon": "full"}
    data["retry"] |= {"moon": 5}
    assert Policy.from_dict(data) == Policy(timeout=3, retry=Retry(tries=2))


def test_only_values_that_differ_from_the_defaults_are_stored() -> None:
    assert Policy().to_dict() == {}
    assert Policy(overlap="queue", retry=Retry(tries=2)).to_dict() == {"overlap": "queue", "retry": {"tries": 2}}


def test_missing_keys_take_their_defaults() -> None:
    assert Policy.from_dict({}) == Policy()


def test_the_description_lists_values_that_differ_from_the_defaults() -> None:
    policy = Policy(timeout=30, stop_grace=2.5, retry=Retry(tries=3))
    assert policy.describe() == (
        "overlap: skip · catch-up: latest · timeout: 30s · retry: up to 3 tries · stop grace: 2.5s"
    )
    policy = Policy(overlap="allow", max_parallel=3, catch_up="all", catch_up_window=3600, jitter=5, hold_after=1)
    assert policy.describe() == (
        "overlap: allow (up to 3 at once) · catch-up: all (up to 10, within 1h) · jitter: 5s · hold after 1 failure"
    )
    policy = Policy(overlap="queue", not_before="2027-01-01", until="2028-01-01 10:00", dst_gap="skip", tz="Asia/Tokyo")
    assert policy.describe() == (
        "overlap: queue (up to 10) · catch-up: latest · not before 2027-01-01 00:00 · until 2028-01-01 10:00 · "
        "DST gap: skip · in Asia/Tokyo"
    )


def test_the_description_of_retries_lists_values_that_differ_from_the_defaults() -> None:
    assert Retry().describe() == ""
    retry = Retry(tries=3, delay=1, backoff=2, jitter=0.5)
    assert retry.describe() == "up to 3 tries, delay 1s, backoff 2, jitter 0.5s"


def test_a_fraction_of_the_jitter_is_added_to_each_delay() -> None:
    retry = Retry(tries=3, delay=10, backoff=2, jitter=4)
    assert [retry.delay_after(1, jitter_fraction=fraction) for fraction in (0, 0.5, 1)] == [10, 12, 14]
    assert retry.delay_after(2, jitter_fraction=1) == 24


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"overlap": "skp"}, "Policy(overlap='skp'): did you mean 'skip'?"),
        ({"overlap": None}, "Policy(overlap=None): expected one of 'skip', 'queue', 'replace', 'allow'"),
        ({"catch_up": "every"}, "Policy(catch_up='every'): expected one of 'latest', 'none', 'earliest', 'all'"),
        ({"queue": 0}, "Policy(queue=0): expected a whole number from 1 to 1000"),
        ({"max_parallel": True}, "Policy(max_parallel=True): expected a whole number from 1 to 1000"),
        ({"catch_up_cap": 1001}, "Policy(catch_up_cap=1001): expected a whole number from 1 to 1000"),
        ({"catch_up_window": 0}, "Policy(catch_up_window=0): expected a number of seconds from 1 to 3,162,240,000"),
        ({"hold_after": -1}, "Policy(hold_after=-1): expected a whole number from 0 to 1000"),
        (
            {"jitter": "1x"},
            "Policy(jitter='1x'): expected a number of seconds from 0 to 31,622,400, or a duration such as",
        ),
        ({"dst_gap": "before"}, "Policy(dst_gap='before'): expected one of 'after', 'skip'"),
        ({"dst_fold": "frst"}, "Policy(dst_fold='frst'): did you mean 'first'?"),
        ({"until": "soon"}, "Policy(until='soon'): expected a date and time, such as \"2027-01-01 00:00\""),
        ({"not_before": 5}, 'Policy(not_before=5): expected a date and time, such as "2027-01-01 00:00"'),
        (
            {"tz": "Europe/Berln"},
            "Policy(tz='Europe/Berln'): unknown time zone; did you mean 'Europe/Berlin'?",
        ),
        ({"tz": "/etc/passwd"}, "Policy(tz='/etc/passwd'): unknown time zone; "),
        ({"tz": 3}, "Policy(tz=3): unknown time zone; "),
    ],
)
def test_an_invalid_value_is_rejected_with_the_allowed_values(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Policy(**values)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Policy(timout=3), "Policy(timout=…): unknown option; did you mean 'timeout'?"),
        (lambda: Policy(moon=3), "Policy(moon=…): unknown option; expected one of timeout, stop_grace, leave, retry, "),
        (lambda: Retry(delays=3), "Retry(delays=…): unknown option; did you mean 'delay'?"),
        (
            lambda: Retry(tries=2, wait=3),
            "Retry(wait=…): unknown option; expected one of tries, delay, backoff, ",
        ),
        (lambda: Policy(30, timeout=3), "Policy(timeout=…): the option is set twice"),
        (lambda: Retry(1, 2, 3, 4, 5), "Retry(…): 5 values, but there are 4 options"),
        (lambda: Policy(timeout=10**5000), "Policy(timeout=<a value of type int that cannot be shown>): expected a"),
    ],
)
def test_an_unknown_option_is_rejected_with_the_nearest_name(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        build()
    assert str(caught.value).startswith(message)


def test_a_policy_can_be_copied() -> None:
    policy = Policy(timeout=3, retry=Retry(tries=2))
    assert copy.deepcopy(policy) == pickle.loads(pickle.dumps(policy)) == replace(policy) == policy


# ── extremes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LAST = datetime(9200, 1, 1, tzinfo=UTC)
YEAR = MAX_SECONDS
EXTREMES: dict[str, tuple[Any, ...]] = {
    "leave": tuple(Leave),
    "timeout": (0.001, YEAR),
    "stop_grace": (0, YEAR),
    "retry": tuple(
        Retry(tries=tries, delay=delay, backoff=backoff, jitter=jitter)
        for tries in (1, 100)
        for delay in (0, YEAR)
        for backoff in (1, 1000)
        for jitter in (0, YEAR)
    ),
    "overlap": tuple(Overlap),
    "queue": (1, 1000),
    "max_parallel": (1, 1000),
    "catch_up": tuple(CatchUp),
    "catch_up_window": (1, 100 * YEAR),
    "catch_up_cap": (1, 1000),
    "jitter": (0, 0.001, YEAR),
    "not_before": ("1900-01-01", "9000-12-31 23:59", "1900-01-01 00:00+14:00", "9000-12-31 23:59-12:00"),
    "until": ("1900-01-01", "9000-12-31 23:59", "1900-01-01 00:00+14:00", "9000-12-31 23:59-12:00"),
    "hold_after": (0, 1000),
    "dst_gap": tuple(DstGap),
    "dst_fold": tuple(DstFold),
    "tz": ("Pacific/Kiritimati", "Etc/GMT+12", "UTC"),
}
SCHEDULES = (
    every(1).seconds, every(36_600).days, on.day.at("00:00"), cron("* * * * * *"), cron("0 0 29 2 *"),
    once("9000-12-31 23:59:59"), once("9000-12-31T23:59-12:00"),
)  # fmt: skip
GAPS = (timedelta(), timedelta(seconds=61), timedelta(hours=1))
NO_NUMBERS = (-1, -math.inf, math.inf, math.nan, 1e308, 10**400, 10**5000, [], {}, b"1", object())
BEYOND: dict[str, tuple[Any, ...]] = {
    "not_before": ("1899-12-31", "9001-01-01", datetime.max),
    "until": ("0001-01-01", datetime.min, 10**5000),
}


def test_there_are_extremes_of_every_option() -> None:
    assert set(EXTREMES) == {f.name for f in fields(Policy)}


@settings(max_examples=60)
@given(
    st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in EXTREMES.items()}),
    st.sampled_from(SCHEDULES),
    st.sampled_from(GAPS),
    st.sampled_from(["UTC", "Asia/Kathmandu"]),
)
def test_each_extreme_value_works_in_every_decision_about_a_task(
    values: dict[str, Any], schedule: Schedule, gap: timedelta, zone: str
) -> None:
    policy = Policy(**values)
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert policy.describe()
    for attempt in (1, 2, 99):
        delay = policy.retry.delay_after(attempt, jitter_fraction=1)
        assert delay is None or NOW + timedelta(seconds=delay) >= NOW
    anchored, next_at = anchor_schedule(schedule, policy, zone, NOW)
    if next_at is None:
        return
    assert next(anchored.preview(NOW)).at == next_at
    task = Task(id=1, task_id="t", name="t", slug="t", schedule=anchored, policy=policy, build="b", next_at=next_at)
    assert task.start_time(next_at) >= next_at
    live = Run(run_id="r", task="t", trigger=Trigger.SCHEDULE, state=RunState.RUNNING, created_at=NOW, started_at=NOW)
    for open_runs in ((), (live,)):
        now, conditions = min(next_at + gap, LAST), Conditions()
        decided = plan(make_agenda([task], open_runs).view(now, conditions), now, conditions)
        assert decided.claims
        assert all(claim.reason is None or render(claim.reason) for claim in decided.claims)


@pytest.mark.parametrize("name", EXTREMES)
def test_a_value_beyond_an_extreme_is_rejected(name: str) -> None:
    for value in BEYOND.get(name, NO_NUMBERS):
        with pytest.raises(InvalidPolicy, match=rf"^Policy\({name}="):
            Policy(**{name: value})


def test_the_schedule_context_has_the_zone_and_the_bounds_of_the_policy() -> None:
    anchor = datetime(2026, 6, 1, tzinfo=UTC)
    policy = Policy(tz="America/New_York", not_before="2027-01-01", until="2027-03-14 02:30", dst_fold="both")
    context = policy.schedule_context(anchor=anchor, zone="Africa/Nairobi")
    assert context == ScheduleContext(
        anchor=anchor,
        zone="America/New_York",
        fold=DstFold.BOTH,
        not_before=datetime(2027, 1, 1, 5, tzinfo=UTC),
        until=datetime(2027, 3, 14, 7, tzinfo=UTC),  # 02:30 does not exist there, and the gap ends at 03:00
    )
    assert Policy().schedule_context(anchor=anchor, zone="Africa/Nairobi").zone == "Africa/Nairobi"


@pytest.mark.parametrize("tries", [0, -1, 101, 1.0, "3", True, None])
def test_a_number_of_tries_out_of_range_is_rejected(tries: object) -> None:
    with pytest.raises(InvalidPolicy, match=r"Retry\(tries=.*\): expected a whole number from 1 to 100"):
        Retry(tries=tries)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, math.inf, math.nan, "1x", "366d1h", None, True, 10**400, MAX_SECONDS + 1])
def test_a_number_of_seconds_out_of_range_is_rejected(number: object) -> None:
    for name, build in (
        ("Retry(delay", lambda: Retry(delay=number)),  # type: ignore[arg-type]
        ("Policy(stop_grace", lambda: Policy(stop_grace=number)),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidPolicy) as caught:
            build()
        assert str(caught.value).startswith(f"{name}={number!r}): expected a number of seconds from 0 to 31,622,400")


def test_a_timeout_of_zero_is_rejected() -> None:
    with pytest.raises(InvalidPolicy, match=r"Policy\(timeout=0\): expected a number of seconds from 0.001 to"):
        Policy(timeout=0)


@pytest.mark.parametrize("backoff", [0.5, 1001, math.nan, "2"])
def test_a_backoff_out_of_range_is_rejected(backoff: object) -> None:
    with pytest.raises(InvalidPolicy, match=r"Retry\(backoff=.*\): expected a number from 1 to 1,000"):
        Retry(backoff=backoff)  # type: ignore[arg-type]


def test_a_retry_of_another_type_is_rejected() -> None:
    with pytest.raises(InvalidPolicy, match=r"Policy\(retry=3\): expected Retry\(tries=…, delay=…\)"):
        Policy(retry=3)  # type: ignore[arg-type]
