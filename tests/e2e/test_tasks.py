"""Unusual names, errors, confirmation and concurrent commands."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from e2e.shell import Shell
from e2e.terminal import run_on_terminal
from installation import until


@pytest.mark.parametrize("name", ["計時 ünï [bold]x[prod]", 'it\'s "quoted"', "a" * 100, "100% $HOME;ls"])
def test_an_unusual_name_works_in_all_commands(keiji: Shell, name: str) -> None:
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


def test_an_invalid_name_is_rejected_with_a_reason_and_creates_nothing(keiji: Shell) -> None:
    for name in ("../x", "/etc", "[bold]x[/b]", ".hidden", "-x", "--", "b" * 200, "a\nb", "\x1b[31m", "…", ""):
        reason = keiji.run("task", "--create", f"--name={name}", code=2)
        assert reason.strip(), name
        assert "\x1b" not in reason, name
        assert not list(keiji.paths.tasks.iterdir()), name


def test_an_unknown_task_exits_with_4_and_a_suggestion(keiji: Shell) -> None:
    keiji("task create ping_google")
    for command in ("get", "build", "enable", "disable", "delete", "resolve", "runs", "logs"):
        assert "ping_google" in keiji(f"task {command} ping_gogle", code=4)


def test_an_existing_task_is_only_created_again_with_force(keiji: Shell) -> None:
    keiji("task create ping")
    keiji.write("ping", function="print('mine')")
    assert "--force" in keiji("task create ping", code=1)
    assert "mine" in (keiji.paths.source("ping") / "function.py").read_text()
    keiji("task --create --name=ping --force")
    assert "mine" not in (keiji.paths.source("ping") / "function.py").read_text()


def test_a_syntax_error_fails_the_build_with_file_and_line_and_keeps_the_active_build(keiji: Shell) -> None:
    keiji("task create ping")
    keiji("task build ping")
    build = keiji.task("ping")["build"]
    (keiji.paths.source("ping") / "function.py").write_text("def function():\n    print('a'\n")
    reason = keiji("task build ping", code=1)
    assert "function.py" in reason
    assert "line 2" in reason
    assert keiji.task("ping")["build"] == build


def test_concurrent_commands_wait_for_each_other(keiji: Shell) -> None:
    names = ["task0", "task1", "task2"]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: keiji.run_process("task", "create", name), names))
    assert [task["name"] for task in keiji.json("task get")] == names


def test_the_history_is_limited_and_starts_with_the_newest_run(keiji: Shell) -> None:
    keiji("task create ping")
    keiji("task build ping")
    assert "has not run yet" in keiji("task runs ping")
    keiji("task runs ping --limit 0", code=2)
    keiji("system start")
    for count in range(1, 4):
        keiji("task run ping")
        until(lambda count=count: len(keiji.json("task runs ping")) == count and not keiji.task("ping")["is_running"])
    newest, previous = keiji.json("task runs ping --limit 2")
    assert newest["started_at"] > previous["started_at"]


def test_on_a_terminal_delete_asks_for_confirmation(keiji: Shell) -> None:
    keiji("task create ping")
    for answer, expected_code in (("n", 1), ("", 1), ("y", 0)):
        dialog = ("Delete it?", f"{answer}\n")
        code, output = run_on_terminal(keiji.argv("task", "delete", "ping"), keiji.environment, *dialog)
        assert code == expected_code, output
        assert str(keiji.paths.source("ping")) in output
        assert len(keiji.json("task get")) == expected_code


def test_on_a_terminal_uninstall_asks_for_confirmation(keiji: Shell) -> None:
    for answer, expected_code in (("n", 1), ("y", 0)):
        dialog = ("Remove all of this?", f"{answer}\n", "Also remove the workspace", "n\n")
        code, output = run_on_terminal(keiji.argv("system", "uninstall"), keiji.environment, *dialog)
        assert code == expected_code, output
        assert keiji.paths.database.exists() == bool(expected_code)
        assert keiji.paths.settings.exists()
