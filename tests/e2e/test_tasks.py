"""Tasks that go wrong, and names that are out of the ordinary."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.shell import Shell
from e2e.terminal import on_a_terminal
from installation import until


@pytest.mark.parametrize("name", ["計時 ünï [bold]x[prod]", 'it\'s "quoted"', "a" * 100, "100% $HOME;ls"])
def test_a_name_out_of_the_ordinary_works_everywhere(keiji: Shell, name: str) -> None:
    keiji("init")
    keiji.run("task", "--create", "--name", name, "--desc", name)
    keiji.run("task", "--build", "--name", name)
    task = keiji.task(name)
    assert (task["name"], task["description"]) == (name, name)
    assert name in keiji.run("task", "get", name)
    assert keiji.json("task get")[0]["name"] == name
    keiji.run("task", "logs", name)
    keiji.run("task", "disable", name)
    keiji.run("task", "delete", name)
    assert keiji.json("task get") == []


def test_a_name_that_cannot_be_is_refused_with_a_reason_and_makes_nothing(keiji: Shell) -> None:
    keiji("init")
    for name in ("../x", "/etc", "[bold]x[/b]", ".hidden", "-x", "--", "b" * 200, "a\nb", "\x1b[31m", "…", ""):
        reason = keiji.run("task", "--create", f"--name={name}", code=2)
        assert reason.strip(), name
        assert "\x1b" not in reason, name
        assert not list(keiji.paths.tasks.iterdir()), name


def test_a_task_that_is_not_there_ends_with_4_and_the_nearest(keiji: Shell) -> None:
    keiji("init")
    keiji("task create ping_google")
    for verb in ("get", "build", "enable", "disable", "delete", "resolve", "runs", "logs"):
        assert "ping_google" in keiji(f"task {verb} ping_gogle", code=4)


def test_a_task_that_is_there_is_not_created_again_unless_forced(keiji: Shell) -> None:
    keiji("init")
    keiji("task create ping")
    keiji.write("ping", function="print('mine')")
    assert "--force" in keiji("task create ping", code=1)
    assert "mine" in (keiji.paths.source("ping") / "function.py").read_text()
    keiji("task --create --name=ping --force")
    assert "mine" not in (keiji.paths.source("ping") / "function.py").read_text()


def test_a_syntax_error_fails_the_build_with_its_place_and_the_old_build_goes_on(keiji: Shell) -> None:
    keiji("init")
    keiji("task create ping")
    keiji("task build ping")
    before = keiji.task("ping")["build"]
    (keiji.paths.source("ping") / "function.py").write_text("def function():\n    print('a'\n")
    reason = keiji("task build ping", code=1)
    assert "function.py" in reason
    assert "line 2" in reason
    assert keiji.task("ping")["build"] == before


def test_commands_at_the_same_time_do_not_get_into_each_others_way(keiji: Shell, shell: Shell) -> None:
    keiji("init")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: shell(f"task create task{number}"), range(4)))
    assert [task["name"] for task in keiji.json("task get")] == ["task0", "task1", "task2", "task3"]


def test_as_many_runs_are_shown_as_asked_for_newest_first(keiji: Shell) -> None:
    keiji("init")
    keiji("task create ping")
    keiji("task build ping")
    assert "has not run yet" in keiji("task runs ping")
    keiji("system start")
    for count in range(1, 4):
        keiji("task run ping")
        until(lambda count=count: len(keiji.json("task runs ping")) == count and not keiji.task("ping")["is_running"])
    newest, before = keiji.json("task runs ping --limit 2")
    assert newest["started_at"] > before["started_at"]
    keiji("task runs ping --limit 0", code=2)


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("", 1), ("y", 0)])
def test_on_a_terminal_delete_asks_first(keiji: Shell, answer: str, code: int) -> None:
    keiji("init")
    keiji("task create ping")
    ended, shown = on_a_terminal(
        keiji.command("task", "delete", "ping"), keiji.environment, "Delete it?", f"{answer}\n"
    )
    assert ended == code, shown
    assert str(keiji.paths.source("ping")) in shown
    assert len(keiji.json("task get")) == code


@pytest.mark.parametrize(("answer", "code"), [("n", 1), ("y", 0)])
def test_on_a_terminal_uninstall_asks_first(keiji: Shell, answer: str, code: int) -> None:
    keiji("init")
    talk = ("Remove all of this?", f"{answer}\n", "as well", "n\n")
    ended, shown = on_a_terminal(keiji.command("system", "uninstall"), keiji.environment, *talk)
    assert ended == code, shown
    assert keiji.paths.database.exists() == bool(code)
    assert keiji.paths.settings.exists()
