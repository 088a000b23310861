"""`keiji apply` is killed at random points: nothing that is active is incomplete, and the next apply completes it."""

from __future__ import annotations

import os
import random
import subprocess
import sys

from installation import Installation

from keiji_engine.builds import load_build
from keiji_engine.bus import protocol as p

# More: KEIJI_EXAMPLES=200 python -m pytest tests/faults/test_apply_killed.py -o timeout=0
KILLS = int(os.environ.get("KEIJI_EXAMPLES", "3"))
TASKS = ("one", "two")

# Kills itself at the given call that changes files, starts a process or writes to the database; prints how many there
# were. The calls are counted in all threads.
APPLIES = """
import os, signal, sys, threading
calls, lock = 0, threading.Lock()
COUNTED = {"os.rename", "os.mkdir", "os.chmod", "os.utime", "os.symlink", "os.remove", "os.rmdir", "subprocess.Popen"}
def count(event, arguments):
    global calls
    if event in COUNTED or (event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
        with lock:
            calls += 1
            if calls == int(sys.argv[1]):
                os.kill(os.getpid(), signal.SIGKILL)
from keiji.paths import Paths
from keiji_engine.bus import protocol as p
from keiji_engine.client import facade
sys.addaudithook(count)
facade.ask(Paths.from_environment(), p.Apply())
print(calls)
"""


def apply(installation: Installation, kill_at: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", APPLIES, str(kill_at)],
        env=installation.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def edit(installation: Installation, version: int) -> None:
    for slug in TASKS:
        installation.write(slug, f"def function():\n    return {version} * 0\n")


def check_active_builds(installation: Installation) -> None:
    for task in installation.ask(p.GetTasks()).tasks:
        if task.build is not None:
            load_build(installation.paths.builds / task.build)  # raises if it is incomplete
        link = installation.paths.link(task.slug)
        assert link.exists() or not link.is_symlink()


def test_an_apply_that_is_killed_at_any_point_leaves_nothing_incomplete(installation: Installation, seed: int) -> None:
    chance = random.Random(seed)
    edit(installation, 0)
    complete = apply(installation, 0)
    assert complete.returncode == 0, complete.stderr
    calls = int(complete.stdout)
    assert calls > 20

    killed = 0
    for version in range(1, KILLS + 1):
        edit(installation, version)
        killed += apply(installation, chance.randint(1, calls)).returncode < 0
        check_active_builds(installation)
    assert killed >= KILLS // 2  # a later apply has less to do, so it may end before the call

    outcomes = installation.ask(p.Apply()).outcomes
    assert {each.task for each in outcomes if each.outcome in {"created", "built", "unchanged"}} == set(TASKS)
    check_active_builds(installation)
    for slug in TASKS:
        task = installation.task(slug)
        assert task.build is not None
        files = load_build(installation.paths.builds / task.build).files
        assert set(files) == {"function.py", "schedule.py"}
        assert installation.ask(p.GetDifference(task=slug)).files == ()
    assert not [path for path in installation.paths.builds.iterdir() if path.name.startswith(".tmp-")]
