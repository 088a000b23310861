"""The states of a run and the table of allowed transitions.

A run with a process goes ``queued → starting → running →`` one of the ended states. An occurrence without a process is
recorded as ``skipped``, ``missed`` or ``coalesced``, which are final.
"""

from __future__ import annotations

from enum import StrEnum

from keiji.errors import IllegalTransition


class RunState(StrEnum):
    """The state of a run."""

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
    AT_START = "at_start"
    ON_CHANGE = "on_change"
    RERUN = "rerun"
    BACKFILL = "backfill"  # also of its retries


class BackfillState(StrEnum):
    """The state of a backfill."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"


_S = RunState
_ENDED_WITH_PROCESS = frozenset({_S.SUCCEEDED, _S.FAILED, _S.TIMED_OUT, _S.STOPPED, _S.LOST})

# STARTING can lead directly to an ended state: a short run may end before its start is recorded.
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

OPEN = frozenset(state for state, successors in TRANSITIONS.items() if successors)
ENDED = frozenset(TRANSITIONS) - OPEN
LIVE = frozenset({_S.STARTING, _S.RUNNING})  # with a process, or about to get one
FAILURES = frozenset({_S.FAILED, _S.TIMED_OUT, _S.LOST})
# A user asked for these runs: they start even if the task is paused, held or disabled.
REQUESTED = frozenset({Trigger.MANUAL, Trigger.RERUN})
NEVER_STARTED = frozenset({_S.SKIPPED, _S.MISSED, _S.COALESCED})  # ended without a process


def transition(current: RunState, target: RunState) -> RunState:
    """Return ``target`` if the table allows the transition to it.

    Raises:
        IllegalTransition: the table does not list the transition.
    """
    if target not in TRANSITIONS[current]:
        allowed = ", ".join(sorted(TRANSITIONS[current])) or "none, the run has ended"
        raise IllegalTransition(f"a {current} run cannot become {target} (allowed: {allowed})")
    return target
