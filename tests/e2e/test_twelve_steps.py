"""The twelve steps that a new user takes, as they are typed and in their order."""

from __future__ import annotations

import re

from e2e.shell import Shell
from installation import until


def fields(block: str) -> dict[str, str]:
    """Return the fields of a TaskModel block."""
    lines = block.partition("TaskModel:\n")[2].partition("\n\n")[0].splitlines()
    return dict(line.partition(": ")[::2] for line in lines)


def test_the_twelve_steps_work_as_typed(keiji: Shell) -> None:
    paths = keiji.paths

    # 1: a workspace
    shown = keiji("init")
    assert "Initializing work space..." in shown
    assert "settings.conf" in shown
    assert paths.database.exists()
    assert paths.service_log("bus").exists()

    # 2: a task
    shown = keiji.run("task", "--create", "--name=ping_google", "--desc=pings google")
    assert re.search(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d creating task ping_google$", shown, re.M)
    assert re.search(r" ok$", shown, re.M)
    made = {path.name for path in paths.source("ping_google").iterdir()}
    assert made >= {".env", "function.py", "main.py", "schedule.py"}

    # 3: its build
    keiji.write("ping_google", schedule='on.friday.at("10:00PM")')
    shown = keiji("task --name=ping_google --build")
    for expected in ("task found", "building...", "scheduling function...", "sourcePath:", "executable created"):
        assert expected in shown
    assert "task saved" in shown

    # 4: its details
    found = fields(keiji("task --get --name=ping_google"))
    assert list(found) == [
        "ID", "TaskId", "Name", "Description", "Schedule", "LastExecutionTime", "NextExecutionTime", "LogPath", "Slug",
        "Type", "Executable", "IsRunning", "IsQueued", "IsError", "IsDisabled", "ErrorTxt",
    ]  # fmt: skip
    assert found["Schedule"] == "day:Friday,time:10:00PM"
    assert (found["Type"], found["Description"], found["LastExecutionTime"]) == ("DayTime", "pings google", "N/A")

    # 5: the system
    assert re.search(r"service started with pid \d+", keiji("system --start"))
    table = keiji("system --status")
    assert re.search(r"^======== SERVICES ========\nNAME +STATUS +\nbus +ONLINE +\nscheduler +ONLINE", table, re.M)

    # 6: logs
    assert "bus online" in keiji("system --logs --bus")
    assert "running start function" in keiji("system --logs --scheduler")
    assert re.search(r'^time=\S+ level=INFO msg="Task Next Execution Time: ', keiji("task --logs --name=ping_google"))

    # 7: another function, another schedule
    keiji.write("ping_google", function='print("Pinging Google....")', schedule="every(1).seconds")
    assert "restarting task ping_google" in keiji("task --name=ping_google --build --restart")
    found = fields(keiji("task --get --name=ping_google"))
    assert (found["Schedule"], found["Type"]) == ("units:seconds,interval:1", "HMS")
    until(lambda: keiji.log().count("Pinging Google....") >= 2)
    log = keiji("task --logs --name=ping_google")
    assert 'msg="task terminated, exiting..."' in log
    assert "task ping_google interval: 1" in log

    # 8: disabled
    keiji("task --disable --name=ping_google")
    assert keiji.log().rstrip().endswith('msg="task disabled, exiting..."')
    found = fields(keiji("task --get"))
    assert (found["IsDisabled"], found["IsRunning"], found["NextExecutionTime"]) == ("true", "false", "N/A")

    # 9: enabled again
    before = keiji.log().count("Pinging")
    keiji("task --enable --name=ping_google")
    until(lambda: keiji.log().count("Pinging") > before)

    # 10: deleted, the sources apart
    keiji("task --delete --name=ping_google")
    assert "no tasks" in keiji("task --get")
    assert (paths.source("ping_google") / "function.py").exists()

    # 11: stopped
    assert "stopped" in keiji("system --stop")
    assert "ONLINE" not in keiji("system --status")

    # 12: uninstalled
    shown = keiji("system --uninstall --yes")
    assert "KiB" in shown
    assert [path.name for path in paths.data.iterdir()] == ["workspace"]


def test_a_second_init_changes_nothing_and_says_so(keiji: Shell) -> None:
    keiji("init")
    keiji.paths.settings.write_text(keiji.paths.settings.read_text().replace("ROTATE_LOGS=1", "ROTATE_LOGS=0"))
    before = {path: path.read_bytes() for path in keiji.paths.workspace.rglob("*") if path.is_file()}
    assert "already initialized" in keiji("init")
    assert {path: path.read_bytes() for path in keiji.paths.workspace.rglob("*") if path.is_file()} == before
