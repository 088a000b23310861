"""What the engine records of a run that it stops."""

from __future__ import annotations

import time

from installation import Installation, until

from keiji.reasons import Code, reason
from keiji.states import RunState
from keiji_engine.bus import protocol as p

IGNORES_SIGTERM = """
import signal, time
def function():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun", flush=True)
    time.sleep(60)
"""


def test_the_reason_of_a_stopped_run_has_who_stopped_it_and_that_it_was_killed(shared: Installation) -> None:
    shared.build("stubborn", IGNORES_SIGTERM, policy="Policy(stop_grace=0.25)")
    shared.do(p.RunTask(task="stubborn"))
    until(lambda: "begun" in shared.log("stubborn"), "the run ignores SIGTERM")
    shared.do(p.StopRun(task="stubborn"))
    [run] = shared.ended("stubborn")
    assert run.state is RunState.STOPPED
    assert run.reason == reason(Code.STOPPED, by="test", killed_after=0.25)


def test_overlapping_runs_are_stopped_at_once_while_others_begin(shared: Installation) -> None:
    policy = "Policy(stop_grace=0.6, overlap='allow')"
    shared.build("stubborn", IGNORES_SIGTERM, "every(1).seconds", policy)
    for _ in range(4):
        shared.do(p.RunTask(task="stubborn"))
    until(lambda: shared.log("stubborn").count("begun") >= 5, "the runs ignore SIGTERM")
    before = time.monotonic()
    shared.do(p.StopRun(task="stubborn"))
    assert time.monotonic() - before < 2 * 0.6
    assert len(shared.ended("stubborn", 5, RunState.STOPPED)) >= 5
    shared.do(p.Disable(task="stubborn"))
    assert not [run for run in shared.runs("stubborn") if run.is_live]
