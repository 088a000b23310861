"""The services of a real engine, its settings, its log, and its notifications to systemd."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import zmq
from installation import EVERY_MINUTE, FAILS, SLEEPS, TIMEOUT, Installation, until

from keiji import engine_process
from keiji.errors import KeijiError, ServiceOffline, UsageError
from keiji.states import RunState
from keiji_engine.bus import protocol as p
from keiji_engine.bus.views import ServiceStatus


def test_engine_notifies_systemd_and_a_second_engine_refuses_to_start(
    installation: Installation,
) -> None:
    import socket

    address = installation.paths.data / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(TIMEOUT)
        installation.environment["NOTIFY_SOCKET"] = str(address)
        pid = installation.start()
        assert systemd.recv(100) == b"READY=1"
        info = json.loads(installation.paths.engine_info.read_text())
        assert info["pid"] == pid
        assert {service["name"]: service["status"] for service in info["services"]} == dict.fromkeys(
            ("bus", "scheduler", "runner", "watcher"), "online"
        )

        second = subprocess.run(
            [sys.executable, "-m", "keiji_engine.main"],
            env=installation.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert second.returncode == 1
        assert f"an engine is already running for {installation.paths.workspace} (pid {pid})" in second.stderr
        pong = installation.ask(p.Ping())
        assert pong.engine.pid == pid

        assert installation.stop() == 0
        assert systemd.recv(100) == b"STOPPING=1"
    assert not installation.paths.engine_info.exists()
    assert not engine_process.is_running(installation.paths)


def test_services_stop_and_start_individually_even_if_the_engine_has_lost_its_terminal(
    installation: Installation, tmp_path: Path
) -> None:
    terminal = installation.output = tmp_path / "terminal"
    os.mkfifo(terminal)
    reader = os.open(terminal, os.O_RDONLY | os.O_NONBLOCK)
    installation.start()
    os.close(reader)

    def status(name: str) -> str:
        snapshot = installation.ask(p.GetSnapshot())
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
    assert installation.stop() == 0


def test_time_zone_changes_at_start_and_on_sighup_and_an_invalid_one_is_ignored(
    installation: Installation,
) -> None:
    installation.build("weekly", schedule='on.friday.at("22:00")')
    nairobi = installation.next_due("weekly")
    installation.write_settings(TIME_ZONE="UTC")
    pid = installation.start()
    utc = installation.next_due("weekly")
    assert (utc - nairobi).total_seconds() % (24 * 3600) == 3 * 3600

    installation.write_settings(TIME_ZONE="Mars/Base")
    os.kill(pid, signal.SIGHUP)
    log = installation.paths.service_log("scheduler")
    until(lambda: "TIME_ZONE='Mars/Base'" in log.read_text())
    assert installation.next_due("weekly") == utc
    installation.write_settings(TIME_ZONE="Africa/Nairobi")
    os.kill(pid, signal.SIGHUP)
    until(lambda: installation.next_due("weekly") != utc)
    assert (utc - installation.next_due("weekly")).total_seconds() % (24 * 3600) == 3 * 3600


def test_retry_and_due_instant_wait_while_the_runner_is_stopped(installation: Installation) -> None:
    installation.start()
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=30))")
    installation.build("ping", schedule=EVERY_MINUTE)
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.do(p.StopService(service="runner"))
    due, retry = installation.next_due("ping"), installation.task("fails").retry_at
    assert retry is not None
    installation.advance_to(max(due, retry))
    assert installation.task("fails").is_queued, "the retry still waits"
    assert all(run.scheduled_for is None for run in installation.runs("ping")), "the due instant waits, too"
    installation.do(p.StartService(service="runner"))
    assert [run.attempt for run in installation.ended("fails", 2)] == [1, 2]
    [run] = installation.ended("ping")
    assert (run.scheduled_for, run.state) == (due, RunState.SUCCEEDED)
    assert [run.state for run in installation.runs("ping")] == [RunState.SUCCEEDED]


def test_live_run_cannot_be_stopped_without_the_runner(installation: Installation) -> None:
    installation.start()
    installation.build("sleeps", SLEEPS)
    installation.do(p.RunTask(task="sleeps"))
    until(lambda: "started" in installation.log("sleeps"))
    installation.do(p.StopService(service="runner"))
    for directive in (p.Delete(task="sleeps"), p.Restart(task="sleeps"), p.BuildTask(task="sleeps", restart=True)):
        with pytest.raises(ServiceOffline):
            installation.do(directive)
    assert "its live run continues" in installation.do(p.Disable(task="sleeps"))[-1]
    assert installation.task("sleeps").is_running
    installation.do(p.StartService(service="runner"))
    installation.do(p.StopRun(task="sleeps"))
    assert not installation.task("sleeps").is_running


def test_subscribing_to_invalid_log_topics_does_not_disturb_the_bus(shared: Installation) -> None:
    shared.build("ping")
    shared.do(p.RunTask(task="ping"))
    shared.ended("ping")
    with zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.connect(f"ipc://{shared.paths.log_socket}")
        for topic in (b"log/" + b"a" * 300 + b"/", b"log/../../x/", b"log/\xff/", b"log/\0/", b"log//", b"log/ping/"):
            subscriber.subscribe(topic)
        assert subscriber.poll(TIMEOUT * 1000), "the last topic belongs to a task"
    assert isinstance(shared.ask(p.Ping()), p.Pong)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the limits of the engine from /proc")
def test_the_engine_raises_its_limit_of_descriptors_and_runs_have_the_original_one(installation: Installation) -> None:
    limits = (300, 400)
    pid = installation.start(prepare=partial(resource.setrlimit, resource.RLIMIT_NOFILE, limits))
    [line] = [line for line in Path(f"/proc/{pid}/limits").read_text().splitlines() if "open files" in line]
    assert line.split()[3:5] == ["400", "400"]
    code = "import resource\ndef function():\n    print(resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    installation.build("limit", code)
    installation.do(p.RunTask(task="limit"))
    installation.ended("limit")
    assert str(limits) in installation.log("limit")


def test_an_engine_survives_the_removal_of_its_workspace_and_logs(installation: Installation) -> None:
    installation.start()
    installation.build("ping", "def function():\n    print('hello')\n")
    shutil.rmtree(installation.paths.workspace)
    shutil.rmtree(installation.paths.logs)
    with pytest.raises(KeijiError, match="the sources of 'ping' are not at"):
        installation.do(p.BuildTask(task="ping"))
    with pytest.raises(KeijiError):
        installation.do(p.Create(name="pong"))
    installation.signal(signal.SIGHUP)
    installation.do(p.RunTask(task="ping"))
    assert [run.state for run in installation.ended("ping")] == [RunState.SUCCEEDED]
    installation.do(p.Disable(task="ping"))
    assert "hello" in installation.log("ping")
    assert "task disabled" in installation.log("ping")
    assert {service.status for service in installation.ask(p.GetSnapshot()).services} == {ServiceStatus.ONLINE}
    installation.stop()
    files = [path for path in installation.paths.logs.rglob("*") if path.is_file()]
    assert not any("Traceback" in path.read_text() for path in files)
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_engine_log_has_starts_and_stops_and_the_reason_for_a_failed_start(installation: Installation) -> None:
    log = installation.paths.service_log("engine")
    pid = installation.start()
    installation.stop()
    assert f"starts (pid {pid})" in log.read_text()
    assert "stopped as requested" in log.read_text()
    assert " service=bus " in installation.paths.service_log("bus").read_text()
    installation.paths.database.write_bytes(b"not a database, but long enough to be read as one" * 100)
    with pytest.raises(KeijiError):
        engine_process.start(installation.paths)
    last = log.read_text().splitlines()[-1]
    assert " level=ERROR service=engine " in last
