"""The table of states: what it lists happens, what it does not list raises."""

from __future__ import annotations

from itertools import product

import pytest

from keiji.errors import IllegalTransition
from keiji.states import BAD, ENDED, LIVE, OPEN, TRANSITIONS, RunState, advance, diagram

# As the design has it, written out a second time: who changes the table changes it here, too.
LISTED = {
    ("queued", "starting"),
    ("queued", "stopped"),
    ("queued", "skipped"),
    ("queued", "missed"),
    ("starting", "running"),
    *product(("starting", "running"), ("succeeded", "failed", "timed_out", "stopped", "lost")),
}


@pytest.mark.parametrize("current", RunState)
def test_a_run_moves_only_as_the_table_lists(current: RunState) -> None:
    for following in RunState:
        if (current, following) in LISTED:
            assert advance(current, following) is following
        else:
            with pytest.raises(IllegalTransition, match=f"a run that is {current} cannot become {following}"):
                advance(current, following)


def test_a_refused_move_says_what_is_possible() -> None:
    with pytest.raises(IllegalTransition, match=r"\(possible: failed, lost, stopped, succeeded, timed_out\)"):
        advance(RunState.RUNNING, RunState.QUEUED)
    with pytest.raises(IllegalTransition, match=r"\(possible: nothing: it has ended\)"):
        advance(RunState.LOST, RunState.RUNNING)


def test_every_state_is_in_the_table_and_either_open_or_ended() -> None:
    assert set(TRANSITIONS) == set(RunState)
    assert set(RunState) == OPEN | ENDED
    assert not OPEN & ENDED
    assert {"queued", "starting", "running"} == OPEN
    assert LIVE < OPEN
    assert BAD < ENDED


def test_every_open_state_leads_to_an_end() -> None:
    def reachable(state: RunState) -> set[RunState]:
        return {state}.union(*map(reachable, TRANSITIONS[state]))

    assert all(reachable(state) & ENDED for state in OPEN)


def test_the_diagram_has_every_move_and_every_end() -> None:
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    moves = {tuple(line.strip().split(" --> ")) for line in lines[1:]}
    assert len(moves) == len(lines) - 1
    assert {move for move in moves if "[*]" not in move} == LISTED
    assert {start for start, end in moves if end == "[*]"} == set(ENDED)
    assert {end for start, end in moves if start == "[*]"} == {"queued", "starting", "skipped", "missed", "coalesced"}
