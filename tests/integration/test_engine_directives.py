"""Directives to a real engine: what each leaves behind, several at once, and none of them twice."""

from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
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


def builds_once_there_is(file: Path) -> str:
    """Return sources whose build takes until ``file`` is there."""
    return f"""
import pathlib, time
while not pathlib.Path({str(file)!r}).exists():
    time.sleep(0.01)
def function():
    pass
"""


def test_create_writes_a_task_that_builds_and_runs_and_delete_forgets_all_but_its_sources(
    installation: Installation,
) -> None:
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
    until(lambda: "begun" in installation.log(slug))
    lines = installation.do(p.Delete(task=slug))
    assert "its sources stay at" in lines[-1]
    with pytest.raises(TaskNotFound):
        installation.task(slug)
    assert installation.paths.source(slug).is_dir()
    assert not installation.paths.link(slug).is_symlink()
    assert not installation.paths.task_log(slug).exists()
    assert not any(installation.paths.task_log(slug).parent.parent.iterdir())
    assert not any(installation.paths.builds.iterdir())


def test_a_task_is_made_with_its_schedule_and_text_that_is_none_leaves_nothing(installation: Installation) -> None:
    installation.start()
    for text in ("every(5)", "__import__('os').system('touch pwned')", 'cron("0 0 * *\\n*")'):
        with pytest.raises(InvalidSchedule):
            installation.do(p.Create(name="ping", schedule=text))
    assert not installation.paths.source("ping").exists()
    installation.do(p.Create(name="ping", schedule=" on.friday.at('10:00PM') "))
    assert 'return on.friday.at("22:00")' in (installation.paths.source("ping") / "schedule.py").read_text()
    installation.do(p.BuildTask(task="ping"))
    assert installation.task("ping").schedule_description == "Fridays at 22:00"


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


def test_of_several_who_ask_at_once_one_gets_it_and_who_comes_too_late_gets_nothing(
    installation: Installation,
) -> None:
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
    with pytest.raises(DeadlinePassed):
        installation.do(p.Disable(task="sleeps", deadline=time.time() - 1))
    assert not installation.task("sleeps").is_disabled
    installation.do(p.Disable(task="sleeps"))
    assert [run.state for run in installation.runs("sleeps")] == [RunState.STOPPED]


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
        for _ in range(12):
            with contextlib.suppress(NotRunning, AlreadyRunning):
                installation.do(chance.choice(directives)(task=name))

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(bother, names))
    snapshot = installation.ask(p.GetSnapshot())
    assert {str(service.status) for service in snapshot.services} == {"online"}
    for name in names:
        installation.do(p.Enable(task=name))
    counts = {name: len(installation.runs(name)) for name in names}
    for name, count in counts.items():
        until(lambda name=name, count=count: len(installation.runs(name)) > count + 1)


def test_disabling_without_an_engine_cancels_what_waits(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=60))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.stop()
    installation.do(p.Disable(task="fails"))
    view = installation.task("fails")
    assert (view.is_disabled, view.is_queued) == (True, False)


def test_a_name_that_conflicts_with_another_task_is_rejected(installation: Installation) -> None:
    installation.build("bar")
    folder = installation.write("zzz")
    (folder / ".env").write_text("NAME=bar\n")
    with pytest.raises(TaskExists, match="conflicts with the task 'bar'"):
        installation.do(p.BuildTask(task="zzz"))
    with pytest.raises(TaskNotFound):
        installation.task("zzz")


def test_a_question_is_answered_while_another_command_builds(installation: Installation) -> None:
    installation.build("ping")
    go = installation.paths.data / "go"
    installation.write("slow", builds_once_there_is(go))
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(installation.do, p.BuildTask(task="slow"))
        until(lambda: any(installation.paths.builds.glob(".tmp-*")))
        assert installation.task("ping").name == "ping"
        assert not building.done()
        go.touch()
        building.result()


def test_a_description_is_one_line_whatever_it_was_given_as(installation: Installation) -> None:
    installation.do(p.Create(name="ping", description="line1\nNAME=evil\n\x1b[31mred"))
    assert installation.task("ping").description == "line1 NAME=evil [31mred"


def test_a_task_that_is_deleted_while_it_is_built_stays_deleted(installation: Installation) -> None:
    installation.build("slow")
    installation.start()
    go = installation.paths.data / "go"
    installation.write("slow", builds_once_there_is(go))
    with ThreadPoolExecutor(1) as threads:
        building = threads.submit(installation.do, p.BuildTask(task="slow"))
        until(lambda: any(installation.paths.builds.glob(".tmp-*")))
        installation.do(p.Delete(task="slow"))
        go.touch()
        with pytest.raises(TaskNotFound, match="deleted while it was built"):
            building.result()
    with pytest.raises(TaskNotFound):
        installation.task("slow")
