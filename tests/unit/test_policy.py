"""What an author may ask for around a run."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji import Policy, Retry
from keiji.errors import InvalidPolicy
from keiji.policy import LONGEST_SECONDS

retries = st.builds(
    Retry,
    tries=st.integers(1, 100),
    delay=st.floats(0, LONGEST_SECONDS),
    backoff=st.floats(1, 1000),
)
policies = st.builds(
    Policy,
    timeout=st.none() | st.floats(0.001, LONGEST_SECONDS),
    stop_grace=st.floats(0, LONGEST_SECONDS),
    retry=retries,
)


def test_by_default_nothing_is_limited_or_tried_again() -> None:
    policy = Policy()
    assert policy.timeout is None
    assert policy.retry.delay_after(1) is None
    assert policy.words() == ""


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
    data = Policy(timeout=3).to_dict() | {"overlap": "queue"}
    data["retry"] |= {"jitter": 5}
    assert Policy.from_dict(data) == Policy(timeout=3)


def test_what_an_older_version_did_not_have_takes_its_default() -> None:
    assert Policy.from_dict({}) == Policy()


def test_words_name_what_differs_from_the_defaults() -> None:
    policy = Policy(timeout=30, stop_grace=2.5, retry=Retry(tries=3))
    assert policy.words() == "timeout 30 s, up to 3 tries, stop grace 2.5 s"


@pytest.mark.parametrize("tries", [0, -1, 101, 1.0, "3", True, None])
def test_a_number_of_tries_out_of_range_is_refused(tries: object) -> None:
    with pytest.raises(InvalidPolicy, match=r"Retry\(tries=.*\): a whole number from 1 to 100"):
        Retry(tries=tries)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, math.inf, math.nan, "1", None, True, 10**400, LONGEST_SECONDS + 1])
def test_a_number_of_seconds_out_of_range_is_refused_by_its_name(number: object) -> None:
    for name, build in (
        ("Retry(delay)", lambda: Retry(delay=number)),  # type: ignore[arg-type]
        ("Policy(stop_grace)", lambda: Policy(stop_grace=number)),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidPolicy) as caught:
            build()
        assert str(caught.value).startswith(f"{name}={number!r}: a number of seconds from 0 to 31,622,400 is needed")


def test_a_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match=r"Policy\(timeout\)=0: a number of seconds from 0.001 to"):
        Policy(timeout=0)


@pytest.mark.parametrize("backoff", [0.5, 1001, math.nan, "2"])
def test_a_backoff_out_of_range_is_refused(backoff: object) -> None:
    with pytest.raises(InvalidPolicy, match=r"Retry\(backoff\)=.*: a number from 1 to 1,000 is needed"):
        Retry(backoff=backoff)  # type: ignore[arg-type]


def test_a_retry_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidPolicy, match=r"Policy\(retry=3\): a Retry\(tries=…, delay=…\) is needed"):
        Policy(retry=3)  # type: ignore[arg-type]
