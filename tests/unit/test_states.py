"""The transition table of run states."""

from __future__ import annotations

from itertools import product

import pytest

from keiji.errors import IllegalTransition
from keiji.states import ENDED, FAILURES, LIVE, NEVER_STARTED, OPEN, TRANSITIONS, RunState, transition

# A deliberate copy of the table, so that a change of the table is a change of this test.
ALLOWED = {
    ("queued", "starting"),
    ("queued", "stopped"),
    ("queued", "skipped"),
    ("queued", "missed"),
    ("starting", "running"),
    *product(("starting", "running"), ("succeeded", "failed", "timed_out", "stopped", "lost")),
}


@pytest.mark.parametrize("current", RunState)
def test_only_listed_transitions_are_allowed(current: RunState) -> None:
    for target in RunState:
        if (current, target) in ALLOWED:
            assert transition(current, target) is target
        else:
            with pytest.raises(IllegalTransition, match=f"a {current} run cannot become {target}"):
                transition(current, target)


def test_a_rejected_transition_lists_the_allowed_ones() -> None:
    with pytest.raises(IllegalTransition, match=r"\(allowed: failed, lost, stopped, succeeded, timed_out\)"):
        transition(RunState.RUNNING, RunState.QUEUED)
    with pytest.raises(IllegalTransition, match=r"\(allowed: none, the run has ended\)"):
        transition(RunState.LOST, RunState.RUNNING)


def test_every_state_is_in_the_table_and_either_open_or_ended() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert set(RunState) == OPEN | ENDED
    assert not OPEN & ENDED
    assert {"queued", "starting", "running"} == OPEN
    assert LIVE < OPEN
    assert FAILURES < ENDED
    assert NEVER_STARTED < ENDED
    assert not NEVER_STARTED & TRANSITIONS[RunState.RUNNING]


def test_an_ended_state_is_reachable_from_every_open_state() -> None:
    def reachable(state: RunState) -> set[RunState]:
        return {state}.union(*map(reachable, TRANSITIONS[state]))

    assert all(reachable(state) & ENDED for state in OPEN)
