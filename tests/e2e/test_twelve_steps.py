"""The twelve steps of the README, as a new user types them."""

from __future__ import annotations

import re

from e2e.shell import Shell
from installation import until


def fields(block: str) -> dict[str, str]:
    """Return the fields of a TaskModel block."""
    lines = block.partition("TaskModel:\n")[2].partition("\n\n")[0].splitlines()
    return dict(line.partition(": ")[::2] for line in lines)


def test_the_twelve_steps_work_as_typed(new_keiji: Shell) -> None:
    keiji = new_keiji
    paths = keiji.paths

    # 1: a workspace
    output = keiji("init")
    assert "Initializing work space..." in output
    assert "settings.conf" in output
    assert paths.database.exists()
    assert paths.service_log("bus").exists()

    # 2: a task
    output = keiji.run("task", "--create", "--name=ping_google", "--desc=pings google")
    assert re.search(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d creating task ping_google$", output, re.M)
    assert re.search(r" ok$", output, re.M)
    sources = {path.name for path in paths.source("ping_google").iterdir()}
    assert sources >= {".env", "function.py", "main.py", "schedule.py"}

    # 3: its build
    keiji.write("ping_google", schedule='on.friday.at("10:00PM")')
    output = keiji("task --name=ping_google --build")
    for expected in ("task found", "building...", "scheduling function...", "sourcePath:", "executable created"):
        assert expected in output
    assert "task saved" in output

    # 4: its details
    model = fields(keiji("task --get --name=ping_google"))
    assert list(model) == [
        "ID", "TaskId", "Name", "Description", "Schedule", "LastExecutionTime", "NextExecutionTime", "LogPath", "Slug",
        "Type", "Executable", "IsRunning", "IsQueued", "IsError", "IsDisabled", "ErrorTxt",
    ]  # fmt: skip
    assert model["Schedule"] == "day:Friday,time:10:00PM"
    assert (model["Type"], model["Description"], model["LastExecutionTime"]) == ("DayTime", "pings google", "N/A")

    # 5: the system
    assert re.search(r"service started with pid \d+", keiji("system --start"))
    table = keiji("system --status")
    assert re.search(r"^======== SERVICES ========\nNAME +STATUS +\nbus +ONLINE +\nscheduler +ONLINE", table, re.M)

    # 6: logs
    assert "bus online" in keiji("system --logs --bus")
    assert "running start function" in keiji("system --logs --scheduler")
    assert re.search(r'^time=\S+ level=INFO msg="Task Next Execution Time: ', keiji("task --logs --name=ping_google"))

    # 7: a new function and schedule
    keiji.write("ping_google", function='print("Pinging Google....")', schedule="every(1).seconds")
    assert "restarting task ping_google" in keiji("task --name=ping_google --build --restart")
    model = fields(keiji("task --get --name=ping_google"))
    assert (model["Schedule"], model["Type"]) == ("units:seconds,interval:1", "HMS")
    until(lambda: "Pinging Google...." in keiji.log())
    log = keiji("task --logs --name=ping_google")
    assert 'msg="task terminated, exiting..."' in log
    assert "task ping_google interval: 1" in log

    # 8: disabled
    keiji("task --disable --name=ping_google")
    assert keiji.log().rstrip().endswith('msg="task disabled, exiting..."')
    model = fields(keiji("task --get"))
    assert (model["IsDisabled"], model["IsRunning"], model["NextExecutionTime"]) == ("true", "false", "N/A")

    # 9: enabled again
    count = keiji.log().count("Pinging")
    keiji("task --enable --name=ping_google")
    until(lambda: keiji.log().count("Pinging") > count)

    # 10: deleted, except the sources
    keiji("task --delete --name=ping_google")
    assert "no tasks" in keiji("task --get")
    assert (paths.source("ping_google") / "function.py").exists()

    # 11: stopped
    assert "stopped" in keiji("system --stop")
    assert "ONLINE" not in keiji("system --status")

    # 12: uninstalled
    output = keiji("system --uninstall --yes")
    assert "KiB" in output
    assert [path.name for path in paths.data.iterdir()] == ["workspace"]


def test_a_second_init_changes_nothing(keiji: Shell) -> None:
    keiji.paths.settings.write_text(keiji.paths.settings.read_text().replace("ROTATE_LOGS=1", "ROTATE_LOGS=0"))
    before = {path: path.read_bytes() for path in keiji.paths.workspace.rglob("*") if path.is_file()}
    assert "already initialized" in keiji("init")
    assert {path: path.read_bytes() for path in keiji.paths.workspace.rglob("*") if path.is_file()} == before
