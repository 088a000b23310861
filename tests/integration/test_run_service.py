"""What the engine records of a run that it stops."""

from __future__ import annotations

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


def test_the_reason_of_a_stopped_run_has_who_stopped_it_and_that_it_was_killed(installation: Installation) -> None:
    installation.build("stubborn", IGNORES_SIGTERM, policy="Policy(stop_grace=0.25)")
    installation.start()
    installation.do(p.RunTask(task="stubborn"))
    until(lambda: "begun" in installation.log("stubborn"), "the run ignores SIGTERM")
    installation.do(p.StopRun(task="stubborn"))
    [run] = installation.ended("stubborn")
    assert run.state is RunState.STOPPED
    assert run.reason == reason(Code.STOPPED, by="test", killed_after=0.25)
