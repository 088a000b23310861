"""What an author may ask for around a run."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji import Policy, Retry
from keiji.errors import InvalidPolicy
from keiji.policy import LONGEST_SECONDS, CatchUp, Overlap
from keiji.schedule import DstFold, DstGap, ScheduleContext

retries = st.builds(
    Retry,
    tries=st.integers(1, 100),
    delay=st.floats(0, LONGEST_SECONDS),
    backoff=st.floats(1, 1000),
    jitter=st.floats(0, LONGEST_SECONDS),
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1)) | st.datetimes(
    datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)
)
policies = st.builds(
    Policy,
    timeout=st.none() | st.floats(0.001, LONGEST_SECONDS),
    stop_grace=st.floats(0, LONGEST_SECONDS),
    retry=retries,
    overlap=st.sampled_from(Overlap),
    queue=st.integers(1, 1000),
    max_parallel=st.none() | st.integers(1, 1000),
    catch_up=st.sampled_from(CatchUp),
    catch_up_window=st.none() | st.floats(1, LONGEST_SECONDS),
    catch_up_cap=st.integers(1, 1000),
    jitter=st.floats(0, LONGEST_SECONDS),
    not_before=st.none() | moments,
    until=st.none() | moments.map(str),
    hold_after=st.integers(0, 1000),
    dst_gap=st.none() | st.sampled_from(DstGap),
    dst_fold=st.none() | st.sampled_from([str(fold) for fold in DstFold]),
    tz=st.none() | st.sampled_from(["Africa/Nairobi", "UTC", "America/New_York"]),
)


def test_by_default_nothing_is_limited_or_tried_again() -> None:
    policy = Policy()
    assert policy.timeout is None
    assert policy.retry.delay_after(1) is None
    assert (policy.overlap, policy.catch_up, policy.hold_after, policy.jitter) == ("skip", "latest", 0, 0)
    assert policy.describe() == "overlap skip, catch up latest"


def test_delays_grow_by_the_backoff_and_end_with_the_last_try() -> None:
    retry = Retry(tries=4, delay=1.5, backoff=2)
    assert [retry.delay_after(attempt) for attempt in range(1, 6)] == [1.5, 3.0, 6.0, None, None]


@given(retries)
def test_every_delay_is_a_number_that_a_clock_can_be_set_to(retry: Retry) -> None:
    delays = [retry.delay_after(attempt) for attempt in range(1, retry.tries + 1)]
    assert delays.pop() is None
    for delay in delays:
        assert delay is not None
        assert 0 <= delay <= LONGEST_SECONDS


@given(policies)
def test_a_policy_survives_being_stored(policy: Policy) -> None:
    assert Policy.from_dict(json.loads(json.dumps(policy.to_dict()))) == policy


def test_what_a_newer_version_adds_is_passed_over() -> None:
    data = Policy(timeout=3, retry=Retry(tries=2)).to_dict() | {"moon": "full"}
    data["retry"] |= {"moon": 5}
    assert Policy.from_dict(data) == Policy(timeout=3, retry=Retry(tries=2))


def test_only_what_differs_from_the_defaults_is_stored() -> None:
    assert Policy().to_dict() == {}
    assert Policy(overlap="queue", retry=Retry(tries=2)).to_dict() == {"overlap": "queue", "retry": {"tries": 2}}


def test_what_an_older_version_did_not_have_takes_its_default() -> None:
    assert Policy.from_dict({}) == Policy()


def test_words_name_what_differs_from_the_defaults() -> None:
    policy = Policy(timeout=30, stop_grace=2.5, retry=Retry(tries=3))
    assert policy.describe() == "overlap skip, catch up latest, timeout 30 s, up to 3 tries, stop grace 2.5 s"
    policy = Policy(overlap="allow", max_parallel=3, catch_up="all", catch_up_window=3600, jitter=5, hold_after=1)
    assert policy.describe() == (
        "overlap allow 3 at once, catch up all up to 10 within 3600 s, jitter 5 s, held after 1 failure"
    )
    policy = Policy(overlap="queue", not_before="2027-01-01", until="2028-01-01 10:00", dst_gap="skip", tz="Asia/Tokyo")
    assert policy.describe() == (
        "overlap queue of 10, catch up latest, not before 2027-01-01 00:00, until 2028-01-01 10:00, DST gap skip, "
        "by the clocks of Asia/Tokyo"
    )


def test_a_part_of_the_jitter_is_added_to_each_delay() -> None:
    retry = Retry(tries=3, delay=10, backoff=2, jitter=4)
    assert [retry.delay_after(1, drawn=drawn) for drawn in (0, 0.5, 1)] == [10, 12, 14]
    assert retry.delay_after(2, drawn=1) == 24


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"overlap": "skp"}, "Policy(overlap='skp'): did you mean 'skip'?"),
        ({"overlap": None}, "Policy(overlap=None): one of 'skip', 'queue', 'replace', 'allow'"),
        ({"catch_up": "every"}, "Policy(catch_up='every'): one of 'latest', 'none', 'earliest', 'all'"),
        ({"queue": 0}, "Policy(queue=0): a whole number from 1 to 1000 is needed"),
        ({"max_parallel": True}, "Policy(max_parallel=True): a whole number from 1 to 1000 is needed"),
        ({"catch_up_cap": 1001}, "Policy(catch_up_cap=1001): a whole number from 1 to 1000 is needed"),
        ({"catch_up_window": 0}, "Policy(catch_up_window=0): a number of seconds from 1 to 3,162,240,000 is needed"),
        ({"hold_after": -1}, "Policy(hold_after=-1): a whole number from 0 to 1000 is needed"),
        ({"jitter": "1"}, "Policy(jitter='1'): a number of seconds from 0 to 31,622,400 is needed"),
        ({"dst_gap": "before"}, "Policy(dst_gap='before'): one of 'after', 'skip'"),
        ({"dst_fold": "frst"}, "Policy(dst_fold='frst'): did you mean 'first'?"),
        ({"until": "soon"}, "Policy(until='soon'): a moment is needed, such as \"2027-01-01 00:00\""),
        ({"not_before": 5}, 'Policy(not_before=5): a moment is needed, such as "2027-01-01 00:00"'),
        (
            {"tz": "Europe/Berln"},
            "Policy(tz='Europe/Berln'): there is no such time zone; did you mean 'Europe/Berlin'?",
        ),
        ({"tz": "/etc/passwd"}, "Policy(tz='/etc/passwd'): there is no such time zone; "),
        ({"tz": 3}, "Policy(tz=3): there is no such time zone; "),
    ],
)
def test_what_no_policy_can_be_is_refused_and_says_what_can(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        Policy(**wrong)
    assert str(caught.value).startswith(message)


def test_a_policy_places_a_schedule_in_its_own_zone_and_within_its_bounds() -> None:
    anchor = datetime(2026, 6, 1, tzinfo=UTC)
    policy = Policy(tz="America/New_York", not_before="2027-01-01", until="2027-03-14 02:30", dst_fold="both")
    place = policy.schedule_context(anchor=anchor, zone="Africa/Nairobi")
    assert place == ScheduleContext(
        anchor=anchor,
        zone="America/New_York",
        fold=DstFold.BOTH,
        not_before=datetime(2027, 1, 1, 5, tzinfo=UTC),
        until=datetime(2027, 3, 14, 7, tzinfo=UTC),  # 02:30 does not exist there, and the gap ends at 03:00
    )
    assert Policy().schedule_context(anchor=anchor, zone="Africa/Nairobi").zone == "Africa/Nairobi"


@pytest.mark.parametrize("tries", [0, -1, 101, 1.0, "3", True, None])
def test_a_number_of_tries_out_of_range_is_refused(tries: object) -> None:
    with pytest.raises(InvalidPolicy, match=r"Retry\(tries=.*\): a whole number from 1 to 100"):
        Retry(tries=tries)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, math.inf, math.nan, "1", None, True, 10**400, LONGEST_SECONDS + 1])
def test_a_number_of_seconds_out_of_range_is_refused_by_its_name(number: object) -> None:
    for name, build in (
        ("Retry(delay", lambda: Retry(delay=number)),  # type: ignore[arg-type]
        ("Policy(stop_grace", lambda: Policy(stop_grace=number)),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidPolicy) as caught:
            build()
        assert str(caught.value).startswith(f"{name}={number!r}): a number of seconds from 0 to 31,622,400 is needed")


def test_a_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match=r"Policy\(timeout=0\): a number of seconds from 0.001 to"):
        Policy(timeout=0)


@pytest.mark.parametrize("backoff", [0.5, 1001, math.nan, "2"])
def test_a_backoff_out_of_range_is_refused(backoff: object) -> None:
    with pytest.raises(InvalidPolicy, match=r"Retry\(backoff=.*\): a number from 1 to 1,000 is needed"):
        Retry(backoff=backoff)  # type: ignore[arg-type]


def test_a_retry_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match=r"Policy\(retry=3\): a Retry\(tries=…, delay=…\) is needed"):
        Policy(retry=3)  # type: ignore[arg-type]
