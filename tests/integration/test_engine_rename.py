"""Renaming a task: its history, logs and builds stay; an interrupted rename is completed or undone."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from functools import partial

import pytest
from command_line import run_command
from installation import EVERY_HOUR, SLEEPS, Installation, until

from keiji.errors import AlreadyRunning, InvalidName, KeijiError, TaskExists, TaskNotFound
from keiji.paths import Paths
from keiji.states import RunState
from keiji_engine import builds
from keiji_engine.bus import protocol as p
from keiji_engine.bus.client import Client

PRINTS = "import os\ndef function():\n    print('as', os.environ['KEIJI_TASK'])\n"
# All of them: KEIJI_EXAMPLES=10 python -m pytest tests/integration/test_engine_rename.py -o timeout=0
KILLS = int(os.environ.get("KEIJI_EXAMPLES", "1"))
DAILY = "on.day.at('06:00')"

# Kills itself at the given call that changes a name, and prints how many there were.
RENAMES = """
import os, signal, sys
calls = 0
def count(event, arguments):
    global calls
    if event in ("os.rename", "os.remove") and "keiji.db" not in str(arguments[0]):
        calls += 1
        if calls == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.client import facade
sys.addaudithook(count)
facade.ask(Paths.from_environment(), p.RenameTask(task="old", new_name="new name"))
print(calls)
"""


def kill_at(event: str, path: str) -> None:
    """Kill this process when it is about to do something with a path that ends like this."""

    def hook(name: str, arguments: tuple[object, ...]) -> None:
        if name == event and str(arguments[0]).endswith(path):
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def names_in(paths: Paths) -> set[str]:
    """Return the slugs that occur in the paths of tasks."""
    logs = {path.name.split(".log")[0] for path in paths.logs.glob("tasks/*/*")}
    folders = [paths.tasks, paths.logs / "tasks", paths.work, paths.links]
    return logs.union(*({path.name for path in folder.iterdir()} for folder in folders if folder.is_dir()))


def test_a_renamed_task_keeps_its_history_its_logs_and_its_schedule(shared: Installation) -> None:
    shared.build("old", PRINTS, DAILY)
    shared.do(p.RunTask(task="old"))
    [before] = shared.ended("old")
    view = shared.task("old")
    result = run_command("task", "rename", "old", "New name", environment=shared.environment)
    assert result.code == 0, result.stderr
    with pytest.raises(TaskNotFound):
        shared.task("old")
    renamed = shared.task("New name")
    assert (renamed.slug, renamed.task_id, renamed.build) == ("New_name", view.task_id, view.build)
    assert renamed.next_execution_time == view.next_execution_time
    assert [run.run_id for run in renamed.recent] == [before.run_id]
    assert "old" not in names_in(shared.paths)
    assert shared.paths.link("New_name").exists()
    shared.do(p.RunTask(task="New_name"))
    [first, second] = shared.ended("New_name", 2)
    assert (first.run_id, second.state) == (before.run_id, RunState.SUCCEEDED)
    assert "as old" in shared.log("New_name")
    assert "as New name" in shared.log("New_name")
    # The name is in the sources, so the next build keeps it.
    assert builds.read_env(shared.paths.source("New_name")).get("NAME") == "New name"
    shared.ask(p.BuildTask(task="New_name"))
    assert shared.task("New_name").name == "New name"
    assert shared.task("New_name").build == view.build
    shared.do(p.RenameTask(task="New_name", new_name="New  name"))
    assert (shared.task("New_name").name, len(shared.runs("New_name"))) == ("New  name", 2)


def test_the_name_in_task_toml_changes_and_needs_no_build(installation: Installation) -> None:
    installation.do(p.Create(name="old", command=("/bin/echo", "hello"), tags=("db",)))
    installation.do(p.BuildTask(task="old"))
    installation.start()
    installation.do(p.RenameTask(task="old", new_name='the "new" one'))
    view = installation.task('the "new" one')
    text = (installation.paths.source(view.slug) / "task.toml").read_text()
    assert text.startswith('name = "the \\"new\\" one"\n')
    assert 'tags = ["db"]' in text
    installation.do(p.RunTask(task=view.slug))
    assert installation.ended(view.slug)[0].state is RunState.SUCCEEDED
    reasons = [why.code for why in installation.ask(p.Explain(task=view.slug)).reasons]
    assert "sources-changed" not in reasons
    assert installation.ask(p.GetDifference(task=view.slug)).files == ()
    installation.do(p.BuildTask(task=view.slug))
    assert installation.task(view.slug).name == 'the "new" one'


def test_a_backfill_continues_under_the_new_name(shared: Installation) -> None:
    shared.build("old", PRINTS, EVERY_HOUR)
    shared.do(p.PauseTask(task="old"))
    shared.do(p.BackfillTask(task="old", begin="2026-01-01 00:00", end="2026-01-01 03:00"))
    shared.do(p.RenameTask(task="old", new_name="new"))
    shared.do(p.ResumeTask(task="new"))
    until(lambda: shared.ask(p.GetBackfills(task="new")).backfills[0].state == "done")


def test_a_rename_is_refused_if_it_is_not_safe(shared: Installation) -> None:
    shared.build("busy", SLEEPS)
    shared.build("other")
    shared.do(p.RunTask(task="busy"))
    until(lambda: "started" in shared.log("busy"))
    with pytest.raises(AlreadyRunning, match=r"busy is running \(run \w+\), so it cannot be renamed now"):
        shared.do(p.RenameTask(task="busy", new_name="new"))
    shared.do(p.StopRun(task="busy"))
    for name in ("other", "Other/1", "all", ""):
        with pytest.raises((TaskExists, InvalidName)):
            shared.do(p.RenameTask(task="busy", new_name=name))
    (shared.paths.tasks / "mine").mkdir()
    with pytest.raises(TaskExists, match="mine already exists"):
        shared.do(p.RenameTask(task="busy", new_name="mine"))
    assert len(shared.runs("busy")) == 1
    assert not (shared.paths.data / "rename.json").exists()


def test_a_rename_that_is_killed_at_any_point_is_completed_or_undone(installation: Installation, seed: int) -> None:
    paths = installation.paths
    installation.build("old", PRINTS)
    (paths.source("old") / ".env").write_text("NAME=old\nSECRET='a b'\n")
    log = paths.task_log("old")
    log.with_name("old.log.000000000000100.keiji").write_text("rotated\n")
    (paths.work / "old").mkdir(parents=True)
    contents = log.read_text()

    def rename(kill_at: int) -> tuple[int, str]:
        process = subprocess.run(
            [sys.executable, "-c", RENAMES, str(kill_at)],
            env=installation.environment, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        return process.returncode, process.stdout + process.stderr

    code, calls = rename(0)
    assert code == 0, calls
    installation.do(p.RenameTask(task="new name", new_name="old"))
    points = range(1, int(calls) + 1)
    assert len(points) > 8
    for point in random.Random(seed).sample(points, min(KILLS, len(points))):
        assert rename(point)[0] in (-9, 0)  # the first one may have had more calls
        # Whatever comes next completes or undoes it.
        slug = next(task.slug for task in installation.ask(p.GetTasks()).tasks)
        installation.do(p.PauseTask(task=slug))
        assert names_in(paths) == {slug}
        assert not (paths.data / "rename.json").exists()
        name = {"old": "old", "new_name": "new name"}[slug]
        assert builds.read_env(paths.source(slug)) == {"NAME": name, "SECRET": "a b"}
        assert paths.task_log(slug).read_text().startswith(contents)
        assert paths.task_log(slug).with_name(f"{slug}.log.000000000000100.keiji").exists()
        if slug != "old":
            installation.do(p.RenameTask(task=slug, new_name="old"))


@pytest.mark.parametrize(
    ("event", "path", "outcome"),
    [
        ("os.rename", "/logs/tasks/old", "old"),  # nothing is moved yet
        ("os.rename", "/workspace/tasks/old", "old"),  # all but the sources are moved; nothing is committed
        ("os.remove", "/rename.json", "new"),  # it is committed
    ],
)
def test_the_next_engine_completes_or_undoes_a_rename_of_one_that_was_killed(
    installation: Installation, event: str, path: str, outcome: str
) -> None:
    installation.build("old", PRINTS)
    installation.start(prepare=partial(kill_at, event, path))
    installation.do(p.RunTask(task="old"))
    [run] = installation.ended("old")

    async def rename() -> None:
        async with Client(installation.paths, "test") as client:
            await client.execute(p.RenameTask(task="old", new_name="new"), timeout=5)

    with pytest.raises(KeijiError):
        asyncio.run(rename())
    assert installation.engine is not None
    installation.engine.join(10)
    assert installation.engine.exitcode == -signal.SIGKILL
    installation.engine = None
    assert (installation.paths.data / "rename.json").exists()
    installation.start()
    assert names_in(installation.paths) == {outcome}
    assert [each.run_id for each in installation.runs(outcome)] == [run.run_id]
    assert "as old" in installation.log(outcome)
    installation.do(p.RunTask(task=outcome))
    assert len(installation.ended(outcome, 2)) == 2
