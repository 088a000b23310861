"""Policies on one line, as the form for a new task and the command line take them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keiji.errors import InvalidPolicy
from keiji.policy import Policy, Retry
from keiji.policy_text import parse_policy, policy_of
from keiji_engine.builds.task_file import format_task_file, parse_task_file

READ = {
    "": Policy(),
    "timeout = 30m": Policy(timeout=1800),
    'timeout = "1h30m", overlap = "queue"': Policy(timeout=5400, overlap="queue"),
    "timeout=90.5,retry.tries=3,retry.delay=10s": Policy(timeout=90.5, retry=Retry(tries=3, delay=10)),
    "retry = { tries = 3, delay = 10s }": Policy(retry=Retry(tries=3, delay=10)),
    "tz = Europe/Berlin, until = 2027-01-01 08:00": Policy(tz="Europe/Berlin", until="2027-01-01 08:00"),
    "not_before = 2027-01-01": Policy(not_before="2027-01-01 00:00"),
}
REFUSED = {
    "timeout": "'timeout' is not a policy",
    "timeout = 30 m": "'timeout = 30 m' is not a policy",
    "timeout = soon": "timeout='soon': expected a number of seconds",
    "timeuot = 3": "unknown key 'timeuot' in [policy]; did you mean 'timeout'?",
    "retry = 3": "retry = 3: expected a table",
    "retry.trys = 3": "unknown key 'trys' in [policy.retry]",
    "overlap = que": "did you mean 'queue'?",
    "timeout = 3 }\nname = { a = 1": "line break",
    "timeout = 3, timeout = 4": "is not a policy",
}


@pytest.mark.parametrize(("text", "policy"), READ.items())
def test_policy_on_one_line_means_the_same_in_a_task_file(text: str, policy: Policy) -> None:
    assert policy_of(text) == policy
    file = format_task_file(name="a", description="", command=["true"], policy=parse_policy(text))
    assert parse_task_file(file).policy == (policy if text else None)


@pytest.mark.parametrize(("text", "problem"), REFUSED.items())
def test_invalid_policy_is_explained(text: str, problem: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        parse_policy(text)
    assert problem in caught.value.message


@given(st.text(alphabet="abt=,{}\"'.[]#\\ 0159:-m\n\x00é"))
def test_any_text_is_a_policy_or_an_error(text: str) -> None:
    with suppress(InvalidPolicy):
        assert isinstance(policy_of(text), Policy)
