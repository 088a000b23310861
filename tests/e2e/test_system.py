"""Starting, stopping and restarting the engine and its services."""

from __future__ import annotations

import os

from e2e.shell import Shell
from installation import until


def statuses(keiji: Shell) -> dict[str, str]:
    return {service["name"]: service["status"] for service in keiji.json("system status")["services"]}


def test_a_start_and_a_stop_leave_no_error_in_the_logs(keiji: Shell) -> None:
    keiji("system start")
    keiji("system stop")
    logs = {log: log.read_text() for log in (keiji.paths.logs / "services").glob("*/*.log")}
    assert len(logs) == 6
    assert not [text for text in logs.values() if "level=ERROR" in text]


def test_the_engine_and_each_service_can_be_started_stopped_and_restarted(keiji: Shell) -> None:
    status = keiji.json("system status", code=3)
    assert status["engine"] is None
    assert [service["name"] for service in status["services"]] == ["bus", "scheduler", "runner", "watcher"]

    keiji("system --start --bus")
    assert [name for name, status in statuses(keiji).items() if status == "online"] == ["bus"]
    keiji("system --start --scheduler")
    status = keiji.json("system status")
    assert list(status["engine"]) == ["pid", "version", "boot", "uptime_seconds"]
    os.kill(status["engine"]["pid"], 0)
    assert {service["status"] for service in status["services"]} == {"online"}

    boot = status["engine"]["boot"]
    assert "already running" in keiji("system start")
    assert keiji.json("system status")["engine"]["boot"] == boot

    keiji("system --stop --scheduler")
    assert statuses(keiji)["scheduler"] == "offline"
    keiji("system --start --scheduler")
    scheduler = keiji.json("system status")["services"][1]
    assert scheduler["status"] == "online"
    keiji("system --restart --scheduler")
    assert keiji.json("system status")["services"][1]["since"] > scheduler["since"]

    # The service that receives the requests.
    keiji("system stop --bus")
    until(lambda: statuses(keiji)["bus"] == "offline")  # the bus replies before it stops
    assert "bus" in keiji("task get", code=5)
    keiji("system start --bus")
    keiji("task get")
    keiji("system stop --watcher")
    keiji("system stop --bus")
    until(lambda: statuses(keiji)["bus"] == "offline")
    keiji("system start --bus")
    assert statuses(keiji)["watcher"] == "offline", "the bus is started alone"
    keiji("system start")
    keiji("system restart --bus")
    keiji("task get")
    assert keiji.json("system status")["engine"]["boot"] == boot

    keiji("system restart")
    status = keiji.json("system status")
    assert status["engine"]["boot"] != boot
    assert {service["status"] for service in status["services"]} == {"online"}


def test_without_an_engine_commands_that_need_one_exit_with_3_and_a_hint(keiji: Shell) -> None:
    keiji("task create ping")
    keiji("task build ping")
    for line in ("task run ping", "task stop ping", "task restart ping", "system stop --scheduler"):
        assert "keiji system start" in keiji(line, code=3)
    assert "nothing to stop" in keiji("system stop")
    keiji("task disable ping")
    keiji("task enable ping")
    assert "engine offline" in keiji("list")
    assert "--yes" in keiji("task delete ping", code=2)
    assert "ping" in keiji("list")
    keiji("task delete ping --yes")
    assert keiji.json("task get") == []


def test_a_live_run_survives_the_stop_of_the_engine_and_uninstall_stops_it(keiji: Shell) -> None:
    keiji("task create slow")
    keiji.write("slow", function="print(f'pid {os.getpid()}', flush=True)\ntime.sleep(600)", schedule="every(9).hours")
    keiji("task build slow")
    keiji("system start")
    keiji("task run slow")
    until(lambda: "pid " in keiji.log("slow"))
    pid = int(keiji.log("slow").split("pid ")[1].split('"')[0])
    assert "1 live run continues" in keiji("system stop")
    os.kill(pid, 0)
    assert "all live runs will be stopped first" in keiji("system uninstall --yes")
    until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
