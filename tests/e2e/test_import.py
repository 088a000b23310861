"""``keiji import crontab`` and ``keiji export crontab``: files, options, messages and exit codes."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest
from command_line import Result, run_command
from e2e.shell import Shell
from e2e.terminal import run_on_terminal
from installation import until

from keiji_cli.crontab_import import comment_out_command
from keiji_engine.builds.task_file import read_task_file

CRONTAB = """\
# m h  dom mon dow   command
SHELL=/bin/bash
MAILTO=ops@example.com
GREETING=hello

# greets
0 3 * * *  cat - &>> "$HOME/out"; echo "$GREETING from $PWD"%input
*/5 * * * * /usr/bin/poll
0 25 * * * /bin/wrong
"""


def crontab(shell: Shell, *arguments: str) -> Result:
    return run_command(*arguments, environment=shell.environment)


def tasks(shell: Shell) -> set[str]:
    return {path.name for path in shell.paths.tasks.iterdir()}


def test_an_imported_job_runs_as_under_cron_and_is_exported_again(online: Shell, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    text = f"HOME={tmp_path}\n{CRONTAB}"
    path.write_text(text)

    tried = crontab(online, "import", "crontab", str(path), "--dry-run")
    assert (tried.code, "2 tasks would be created" in tried.stdout) == (1, True)
    assert "cat" not in tasks(online)

    imported = crontab(online, "import", "crontab", str(path))
    assert imported.code == 1
    assert "line 10: 0 25 * * * /bin/wrong" in imported.stdout
    assert "2 tasks created, 1 line wrong" in imported.stdout
    assert "1 line could not be imported" in imported.stderr
    assert "becomes cat (greets): at 03:00 every day" in imported.stdout
    assert comment_out_command(path, "", [8, 9]) in imported.stdout
    assert path.read_text() == text
    task_file = read_task_file(online.paths.source("cat"))
    assert task_file is not None
    assert task_file.tags == ("crontab",)

    again = crontab(online, "import", "crontab", str(path))
    assert "0 tasks created, 2 already imported" in again.stdout
    assert not [name for name in tasks(online) if name.startswith(("cat-", "poll-"))]
    assert "both" not in again.stderr

    online("task build cat")
    both = crontab(online, "import", "crontab", str(path)).stderr
    assert "cron and keiji both run cat, as long as cron has line 8" in both

    subprocess.run(comment_out_command(path, "", [8, 9]), shell=True, check=True)
    done = crontab(online, "import", "crontab", str(path))
    assert done.stdout.count("not imported: commented out") == 2
    assert "both" not in done.stderr

    online("task run cat")
    until(lambda: any(run["state"] == "succeeded" for run in online.json("task runs cat")))
    assert f"hello from {tmp_path}" in online("logs cat")
    assert (tmp_path / "out").read_text() == "input\n"

    exported = online("export crontab cat").splitlines()
    assert "SHELL=/bin/bash" in exported
    assert f"HOME={tmp_path}" in exported
    assert exported[-1].startswith("0 3 * * * export GREETING=hello; cat - ")
    online("export crontab poll", code=0)  # it has no build, and is left out


def test_an_interrupted_import_is_continued(keiji: Shell, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("0 3 * * * /bin/echo a\n")
    keiji.run("task", "create", "echo", "--shell", "/bin/echo a", "--tag", "importing")
    keiji.run("import", "crontab", str(path))
    assert tasks(keiji) == {"echo"}
    task_file = read_task_file(keiji.paths.source("echo"))
    assert task_file is not None
    assert task_file.schedule is not None
    assert keiji.task("echo")["name"] == "echo"


def test_a_system_crontab_is_recognised_and_asked_about(keiji: Shell, tmp_path: Path) -> None:
    own = pwd.getpwuid(os.getuid()).pw_name
    path = tmp_path / "jobs"
    path.write_text(f"0 3 * * * {own} /bin/echo a\n0 3 * * * {own} /bin/echo b\n0 4 * * * nobody /bin/echo c\n")
    refused = crontab(keiji, "import", "crontab", str(path))
    assert (refused.code, refused.stdout) == (2, "")
    assert "--system" in refused.stderr
    shown = keiji.run("import", "crontab", str(path), "--system", "--dry-run")
    assert "2 tasks would be created, 1 line not imported" in shown
    assert "it runs as nobody" in shown
    dialog = ("Is that a user column?", "y\n")
    code, shown = run_on_terminal(keiji.argv("import", "crontab", str(path), "--dry-run"), keiji.environment, *dialog)
    assert code == 0, shown
    assert "2 tasks would be created" in shown
    assert f"becomes {own}" in keiji.run("import", "crontab", str(path), "--no-system", "--dry-run")


@pytest.mark.parametrize(
    ("arguments", "code", "error"),
    [
        (["/none/crontab"], 2, "/none/crontab cannot be read: No such file or directory"),
        (["file", "--user", "x"], 2, "FILE and --user exclude each other"),
        (["/"], 2, "/ cannot be read: Is a directory"),
        (["/dev/null"], 0, "/dev/null has no jobs"),
    ],
)
def test_mistakes_are_reported(keiji: Shell, arguments: list[str], code: int, error: str) -> None:
    found = crontab(keiji, "import", "crontab", *arguments)
    assert (found.code, found.stdout) == (code, "")
    assert error in found.stderr


def test_python_tasks_and_programs_of_a_build_are_exported(keiji: Shell, tmp_path: Path) -> None:
    keiji.run("task", "create", "py", "--schedule", "weekdays at 9:00")
    keiji.write("py", function="print('from python')")
    keiji.run("task", "create", "own", "--schedule", "every 7 minutes", "--", "./own.sh", "a b")
    program = keiji.paths.source("own") / "own.sh"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    keiji("task build py")
    keiji("task build own")
    keiji.run("task", "create", "daily", "--schedule", "@daily", "--", "/bin/echo", "a b", "100%")
    keiji("task build daily")
    keiji("task disable daily")
    lines = keiji("export crontab").splitlines()
    [python] = [line for line in lines if line.startswith("0 9 * * 1,2,3,4,5 ")]
    command = python.partition("1,2,3,4,5 ")[2]
    ran = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True, cwd="/")
    assert ran.stdout == "from python\n"
    assert "#   not exported: every 7 minutes: cron counts no intervals from a starting point" in lines
    assert any(line.startswith("# @daily ") and line.endswith("/bin/echo 'a b' 100\\%") for line in lines), lines
    assert "#   commented out, because it is disabled" in lines


def test_the_crontab_of_a_user_is_read_with_the_command_crontab(keiji: Shell, tmp_path: Path) -> None:
    program = tmp_path / "bin" / "crontab"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\n[ "$*" = -l ] || { echo "no crontab for you" >&2; exit 1; }\necho "@reboot true"\n')
    program.chmod(0o755)
    keiji.environment["PATH"] = f"{program.parent}:{keiji.environment['PATH']}"
    shown = keiji.run("import", "crontab", "--dry-run")
    assert "line 1: @reboot true" in shown
    assert "becomes true: at start" in shown
    assert "no crontab for you" in keiji.run("import", "crontab", "--user", "nobody", "--dry-run", code=1)
