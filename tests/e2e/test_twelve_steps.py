"""The twelve steps of the README: its own commands and sources, in their order, as a new user types them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from e2e.shell import Shell
from installation import until

from keiji import settings

README = (Path(__file__).parents[2] / "README.md").read_text()
STEPS = README.partition("## Twelve steps")[2].partition("\n## ")[0]


def fields(block: str) -> dict[str, str]:
    """Return the fields of a TaskModel block."""
    lines = block.partition("TaskModel:\n")[2].partition("\n\n")[0].splitlines()
    return dict(line.partition(": ")[::2] for line in lines)


def test_the_twelve_steps_work_as_typed(new_keiji: Shell) -> None:  # noqa: PLR0915 - the steps build on each other
    keiji = new_keiji
    paths = keiji.paths
    commands = iter(re.findall(r"^(keiji .*)$", STEPS, re.MULTILINE))
    function, schedule = re.findall(r"```python\n(.*?)```", STEPS, re.DOTALL)

    def type_next(expected: str, *more: str) -> str:
        """Run the next command of the README, which is the expected one."""
        command = next(commands)
        assert command == expected
        return keiji.run(*shlex.split(command)[1:], *more)

    # 1: a workspace
    command = next(commands)
    assert command == "keiji init"
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    output = subprocess.run(
        command, shell=True, env=keiji.environment | {"PATH": programs}, capture_output=True, text=True, check=True
    ).stdout
    assert "Initializing work space..." in output
    assert "settings.conf" in output
    zone = settings.load(paths.settings).time_zone
    assert re.search(rf"^\S+ \S+ time zone: {re.escape(zone)}(,| \(from )", output, re.M)
    assert paths.database.exists()
    assert paths.service_log("bus").exists()

    # 2: a task
    output = type_next('keiji task --create --name=ping_google --desc="pings google"')
    assert re.search(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d creating task ping_google$", output, re.M)
    assert re.search(r" ok$", output, re.M)
    sources = {path.name for path in paths.source("ping_google").iterdir()}
    assert sources >= {".env", "function.py", "main.py", "schedule.py"}
    (paths.source("ping_google") / "function.py").write_text(function)
    (paths.source("ping_google") / "schedule.py").write_text(schedule)

    type_next('keiji task create disk --schedule "every 10 minutes" -- df -h /')
    assert "next: " in type_next("keiji task build disk")

    # 3: its build
    output = type_next("keiji task --name=ping_google --build")
    for expected in ("task found", "building...", "scheduling function...", "sourcePath:", "executable created"):
        assert expected in output
    assert "task saved" in output

    # 4: its details
    model = fields(type_next("keiji task --get --name=ping_google"))
    assert list(model) == [
        "ID", "TaskId", "Name", "Description", "Schedule", "LastExecutionTime", "NextExecutionTime", "LogPath", "Slug",
        "Type", "Executable", "IsRunning", "IsQueued", "IsError", "IsDisabled", "ErrorTxt",
    ]  # fmt: skip
    assert (model["Schedule"], model["Type"]) == ("units:seconds,interval:10", "HMS")
    assert (model["Description"], model["LastExecutionTime"]) == ("pings google", "N/A")
    keiji.write("ping_google", schedule='on.friday.at("10:00PM")')
    keiji("task build ping_google")
    model = fields(keiji("task --get --name=ping_google"))
    assert (model["Schedule"], model["Type"]) == ("day:Friday,time:10:00PM", "DayTime")

    # 5: the system
    assert re.search(r"service started with pid \d+", type_next("keiji system --start"))
    table = type_next("keiji system --status")
    assert re.search(r"^======== SERVICES ========\nNAME +STATUS +\nbus +ONLINE +\nscheduler +ONLINE", table, re.M)

    # 6: logs
    assert "bus online" in type_next("keiji system --logs --bus")
    assert "running start function" in type_next("keiji system --logs --scheduler")
    log = type_next("keiji task --logs --name=ping_google")
    assert re.search(r'^time=\S+ level=INFO msg="Task Next Execution Time: ', log, re.M)

    # 7: a new function and schedule
    keiji.write("ping_google", function='print("Pinging Google....")', schedule="every(1).seconds")
    assert "restarting task ping_google" in type_next("keiji task --name=ping_google --build --restart")
    model = fields(keiji("task --get --name=ping_google"))
    assert (model["Schedule"], model["Type"]) == ("units:seconds,interval:1", "HMS")
    until(lambda: "Pinging Google...." in keiji.log())
    log = keiji("task --logs --name=ping_google")
    assert 'msg="task terminated, exiting..."' in log
    assert "task ping_google interval: 1" in log

    # 8: disabled
    type_next("keiji task --disable --name=ping_google")
    assert keiji.log().rstrip().endswith('msg="task disabled, exiting..."')
    model = fields(keiji("task --get --name=ping_google"))
    assert (model["IsDisabled"], model["IsRunning"], model["NextExecutionTime"]) == ("true", "false", "N/A")

    # 9: enabled again
    count = keiji.log().count("Pinging")
    type_next("keiji task --enable --name=ping_google")
    until(lambda: keiji.log().count("Pinging") > count)

    # 10: deleted, except the sources
    type_next("keiji task --delete --name=ping_google", "--yes")
    assert [task["name"] for task in keiji.json("task --get")] == ["disk"]
    assert (paths.source("ping_google") / "function.py").exists()

    # 11: stopped
    assert "stopped" in type_next("keiji system --stop")
    assert keiji.json("system --status", code=3)["engine"] is None

    # 12: uninstalled
    output = type_next("keiji system --uninstall", "--yes")
    assert "KiB" in output
    assert [path.name for path in paths.data.iterdir()] == ["workspace"]
    assert next(commands, None) is None


def test_a_second_init_changes_nothing(keiji: Shell) -> None:
    keiji.paths.settings.write_text(keiji.paths.settings.read_text().replace("ROTATE_LOGS=1", "ROTATE_LOGS=0"))
    before = {path: path.read_bytes() for path in keiji.paths.workspace.rglob("*") if path.is_file()}
    assert "already initialized" in keiji("init")
    assert {path: path.read_bytes() for path in keiji.paths.workspace.rglob("*") if path.is_file()} == before
