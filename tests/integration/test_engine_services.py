"""The services of a real engine, its settings, and what it does for those around it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import zmq
from installation import EVERY_SECOND, FAILS, LIMIT, SLEEPS, Installation, until

from keiji import daemon
from keiji.errors import (
    ServiceOffline,
    UsageError,
)
from keiji.states import RunState
from keiji_engine.bus import protocol as p


def test_a_second_engine_refuses_and_disturbs_nothing(installation: Installation) -> None:
    pid = installation.start()
    second = subprocess.run(
        [sys.executable, "-m", "keiji_engine.main"],
        env=installation.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert second.returncode == 1
    assert f"an engine is already running for {installation.paths.workspace} (pid {pid})" in second.stderr
    pong = installation.ask(p.Ping())
    assert isinstance(pong, p.Pong)
    assert pong.engine.pid == pid


def test_services_stop_and_start_alone(installation: Installation) -> None:
    installation.start()

    def status(name: str) -> str:
        snapshot = installation.ask(p.GetSnapshot())
        assert isinstance(snapshot, p.Snapshot)
        return next(service.status for service in snapshot.services if service.name == name)

    for name in ("scheduler", "runner", "watcher"):
        installation.do(p.StopService(service=name))
        assert status(name) == "offline"
        installation.do(p.StartService(service=name))
        assert status(name) == "online"
        installation.do(p.RestartService(service=name))
        assert status(name) == "online"
    with pytest.raises(UsageError, match="there is no service 'schedular'"):
        installation.do(p.StopService(service="schedular"))


def test_what_falls_due_while_the_runner_is_stopped_is_recorded_as_missed(installation: Installation) -> None:
    installation.build("ping", schedule=EVERY_SECOND)
    installation.start()
    installation.do(p.StopService(service="runner"))
    until(lambda: any(run.state == RunState.MISSED for run in installation.runs("ping")))
    installation.do(p.StartService(service="runner"))
    installation.ended("ping")


def test_sighup_reads_the_settings_anew_and_a_bad_one_changes_nothing(installation: Installation) -> None:
    installation.build("weekly", schedule='on.friday.at("22:00")')
    pid = installation.start()
    before = installation.task("weekly").next_execution_time
    assert before is not None
    installation.settings(TIME_ZONE="Mars/Base")
    os.kill(pid, signal.SIGHUP)
    log = installation.paths.service_log("scheduler")
    until(lambda: "TIME_ZONE='Mars/Base'" in log.read_text())
    assert installation.task("weekly").next_execution_time == before
    installation.settings(TIME_ZONE="UTC")
    os.kill(pid, signal.SIGHUP)
    after = until(lambda: (view := installation.task("weekly").next_execution_time) != before and view)
    assert after
    assert (after - before).total_seconds() % (24 * 3600) == 3 * 3600


def test_systemd_is_told_when_the_engine_is_ready(installation: Installation) -> None:
    import socket

    address = installation.paths.data / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        notify.settimeout(LIMIT)
        installation.environment["NOTIFY_SOCKET"] = str(address)
        installation.start()
        assert notify.recv(100) == b"READY=1"
        assert installation.stop() == 0
        assert notify.recv(100) == b"STOPPING=1"


def test_the_engine_writes_about_itself_for_those_who_cannot_ask_it(installation: Installation) -> None:
    pid = installation.start()
    note = json.loads(installation.paths.engine.read_text())
    assert note["pid"] == pid
    assert {service["name"]: service["status"] for service in note["services"]} == dict.fromkeys(
        ("bus", "scheduler", "runner", "watcher"), "online"
    )
    installation.stop()
    assert not installation.paths.engine.exists()
    assert not daemon.is_running(installation.paths)


def test_a_waiting_retry_does_not_keep_the_engine_busy_while_the_runner_is_stopped(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=0.5))")
    installation.start()
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.do(p.StopService(service="runner"))
    due = installation.task("fails").retry_at
    assert due is not None
    until(lambda: datetime.now(UTC) > due)
    assert installation.task("fails").is_queued, "the engine still answers, and the retry still waits"
    installation.do(p.StartService(service="runner"))
    assert [run.attempt for run in installation.ended("fails", 2)] == [1, 2]


def test_what_runs_cannot_be_stopped_without_the_runner_and_nobody_claims_it_was(installation: Installation) -> None:
    installation.build("sleeps", SLEEPS)
    installation.start()
    installation.do(p.RunTask(task="sleeps"))
    until(lambda: "begun" in installation.log("sleeps"))
    installation.do(p.StopService(service="runner"))
    for directive in (p.Delete(task="sleeps"), p.Restart(task="sleeps"), p.BuildTask(task="sleeps", restart=True)):
        with pytest.raises(ServiceOffline):
            installation.do(directive)
    assert "what runs goes on" in installation.do(p.Disable(task="sleeps"))[-1]
    assert installation.task("sleeps").is_running
    installation.do(p.StartService(service="runner"))
    installation.do(p.StopRun(task="sleeps"))
    assert not installation.task("sleeps").is_running


def test_a_time_zone_that_was_changed_while_no_engine_ran_is_in_force_after_the_start(
    installation: Installation,
) -> None:
    installation.build("weekly", schedule='on.friday.at("22:00")')
    before = installation.task("weekly").next_execution_time
    assert before is not None
    installation.settings(TIME_ZONE="UTC")
    installation.start()
    after = installation.task("weekly").next_execution_time
    assert after is not None
    assert (after - before).total_seconds() % (24 * 3600) == 3 * 3600


def test_following_what_is_no_task_leaves_the_bus_as_it_was(installation: Installation) -> None:
    installation.build("ping")
    installation.start()
    installation.do(p.RunTask(task="ping"))
    installation.ended("ping")
    with zmq.Context() as context, context.socket(zmq.SUB) as rude:
        rude.connect(f"ipc://{installation.paths.log}")
        for topic in (b"log/" + b"a" * 300 + b"/", b"log/../../x/", b"log/\xff/", b"log/\0/", b"log//", b"log/ping/"):
            rude.subscribe(topic)
        assert rude.poll(LIMIT * 1000), "the last topic is that of a task"
    assert isinstance(installation.ask(p.Ping()), p.Pong)


def test_a_terminal_that_goes_away_takes_nothing_of_the_engine_along(installation: Installation) -> None:
    reading, writing = os.pipe()
    installation.output = writing
    installation.start()
    os.close(reading)
    os.close(writing)
    installation.do(p.StopService(service="watcher"))
    installation.do(p.StartService(service="watcher"))
    assert installation.stop() == 0
