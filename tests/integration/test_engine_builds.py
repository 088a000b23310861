"""The builds of a task through a real engine and the command line: list, difference, rollback, pins, collection."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from command_line import Result, run_command
from installation import SLEEPS, Installation, until

from keiji.errors import BuildFailed, BuildNotFound, BuildPinned, UsageError
from keiji.reasons import Code
from keiji.states import RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import BuildView

V1, V2 = "def function():\n    print('one')\n", "def function():\n    print('two')\n"


def command(installation: Installation, *arguments: str) -> Result:
    return run_command("task", *arguments, environment=installation.environment)


def builds_of(installation: Installation, slug: str) -> dict[str, BuildView]:
    return {view.hash: view for view in installation.ask(p.GetBuilds(task=slug)).builds}


def build_twice(installation: Installation, slug: str) -> tuple[str, str]:
    """Build two versions of a task; return their hashes, the older one first."""
    hashes = []
    for text in (V1, V2):
        installation.build(slug, text)
        hashes.append(installation.task(slug).build or "")
    return hashes[0], hashes[1]


def codes(installation: Installation, slug: str) -> list[str]:
    return [reason.code for reason in installation.ask(p.Explain(task=slug)).reasons]


def test_a_rollback_runs_the_earlier_build_and_the_sources_are_offered_as_changed(shared: Installation) -> None:
    first, second = build_twice(shared, "ping")
    until(lambda: not shared.task("ping").source_changes)
    ledger_before = len(shared.ask(p.GetDirectives()).directives)

    lines = shared.do(p.RollBack(task="ping"))

    assert lines[0] == f"rolled back ping from build {second} to {first}"
    task = shared.task("ping")
    assert (task.build, task.rolled_back_from) == (first, second)
    until(lambda: shared.task("ping").source_changes == ("function.py",), "the watcher offers the sources")
    assert {Code.ROLLED_BACK, Code.SOURCES_CHANGED} <= set(codes(shared, "ping"))
    assert f"Rolled back: from build {second}" in command(shared, "get", "ping").stdout
    shared.do(p.RunTask(task="ping"))
    [run] = shared.ended("ping", 1, RunState.SUCCEEDED)
    assert run.build == first
    assert "one" in shared.log("ping")
    newest = shared.ask(p.GetDirectives()).directives[: -ledger_before or None]
    assert ("rollback", "ping", "done") in [(each.verb, each.target, each.stage) for each in newest]

    shared.do(p.BuildTask(task="ping"))
    assert (shared.task("ping").build, shared.task("ping").rolled_back_from) == (second, None)
    shared.do(p.RollBack(task="ping", build=first[:6]))
    shared.do(p.RollBack(task="ping"))  # back to where it was
    assert (shared.task("ping").build, shared.task("ping").rolled_back_from) == (second, None)


def test_builds_are_listed_with_their_use_and_compared(shared: Installation) -> None:
    shared.build("ping", V1)
    shared.build("ping", SLEEPS)
    shared.do(p.RunTask(task="ping"))
    live = shared.wait_for_runs("ping", 1, lambda run: run.state is RunState.RUNNING)[0].build
    shared.build("ping", V2)
    active = shared.task("ping").build

    views = builds_of(shared, "ping")
    assert [view.is_active for view in views.values()] == [True, False, False]
    assert {view.hash: view.runs for view in views.values() if view.runs} == {live: 1}
    folder = shared.paths.builds / str(active)
    size = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    assert (views[str(active)].size, views[str(active)].files) == (size, 2)
    assert views[str(active)].activated_by
    listed = json.loads(command(shared, "builds", "ping", "--json").stdout)
    assert [each["hash"] for each in listed] == list(views)
    assert "3 builds" in command(shared, "builds", "ping").stdout

    assert command(shared, "diff", "ping").stdout == ""
    oldest = list(views)[-1]
    (shared.paths.source("ping") / "function.py").write_text("def function():\n    print('three')\n")
    assert command(shared, "diff", "ping").stdout.splitlines() == [
        f"--- {active}/function.py",
        "+++ sources/function.py",
        "@@ -1,2 +1,2 @@",
        " def function():",
        "-    print('two')",
        "+    print('three')",
    ]
    assert "-    print('one')\n+    print('three')" in command(shared, "diff", "ping", oldest).stdout
    assert "-    print('one')\n+    print('two')" in command(shared, "diff", "ping", oldest[:8], str(active)).stdout


def test_a_pinned_build_is_not_replaced_and_its_task_is_left_out_of_apply(shared: Installation) -> None:
    first, second = build_twice(shared, "ping")
    shared.do(p.PinBuild(task="ping"))
    shared.do(p.PinBuild(task="ping", build=first))
    shared.write("ping", V1 + "x = 1\n")

    with pytest.raises(BuildPinned, match=f"keeps its build {second}, which is pinned"):
        shared.do(p.BuildTask(task="ping"))
    with pytest.raises(BuildPinned):
        shared.do(p.RollBack(task="ping"))
    [outcome] = shared.ask(p.Apply()).outcomes
    assert (outcome.outcome, outcome.build) == ("pinned", second)
    assert (shared.task("ping").build, shared.task("ping").is_pinned) == (second, True)
    assert Code.BUILD_PINNED in codes(shared, "ping")
    assert [view.is_pinned for view in builds_of(shared, "ping").values()] == [True, True]
    shared.kill()
    shared.start()
    assert shared.task("ping").is_pinned

    shared.do(p.UnpinBuild(task="ping"))
    shared.do(p.RollBack(task="ping"))
    assert (shared.task("ping").build, shared.task("ping").is_pinned) == (first, True), "its pin is still there"


def test_a_pinned_build_is_kept_and_others_are_collected(shared: Installation) -> None:
    shared.build("ping", V1)
    first = str(shared.task("ping").build)
    shared.do(p.PinBuild(task="ping"))
    shared.do(p.UnpinBuild(task="ping"))
    shared.build("ping", V2)
    second = str(shared.task("ping").build)
    shared.do(p.PinBuild(task="ping", build=first))
    for build in (first, second):
        os.utime(shared.paths.builds / build, (0, 0))  # as if the grace period had passed
    for number in range(10):
        shared.build("ping", f"def function():\n    return {number} * 0\n")

    assert first in builds_of(shared, "ping")
    assert second not in builds_of(shared, "ping")
    with pytest.raises(BuildFailed, match=f"the build {second} no longer exists"):
        shared.do(p.RollBack(task="ping", build=second))


def _modify(folder: Path) -> None:
    path = folder / "src" / "function.py"
    path.chmod(0o644)
    path.write_text("print('evil')\n")


def test_a_rollback_is_refused_if_the_build_is_modified_unknown_ambiguous_or_active(shared: Installation) -> None:
    first, second = build_twice(shared, "ping")
    _modify(shared.paths.builds / first)
    with pytest.raises(BuildFailed, match=f"the build {first} was modified: function.py"):
        shared.do(p.RollBack(task="ping"))
    with pytest.raises(BuildNotFound, match="ping has no build 'zzz'"):
        shared.do(p.RollBack(task="ping", build="zzz"))
    with pytest.raises(UsageError, match="is the active build of ping"):
        shared.do(p.RollBack(task="ping", build=second))
    assert shared.task("ping").build == second
    shared.build("other")
    with pytest.raises(BuildNotFound, match="other has no build other than the active one"):
        shared.do(p.RollBack(task="other"))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_pins_and_rollbacks_without_an_engine(
    installation: Installation, request: pytest.FixtureRequest, database: str
) -> None:
    if database == "postgresql":
        installation.write_settings(DB_URL=request.getfixturevalue("postgresql_url"))
    first, second = build_twice(installation, "ping")
    assert command(installation, "pin", "ping", first).code == 0
    assert command(installation, "rollback", "ping").code == 0
    refused = command(installation, "rollback", "ping", second)
    assert (refused.code, refused.stderr.splitlines()) == (
        1,
        [f"ping keeps its build {first}, which is pinned", "keiji task unpin ping releases it"],
    )
    assert command(installation, "unpin", "ping").code == 0
    assert command(installation, "rollback", "ping", second).code == 0
    task = installation.task("ping")
    assert (task.build, task.rolled_back_from, task.is_pinned) == (second, None, False)
