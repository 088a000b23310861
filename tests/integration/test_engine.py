"""A real engine in a real process, asked as the command line asks."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import zmq
from installation import EVERY_SECOND, LIMIT, Installation, until

from keiji import daemon
from keiji.errors import (
    AlreadyRunning,
    BuildFailed,
    DeadlinePassed,
    EngineOffline,
    NotBuilt,
    NotRunning,
    ServiceOffline,
    TaskExists,
    TaskNotFound,
    UsageError,
)
from keiji.states import RunState, Trigger
from keiji_engine.bus import protocol as p

SLEEPS = "import time\ndef function():\n    print('begun', flush=True)\n    time.sleep(60)\n"
FAILS = "def function():\n    raise ValueError('boom')\n"


def test_a_task_runs_when_it_is_due_and_what_it_prints_is_in_its_log(installation: Installation) -> None:
    installation.build("ping", "def function():\n    print('status: ', 200)\n", EVERY_SECOND)
    installation.start()
    first, second = installation.ended("ping", 2, RunState.SUCCEEDED)[:2]
    assert first.trigger == Trigger.SCHEDULE
    assert first.scheduled_for is not None
    assert second.scheduled_for is not None
    assert (second.scheduled_for - first.scheduled_for).total_seconds() == 1
    assert (first.exit_code, first.attempt) == (0, 1)
    assert first.peak_memory_bytes is not None
    assert first.peak_memory_bytes > 1_000_000
    assert 'msg="status:  200"' in installation.log("ping")


def test_a_run_that_somebody_asks_for_starts_at_once(installation: Installation) -> None:
    installation.build("ping", "import os\ndef function():\n    print('I am', os.environ['KEIJI_TASK'])\n")
    installation.start()
    installation.do(p.RunTask(task="ping"))
    [run] = installation.ended("ping")
    assert (run.trigger, run.state, run.scheduled_for) == (Trigger.MANUAL, RunState.SUCCEEDED, None)
    assert 'msg="I am ping"' in installation.log("ping")


def test_a_failed_run_is_tried_again_and_then_shows_its_error(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=3, delay=0.05, backoff=2))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
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


def test_a_run_that_takes_too_long_is_timed_out(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS, policy="Policy(timeout=0.3)")
    installation.start()
    installation.do(p.RunTask(task="sleeps"))
    [run] = installation.ended("sleeps")
    assert run.state == RunState.TIMED_OUT
    assert run.reason.startswith("did not end within 0.3 s")


def test_a_run_is_stopped_by_a_directive_and_says_by_whom(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS)
    installation.start()
    installation.do(p.RunTask(task="sleeps"))
    until(lambda: "begun" in installation.log("sleeps"))
    with pytest.raises(AlreadyRunning, match="sleeps is running already"):
        installation.do(p.RunTask(task="sleeps"))
    installation.do(p.StopRun(task="sleeps"))
    [run] = installation.ended("sleeps")
    assert (run.state, run.reason) == (RunState.STOPPED, "stopped by test")
    with pytest.raises(NotRunning):
        installation.do(p.StopRun(task="sleeps"))


def test_a_disabled_task_is_stopped_and_runs_no_more_until_it_is_enabled(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS, EVERY_SECOND)
    installation.start()
    until(lambda: "begun" in installation.log("sleeps"))
    installation.do(p.Disable(task="sleeps"))
    task = installation.task("sleeps")
    assert (task.is_disabled, task.is_running, task.next_execution_time) == (True, False, None)
    assert "task disabled, exiting..." in installation.log("sleeps")
    count = len(installation.runs("sleeps"))
    installation.build("clock", schedule=EVERY_SECOND)
    installation.ended("clock", 1)
    assert len(installation.runs("sleeps")) == count
    installation.do(p.Enable(task="sleeps"))
    until(lambda: installation.task("sleeps").is_running)


def test_restart_stops_what_runs_and_counts_from_now(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS)
    installation.start()
    installation.do(p.RunTask(task="sleeps"))
    until(lambda: "begun" in installation.log("sleeps"))
    before = installation.task("sleeps").next_execution_time
    assert before is not None
    installation.do(p.Restart(task="sleeps"))
    [run] = installation.ended("sleeps")
    after = installation.task("sleeps").next_execution_time
    assert run.reason == "task restarted"
    assert after is not None
    assert after > before
    assert "task terminated, exiting..." in installation.log("sleeps")


def test_a_build_that_fails_leaves_the_old_one_active(installation: Installation) -> None:
    installation.build("ping", "def function():\n    print('old')\n")
    installation.start()
    before = installation.task("ping").build
    folder = installation.write("ping", "def function():\n    print('new'\n")
    with pytest.raises(BuildFailed, match=r"function\.py, line 2: '\(' was never closed"):
        installation.do(p.BuildTask(task="ping", restart=True))
    assert installation.task("ping").build == before
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    assert 'msg="old"' in installation.log("ping")
    (folder / "function.py").write_text("def function():\n    print('new')\n")
    installation.do(p.BuildTask(task="ping", restart=True))
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping", 2)
    assert 'msg="new"' in installation.log("ping")


def test_an_edit_marks_the_task_and_its_reverting_clears_the_mark(installation: Installation) -> None:
    installation.build("ping")
    installation.start()
    source = installation.paths.source("ping") / "function.py"
    old = source.read_text()
    source.write_text("def function(:\n")
    until(lambda: installation.task("ping").source_changes == ("function.py",))
    assert installation.task("ping").source_error.startswith("function.py, line 1:")
    source.write_text(old)
    until(lambda: installation.task("ping").source_changes == ())


def test_delete_forgets_everything_but_the_sources(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS)
    installation.start()
    installation.do(p.RunTask(task="sleeps"))
    until(lambda: "begun" in installation.log("sleeps"))
    lines = installation.do(p.Delete(task="sleeps"))
    assert "its sources stay at" in lines[-1]
    with pytest.raises(TaskNotFound):
        installation.task("sleeps")
    assert installation.paths.source("sleeps").is_dir()
    assert not installation.paths.link("sleeps").is_symlink()
    assert not installation.paths.task_log("sleeps").exists()
    assert not any(installation.paths.task_log("sleeps").parent.parent.iterdir())


def test_create_writes_a_task_that_builds_and_runs(installation: Installation) -> None:
    installation.start()
    installation.do(p.Create(name='My [first] task\'s "name" 計時', description="it's #1"))
    with pytest.raises(TaskExists):
        installation.do(p.Create(name='My [first] task\'s "name" 計時'))
    with pytest.raises(NotBuilt):
        installation.do(p.RunTask(task='My [first] task\'s "name" 計時'))
    slug = installation.task('My [first] task\'s "name" 計時').slug
    installation.do(p.BuildTask(task=slug))
    installation.do(p.RunTask(task=slug))
    assert installation.ended(slug)[0].state == RunState.SUCCEEDED
    view = installation.task(slug)
    assert (view.name, view.description) == ('My [first] task\'s "name" 計時', "it's #1")


def test_a_wrong_name_answers_with_the_nearest_right_one(installation: Installation) -> None:
    installation.build("ping_google")
    with pytest.raises(TaskNotFound, match="did you mean 'ping_google'"):
        installation.do(p.Enable(task="pin_google"))


def test_without_an_engine_the_same_handlers_answer_and_say_what_needs_one(installation: Installation) -> None:
    installation.build("ping")
    installation.do(p.Disable(task="ping"))
    assert installation.task("ping").is_disabled
    installation.do(p.Enable(task="ping"))
    assert not installation.task("ping").is_disabled
    for directive in (p.RunTask(task="ping"), p.StopRun(task="ping"), p.Restart(task="ping"), p.Shutdown()):
        with pytest.raises(EngineOffline):
            installation.do(directive)


def test_a_second_engine_refuses_and_disturbs_nothing(installation: Installation) -> None:
    pid = installation.start()
    second = subprocess.run(
        [sys.executable, "-m", "keiji_engine.main"],
        env=installation.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert second.returncode == 1
    assert f"an engine is already running for {installation.paths.workspace} (pid {pid})" in second.stderr
    pong = installation.ask(p.Ping())
    assert isinstance(pong, p.Pong)
    assert pong.engine.pid == pid


def test_the_same_directive_again_gets_the_same_reply_and_acts_once_also_across_engines(
    installation: Installation,
) -> None:
    installation.build("ping")
    installation.start()
    directive = p.RunTask(id="only-once", task="ping")
    first = installation.do(directive)
    installation.ended("ping")
    assert installation.do(directive) == first
    installation.kill()
    installation.start()
    assert installation.do(directive) == first
    assert len(installation.runs("ping")) == 1


def test_a_directive_that_comes_too_late_is_refused(installation: Installation) -> None:
    installation.build("ping")
    installation.start()
    with pytest.raises(DeadlinePassed):
        installation.do(p.Disable(task="ping", deadline=time.time() - 1))
    assert not installation.task("ping").is_disabled


def test_services_stop_and_start_alone(installation: Installation) -> None:
    installation.start()

    def status(name: str) -> str:
        snapshot = installation.ask(p.GetSnapshot())
        assert isinstance(snapshot, p.Snapshot)
        return next(service.status for service in snapshot.services if service.name == name)

    for name in ("scheduler", "runner", "watcher"):
        installation.do(p.StopService(service=name))
        assert status(name) == "offline"
        installation.do(p.StartService(service=name))
        assert status(name) == "online"
        installation.do(p.RestartService(service=name))
        assert status(name) == "online"
    with pytest.raises(UsageError, match="there is no service 'schedular'"):
        installation.do(p.StopService(service="schedular"))


def test_a_stopped_bus_is_started_again_by_sighup(installation: Installation) -> None:
    pid = installation.start()
    installation.do(p.StopService(service="bus"))

    def bus() -> str:
        note = daemon.read_note(installation.paths)
        assert note is not None
        return next(str(service["status"]) for service in note.services if service["name"] == "bus")

    until(lambda: bus() == "offline")
    os.kill(pid, signal.SIGHUP)
    until(lambda: bus() == "online")
    assert isinstance(installation.ask(p.Ping()), p.Pong)


def test_what_falls_due_while_the_runner_is_stopped_is_recorded_as_missed(installation: Installation) -> None:
    installation.build("ping", schedule=EVERY_SECOND)
    installation.start()
    installation.do(p.StopService(service="runner"))
    until(lambda: any(run.state == RunState.MISSED for run in installation.runs("ping")))
    installation.do(p.StartService(service="runner"))
    installation.ended("ping")


def test_sighup_reads_the_settings_anew_and_a_bad_one_changes_nothing(installation: Installation) -> None:
    installation.build("weekly", schedule='on.friday.at("22:00")')
    pid = installation.start()
    before = installation.task("weekly").next_execution_time
    assert before is not None
    installation.settings(TIME_ZONE="Mars/Base")
    os.kill(pid, signal.SIGHUP)
    log = installation.paths.service_log("scheduler")
    until(lambda: "TIME_ZONE='Mars/Base'" in log.read_text())
    assert installation.task("weekly").next_execution_time == before
    installation.settings(TIME_ZONE="UTC")
    os.kill(pid, signal.SIGHUP)
    after = until(lambda: (view := installation.task("weekly").next_execution_time) != before and view)
    assert after
    assert (after - before).total_seconds() % (24 * 3600) == 3 * 3600


def test_secrets_of_the_env_file_reach_the_run_and_nothing_else(installation: Installation) -> None:
    function = "import os\ndef function():\n    print(len(os.environ['TOKEN']), 'KEIJI_ROOT' in os.environ)\n"
    folder = installation.write("ping", function)
    (folder / ".env").write_text('NAME=ping\nTOKEN="s3cr3t-value"\n')
    installation.do(p.BuildTask(task="ping"))
    installation.start()
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    assert 'msg="12 False"' in installation.log("ping")
    installation.stop()
    for path in installation.paths.data.rglob("*"):
        if path.is_file() and path.name != ".env":
            assert b"s3cr3t-value" not in path.read_bytes(), path


def test_an_unreadable_env_file_fails_the_run_and_says_so(installation: Installation) -> None:
    installation.build("ping")
    installation.start()
    (installation.paths.source("ping") / ".env").write_text("this is no assignment\n")
    installation.do(p.RunTask(task="ping"))
    run = until(lambda: next((run for run in installation.runs("ping") if run.finished_at), None))
    assert run.state == RunState.FAILED
    assert "line 1" in run.reason


def test_systemd_is_told_when_the_engine_is_ready(installation: Installation) -> None:
    import socket

    address = installation.paths.data / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(LIMIT)
        installation.environment["NOTIFY_SOCKET"] = str(address)
        installation.start()
        assert notify.recv(100) == b"READY=1"
        assert installation.stop() == 0
        assert notify.recv(100) == b"STOPPING=1"


def test_the_engine_writes_about_itself_for_those_who_cannot_ask_it(installation: Installation) -> None:
    pid = installation.start()
    note = json.loads(installation.paths.engine.read_text())
    assert note["pid"] == pid
    assert {service["name"]: service["status"] for service in note["services"]} == dict.fromkeys(
        ("bus", "scheduler", "runner", "watcher"), "online"
    )
    installation.stop()
    assert not installation.paths.engine.exists()
    assert not daemon.is_running(installation.paths)


def test_a_waiting_retry_does_not_keep_the_engine_busy_while_the_runner_is_stopped(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=0.5))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.do(p.StopService(service="runner"))
    due = installation.task("fails").retry_at
    assert due is not None
    until(lambda: datetime.now(UTC) > due)
    assert installation.task("fails").is_queued, "the engine still answers, and the retry still waits"
    installation.do(p.StartService(service="runner"))
    assert [run.attempt for run in installation.ended("fails", 2)] == [1, 2]


def test_directives_and_the_scheduler_on_the_same_tasks_end_no_service_and_lose_no_task(
    installation: Installation,
) -> None:
    names = [f"task{number}" for number in range(3)]
    for name in names:
        installation.build(name, FAILS, EVERY_SECOND, policy="Policy(retry=Retry(tries=9, delay=0))")
    installation.start()
    directives = [p.StopRun, p.Restart, p.Disable, p.Enable, p.RunTask, p.Resolve]
    chance = random.Random(1)

    def bother(name: str) -> None:
        for _ in range(25):
            with contextlib.suppress(NotRunning, AlreadyRunning):
                installation.do(chance.choice(directives)(task=name))

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(bother, names))
    snapshot = installation.ask(p.GetSnapshot())
    assert isinstance(snapshot, p.Snapshot)
    assert {str(service.status) for service in snapshot.services} == {"online"}
    for name in names:
        installation.do(p.Enable(task=name))
        count = len(installation.runs(name))
        until(lambda name=name, count=count: len(installation.runs(name)) > count + 1)


def test_of_several_who_ask_at_once_for_a_run_one_gets_it(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS)
    installation.start()

    def ask(_: int) -> bool:
        try:
            installation.do(p.RunTask(task="sleeps"))
        except AlreadyRunning:
            return False
        return True

    with ThreadPoolExecutor(5) as threads:
        assert sorted(threads.map(ask, range(5))) == [False] * 4 + [True]
    installation.do(p.Disable(task="sleeps"))
    assert [run.state for run in installation.runs("sleeps")] == [RunState.STOPPED]


def test_what_runs_cannot_be_stopped_without_the_runner_and_nobody_claims_it_was(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS)
    installation.start()
    installation.do(p.RunTask(task="sleeps"))
    until(lambda: "begun" in installation.log("sleeps"))
    installation.do(p.StopService(service="runner"))
    for directive in (p.Delete(task="sleeps"), p.Restart(task="sleeps"), p.BuildTask(task="sleeps", restart=True)):
        with pytest.raises(ServiceOffline):
            installation.do(directive)
    assert "what runs goes on" in installation.do(p.Disable(task="sleeps"))[-1]
    assert installation.task("sleeps").is_running
    installation.do(p.StartService(service="runner"))
    installation.do(p.StopRun(task="sleeps"))
    assert not installation.task("sleeps").is_running


def test_disabling_without_an_engine_cancels_what_waits(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=60))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.stop()
    installation.do(p.Disable(task="fails"))
    view = installation.task("fails")
    assert (view.is_disabled, view.is_queued) == (True, False)


def test_a_name_that_could_be_taken_for_another_task_is_refused(installation: Installation) -> None:
    installation.build("bar")
    folder = installation.write("zzz")
    (folder / ".env").write_text("NAME=bar\n")
    with pytest.raises(TaskExists, match="could be taken for the task 'bar'"):
        installation.do(p.BuildTask(task="zzz"))
    with pytest.raises(TaskNotFound):
        installation.task("zzz")


def test_a_time_zone_that_was_changed_while_no_engine_ran_is_in_force_after_the_start(
    installation: Installation,
) -> None:
    installation.build("weekly", schedule='on.friday.at("22:00")')
    before = installation.task("weekly").next_execution_time
    assert before is not None
    installation.settings(TIME_ZONE="UTC")
    installation.start()
    after = installation.task("weekly").next_execution_time
    assert after is not None
    assert (after - before).total_seconds() % (24 * 3600) == 3 * 3600


def test_following_what_is_no_task_leaves_the_bus_as_it_was(installation: Installation) -> None:
    installation.build("ping")
    installation.start()
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    with zmq.Context() as context, context.socket(zmq.SUB) as rude:
        rude.connect(f"ipc://{installation.paths.log}")
        for topic in (b"log/" + b"a" * 300 + b"/", b"log/../../x/", b"log/\xff/", b"log/\0/", b"log//", b"log/ping/"):
            rude.subscribe(topic)
        assert rude.poll(LIMIT * 1000), "the last topic is that of a task"
    assert isinstance(installation.ask(p.Ping()), p.Pong)


def test_a_terminal_that_goes_away_takes_nothing_of_the_engine_along(installation: Installation) -> None:
    reading, writing = os.pipe()
    installation.output = writing
    installation.start()
    os.close(reading)
    os.close(writing)
    installation.do(p.StopService(service="watcher"))
    installation.do(p.StartService(service="watcher"))
    assert installation.stop() == 0


def test_a_question_is_answered_while_another_command_builds(installation: Installation) -> None:
    installation.build("ping")
    installation.write("slow", "import time\ntime.sleep(1.5)\ndef function():\n    pass\n")
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(installation.do, p.BuildTask(task="slow"))
        until(lambda: any(installation.paths.builds.glob(".tmp-*")))
        assert installation.task("ping").name == "ping"
        assert not building.done()
        building.result()


def test_a_build_of_the_same_schedule_goes_on_counting_and_a_restart_begins_anew(installation: Installation) -> None:
    installation.build("hourly")
    installation.start()
    before = installation.task("hourly").next_execution_time
    installation.build("hourly", "def function():\n    print('new')\n")
    assert installation.task("hourly").next_execution_time == before
    installation.do(p.BuildTask(task="hourly", restart=True))
    assert installation.task("hourly").next_execution_time != before
    installation.build("hourly", schedule="every(2).hours")
    assert installation.task("hourly").schedule_words == "every 2 hours"


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


def test_a_description_is_one_line_whatever_it_was_given_as(installation: Installation) -> None:
    installation.do(p.Create(name="ping", description="line1\nNAME=evil\n\x1b[31mred"))
    assert installation.task("ping").description == "line1 NAME=evil [31mred"
