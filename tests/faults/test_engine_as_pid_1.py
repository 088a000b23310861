"""The engine as PID 1 of a container: orphans are reaped, runs end in time, and a start is one of the machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from installation import TIMEOUT, Installation, until

from keiji.reasons import Code
from keiji.states import RunState, Trigger
from keiji_engine.bus import protocol as p

MAX_GRACE = 0.3
# The engine with shorter intervals, as otherwise only its command line differs from that in a container.
ENGINE = f"""
import functools, sys
from keiji_engine import engine, main
main._MAX_GRACE_AS_PID_1 = {MAX_GRACE}
engine.reap_orphans = functools.partial(engine.reap_orphans, interval=0.05)
sys.exit(main.main(["--quiet"]))
"""
IGNORES_SIGTERM = """
import signal, time
def function():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("begun", flush=True)
    time.sleep(60)
"""
LEAVES_A_PROCESS = """
import subprocess
def function():
    subprocess.Popen(["sleep", "1.234567"], start_new_session=True)
"""
UNSHARE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


def _can_unshare() -> bool:
    if shutil.which(UNSHARE[0]) is None:
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def _children(pid: int) -> dict[int, str]:
    """Return pid → command line of the children of a process."""
    children = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = (entry / "stat").read_text().rpartition(")")[2].split()[1]
            if int(parent) == pid:
                children[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue  # it has ended
    return children


@contextmanager
def engine_as_pid_1(installation: Installation) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start an engine that is PID 1; yield the process that waits for it, and the engine's pid outside."""
    command = [*UNSHARE, sys.executable, "-c", ENGINE]
    with subprocess.Popen(command, env=installation.environment, stdin=subprocess.DEVNULL) as process:
        try:
            until(lambda: _is_ready(installation), "the engine is ready")
            [pid] = _children(process.pid)
            yield process, pid
        finally:
            process.kill()


def _is_ready(installation: Installation) -> bool:
    return installation.paths.engine_info.exists() and bool(installation.ask(p.Ping()).services)


@pytest.mark.skipif(not _can_unshare(), reason="needs the permission to create a PID namespace with unshare")
def test_as_pid_1_the_engine_reaps_orphans_and_kills_runs_that_ignore_the_end(installation: Installation) -> None:
    installation.build("stubborn", IGNORES_SIGTERM, policy="Policy(stop_grace=60)")
    installation.build("leaves", LEAVES_A_PROCESS, policy="Policy(leave='children')")
    with engine_as_pid_1(installation) as (process, pid):
        for slug in ("leaves", "stubborn"):
            installation.do(p.RunTask(task=slug))
        until(lambda: "begun" in installation.log("stubborn"), "the run ignores SIGTERM")
        orphan = until(lambda: next((each for each, name in _children(pid).items() if "1.234567" in name), None))
        until(lambda: not Path(f"/proc/{orphan}").exists(), "the orphan is reaped")

        os.kill(pid, signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    assert not installation.run_files()
    [run] = installation.runs("stubborn")
    assert run.state is RunState.STOPPED
    assert run.reason is not None
    assert (run.reason.code, run.reason.params["why"]) == (Code.STOPPED, "shutdown")
    assert MAX_GRACE <= float(run.reason.params["killed_after"]) < 10


@pytest.mark.skipif(not _can_unshare(), reason="needs the permission to create a PID namespace with unshare")
def test_each_start_of_a_container_runs_the_tasks_with_at_start_once(installation: Installation) -> None:
    installation.build("ping", schedule="at_start")
    for starts in (1, 2):
        with engine_as_pid_1(installation) as (process, pid):
            installation.ended("ping", starts)
            installation.do(p.RestartService(service="scheduler"))
            os.kill(pid, signal.SIGTERM)
            assert process.wait(TIMEOUT) == 0
        assert [run.trigger for run in installation.runs("ping")] == [Trigger.AT_START] * starts
