"""The states of a run and every move between them: one table.

A run that gets a process goes ``queued → starting → running →`` one of the ended states. An occurrence that never gets
one is ``skipped``, ``missed`` or ``coalesced`` from the start and stays so.
"""

from __future__ import annotations

from enum import StrEnum

from keiji.errors import IllegalTransition


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    STOPPED = "stopped"
    LOST = "lost"
    SKIPPED = "skipped"
    MISSED = "missed"
    COALESCED = "coalesced"


class Trigger(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    RETRY = "retry"


_S = RunState
_ENDED_WITH_PROCESS = frozenset({_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.STOPPED, _S.LOST})

# A short run may be over before its start was recorded, hence STARTING → an ended state.
TRANSITIONS: dict[RunState, frozenset[RunState]] = {
    _S.QUEUED: frozenset({_S.STARTING, _S.STOPPED, _S.SKIPPED, _S.MISSED}),
    _S.STARTING: _ENDED_WITH_PROCESS | {_S.RUNNING},
    _S.RUNNING: _ENDED_WITH_PROCESS,
    _S.SUCCEEDED: frozenset(),
    _S.FAILED: frozenset(),
    _S.TIMED_OUT: frozenset(),
    _S.STOPPED: frozenset(),
    _S.LOST: frozenset(),
    _S.SKIPPED: frozenset(),
    _S.MISSED: frozenset(),
    _S.COALESCED: frozenset(),
}

OPEN = frozenset(state for state, following in TRANSITIONS.items() if following)
ENDED = frozenset(TRANSITIONS) - OPEN
LIVE = frozenset({_S.STARTING, _S.RUNNING})
BAD = frozenset({_S.FAILED, _S.TIMED_OUT, _S.LOST})
NEVER_STARTED = frozenset({_S.SKIPPED, _S.MISSED, _S.COALESCED})  # an occurrence that never gets a process


def advance(current: RunState, following: RunState) -> RunState:
    """Return ``following`` where the table lists that move.

    Raises:
        IllegalTransition: the table does not list it.
    """
    if following not in TRANSITIONS[current]:
        allowed = ", ".join(sorted(TRANSITIONS[current])) or "nothing: it has ended"
        raise IllegalTransition(f"a run that is {current} cannot become {following} (possible: {allowed})")
    return following


def diagram() -> str:
    """Return the table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in (_S.QUEUED, _S.STARTING, _S.SKIPPED, _S.MISSED, _S.COALESCED)]
    for state, following in TRANSITIONS.items():
        lines += [f"    {state} --> {other}" for other in sorted(following)]
        lines += [f"    {state} --> [*]"] if not following else []
    return "\n".join(lines)
