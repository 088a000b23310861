"""Directives to a real engine: their effects, concurrent directives, and directives that are sent twice."""

from __future__ import annotations

import contextlib
import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from installation import EVERY_SECOND, FAILS, SLEEPS, Installation, until

from keiji.errors import (
    AlreadyRunning,
    DeadlinePassed,
    EngineOffline,
    InvalidSchedule,
    NotBuilt,
    NotRunning,
    TaskExists,
    TaskNotFound,
)
from keiji.states import RunState
from keiji_engine.bus import protocol as p


def waiting_for(file: Path) -> str:
    """Return sources whose build takes until ``file`` exists."""
    return f"""
import pathlib, time
while not pathlib.Path({str(file)!r}).exists():
    time.sleep(0.01)
def function():
    pass
"""


def test_created_task_builds_and_runs_and_delete_removes_all_but_its_sources(installation: Installation) -> None:
    installation.start()
    name = 'My [first] task\'s "name" 計時'
    installation.do(p.Create(name=name, description="it's #1"))
    with pytest.raises(TaskExists):
        installation.do(p.Create(name=name))
    with pytest.raises(NotBuilt):
        installation.do(p.RunTask(task=name))
    slug = installation.task(name).slug
    installation.do(p.BuildTask(task=slug))
    installation.do(p.RunTask(task=slug))
    assert installation.ended(slug)[0].state == RunState.SUCCEEDED
    view = installation.task(slug)
    assert (view.name, view.description) == (name, "it's #1")

    (installation.paths.source(slug) / "function.py").write_text(SLEEPS)
    installation.do(p.BuildTask(task=slug))
    installation.do(p.RunTask(task=slug))
    until(lambda: "started" in installation.log(slug))
    lines = installation.do(p.Delete(task=slug))
    assert "its sources stay at" in lines[-1]
    with pytest.raises(TaskNotFound):
        installation.task(slug)
    assert installation.paths.source(slug).is_dir()
    assert not installation.paths.link(slug).is_symlink()
    assert not installation.paths.task_log(slug).exists()
    assert not any(installation.paths.task_log(slug).parent.parent.iterdir())
    assert not any(installation.paths.builds.iterdir())


def test_create_accepts_a_schedule_and_an_invalid_one_creates_nothing(shared: Installation) -> None:
    for text in ("every(5)", "__import__('os').system('touch pwned')", 'cron("0 0 * *\\n*")'):
        with pytest.raises(InvalidSchedule):
            shared.do(p.Create(name="ping", schedule=text))
    assert not shared.paths.source("ping").exists()
    shared.do(p.Create(name="ping", schedule=" on.friday.at('10:00PM') "))
    assert 'return on.friday.at("22:00")' in (shared.paths.source("ping") / "schedule.py").read_text()
    shared.do(p.BuildTask(task="ping"))
    assert shared.task("ping").schedule_description == "Fridays at 22:00"


def test_unknown_name_is_refused_with_the_closest_match(installation: Installation) -> None:
    installation.build("ping_google")
    with pytest.raises(TaskNotFound, match="did you mean 'ping_google'"):
        installation.do(p.Enable(task="pin_google"))


def test_directives_work_without_an_engine_unless_they_need_one(installation: Installation) -> None:
    installation.build("ping")
    installation.do(p.Disable(task="ping"))
    assert installation.task("ping").is_disabled
    installation.do(p.Enable(task="ping"))
    assert not installation.task("ping").is_disabled
    for directive in (p.RunTask(task="ping"), p.StopRun(task="ping"), p.Restart(task="ping"), p.Shutdown()):
        with pytest.raises(EngineOffline):
            installation.do(directive)


def test_repeated_directive_gets_the_same_reply_and_acts_once_across_engine_restarts(
    shared: Installation,
) -> None:
    shared.build("ping")
    directive = p.RunTask(id="only-once", task="ping")
    first = shared.do(directive)
    shared.ended("ping")
    assert shared.do(directive) == first
    shared.kill()
    shared.start()
    assert shared.do(directive) == first
    assert len(shared.runs("ping")) == 1


def test_one_of_several_concurrent_run_requests_wins_and_a_late_directive_is_refused(shared: Installation) -> None:
    shared.build("sleeps", SLEEPS)

    def run(_: int) -> bool:
        try:
            shared.do(p.RunTask(task="sleeps"))
        except AlreadyRunning:
            return False
        return True

    with ThreadPoolExecutor(5) as threads:
        assert sorted(threads.map(run, range(5))) == [False] * 4 + [True]
    with pytest.raises(DeadlinePassed):
        shared.do(p.Disable(task="sleeps", deadline=time.time() - 1))
    assert not shared.task("sleeps").is_disabled
    shared.do(p.Disable(task="sleeps"))
    assert [run.state for run in shared.runs("sleeps")] == [RunState.STOPPED]


def test_random_directives_and_the_scheduler_on_the_same_tasks_leave_all_services_and_tasks_working(
    shared_ahead: Installation, seed: int
) -> None:
    names = [f"task{number}" for number in range(3)]
    for name in names:
        shared_ahead.build(name, FAILS, EVERY_SECOND, policy="Policy(retry=Retry(tries=9, delay=0))")
    directives = [p.StopRun, p.Restart, p.Disable, p.Enable, p.RunTask, p.Resolve]

    draws = {name: random.Random(f"{seed} {name}") for name in names}

    def send_directives(name: str) -> None:
        for _ in range(3):
            with contextlib.suppress(NotRunning, AlreadyRunning):
                shared_ahead.do(draws[name].choice(directives)(task=name))

    with ThreadPoolExecutor(len(names)) as threads:
        for _ in range(4):
            shared_ahead.clock.advance_to(shared_ahead.clock() + timedelta(seconds=1))
            list(threads.map(send_directives, names))
    snapshot = shared_ahead.ask(p.GetSnapshot())
    assert {str(service.status) for service in snapshot.services} == {"online"}
    for name in names:
        shared_ahead.do(p.Enable(task=name))
    counts = {name: len(shared_ahead.runs(name)) for name in names}
    shared_ahead.clock.advance_to(max(shared_ahead.next_due(name) for name in names))
    for name, count in counts.items():
        until(lambda name=name, count=count: len(shared_ahead.runs(name)) > count + 1)


def test_disable_without_an_engine_cancels_a_queued_retry(shared: Installation) -> None:
    shared.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=60))")
    shared.do(p.RunTask(task="fails"))
    until(lambda: shared.task("fails").is_queued)
    shared.stop()
    shared.do(p.Disable(task="fails"))
    view = shared.task("fails")
    assert (view.is_disabled, view.is_queued) == (True, False)


def test_name_that_could_refer_to_another_task_is_refused(installation: Installation) -> None:
    installation.build("bar")
    folder = installation.write("zzz")
    (folder / ".env").write_text("NAME=bar\n")
    with pytest.raises(TaskExists, match="conflicts with the task 'bar'"):
        installation.do(p.BuildTask(task="zzz"))
    with pytest.raises(TaskNotFound):
        installation.task("zzz")


def test_query_is_answered_while_another_command_builds(installation: Installation) -> None:
    installation.build("ping")
    finish = installation.paths.data / "finish"
    installation.write("slow", waiting_for(finish))
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(installation.do, p.BuildTask(task="slow"))
        until(lambda: any(installation.paths.builds.glob(".tmp-*")))
        assert installation.task("ping").name == "ping"
        assert not building.done()
        finish.touch()
        building.result()


def test_description_is_reduced_to_one_line(installation: Installation) -> None:
    installation.do(p.Create(name="ping", description="line1\nNAME=evil\n\x1b[31mred"))
    assert installation.task("ping").description == "line1 NAME=evil [31mred"


def test_task_that_is_deleted_during_its_build_stays_deleted(shared: Installation, tmp_path: Path) -> None:
    shared.build("slow")
    finish = tmp_path / "finish"
    shared.write("slow", waiting_for(finish))
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(shared.do, p.BuildTask(task="slow"))
        until(lambda: any(shared.paths.builds.glob(".tmp-*")))
        shared.do(p.Delete(task="slow"))
        finish.touch()
        with pytest.raises(TaskNotFound, match="deleted while it was built"):
            building.result()
    with pytest.raises(TaskNotFound):
        shared.task("slow")


def test_a_build_that_a_directive_is_about_to_activate_survives_the_deletion_of_its_other_task(
    shared: Installation, tmp_path: Path
) -> None:
    finish = tmp_path / "finish"
    finish.touch()
    shared.build("first", waiting_for(finish))
    hashes = {shared.task("first").build}
    finish.unlink()
    shared.write("second", waiting_for(finish))
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(shared.do, p.BuildTask(task="second"))
        until(lambda: any(shared.paths.builds.glob(".tmp-*")))
        shared.do(p.Delete(task="first"))
        finish.touch()
        building.result()
    assert {shared.task("second").build} == hashes
    shared.do(p.RunTask(task="second"))
    assert shared.ended("second")[0].state is RunState.SUCCEEDED

    shared.do(p.Delete(task="second"))
    assert not any((shared.paths.builds / str(build)).exists() for build in hashes)


def test_the_ten_latest_builds_of_a_task_are_kept(shared: Installation) -> None:
    for number in range(11):
        shared.build("often", f"def function():\n    print({number})\n")
        if number == 0:
            first = shared.task("often").build
        for folder in shared.paths.builds.iterdir():
            os.utime(folder, (1, 1))  # its grace period is over
    assert len(list(shared.paths.builds.iterdir())) == 10
    assert not (shared.paths.builds / str(first)).exists()
