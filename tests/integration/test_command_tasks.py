"""Command tasks, parameters, and what a run knows, on a real engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import behaviours
import pytest
from behaviours import Policy, Retry, write_command
from command_line import Result, run_command
from installation import EVERY_MINUTE, Installation, until

from keiji.errors import BuildFailed, InvalidPolicy, UsageError
from keiji.reasons import render
from keiji.records import Overrides, Run
from keiji.states import RunState
from keiji_engine.builds import read_task_file
from keiji_engine.bus import protocol as p

NAIROBI = ZoneInfo("Africa/Nairobi")
# Prints its arguments, its standard input and its KEIJI variables as one line of JSON.
SHOWS_ITSELF = """#!/bin/sh
exec python3 -c '
import json, os, sys
variables = {key: value for key, value in os.environ.items() if key.startswith("KEIJI_") or key == "GREETING"}
with open(os.environ["KEIJI_RUN_ID"] + ".json", "w") as file:
    json.dump({"argv": sys.argv[1:], "stdin": sys.stdin.read(), "cwd": os.getcwd(), "env": variables}, file)
' "$@"
"""
VALUE = "a \"b\" 'c'; $(touch injected) {n}\n`touch injected` {day} é"


def add_script(folder: Path, text: str = SHOWS_ITSELF) -> None:
    folder.mkdir(exist_ok=True)
    script = folder / "show"
    script.write_text(text)
    script.chmod(0o755)


def shown(installation: Installation, run: Run) -> dict[str, object]:
    """Return what `SHOWS_ITSELF` printed in a run."""
    file = next(installation.paths.work.glob(f"*/{run.run_id}.json"))
    found: dict[str, object] = json.loads(file.read_text())
    return found


def variables(installation: Installation, run: Run) -> dict[str, str]:
    found = shown(installation, run)["env"]
    assert isinstance(found, dict)
    return found


def run_and_wait(installation: Installation, directive: p.RunTask) -> Run:
    before = len(installation.runs(directive.task))
    installation.do(directive)
    return installation.ended(directive.task, before + 1)[-1]


def test_a_command_is_executed_as_it_is_written(shared: Installation) -> None:
    folder = shared.paths.source("show")
    add_script(folder)
    command = ["./show", "{day}", "x{day}{n}", "{other}", "two words"]
    more: dict[str, Any] = {"stdin": "line\n", "ok_exit_codes": [0, 24], "env": {"GREETING": "hello"}, "tags": ["db"]}
    write_command(folder, command=command, params={"day": "today", "n": 3}, **more)
    (folder / ".env").write_text("TOKEN=secret\n")
    shared.do(p.BuildTask(task="show"))

    default = run_and_wait(shared, p.RunTask(task="show"))
    given = run_and_wait(shared, p.RunTask(task="show", params={"day": VALUE}))

    assert shown(shared, default)["argv"] == ["today", "xtoday3", "{other}", "two words"]
    assert shown(shared, given)["argv"] == [VALUE, f"x{VALUE}3", "{other}", "two words"]
    assert shown(shared, given)["stdin"] == "line\n"
    assert shown(shared, given)["cwd"] == str(shared.paths.work / "show")
    env = variables(shared, given)
    assert (env["GREETING"], env["KEIJI_PARAM_DAY"], env["KEIJI_PARAM_N"]) == ("hello", VALUE, "3")
    assert json.loads(env["KEIJI_PARAMS"]) == {"day": VALUE, "n": "3"}
    assert env["KEIJI_BUILD"] == str(shared.paths.builds / str(given.build) / "src")
    assert (env["KEIJI_TASK"], env["KEIJI_TRIGGER"], env["KEIJI_ATTEMPT"]) == ("show", "manual", "1")
    assert "KEIJI_DUE" not in env
    assert not list(shared.paths.work.glob("*/injected"))
    assert given.params == {"day": VALUE}
    view = shared.task("show")
    assert (view.kind, view.tags) == ("command", ("db",))
    assert view.command.startswith(f"{shared.paths.builds / str(given.build)}/src/show '{{day}}'")


def test_a_shell_line_gets_parameters_as_variables_only(shared: Installation) -> None:
    line = 'printf "%s" "$KEIJI_PARAM_DAY" > day; echo "{day}"; echo "no disk" >&2; echo "  ^^^" >&2; exit 24'
    write_command(shared.paths.source("line"), shell=line, params={"day": ""}, ok_exit_codes=[0, 7])
    shared.do(p.BuildTask(task="line"))
    run = run_and_wait(shared, p.RunTask(task="line", params={"day": VALUE}))
    assert (shared.paths.work / "line" / "day").read_text() == VALUE
    assert 'msg="{day}"' in shared.log("line")
    assert (run.state, render(run.reason)) == (RunState.FAILED, "exit code 24: no disk")
    write_command(shared.paths.source("line"), shell="exit 7", ok_exit_codes=[0, 7])
    shared.do(p.BuildTask(task="line"))
    accepted = run_and_wait(shared, p.RunTask(task="line"))
    assert (accepted.state, accepted.exit_code, accepted.reason) == (RunState.SUCCEEDED, 7, None)


def test_parameters_of_a_function_are_converted_and_checked(shared: Installation) -> None:
    function = (
        "from datetime import date\nfrom keiji import current_run\n"
        "def function(day: date = date(2026, 1, 1), n: int = 1):\n    print(repr(day), repr(n), current_run().params)\n"
    )
    shared.build("rep", function)
    run = run_and_wait(shared, p.RunTask(task="rep", params={"day": "2026-11-01", "n": "41"}))
    assert run.state is RunState.SUCCEEDED
    assert "datetime.date(2026, 11, 1) 41 {'day': '2026-11-01', 'n': '41'}" in shared.log("rep")
    shared.build("must", "def function(n: int):\n    print('n is', n)\n", "manual")
    with pytest.raises(UsageError, match="n must be given") as caught:
        shared.do(p.RunTask(task="must"))
    assert caught.value.hint == "must(n: int)"
    run_and_wait(shared, p.RunTask(task="must", params={"n": "5"}))
    assert "n is 5" in shared.log("must")
    with pytest.raises(BuildFailed, match=r"function\(\) is called without arguments but requires n"):
        shared.build("must", "def function(n: int):\n    pass\n")
    for params, problem in (({"dya": "1"}, "unknown parameter 'dya'"), ({"n": "x"}, "n=x: expected a whole number")):
        with pytest.raises(UsageError, match=problem) as caught:
            shared.do(p.RunTask(task="rep", params=params))
        assert caught.value.hint == "rep(day: date = 2026-01-01, n: int = 1)"
    assert len(shared.runs("rep")) == 1, "a refused run leaves no trace"


def test_overrides_apply_to_one_run_and_its_retries(shared: Installation) -> None:
    folder = shared.paths.source("once")
    add_script(folder, SHOWS_ITSELF.replace("exec python3", "python3") + "exit 1\n")
    policy = Policy(retry=Retry(tries=2, delay=0.01), timeout=3600, tz="Europe/Berlin")
    write_command(folder, command=["./show"], policy=policy, env={"GREETING": "hello"})
    shared.do(p.BuildTask(task="once"))
    due = datetime(2026, 11, 1, 3, tzinfo=UTC)
    shared.do(p.RunTask(task="once", env={"GREETING": "bye"}, timeout=60, due=due))
    runs = shared.ended("once", 2, RunState.FAILED)
    for attempt, run in enumerate(runs, 1):
        env = variables(shared, run)
        assert (env["GREETING"], env["KEIJI_DUE"]) == ("bye", "2026-11-01T04:00:00+01:00")
        assert run.overrides == Overrides(env={"GREETING": "bye"}, timeout=60, due=due)
        assert (env["KEIJI_ATTEMPT"], env["KEIJI_TRIGGER"]) == (str(attempt), "retry" if attempt > 1 else "manual")
    write_command(shared.paths.source("slow"), shell="exec sleep 60", policy=Policy(timeout=3600))
    shared.do(p.BuildTask(task="slow"))
    assert run_and_wait(shared, p.RunTask(task="slow", timeout=0.2)).state is RunState.TIMED_OUT
    for invalid in (
        p.RunTask(task="once", env={"KEIJI_DUE": "x"}),
        p.RunTask(task="once", env={"A B": "x"}),
        p.RunTask(task="once", timeout=0.0),
    ):
        with pytest.raises(UsageError):
            shared.do(invalid)


def test_a_run_on_schedule_knows_the_instant_that_its_row_has(shared_ahead: Installation) -> None:
    folder = shared_ahead.paths.source("due")
    add_script(folder)
    write_command(folder, command=["./show"], schedule=EVERY_MINUTE)
    shared_ahead.do(p.BuildTask(task="due"))
    shared_ahead.advance(60)
    shared_ahead.ended("due", 1)
    shared_ahead.kill()
    shared_ahead.clock.advance_to(shared_ahead.clock() + timedelta(seconds=300))
    shared_ahead.start()
    shared_ahead.ended("due", 2)
    runs = [run for run in shared_ahead.runs("due") if run.started_at]
    for run in runs:
        assert run.scheduled_for is not None
        assert variables(shared_ahead, run)["KEIJI_DUE"] == run.scheduled_for.astimezone(NAIROBI).isoformat()
    coalesced = [run for run in shared_ahead.runs("due") if run.state is RunState.COALESCED]
    assert coalesced
    assert coalesced[0].scheduled_for is not None
    caught_up = variables(shared_ahead, next(run for run in runs if run.covers > 1))
    assert caught_up["KEIJI_DUE_FROM"] == coalesced[0].scheduled_for.astimezone(NAIROBI).isoformat()
    assert caught_up["KEIJI_DUE_COUNT"] == str(1 + sum(run.count for run in coalesced))
    assert "KEIJI_DUE_FROM" not in variables(shared_ahead, runs[0])


def test_reruns_and_backfills_know_the_instants_that_they_cover(shared: Installation) -> None:
    folder = shared.paths.source("past")
    add_script(folder)
    write_command(folder, command=["./show", "{n}"], schedule="0 */12 * * *", params={"n": 1})
    shared.do(p.BuildTask(task="past"))
    due = datetime(2026, 11, 1, tzinfo=NAIROBI)
    original = run_and_wait(shared, p.RunTask(task="past", params={"n": "7"}, due=due))
    shared.do(p.RerunTask(task="past", run=original.run_id))
    shared.ended("past", 2)
    shared.do(p.BackfillTask(task="past", begin="2026-11-02", end="2026-11-02"))
    _, repeated, *filled = shared.ended("past", 4)
    assert shown(shared, repeated)["argv"] == ["7"]
    assert [variables(shared, run)["KEIJI_TRIGGER"] for run in (repeated, *filled)] == ["rerun", "backfill", "backfill"]
    dues = [variables(shared, run)["KEIJI_DUE"] for run in (repeated, *filled)]
    assert dues == ["2026-11-01T00:00:00+03:00", "2026-11-02T00:00:00+03:00", "2026-11-02T12:00:00+03:00"]


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"command": ["./missing"]}, "task.toml, line 1: command: ./missing in the task's folder does not exist"),
        ({"command": ["no-such-program"]}, "task.toml, line 1: command: there is no program 'no-such-program' in PATH"),
        ({"command": ["bin/x"]}, "task.toml, line 1: command: bin/x is relative to the working folder"),
        ({"command": ["~/x"]}, "task.toml, line 1: command: ~ in ~/x is not replaced, since no shell is involved"),
        ({"command": ["ls"], "cwd": "/nowhere"}, "task.toml, line 2: cwd: /nowhere does not exist"),
        ({"command": ["ls"], "cwd": "/etc/passwd"}, "task.toml, line 2: cwd: /etc/passwd is not a folder"),
        ({"shell": "ls", "shell_program": "/bin/no"}, "task.toml, line 2: shell_program: /bin/no does not exist"),
    ],
)
def test_a_command_that_cannot_run_fails_the_build(
    installation: Installation, keys: dict[str, Any], error: str
) -> None:
    write_command(installation.paths.source("bad"), **keys)
    with pytest.raises(BuildFailed) as caught:
        installation.do(p.BuildTask(task="bad"))
    assert caught.value.message.startswith(error)


def test_a_schedule_or_a_policy_in_two_files_fails_the_build(installation: Installation) -> None:
    folder = installation.write("twice", policy="Policy(timeout=5)")
    for text, error in (
        (
            'schedule = "@daily"\n',
            "schedule.py, line 5: schedule() is set here, and schedule on line 1 of task.toml",
        ),
        ("\n[policy]\ntimeout = 5\n", "schedule.py, line 3: policy is set here, and policy on line 2 of task.toml"),
    ):
        (folder / "task.toml").write_text(text)
        with pytest.raises(BuildFailed) as caught:
            installation.do(p.BuildTask(task="twice"))
        assert caught.value.message.startswith(error)
    (folder / "schedule.py").unlink()
    (folder / "task.toml").write_text('name = "Twice"\nschedule = "@daily"\n[policy]\ntimeout = "5m"\n')
    installation.do(p.BuildTask(task="twice"))
    view = installation.task("twice")
    assert (view.name, view.type, view.kind) == ("Twice", "Cron", "python")
    assert "timeout: 5m" in view.policy


def test_an_edited_task_file_is_offered_for_a_build_and_its_mistakes_are_shown(shared: Installation) -> None:
    folder = shared.paths.source("edited")
    write_command(folder, command=["true"])
    shared.do(p.BuildTask(task="edited"))
    (folder / "task.toml").write_text('command = ["true"]\nschedul = "@daily"\n')
    until(lambda: shared.task("edited").source_changes == ("task.toml",) and shared.task("edited").source_error)
    expected = "task.toml, line 2: unknown key 'schedul'; did you mean 'schedule'?"
    assert shared.task("edited").source_error == expected
    [file] = shared.ask(p.GetDifference(task="edited")).files
    assert '+schedul = "@daily"' in file.lines
    write_command(folder, command=["true"])
    until(lambda: not shared.task("edited").source_changes)


def test_a_program_that_is_missing_when_the_run_starts_is_its_reason(shared: Installation, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    add_script(tmp_path)
    (tmp_path / "show").rename(tool)
    write_command(shared.paths.source("gone"), command=[str(tool)], cwd=str(tmp_path))
    shared.do(p.BuildTask(task="gone"))
    tool.unlink()
    reasons = shared.ask(p.Explain(task="gone")).reasons
    assert f"the command cannot be executed: {tool} does not exist" in map(render, reasons)
    shared.do(p.RunTask(task="gone"))
    [run] = shared.wait_for_runs("gone", 1, lambda run: run.finished_at)
    assert (run.state, render(run.reason)) == (RunState.FAILED, f"could not be started: {tool} does not exist")


def test_both_kinds_of_task_have_the_same_instants_at_a_change_of_the_clocks(installation: Installation) -> None:
    policy = Policy(tz="Europe/Berlin", dst_fold="both")
    previews = []
    for kind in behaviours.KINDS:
        behaviours.build(installation, kind, kind, behaviours.DO_NOTHING, schedule='on.day.at("2:30")', policy=policy)
        for after in (datetime(2027, 3, 26, tzinfo=UTC), datetime(2027, 10, 29, tzinfo=UTC)):
            reply = installation.ask(p.GetUpcoming(task=kind, count=6, after=after))
            previews.append([(each.at, each.note, each.is_skipped) for each in reply.instants])
    assert previews[:2] == previews[2:]
    assert any("02:30" in note for _, note, _ in previews[0]), "the change of the clocks is in the preview"


def test_create_writes_a_command_task(installation: Installation) -> None:
    create = p.Create(name="b", description='a "dump"', command=("./x", "a b"), schedule="0 3 * * *", tags=("db",))
    assert "put x into that folder before you build the task" in installation.do(create)
    text = (installation.paths.source("b") / "task.toml").read_text()
    assert text == (
        'name = "b"\ndescription = "a \\"dump\\""\ntags = ["db"]\ncommand = ["./x", "a b"]\nschedule = "0 3 * * *"\n'
    )
    assert sorted(path.name for path in installation.paths.source("b").iterdir()) == [".env", "task.toml"]
    for invalid in (
        p.Create(name="c", command=("ls",), shell="ls"),
        p.Create(name="c", cwd="/"),
        p.Create(name="c", command=("ls",), cwd="relative"),
        p.Create(name="c", command=("",)),
    ):
        with pytest.raises(UsageError):
            installation.do(invalid)
    with pytest.raises(InvalidPolicy, match="did you mean 'timeout'"):
        installation.do(p.Create(name="c", policy="timeuot = 3"))
    assert not installation.paths.source("c").exists()


def test_the_command_line_creates_and_runs_tasks_with_the_words_as_they_are(shared: Installation) -> None:
    def keiji(*arguments: str) -> Result:
        return run_command(*arguments, environment={"KEIJI_ROOT": str(shared.paths.data)})

    script = "printf '%s|' \"$@\" --name; exit 3"
    words = ["/bin/sh", "-c", script, "sh", "--desc", "-x", "a b", "--", ""]
    assert keiji("task", "--create", "--name=words", "--tag=db", "--", *words).code == 0
    task_file = read_task_file(shared.paths.source("words"))
    assert task_file is not None
    assert (task_file.name, task_file.argv, task_file.tags) == ("words", tuple(words), ("db",))
    assert keiji("task", "build", "words").code == 0
    assert keiji("run", "words", "--timeout", "1m", "--env", "A=b=c", "--due", "2026-11-01 03:00").code == 0
    [run] = shared.ended("words")
    assert (run.state, run.exit_code) == (RunState.FAILED, 3)
    assert 'msg="--desc|-x|a b|--||--name|"' in shared.log("words")
    assert run.overrides == Overrides(env={"A": "b=c"}, timeout=60, due=datetime(2026, 11, 1, tzinfo=UTC))
    details = keiji("task", "get", "words").stdout
    assert "Command: /bin/sh -c " in details
    assert "Tags: db" in details

    shared.build("rep", "def function(day: str = 'today', n: int = 1):\n    pass\n")
    known = "rep(day: str = 'today', n: int = 1)"
    for arguments, error in (
        (
            ("--", "dya=1"),
            f"rep: unknown parameter 'dya'; did you mean 'day'?\n{known}\n",
        ),
        (("--", "n=x"), f"rep: n=x: expected a whole number\n{known}\n"),
        (
            ("--", "n"),
            "'n' is not a parameter\nexpected NAME=VALUE, for example keiji task run rep -- ",
        ),
        (("n=1",), "Got unexpected extra argument (n=1)\nput NAME=VALUE… after --\n"),
        (("--", "n=1", "n=2"), "n is given twice\n"),
        (("--timeout", "soon"), "--timeout soon: expected a duration, such as"),
        (("--due", "soon"), "--due"),
        (("--env", "A"), "'A' is not an environment variable\n"),
    ):
        refused = keiji("task", "run", "rep", *arguments)
        assert refused.code == 2
        assert refused.stderr.startswith(error)
    assert keiji("task", "run", "rep", "--", "n=2", "day=2026-11-02").code == 0
    shared.ended("rep")
    assert "n=2 day=2026-11-02" in keiji("task", "runs", "rep", "--wide").stdout
    assert "Last run with: n=2 day=2026-11-02" in keiji("task", "get", "rep").stdout
    for arguments in (("b",), ("--name=b",)):
        nothing = keiji("task", "create", *arguments, "--")
        assert (nothing.code, nothing.stderr.splitlines()[0]) == (2, "there is no command after --")
    empty = keiji("task", "create", "b", "--shell", "")
    assert (empty.code, empty.stderr.splitlines()[0]) == (2, "the line after --shell is empty")
    for verb in ("pin", "unpin", "rollback"):
        empty = keiji("task", verb, "rep", "")
        assert (empty.code, empty.stderr.splitlines()[0]) == (2, "BUILD is empty")
    wrong = keiji("task", "create", "b", "--schedule", "evry hour", "--", "true")
    assert (wrong.code, wrong.stderr) == (2, "unknown schedule 'evry hour'\ndid you mean 'every hour'?\n")
    assert not shared.paths.source("b").exists()


def test_create_writes_the_policy(installation: Installation) -> None:
    installation.do(p.Create(name="b", policy="timeout = 30m, retry.tries = 3"))
    text = (installation.paths.source("b") / "task.toml").read_text()
    assert text.endswith('[policy]\ntimeout = "30m"\nretry = { tries = 3 }\n')
