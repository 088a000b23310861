"""Policies, pauses, holds and limits on a real engine with real processes. The tests advance the engine's clock."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import behaviours
import pytest
from installation import EVERY_HOUR, EVERY_MINUTE, FAILS, SLEEPS, Installation, until

from keiji.errors import AlreadyRunning
from keiji.policy import Policy
from keiji.reasons import render
from keiji.records import Run
from keiji.states import RunState
from keiji_engine.bus import protocol as p

RUNS_UNTIL_RELEASED = """
import os, time
def function():
    while not os.path.exists("released"):
        time.sleep(0.01)
"""


def release(installation: Installation, slug: str) -> None:
    """End all runs of a task whose function is `RUNS_UNTIL_RELEASED`."""
    folder = installation.paths.work / slug
    folder.mkdir(parents=True, exist_ok=True)  # the shim creates it after the run is recorded as running
    (folder / "released").touch()


def explain(installation: Installation, slug: str) -> str:
    reply = installation.ask(p.Explain(task=slug))
    return "\n".join(map(render, reply.reasons))


def in_state(installation: Installation, slug: str, state: RunState, count: int = 1) -> list[Run]:
    """Wait until ``count`` runs of a task are in ``state`` and return all that are, oldest first."""
    return installation.wait_for_runs(slug, count, lambda run: run.state is state)


def overlapped(first: Run, second: Run) -> bool:
    assert first.finished_at is not None
    assert second.started_at is not None
    return second.started_at < first.finished_at


def test_overlap_policy_skips_queues_replaces_or_allows_a_second_run(shared_ahead: Installation) -> None:
    policies = ("skip", "queue", "replace", "allow")
    slugs = [f"{kind}_{overlap}" for kind in behaviours.KINDS for overlap in policies]
    for slug in slugs:
        kind, overlap = slug.split("_")
        policy = Policy(overlap=overlap, max_parallel=2)
        behaviours.build(shared_ahead, kind, slug, behaviours.RUNS_UNTIL_RELEASED, schedule=EVERY_MINUTE, policy=policy)
    shared_ahead.advance_to(max(shared_ahead.next_due(slug) for slug in slugs))
    for slug in slugs:
        in_state(shared_ahead, slug, RunState.RUNNING)
    shared_ahead.advance(60)
    for kind in behaviours.KINDS:
        assert "still running since" in render(in_state(shared_ahead, f"{kind}_skip", RunState.SKIPPED)[0].reason)
        stopped = in_state(shared_ahead, f"{kind}_replace", RunState.STOPPED)[0]
        assert render(stopped.reason).startswith("replaced by the run due at")
        in_state(shared_ahead, f"{kind}_replace", RunState.RUNNING)
        in_state(shared_ahead, f"{kind}_allow", RunState.RUNNING, 2)
    shared_ahead.advance(60)
    for kind in behaviours.KINDS:
        queued = in_state(shared_ahead, f"{kind}_allow", RunState.QUEUED)[0]
        assert render(queued.reason) == "2 of 2 runs are live (max_parallel)"
        assert shared_ahead.task(f"{kind}_allow").running == 2
        _check_queue(shared_ahead, f"{kind}_queue")


def _check_queue(shared_ahead: Installation, slug: str) -> None:
    queued = in_state(shared_ahead, slug, RunState.QUEUED)[0]
    release(shared_ahead, slug)
    one, two = shared_ahead.ended(slug, 2)[:2]
    assert two.run_id == queued.run_id
    assert not overlapped(one, two)
    assert one.scheduled_for is not None
    assert two.scheduled_for is not None
    assert one.scheduled_for < two.scheduled_for


def test_failing_task_is_held_until_it_is_resolved(shared_ahead: Installation) -> None:
    shared_ahead.build("fails", FAILS, EVERY_MINUTE, "Policy(hold_after=2)")
    for failures in (1, 2):
        shared_ahead.advance(60)
        in_state(shared_ahead, "fails", RunState.FAILED, failures)
    shared_ahead.advance(60)
    skipped = in_state(shared_ahead, "fails", RunState.SKIPPED)[0]
    assert render(skipped.reason).startswith("held since ")
    assert len(in_state(shared_ahead, "fails", RunState.FAILED)) == 2
    task = shared_ahead.task("fails")
    assert (task.failures, task.is_error) == (2, True)
    assert "task held after 2 failures in a row; keiji task resolve fails ends the hold" in shared_ahead.log("fails")
    assert "held since" in explain(shared_ahead, "fails")
    lines = shared_ahead.do(p.Resolve(task="fails"))
    assert "the hold is over: it runs by its schedule again" in lines
    assert shared_ahead.task("fails").held_since is None
    shared_ahead.advance(60)
    in_state(shared_ahead, "fails", RunState.FAILED, 3)


def test_system_pause_survives_an_engine_restart_and_gives_its_reason(installation: Installation) -> None:
    installation.build("ping", schedule=EVERY_MINUTE)
    installation.do(p.PauseSystem(reason="moving house"))  # without an engine
    installation.start()
    installation.advance(60)
    skipped = in_state(installation, "ping", RunState.SKIPPED)[0]
    assert render(skipped.reason).startswith("everything has been paused since ")
    assert render(skipped.reason).endswith(": moving house")
    assert "everything has been paused since" in explain(installation, "ping")
    installation.kill()
    installation.start()
    pong = installation.ask(p.Ping())
    assert pong.engine.pause is not None
    assert (pong.engine.pause.reason, pong.engine.pause.by) == ("moving house", "test")
    assert installation.do(p.RunTask(task="ping"))[-1] == "it is paused: this is the only run until it is resumed"
    assert installation.do(p.ResumeSystem()) == ("resumed everything",)
    installation.ended("ping", 1)
    installation.advance(60)
    installation.ended("ping", 2)
    assert all(run.state is not RunState.COALESCED for run in installation.runs("ping")), "it caught up"


def test_paused_task_neither_delays_others_nor_catches_up(shared_ahead: Installation) -> None:
    shared_ahead.build("paused", schedule=EVERY_MINUTE)
    shared_ahead.build("other", schedule=EVERY_MINUTE)
    shared_ahead.do(p.PauseTask(task="paused", reason="why not"))
    shared_ahead.advance(60)
    skipped = in_state(shared_ahead, "paused", RunState.SKIPPED)[0].scheduled_for
    assert skipped is not None
    shared_ahead.advance(60)
    until(lambda: any(run.scheduled_for and run.scheduled_for >= skipped for run in shared_ahead.ended("other")))
    shared_ahead.kill()
    ran_before = [run for run in shared_ahead.runs("paused") if run.started_at]
    due = shared_ahead.next_due("paused")
    shared_ahead.clock.advance_to(due)
    shared_ahead.do(p.ResumeTask(task="paused"))  # without an engine
    shared_ahead.start()
    shared_ahead.advance(60)
    ran = shared_ahead.ended("paused", len(ran_before) + 1)[len(ran_before)]
    while_paused = [run for run in shared_ahead.runs("paused") if run.scheduled_for and run.state is RunState.SKIPPED]
    assert due in [run.scheduled_for for run in while_paused]
    assert ran.scheduled_for is not None
    assert ran.scheduled_for > due


def test_a_manual_run_follows_the_overlap_policy(shared_ahead: Installation) -> None:
    policies = {"skip": "", "queue": "queue=1", "replace": "", "allow": "max_parallel=1, queue=1"}
    for overlap, more in policies.items():
        slug = f"manual_{overlap}"
        shared_ahead.build(slug, RUNS_UNTIL_RELEASED, EVERY_HOUR, f"Policy(overlap={overlap!r}, {more})")
        shared_ahead.do(p.RunTask(task=slug))
        in_state(shared_ahead, slug, RunState.RUNNING)
    with pytest.raises(AlreadyRunning, match="overlap='skip'"):
        shared_ahead.do(p.RunTask(task="manual_skip"))
    assert "waiting for the previous run" in shared_ahead.do(p.RunTask(task="manual_queue"))[0]
    assert "1 of 1 runs are live (max_parallel)" in shared_ahead.do(p.RunTask(task="manual_allow"))[0]
    for slug in ("manual_queue", "manual_allow"):
        with pytest.raises(AlreadyRunning, match=r"full \(queue=1\)"):
            shared_ahead.do(p.RunTask(task=slug))
    shared_ahead.do(p.RunTask(task="manual_replace"))
    [stopped] = in_state(shared_ahead, "manual_replace", RunState.STOPPED)
    assert render(stopped.reason).startswith("replaced by the manual run of")
    in_state(shared_ahead, "manual_replace", RunState.RUNNING)
    for overlap in policies:
        release(shared_ahead, f"manual_{overlap}")
    for slug in ("manual_queue", "manual_allow"):
        in_state(shared_ahead, slug, RunState.SUCCEEDED, 2)


def test_the_smallest_and_largest_accepted_values_work_on_real_runs(shared: Installation) -> None:
    year = "366 * 86400"
    retry = f"Retry(tries=100, delay={year}, backoff=1000, jitter={year})"
    largest = (
        f"Policy(timeout={year}, stop_grace={year}, retry={retry}, queue=1000, max_parallel=1000, overlap='allow', "
        f"catch_up='all', catch_up_cap=1000, catch_up_window=100 * {year}, jitter={year}, hold_after=1000, "
        "not_before='1900-01-01', until='9000-12-31 23:59', tz='Pacific/Kiritimati')"
    )
    shared.build("sleeps", SLEEPS, "every(36_600).days", largest)
    shared.build("fails", FAILS, 'cron("0 0 29 2 *")', largest)
    smallest = "Policy(timeout=0.001, stop_grace=0, queue=1, max_parallel=1, catch_up_cap=1, catch_up_window=1)"
    shared.build("ends", SLEEPS, 'once("9000-12-31 23:59")', smallest)
    shared.build("later", schedule=EVERY_HOUR, policy="Policy(not_before='9000-12-31 23:59')")
    for slug in ("sleeps", "fails", "ends"):
        shared.do(p.RunTask(task=slug))

    [failed] = shared.ended("fails")
    [retry_run] = in_state(shared, "fails", RunState.QUEUED)
    assert failed.finished_at is not None
    assert retry_run.due_at is not None
    assert timedelta(days=365) < retry_run.due_at - failed.finished_at < timedelta(days=367)
    assert "failed; the next attempt is due at " in explain(shared, "fails")
    [timed_out] = shared.ended("ends")
    assert render(timed_out.reason).startswith("timed out after 0.001s")
    until(lambda: "started" in shared.log("sleeps"))
    shared.do(p.StopRun(task="sleeps"))
    shared.ended("sleeps", 1, RunState.STOPPED)
    assert shared.next_due("later").year == 9000
    for slug in ("sleeps", "fails", "ends", "later"):
        assert shared.ask(p.GetUpcoming(task=slug, count=5)).instants
        assert explain(shared, slug)
    assert shared.ask(p.GetTimeline(hours=24)).until


def test_runs_beyond_the_system_limit_wait_in_order(installation: Installation) -> None:
    installation.write_settings(MAX_PARALLEL_RUNS="1")
    installation.start()
    slugs = ("first", "second", "third")
    for slug in slugs:
        installation.build(slug, RUNS_UNTIL_RELEASED, EVERY_HOUR)
    replies = [installation.do(p.RunTask(task=slug))[0] for slug in slugs]
    assert replies[0].startswith("running task first")
    assert "waiting for a slot: 1 run is live (MAX_PARALLEL_RUNS)" in replies[1]
    assert "waiting for a slot" in explain(installation, "third")
    assert render(installation.task("third").waiting).startswith("waiting for a slot")
    for slug in slugs:
        in_state(installation, slug, RunState.RUNNING)
        release(installation, slug)
    runs = [installation.ended(slug)[0] for slug in slugs]
    assert not any(overlapped(one, two) for one, two in pairwise(runs))
    (installation.paths.work / "first" / "released").unlink()
    installation.do(p.RunTask(task="first"))
    with pytest.raises(AlreadyRunning):
        installation.do(p.RunTask(task="first"))


def test_upcoming_instants_and_their_jitter_match_what_happens(shared_ahead: Installation) -> None:
    shared_ahead.build("ping", schedule='cron("0 * * * *")', policy="Policy(jitter=900)")
    reply = shared_ahead.ask(p.GetUpcoming(task="ping", count=3))
    assert any(instant.starts_at > instant.at for instant in reply.instants)
    for count, instant in enumerate(reply.instants, 1):
        assert shared_ahead.next_due("ping") == instant.at
        shared_ahead.advance_to(instant.at)
        run = shared_ahead.wait_for_runs("ping", count, lambda run: run.scheduled_for)[-1]
        assert run.scheduled_for == instant.at
        if instant.starts_at > instant.at + timedelta(seconds=30):
            assert (run.state, run.due_at) == (RunState.QUEUED, instant.starts_at)
        shared_ahead.advance_to(instant.starts_at)
        shared_ahead.ended("ping", count, RunState.SUCCEEDED)


def test_overdue_instant_is_recorded_as_missed_when_the_task_is_disabled_or_rescheduled(
    installation: Installation,
) -> None:
    slugs = ("disabled", "rebuilt", "moved")
    for slug in slugs:
        installation.build(slug, schedule=EVERY_MINUTE)
    due = [installation.next_due(slug) for slug in slugs]
    installation.clock.advance_to(max(due))
    installation.do(p.Disable(task="disabled"))
    installation.build("rebuilt", schedule=EVERY_HOUR)
    for slug, moment, reason in (
        ("disabled", due[0], "the task was disabled before this occurrence could run"),
        ("rebuilt", due[1], "the schedule changed before this occurrence could run"),
    ):
        run = installation.runs(slug)[0]
        assert (run.scheduled_for, run.state, render(run.reason)) == (moment, RunState.MISSED, reason)
    installation.build("moved", schedule=EVERY_MINUTE, policy="Policy(until='2099-01-01')")
    assert installation.next_due("moved") == due[2], "it stays due, for the engine to account for"


def test_explain_gives_reasons_with_and_without_an_engine(installation: Installation) -> None:
    installation.build("ping", SLEEPS)
    (installation.paths.source("ping") / "function.py").write_text("def function():\n    print('new')\n")
    reasons = explain(installation, "ping")
    assert "the engine is offline: nothing runs" in reasons
    assert "the sources differ from the active build: function.py" in reasons
    assert "due next at" in reasons
    installation.start()
    installation.do(p.RunTask(task="ping"))
    until(lambda: "running since" in explain(installation, "ping"))
    installation.do(p.StopService(service="scheduler"))
    assert explain(installation, "ping").startswith("the scheduler is offline")
    installation.do(p.Disable(task="ping"))
    assert "disabled" in explain(installation, "ping")


REPORTS_PROGRESS = """
import time
from keiji import progress
def function():
    for step in range(1, 100):
        progress(step / 100, f"step {step}")
        time.sleep(0.1)
"""


def test_progress_of_a_run_survives_an_engine_restart_and_is_not_logged(
    shared: Installation,
) -> None:
    shared.build("reports", REPORTS_PROGRESS)
    shared.do(p.RunTask(task="reports"))
    first = until(lambda: shared.task("reports").progress)
    assert first.fraction is not None
    assert first.message == f"step {round(first.fraction * 100)}"
    shared.kill()
    shared.start()
    start = first.fraction
    until(lambda: (later := shared.task("reports").progress) and later.fraction and later.fraction > start)
    shared.do(p.StopRun(task="reports"))
    assert shared.task("reports").progress is None
    assert "step" not in shared.log("reports")
    assert list((shared.paths.runtime / "progress").iterdir()) == []
