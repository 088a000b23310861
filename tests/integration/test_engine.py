"""A real engine and its tasks: it runs, stops, builds and watches them. Requests are sent as the command line does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from installation import EVERY_MINUTE, FAILS, SLEEPS, Installation, until

from keiji.errors import AlreadyRunning, BuildFailed, NotRunning
from keiji.reasons import render
from keiji.states import RunState, Trigger
from keiji_engine.bus import protocol as p


def test_task_runs_on_schedule_until_it_is_disabled(shared_ahead: Installation) -> None:
    shared_ahead.build("ping", "def function():\n    print('status: ', 200)\n", EVERY_MINUTE)
    shared_ahead.build("sleeps", SLEEPS, EVERY_MINUTE)
    shared_ahead.advance_to(shared_ahead.next_due("sleeps"))
    until(lambda: "started" in shared_ahead.log("sleeps"))
    shared_ahead.do(p.Disable(task="sleeps"))
    task = shared_ahead.task("sleeps")
    assert (task.is_disabled, task.is_running, task.next_execution_time) == (True, False, None)
    assert "task disabled, exiting..." in shared_ahead.log("sleeps")
    count = len(shared_ahead.runs("sleeps"))

    shared_ahead.ended("ping", 1, RunState.SUCCEEDED)
    shared_ahead.advance(60)
    first, second = shared_ahead.ended("ping", 2, RunState.SUCCEEDED)[:2]
    assert first.trigger == Trigger.SCHEDULE
    assert first.scheduled_for is not None
    assert second.scheduled_for is not None
    assert second.scheduled_for > first.scheduled_for
    assert (second.scheduled_for - first.scheduled_for) % timedelta(minutes=1) == timedelta()
    assert (first.exit_code, first.attempt) == (0, 1)
    assert first.peak_memory_bytes is not None
    assert first.peak_memory_bytes > 1_000_000
    assert 'msg="status:  200"' in shared_ahead.log("ping")

    assert len(shared_ahead.runs("sleeps")) == count
    shared_ahead.do(p.Enable(task="sleeps"))
    shared_ahead.advance(60)
    until(lambda: shared_ahead.task("sleeps").is_running)


def test_manual_run_starts_at_once_and_its_outcome_is_recorded(shared: Installation) -> None:
    shared.build("ping", "import os\ndef function():\n    print('I am', os.environ['KEIJI_TASK'])\n")
    shared.build("fails", FAILS, policy="Policy(retry=Retry(tries=3, delay=0.05, backoff=2))")
    shared.build("sleeps", SLEEPS, policy="Policy(timeout=0.3)")
    for slug in ("ping", "fails", "sleeps"):
        shared.do(p.RunTask(task=slug))

    [run] = shared.ended("ping")
    assert (run.trigger, run.state, run.scheduled_for) == (Trigger.MANUAL, RunState.SUCCEEDED, None)
    assert 'msg="I am ping"' in shared.log("ping")

    [run] = shared.ended("sleeps")
    assert run.state == RunState.TIMED_OUT
    assert render(run.reason).startswith("timed out after 0.3s")

    runs = shared.ended("fails", 3)
    assert [(run.attempt, run.state, run.exit_code) for run in runs] == [
        (attempt, RunState.FAILED, 1) for attempt in (1, 2, 3)
    ]
    task = shared.task("fails")
    assert task.is_error
    assert "ValueError: boom" in render(task.error)
    shared.do(p.Resolve(task="fails"))
    assert (shared.task("fails").is_error, render(shared.task("fails").error)) == (False, "")


def test_queued_retry_survives_an_engine_restart(installation: Installation) -> None:
    installation.start()
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=60))")
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.kill()
    installation.start()
    installation.advance(60)
    assert [run.attempt for run in installation.ended("fails", 2)] == [1, 2]


def test_stop_and_restart_end_a_live_run_with_a_reason(shared: Installation) -> None:
    for slug in ("stopped", "restarted"):
        shared.build(slug, SLEEPS)
        shared.do(p.RunTask(task=slug))
        assert shared.task(slug).last_execution_time is not None, "set as soon as the run is claimed"
    for slug in ("stopped", "restarted"):
        until(lambda slug=slug: "started" in shared.log(slug))

    with pytest.raises(AlreadyRunning, match="stopped is already running"):
        shared.do(p.RunTask(task="stopped"))
    shared.do(p.StopRun(task="stopped"))
    [run] = shared.ended("stopped")
    assert (run.state, render(run.reason)) == (RunState.STOPPED, "stopped by test")
    with pytest.raises(NotRunning):
        shared.do(p.StopRun(task="stopped"))

    before = shared.next_due("restarted")
    shared.do(p.Restart(task="restarted"))
    [run] = shared.ended("restarted")
    assert (run.state, render(run.reason)) == (RunState.STOPPED, "task restarted")
    assert shared.next_due("restarted") > before
    assert "task terminated, exiting..." in shared.log("restarted")


def test_source_edits_are_reported_and_a_failed_build_leaves_the_old_one_active(shared: Installation) -> None:
    shared.build("ping", "def function():\n    print('old')\n")
    before = shared.task("ping").build
    source = shared.paths.source("ping") / "function.py"
    old = source.read_text()
    source.write_text("def function():\n    print('new'\n")
    with pytest.raises(BuildFailed, match=r"function\.py, line 2: '\(' was never closed"):
        shared.do(p.BuildTask(task="ping", restart=True))
    with pytest.raises(BuildFailed, match=f"the previous build \\({before}\\) stays active"):
        shared.do(p.BuildTask(task="ping"))
    until(lambda: shared.task("ping").source_changes == ("function.py",))
    assert shared.task("ping").source_error.startswith("function.py, line 2:")

    source.write_text(old)
    assert shared.task("ping").build == before
    shared.do(p.RunTask(task="ping"))
    shared.ended("ping")
    assert 'msg="old"' in shared.log("ping")
    until(lambda: shared.task("ping").source_changes == ())

    source.write_text("def function():\n    print('new')\n")
    shared.do(p.BuildTask(task="ping", restart=True))
    shared.do(p.RunTask(task="ping"))
    shared.ended("ping", 2)
    assert 'msg="new"' in shared.log("ping")


def test_secrets_in_the_env_file_reach_the_run_but_no_file_of_keiji(installation: Installation) -> None:
    function = "import os\ndef function():\n    print(len(os.environ['TOKEN']), 'KEIJI_ROOT' in os.environ)\n"
    folder = installation.write("ping", function)
    (folder / ".env").write_text('NAME=ping\nTOKEN="s3cr3t-value"\n')
    installation.do(p.BuildTask(task="ping"))
    installation.start()
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    assert 'msg="12 False"' in installation.log("ping")

    (folder / ".env").write_text('TOKEN="s3cr3t-value"\nnot an assignment\n')
    installation.do(p.RunTask(task="ping"))
    [_, run] = installation.wait_for_runs("ping", 2, lambda run: run.finished_at)
    assert run.state == RunState.FAILED
    assert "line 2" in render(run.reason)
    installation.stop()
    for path in installation.paths.data.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert b"s3cr3t-value" not in path.read_bytes(), path


def test_build_keeps_the_due_instant_of_an_unchanged_schedule_unless_restarted(shared: Installation) -> None:
    shared.build("hourly")
    before = shared.next_due("hourly")
    shared.build("hourly", "def function():\n    print('new')\n")
    assert shared.next_due("hourly") == before
    shared.do(p.BuildTask(task="hourly", restart=True))
    assert shared.next_due("hourly") > before
    shared.build("hourly", schedule="every(2).hours")
    assert shared.task("hourly").schedule_description == "every 2 hours"


def test_run_reports_a_missing_build_and_how_to_restore_it(shared: Installation) -> None:
    shared.build("ping")
    build = shared.paths.builds / shared.task("ping").build
    build.chmod(0o700)
    build.rename(shared.paths.data / "removed-build")
    shared.do(p.RunTask(task="ping"))
    [run] = shared.wait_for_runs("ping", 1, lambda run: run.finished_at)
    assert "is missing" in render(run.reason)
    shared.do(p.BuildTask(task="ping"))
    shared.do(p.RunTask(task="ping"))
    assert shared.ended("ping", 1, RunState.SUCCEEDED)
