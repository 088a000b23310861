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

from keiji import engine_process
from keiji.errors import (
    KeijiError,
    ServiceOffline,
    UsageError,
)
from keiji.states import RunState
from keiji_engine.bus import protocol as p


def test_an_engine_tells_that_it_is_there_and_a_second_one_refuses_and_disturbs_nothing(
    installation: Installation,
) -> None:
    import socket

    address = installation.paths.data / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(LIMIT)
        installation.environment["NOTIFY_SOCKET"] = str(address)
        pid = installation.start()
        assert systemd.recv(100) == b"READY=1"
        note = json.loads(installation.paths.engine_info.read_text())
        assert note["pid"] == pid
        assert {service["name"]: service["status"] for service in note["services"]} == dict.fromkeys(
            ("bus", "scheduler", "runner", "watcher"), "online"
        )

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
        assert pong.engine.pid == pid

        assert installation.stop() == 0
        assert systemd.recv(100) == b"STOPPING=1"
    assert not installation.paths.engine_info.exists()
    assert not engine_process.is_running(installation.paths)


def test_services_stop_and_start_alone_also_when_the_terminal_of_the_engine_is_gone(
    installation: Installation,
) -> None:
    reading, writing = os.pipe()
    installation.output = writing
    installation.start()
    os.close(reading)
    os.close(writing)

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


def test_another_time_zone_is_in_force_after_the_start_or_sighup_and_a_bad_one_changes_nothing(
    installation: Installation,
) -> None:
    def due() -> datetime:
        moment = installation.task("weekly").next_execution_time
        assert moment is not None
        return moment

    installation.build("weekly", schedule='on.friday.at("22:00")')
    nairobi = due()
    installation.settings(TIME_ZONE="UTC")
    pid = installation.start()
    utc = due()
    assert (utc - nairobi).total_seconds() % (24 * 3600) == 3 * 3600

    installation.settings(TIME_ZONE="Mars/Base")
    os.kill(pid, signal.SIGHUP)
    log = installation.paths.service_log("scheduler")
    until(lambda: "TIME_ZONE='Mars/Base'" in log.read_text())
    assert due() == utc
    installation.settings(TIME_ZONE="Africa/Nairobi")
    os.kill(pid, signal.SIGHUP)
    until(lambda: due() != utc)
    assert (utc - due()).total_seconds() % (24 * 3600) == 3 * 3600


def test_while_the_runner_is_restarted_a_retry_and_what_falls_due_wait_for_it(installation: Installation) -> None:
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=0.5))")
    installation.build("ping", schedule=EVERY_SECOND)
    installation.start()
    installation.do(p.RunTask(task="fails"))
    until(lambda: installation.task("fails").is_queued)
    installation.do(p.StopService(service="runner"))
    due, retry = installation.task("ping").next_execution_time, installation.task("fails").retry_at
    assert due is not None
    assert retry is not None
    until(lambda: datetime.now(UTC) > max(due, retry))
    assert installation.task("fails").is_queued, "the engine still answers, and the retry still waits"
    installation.do(p.StartService(service="runner"))
    assert [run.attempt for run in installation.ended("fails", 2)] == [1, 2]
    [run, *_] = until(
        lambda: [run for run in installation.ended("ping") if run.scheduled_for and run.scheduled_for >= due]
    )
    assert run.state is RunState.SUCCEEDED
    assert due in [run.scheduled_for for run in installation.runs("ping")]
    assert all(run.state is not RunState.MISSED for run in installation.runs("ping"))


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


def test_the_log_of_the_engine_has_its_starts_and_ends_and_why_it_could_not_start(installation: Installation) -> None:
    log = installation.paths.service_log("engine")
    pid = installation.start()
    installation.stop()
    assert f"starts (pid {pid})" in log.read_text()
    assert "ended, as it was asked to" in log.read_text()
    assert " service=bus " in installation.paths.service_log("bus").read_text()
    installation.paths.database.write_bytes(b"no database at all, and long enough to be taken for one" * 100)
    with pytest.raises(KeijiError):
        engine_process.start(installation.paths)
    last = log.read_text().splitlines()[-1]
    assert " level=ERROR service=engine " in last
