"""Starting, stopping and killing the engine and its services from the shell."""

from __future__ import annotations

import os

from e2e.shell import Shell
from installation import until


def statuses(keiji: Shell) -> dict[str, str]:
    return {service["name"]: service["status"] for service in keiji.json("system status")["services"]}


def test_starting_twice_leaves_the_first_engine_alone_and_restarting_makes_another(keiji: Shell) -> None:
    keiji("init")
    status = keiji.json("system status")
    assert status["engine"] is None
    assert [service["name"] for service in status["services"]] == ["bus", "scheduler", "runner", "watcher"]
    keiji("system start")
    status = keiji.json("system status")
    assert list(status["engine"]) == ["pid", "version", "boot", "uptime_seconds"]
    os.kill(status["engine"]["pid"], 0)
    assert {service["status"] for service in status["services"]} == {"online"}

    boot = status["engine"]["boot"]
    assert "already running" in keiji("system start")
    assert keiji.json("system status")["engine"]["boot"] == boot
    keiji("system restart")
    assert keiji.json("system status")["engine"]["boot"] != boot


def test_one_service_can_be_started_stopped_and_restarted_also_the_one_that_is_asked_for_it(keiji: Shell) -> None:
    keiji("init")
    keiji("system --start --bus")
    assert (statuses(keiji)["bus"], statuses(keiji)["scheduler"]) == ("online", "offline")
    keiji("system --start --scheduler")
    assert set(statuses(keiji).values()) == {"online"}

    keiji("system --stop --scheduler")
    assert statuses(keiji)["scheduler"] == "offline"
    keiji("system --start --scheduler")
    scheduler = keiji.json("system status")["services"][1]
    assert scheduler["status"] == "online"
    keiji("system --restart --scheduler")
    assert keiji.json("system status")["services"][1]["since"] > scheduler["since"]

    keiji("system stop --bus")
    until(lambda: statuses(keiji)["bus"] == "offline")  # it answers first, and may be about to stop for a moment
    assert "bus" in keiji("task get", code=3)
    keiji("system start --bus")
    keiji("task get")
    keiji("system restart --bus")
    keiji("task get")


def test_without_an_engine_what_needs_one_ends_with_3_and_says_how_to_start_it(keiji: Shell) -> None:
    keiji("init")
    keiji("task create ping")
    keiji("task build ping")
    for line in ("task run ping", "task stop ping", "task restart ping", "system stop --scheduler"):
        assert "keiji system start" in keiji(line, code=3)
    assert "nothing to stop" in keiji("system stop")


def test_stopping_the_engine_leaves_a_live_run_and_uninstall_ends_it(keiji: Shell) -> None:
    keiji("init")
    keiji("task create slow")
    keiji.write("slow", function="print(f'pid {os.getpid()}', flush=True)\ntime.sleep(600)", schedule="every(9).hours")
    keiji("task build slow")
    keiji("system start")
    keiji("task run slow")
    until(lambda: "pid " in keiji.log("slow"))
    pid = int(keiji.log("slow").split("pid ")[1].split('"')[0])
    assert "1 live run goes on" in keiji("system stop")
    os.kill(pid, 0)
    assert "every live run are stopped first" in keiji("system uninstall --yes")
    until(lambda: not _lives(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
