"""`keiji check` and `keiji apply`: tasks from version control, with and without an engine."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Result, run_command, run_process
from installation import DO_NOTHING, Installation

from keiji.errors import UsageError
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import ApplyOutcome

BROKEN = "def function():\n    x = (\n"


def keiji(installation: Installation, *arguments: str) -> Result:
    return run_command(*arguments, environment=installation.environment)


def outcomes(installation: Installation, **fields: tuple[str, ...]) -> dict[str, str]:
    """Apply, and return the outcome of each task."""
    return {each.task: each.outcome for each in installation.ask(p.Apply(**fields)).outcomes}


def names(installation: Installation) -> set[str]:
    return {view.slug for view in installation.ask(p.GetTasks()).tasks}


def test_apply_builds_what_is_new_or_changed_and_a_broken_task_affects_only_itself(shared: Installation) -> None:
    for slug in ("kept", "edited"):
        shared.build(slug)
    kept = shared.task("kept").build
    shared.write("edited", "def function():\n    print('edited')\n")
    shared.write("new")
    shared.write("broken", BROKEN)
    (shared.paths.tasks / "notes").mkdir()  # no task: it has neither function.py nor task.toml
    (shared.paths.tasks / "notes" / "README.md").write_text("x")

    applied = keiji(shared, "apply", "--all")

    assert applied.code == 1
    rows = {line.split()[0]: line.split()[1] for line in applied.stdout.splitlines()[1:5]}
    assert rows == {"broken": "failed", "edited": "built", "kept": "unchanged", "new": "created"}
    assert "function.py, line 2: '(' was never closed" in applied.stdout
    assert applied.stdout.splitlines()[-1] == "1 created, 1 built, 1 unchanged, 1 failed"
    assert names(shared) == {"kept", "edited", "new"}
    assert shared.task("kept").build == kept
    assert not shared.task("edited").source_changes
    shared.do(p.RunTask(task="new"))
    shared.ended("new")

    shared.write("broken")
    assert outcomes(shared) == {"broken": "created", "edited": "unchanged", "kept": "unchanged", "new": "unchanged"}
    shutil.rmtree(shared.paths.source("edited") / "__pycache__", ignore_errors=True)
    assert keiji(shared, "apply").stdout == "4 unchanged\n"


def test_a_changed_name_and_a_missing_build_are_changes(shared: Installation) -> None:
    for slug in ("named", "lost"):
        shared.build(slug)
    (shared.paths.source("named") / ".env").write_text("NAME=Another name\n")
    shared.build("lost", "def function():\n    print('lost')\n")
    lost = shared.paths.builds / str(shared.task("lost").build)
    lost.rename(lost.with_name("away"))
    try:
        assert outcomes(shared) == {"named": "built", "lost": "built"}
    finally:
        for path in lost.with_name("away").rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        lost.with_name("away").chmod(0o755)
        shutil.rmtree(lost.with_name("away"))
    assert shared.task("named").name == "Another name"
    assert lost.is_dir()


def test_folders_that_cannot_be_tasks_are_reported(shared: Installation) -> None:
    shared.build("first")
    for folder in ("My Task", "second", "third"):
        (shared.paths.tasks / folder).mkdir()
        (shared.paths.tasks / folder / "task.toml").write_text('name = "first"\ncommand = ["true"]\n')
    (shared.paths.tasks / "third" / "task.toml").write_text('name = "third"\ncommand = "true"\nx = 1\n')

    results = {each.task: each for each in shared.ask(p.Apply()).outcomes}

    assert {task: each.outcome for task, each in results.items()} == {
        "first": "unchanged", "My Task": "failed", "second": "failed", "third": "failed",
    }  # fmt: skip
    assert "rename the folder to my_task" in results["My Task"].error.lower()
    assert results["second"].error == "the name 'first' is that of the task in tasks/first: choose another name"
    assert results["third"].error.startswith("task.toml, line ")
    checked = keiji(shared, "check")
    assert checked.code == 1
    assert "tasks/third: task.toml, line " in checked.stdout
    assert checked.stdout.splitlines()[-1] == "1 valid, 3 invalid"


def test_prune_deletes_tasks_whose_folder_is_gone_and_only_those(shared: Installation) -> None:
    for slug in ("kept", "gone", "back"):
        shared.build(slug)
    shutil.rmtree(shared.paths.source("gone"))
    assert outcomes(shared) == {"kept": "unchanged", "back": "unchanged"}, "without --prune, it stays"

    refused = run_process("apply", "--prune", environment=shared.environment)
    assert (refused.code, refused.stdout) == (2, "")
    assert "    gone\n" in refused.stderr
    assert "--prune needs --yes" in refused.stderr
    assert names(shared) == {"kept", "gone", "back"}
    dry_run = keiji(shared, "apply", "--prune", "--check").stdout
    assert dry_run.splitlines()[-1] == "2 unchanged, 1 pruned; nothing was changed (--check)"

    assert outcomes(shared, prune=("gone", "back")) == {"kept": "unchanged", "back": "unchanged", "gone": "pruned"}
    assert names(shared) == {"kept", "back"}


def test_prune_is_refused_if_no_task_has_a_folder(shared: Installation) -> None:
    shared.build("ping")
    away = shared.paths.tasks.with_name("unmounted")
    (shared.paths.tasks / "ping").rename(away)
    with pytest.raises(UsageError, match="no task was deleted: none of them has a folder"):
        shared.ask(p.Apply(prune=("ping",)))
    assert names(shared) == {"ping"}
    away.rename(shared.paths.tasks / "ping")


def test_check_changes_nothing_and_needs_neither_settings_nor_a_database(tmp_path: Path) -> None:
    workspace = tmp_path / "clone"
    environment = {"KEIJI_WORKSPACE": str(workspace), "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path / "data")}
    for slug, text in (("good", DO_NOTHING), ("broken", BROKEN)):
        (workspace / "tasks" / slug).mkdir(parents=True)
        (workspace / "tasks" / slug / "function.py").write_text(text)
        (workspace / "tasks" / slug / "schedule.py").write_text(
            "from keiji import *\ndef schedule():\n    return every(1).hours\n"
        )
    before = sorted(tmp_path.rglob("*"))

    checked = run_command("check", environment=environment)
    assert checked.code == 1
    assert checked.stdout.splitlines()[0] == "tasks/broken: function.py, line 2: '(' was never closed"
    assert checked.stdout.splitlines()[-1] == "1 valid, 1 invalid"
    assert run_command("check", "good", environment=environment).code == 0
    unknown = run_command("check", "goood", environment=environment)
    assert (unknown.code, unknown.stderr.splitlines()) == (4, ["there is no task 'goood'", "did you mean 'good'?"])
    (workspace / "keiji.toml").write_text("[defaults]\nretries = 3\n")
    invalid = run_command("check", environment=environment)
    assert invalid.code == 1
    assert "keiji.toml, line 2" in invalid.stderr
    (workspace / "keiji.toml").unlink()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_new_folders_are_listed_and_added_by_apply_without_an_engine(
    installation: Installation, request: pytest.FixtureRequest, database: str
) -> None:
    if database == "postgresql":
        installation.write_settings(DB_URL=request.getfixturevalue("postgresql_url"))
    installation.write("one")
    assert keiji(installation, "list").stderr == "new in tasks/: one; keiji task build one adds it\n"
    installation.write("two")
    listed = keiji(installation, "list")
    assert listed.stderr == "new in tasks/: one, two; keiji apply adds them\n"
    dry_run = keiji(installation, "apply", "--check")
    assert (dry_run.code, dry_run.stdout.splitlines()[-1]) == (0, "2 created; nothing was changed (--check)")
    assert names(installation) == set()

    assert keiji(installation, "apply").code == 0
    assert names(installation) == {"one", "two"}
    assert keiji(installation, "list").stderr == ""


def test_status_names_new_folders(shared: Installation) -> None:
    shared.write("new")
    assert "new in tasks/: new; keiji task build new adds it" in keiji(shared, "status").stdout


def test_an_apply_that_is_repeated_by_its_client_has_one_effect(shared: Installation) -> None:
    shared.write("ping")
    request = p.Apply(id="0123456789abcdef")
    [first] = shared.ask(request).outcomes
    [second] = shared.ask(request).outcomes
    assert first == second == ApplyOutcome(task="ping", outcome="created", build=str(shared.task("ping").build))
