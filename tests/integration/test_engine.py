"""What a real engine does with tasks: it runs, stops, builds and watches them. Asked as the command line asks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from installation import EVERY_SECOND, FAILS, SLEEPS, Installation, until

from keiji.errors import (
    AlreadyRunning,
    BuildFailed,
    NotRunning,
)
from keiji.states import RunState, Trigger
from keiji_engine.bus import protocol as p


def test_a_task_runs_when_it_is_due_until_it_is_disabled(installation: Installation) -> None:
    installation.build("ping", "def function():\n    print('status: ', 200)\n", EVERY_SECOND)
    installation.build("sleeps", SLEEPS, EVERY_SECOND)
    installation.start()
    until(lambda: "begun" in installation.log("sleeps"))
    installation.do(p.Disable(task="sleeps"))
    task = installation.task("sleeps")
    assert (task.is_disabled, task.is_running, task.next_execution_time) == (True, False, None)
    assert "task disabled, exiting..." in installation.log("sleeps")
    count, passed = len(installation.runs("sleeps")), len(installation.runs("ping"))

    first, second = installation.ended("ping", max(passed + 1, 2), RunState.SUCCEEDED)[:2]
    assert first.trigger == Trigger.SCHEDULE
    assert first.scheduled_for is not None
    assert second.scheduled_for is not None
    assert second.scheduled_for > first.scheduled_for
    assert (second.scheduled_for - first.scheduled_for) % timedelta(seconds=1) == timedelta()
    assert (first.exit_code, first.attempt) == (0, 1)
    assert first.peak_memory_bytes is not None
    assert first.peak_memory_bytes > 1_000_000
    assert 'msg="status:  200"' in installation.log("ping")

    assert len(installation.runs("sleeps")) == count
    installation.do(p.Enable(task="sleeps"))
    until(lambda: installation.task("sleeps").is_running)


def test_a_run_that_somebody_asks_for_starts_at_once_and_how_it_ended_is_told(installation: Installation) -> None:
    installation.build("ping", "import os\ndef function():\n    print('I am', os.environ['KEIJI_TASK'])\n")
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=3, delay=0.05, backoff=2))")
    installation.build("sleeps", SLEEPS, policy="Policy(timeout=0.3)")
    installation.start()
    for slug in ("ping", "fails", "sleeps"):
        installation.do(p.RunTask(task=slug))

    [run] = installation.ended("ping")
    assert (run.trigger, run.state, run.scheduled_for) == (Trigger.MANUAL, RunState.SUCCEEDED, None)
    assert 'msg="I am ping"' in installation.log("ping")

    [run] = installation.ended("sleeps")
    assert run.state == RunState.TIMED_OUT
    assert run.reason.startswith("did not end within 0.3 s")

    runs = installation.ended("fails", 3)
    assert [(run.attempt, run.state, run.exit_code) for run in runs] == [
        (attempt, RunState.FAILED, 1) for attempt in (1, 2, 3)
    ]
    task = installation.task("fails")
    assert task.is_error
    assert "ValueError: boom" in task.error_text
    installation.do(p.Resolve(task="fails"))
    assert (installation.task("fails").is_error, installation.task("fails").error_text) == (False, "")


def test_a_waiting_retry_outlives_the_engine(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=1))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.kill()
    installation.start()
    assert [run.attempt for run in installation.ended("fails", 2)] == [1, 2]


def test_a_run_is_stopped_by_a_directive_or_a_restart_and_says_so(installation: Installation) -> None:
    for slug in ("stopped", "restarted"):
        installation.build(slug, SLEEPS)
    installation.start()
    for slug in ("stopped", "restarted"):
        installation.do(p.RunTask(task=slug))
        assert installation.task(slug).last_execution_time is not None, "it is told as soon as it runs"
    for slug in ("stopped", "restarted"):
        until(lambda slug=slug: "begun" in installation.log(slug))

    with pytest.raises(AlreadyRunning, match="stopped is running already"):
        installation.do(p.RunTask(task="stopped"))
    installation.do(p.StopRun(task="stopped"))
    [run] = installation.ended("stopped")
    assert (run.state, run.reason) == (RunState.STOPPED, "stopped by test")
    with pytest.raises(NotRunning):
        installation.do(p.StopRun(task="stopped"))

    before = installation.task("restarted").next_execution_time
    assert before is not None
    installation.do(p.Restart(task="restarted"))
    [run] = installation.ended("restarted")
    after = installation.task("restarted").next_execution_time
    assert (run.state, run.reason) == (RunState.STOPPED, "task restarted")
    assert after is not None
    assert after > before
    assert "task terminated, exiting..." in installation.log("restarted")


def test_an_edit_marks_the_task_and_a_build_of_it_that_fails_leaves_the_old_one_active(
    installation: Installation,
) -> None:
    installation.build("ping", "def function():\n    print('old')\n")
    installation.start()
    before = installation.task("ping").build
    source = installation.paths.source("ping") / "function.py"
    old = source.read_text()
    source.write_text("def function():\n    print('new'\n")
    until(lambda: installation.task("ping").source_changes == ("function.py",))
    assert installation.task("ping").source_error.startswith("function.py, line 2:")
    with pytest.raises(BuildFailed, match=r"function\.py, line 2: '\(' was never closed"):
        installation.do(p.BuildTask(task="ping", restart=True))
    with pytest.raises(BuildFailed, match=f"the build before it \\({before}\\) stays active"):
        installation.do(p.BuildTask(task="ping"))
    assert installation.task("ping").build == before
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    assert 'msg="old"' in installation.log("ping")

    source.write_text(old)
    until(lambda: installation.task("ping").source_changes == ())
    source.write_text("def function():\n    print('new')\n")
    installation.do(p.BuildTask(task="ping", restart=True))
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping", 2)
    assert 'msg="new"' in installation.log("ping")


def test_secrets_of_the_env_file_reach_the_run_and_nothing_else(installation: Installation) -> None:
    function = "import os\ndef function():\n    print(len(os.environ['TOKEN']), 'KEIJI_ROOT' in os.environ)\n"
    folder = installation.write("ping", function)
    (folder / ".env").write_text('NAME=ping\nTOKEN="s3cr3t-value"\n')
    installation.do(p.BuildTask(task="ping"))
    installation.start()
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    assert 'msg="12 False"' in installation.log("ping")

    (folder / ".env").write_text('TOKEN="s3cr3t-value"\nthis is no assignment\n')
    installation.do(p.RunTask(task="ping"))
    run = until(lambda: next((run for run in installation.runs("ping")[1:] if run.finished_at), None))
    assert run.state == RunState.FAILED
    assert "line 2" in run.reason
    installation.stop()
    for path in installation.paths.data.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert b"s3cr3t-value" not in path.read_bytes(), path


def test_a_build_of_the_same_schedule_goes_on_counting_and_a_restart_begins_anew(installation: Installation) -> None:
    installation.build("hourly")
    installation.start()
    before = installation.task("hourly").next_execution_time
    installation.build("hourly", "def function():\n    print('new')\n")
    assert installation.task("hourly").next_execution_time == before
    installation.do(p.BuildTask(task="hourly", restart=True))
    assert installation.task("hourly").next_execution_time != before
    installation.build("hourly", schedule="every(2).hours")
    assert installation.task("hourly").schedule_description == "every 2 hours"


def test_a_build_that_somebody_removed_is_named_by_the_run_that_needed_it(installation: Installation) -> None:
    installation.build("ping")
    installation.start()
    [build] = installation.paths.builds.iterdir()
    build.chmod(0o700)
    build.rename(build.with_name("gone"))
    installation.do(p.RunTask(task="ping"))
    run = until(lambda: next((run for run in installation.runs("ping") if run.finished_at), None))
    assert "is missing; keiji task build ping makes it anew" in run.reason
    installation.do(p.BuildTask(task="ping"))
    installation.do(p.RunTask(task="ping"))
    assert installation.ended("ping", 1, RunState.SUCCEEDED)
