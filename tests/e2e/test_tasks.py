"""Unusual names, errors, confirmation and concurrent commands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.shell import Shell
from e2e.terminal import run_on_terminal
from installation import until


def names(shell: Shell) -> list[str]:
    return [task["name"] for task in shell.json("task get")]


@pytest.mark.parametrize("name", ["計時 ünï [bold]x[prod]", 'it\'s "quoted"', "a" * 100, "100% $HOME;ls"])
def test_an_unusual_name_works_in_all_commands(online: Shell, name: str) -> None:
    online.run("task", "--create", "--name", name, "--desc", name)
    online.run("task", "--build", "--name", name)
    task = online.task(name)
    assert (task["name"], task["description"]) == (name, name)
    assert name in online.run("task", "get", name)
    assert name in names(online)
    online.run("task", "logs", name)
    online.run("task", "disable", name)
    online.run("task", "delete", name, "--yes")
    assert name not in names(online)


def test_an_invalid_name_is_rejected_with_a_reason_and_creates_nothing(online: Shell) -> None:
    folders = set(online.paths.tasks.iterdir())
    for name in ("../x", "/etc", "[bold]x[/b]", ".hidden", "-x", "--", "b" * 200, "a\nb", "\x1b[31m", "…", ""):
        reason = online.run("task", "--create", f"--name={name}", code=2)
        assert reason.strip(), name
        assert "\x1b" not in reason, name
        assert set(online.paths.tasks.iterdir()) == folders, name


def test_an_unknown_task_exits_with_4_and_a_suggestion(online: Shell) -> None:
    online("task create ping_google")
    for command in ("get", "build", "enable", "disable", "delete", "resolve", "runs", "logs"):
        assert "ping_google" in online(f"task {command} ping_gogle", code=4)


def test_an_existing_task_is_only_created_again_with_force(online: Shell) -> None:
    online("task create mine")
    online.write("mine", function="print('edited')")
    assert "--force" in online("task create mine", code=1)
    assert "edited" in (online.paths.source("mine") / "function.py").read_text()
    online("task --create --name=mine --force")
    assert "edited" not in (online.paths.source("mine") / "function.py").read_text()


def test_a_script_that_is_an_argument_is_not_looked_up_in_the_folder_of_the_task(online: Shell) -> None:
    output = online("task create by-node --schedule daily -- node ./x.js")
    assert "./x.js is looked up in the working folder" in output
    assert "keiji task create by-node --force -- ./x.js" in output
    assert "looked up" not in online("task create in-folder --schedule daily --cwd /tmp -- node ./x.js")


def test_a_syntax_error_fails_the_build_with_file_and_line_and_keeps_the_active_build(online: Shell) -> None:
    online("task create broken")
    online("task build broken")
    build = online.task("broken")["build"]
    (online.paths.source("broken") / "function.py").write_text("def function():\n    print('a'\n")
    reason = online("task build broken", code=1)
    assert "function.py" in reason
    assert "line 2" in reason
    assert online.task("broken")["build"] == build


def test_concurrent_commands_wait_for_each_other(keiji: Shell) -> None:
    created = ["task0", "task1"]
    with ThreadPoolExecutor(len(created)) as pool:
        list(pool.map(lambda name: keiji.run_process("task", "create", name), created))
    assert names(keiji) == created


def test_the_history_is_limited_and_starts_with_the_newest_run(online: Shell) -> None:
    online("task create busy")
    online("task build busy")
    assert "has not run yet" in online.notes("runs busy")
    online("task runs busy --limit 0", code=2)
    for count in range(1, 4):
        online("task run busy")
        until(lambda count=count: len(online.json("task runs busy")) == count and not online.task("busy")["is_running"])
    newest, previous = online.json("task runs busy --limit 2")
    assert newest["started_at"] > previous["started_at"]
    table = online("runs busy").splitlines()
    assert len(table) == 4
    assert max(map(len, table)) <= 80
    assert newest["run_id"] in online("runs busy --wide")
    assert "busy" in online("list")
    assert "ONLINE" in online("status")
    assert "run succeeded" in online("logs busy")


def test_on_a_terminal_delete_asks_for_confirmation(online: Shell) -> None:
    online("task create old")
    for answer, expected_code in (("n", 1), ("", 1), ("y", 0)):
        dialog = ("Delete it?", f"{answer}\n")
        code, output = run_on_terminal(online.argv("task", "delete", "old"), online.environment, *dialog)
        assert code == expected_code, output
        assert str(online.paths.source("old")) in output
        assert ("old" in names(online)) == bool(expected_code)


def test_on_a_terminal_uninstall_asks_for_confirmation(keiji: Shell) -> None:
    for answer, expected_code in (("n", 1), ("y", 0)):
        dialog = ("Remove all of this?", f"{answer}\n", "Also remove the workspace", "n\n")
        code, output = run_on_terminal(keiji.argv("system", "uninstall"), keiji.environment, *dialog)
        assert code == expected_code, output
        assert keiji.paths.database.exists() == bool(expected_code)
        assert keiji.paths.settings.exists()
