"""Policies, pauses, holds and limits, on a real engine with real processes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from installation import EVERY_HOUR, EVERY_SECOND, FAILS, SLEEPS, Installation, until

from keiji.errors import AlreadyRunning
from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus import protocol as p

TAKES = "import time\ndef function():\n    time.sleep({})\n"


def reasons(installation: Installation, slug: str) -> str:
    reply = installation.ask(p.Explain(task=slug))
    return "\n".join(reason.words for reason in reply.reasons)


def rows(installation: Installation, slug: str, state: RunState, count: int = 1) -> list[Run]:
    """Wait until a task has so many rows in a state, and return them, oldest first."""

    def found() -> list[Run]:
        runs = [run for run in installation.runs(slug) if run.state is state]
        return runs if len(runs) >= count else []

    return until(found, f"{count} {state} of {slug}")


def began(installation: Installation, slug: str, count: int) -> list[Run]:
    """Wait until so many runs of a task have begun, and return them, oldest first."""

    def found() -> list[Run]:
        runs = [run for run in installation.runs(slug) if run.started_at]
        return runs if len(runs) >= count else []

    return until(found, f"{count} runs of {slug}")


def overlapped(first: Run, second: Run) -> bool:
    assert first.finished_at is not None
    assert second.started_at is not None
    return second.started_at < first.finished_at


def test_what_is_due_while_a_run_goes_on_is_skipped_queued_replaces_it_or_runs_beside_it(
    installation: Installation,
) -> None:
    for overlap in ("skip", "queue", "replace", "allow"):
        function = TAKES.format(3.2 if overlap == "allow" else 1.2)
        installation.build(overlap, function, EVERY_SECOND, f"Policy(overlap={overlap!r}, max_parallel=2)")
    installation.start()
    assert "still running since" in rows(installation, "skip", RunState.SKIPPED)[0].reason
    [stopped] = rows(installation, "replace", RunState.STOPPED)[:1]
    assert stopped.reason.startswith("replaced by the one of")
    rows(installation, "replace", RunState.RUNNING)
    assert rows(installation, "allow", RunState.QUEUED)[0].reason == "2 of 2 runs are going on"
    assert installation.task("allow").running == 2
    one, two = began(installation, "queue", 2)[:2]
    assert not overlapped(one, two)
    assert one.scheduled_for is not None
    assert two.scheduled_for == one.scheduled_for + timedelta(seconds=1)


def test_a_task_that_keeps_failing_is_held_until_it_is_resolved(installation: Installation) -> None:
    installation.build("fails", FAILS, EVERY_SECOND, "Policy(hold_after=2)")
    installation.start()
    [skipped] = rows(installation, "fails", RunState.SKIPPED)[:1]
    assert skipped.reason.startswith("held since ")
    assert len(rows(installation, "fails", RunState.FAILED)) == 2
    task = installation.task("fails")
    assert (task.failures, task.is_error) == (2, True)
    assert "task held after 2 failures in a row; keiji task resolve fails ends that" in installation.log("fails")
    assert "it is held since" in reasons(installation, "fails")
    lines = installation.do(p.Resolve(task="fails"))
    assert "it was held, and runs again by its schedule" in lines
    assert installation.task("fails").held_since is None
    rows(installation, "fails", RunState.FAILED, 3)


def test_a_pause_of_everything_outlives_the_engine_and_says_why(installation: Installation) -> None:
    installation.build("ping", schedule=EVERY_SECOND)
    installation.do(p.PauseSystem(reason="moving house"))  # without an engine
    installation.start()
    [skipped] = rows(installation, "ping", RunState.SKIPPED)[:1]
    assert skipped.reason.startswith("paused with everything since ")
    assert skipped.reason.endswith(": moving house")
    assert "everything is paused since" in reasons(installation, "ping")
    installation.kill()
    installation.start()
    pong = installation.ask(p.Ping())
    assert pong.engine.pause is not None
    assert (pong.engine.pause.reason, pong.engine.pause.by) == ("moving house", "test")
    assert installation.do(p.RunTask(task="ping"))[-1] == "it is paused, so this is the only run until it is resumed"
    assert installation.do(p.ResumeSystem()) == ("resumed everything",)
    installation.ended("ping", 2)
    assert all(run.state is not RunState.COALESCED for run in installation.runs("ping")), "what is skipped is not due"


def test_a_paused_task_lets_others_go_on_and_does_not_catch_up(installation: Installation) -> None:
    installation.build("paused", schedule=EVERY_SECOND)
    installation.build("other", schedule=EVERY_SECOND)
    installation.start()
    installation.do(p.PauseTask(task="paused", reason="why not"))
    skipped = rows(installation, "paused", RunState.SKIPPED)[0].scheduled_for
    assert skipped is not None
    until(lambda: any(run.scheduled_for and run.scheduled_for >= skipped for run in installation.ended("other")))
    installation.kill()
    ran_before = [run for run in installation.runs("paused") if run.started_at]
    due = installation.task("paused").next_execution_time
    assert due is not None
    until(lambda: datetime.now(UTC) > due)
    installation.do(p.ResumeTask(task="paused"))  # without an engine
    installation.start()
    ran = installation.ended("paused", len(ran_before) + 1)[len(ran_before)]
    while_paused = [run for run in installation.runs("paused") if run.scheduled_for and run.state is RunState.SKIPPED]
    assert due in [run.scheduled_for for run in while_paused]
    assert ran.scheduled_for is not None
    assert ran.scheduled_for > due


def test_beyond_the_limit_for_all_runs_wait_in_due_order(installation: Installation) -> None:
    installation.settings(MAX_PARALLEL_RUNS="1")
    for slug in ("first", "second", "third"):
        installation.build(slug, TAKES.format(0.6), EVERY_HOUR)
    installation.start()
    said = [installation.do(p.RunTask(task=slug))[0] for slug in ("first", "second", "third")]
    assert said[0].startswith("running task first")
    assert "waits for a slot: 1 run is going on (MAX_PARALLEL_RUNS)" in said[1]
    assert "waits for a slot" in reasons(installation, "third")
    assert installation.task("third").waiting.startswith("waits for a slot")
    runs = [installation.ended(slug)[0] for slug in ("first", "second", "third")]
    assert not any(overlapped(one, two) for one, two in pairwise(runs))
    installation.do(p.RunTask(task="first"))
    with pytest.raises(AlreadyRunning):
        installation.do(p.RunTask(task="first"))


def test_what_is_foreseen_is_what_happens_and_jitter_is_foreseen_too(installation: Installation) -> None:
    installation.build("ping", schedule='cron("* * * * * *")', policy="Policy(jitter=0.5, overlap='queue')")
    reply = installation.ask(p.GetUpcoming(task="ping", count=30))
    foreseen = {instant.at: instant.starts_at for instant in reply.instants}
    installation.start()

    def ran() -> list[Run]:
        """Return the runs of what was due after it was foreseen, once there are two; one may be overdue by now."""
        runs = [run for run in installation.ended("ping") if run.scheduled_for and run.scheduled_for >= min(foreseen)]
        return runs if len(runs) >= 2 else []

    for run in until(ran):
        assert run.scheduled_for in foreseen
        assert run.started_at is not None
        assert run.started_at >= foreseen[run.scheduled_for]
    assert any(instant.starts_at > instant.at for instant in reply.instants)


def test_what_is_overdue_when_a_task_is_disabled_or_restarted_is_missed_not_lost(installation: Installation) -> None:
    slugs = ("disabled", "rebuilt", "moved")
    for slug in slugs:
        installation.build(slug, schedule=EVERY_SECOND)
    due = [installation.task(slug).next_execution_time for slug in slugs]
    until(lambda: all(moment and datetime.now(UTC) > moment for moment in due))
    installation.do(p.Disable(task="disabled"))
    installation.build("rebuilt", schedule=EVERY_HOUR)
    for slug, moment, reason in (
        ("disabled", due[0], "the task was disabled before it could run"),
        ("rebuilt", due[1], "the task got another schedule before it could run"),
    ):
        run = installation.runs(slug)[0]
        assert (run.scheduled_for, run.state, run.reason) == (moment, RunState.MISSED, reason)
    installation.build("moved", schedule=EVERY_SECOND, policy="Policy(until='2099-01-01')")
    assert installation.task("moved").next_execution_time == due[2], "it is still due, for the engine to account for"


def test_why_a_task_does_not_run_is_told_with_and_without_an_engine(installation: Installation) -> None:
    installation.build("ping", SLEEPS)
    (installation.paths.source("ping") / "function.py").write_text("def function():\n    print('new')\n")
    told = reasons(installation, "ping")
    assert "the engine is offline: nothing runs" in told
    assert "its sources differ from the build that runs: function.py" in told
    assert "it is due next at" in told
    installation.start()
    installation.do(p.RunTask(task="ping"))
    until(lambda: "it is running since" in reasons(installation, "ping"))
    installation.do(p.StopService(service="scheduler"))
    assert reasons(installation, "ping").startswith("the scheduler is offline")
    installation.do(p.Disable(task="ping"))
    assert "it is disabled" in reasons(installation, "ping")


TELLS_PROGRESS = """
import time
from keiji import progress
def function():
    for step in range(1, 100):
        progress(step / 100, f"step {step}")
        time.sleep(0.1)
"""


def test_how_far_a_run_has_got_is_seen_while_it_runs_by_the_next_engine_too_and_not_in_its_log(
    installation: Installation,
) -> None:
    installation.build("tells", TELLS_PROGRESS)
    installation.start()
    installation.do(p.RunTask(task="tells"))
    first = until(lambda: installation.task("tells").progress)
    assert first.fraction is not None
    assert first.message == f"step {round(first.fraction * 100)}"
    installation.kill()
    installation.start()
    later = until(lambda: installation.task("tells").progress)
    assert later.fraction is not None
    assert later.fraction > first.fraction
    installation.do(p.StopRun(task="tells"))
    assert installation.task("tells").progress is None
    assert "step" not in installation.log("tells")
    assert list((installation.paths.runtime / "progress").iterdir()) == []
