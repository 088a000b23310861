"""Nothing on the event loop of an engine under load waits for the disk, a lock, the database or another process."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import zmq
from installation import FAILS, Installation, until
from loop_observer import BlockingCall, blocking_calls, observe

from keiji_engine.bus import protocol as p

MAX_SECONDS = 0.5  # that one callback may take on a busy machine, with the overhead of the debug mode

REPORTS_PROGRESS = """
import time
from keiji import progress

def function():
    progress(0.5, "half")
    time.sleep(60)
"""

# The lock of the launcher is only tried: that neither waits nor uses the disk.
ALLOWED = ("keiji.file_lock.try_lock",)


def test_nothing_on_the_event_loop_blocks_under_load(installation: Installation, tmp_path: Path) -> None:
    report = tmp_path / "calls"
    installation.environment["PYTHONASYNCIODEBUG"] = "1"
    installation.start(prepare=observe(report))
    installation.signal(signal.SIGUSR2)
    _change_and_run_tasks(installation)
    _ask_everything(installation)
    _control_everything(installation)
    installation.stop()
    calls = blocking_calls(report)
    unexpected = {call for call in calls if not _is_allowed(call)}
    assert not unexpected, "\n".join(sorted(f"{call.function} in {' < '.join(call.stack)}" for call in unexpected))
    assert calls, "the lock of the launcher is tried on the event loop, so the observer works"
    slow = re.findall(r"Executing .* took ([0-9.]+) seconds", installation.output.read_text())
    assert not [seconds for seconds in slow if float(seconds) > MAX_SECONDS], installation.output.read_text()


def _is_allowed(call: BlockingCall) -> bool:
    return any(function in ALLOWED for function in call.stack)


def _change_and_run_tasks(installation: Installation) -> None:
    installation.build("often", schedule="every(1).seconds")
    installation.build("fails", FAILS, policy="Policy(retry=Retry(tries=2, delay=0.1))")
    installation.build("long", REPORTS_PROGRESS)
    installation.do(p.Create(name="created"))
    folder = installation.paths.workspace / "in"
    folder.mkdir()
    installation.build("waits", schedule=f'[at_start, on_change("{folder}")]')
    (folder / "file").touch()
    installation.ended("waits")
    for task in ("fails", "long"):
        installation.do(p.RunTask(task=task))
    installation.ended("fails", 2)
    until(lambda: installation.task("long").progress)
    installation.ended("often")
    installation.write("often", "def function():\n    pass\n\n", "every(1).seconds")
    until(lambda: installation.task("often").source_changes)


def _ask_everything(installation: Installation) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as log:
        log.connect(f"ipc://{installation.paths.log_socket}")
        log.subscribe(p.log_topic("often"))
        assert log.recv_multipart()
        queries: tuple[p.Request[p.Reply], ...] = (
            p.Ping(),
            p.GetSnapshot(),
            p.GetTasks(),
            p.GetRuns(task="often"),
            p.ReadLog(task="often"),
            p.GetUpcoming(task="often"),
            p.GetTimeline(),
            p.Explain(task="often"),
            p.GetBuild(task="often"),
            p.GetDifference(task="often"),
            p.GetDirectives(),
        )
        for query in queries:
            installation.ask(query)


def _control_everything(installation: Installation) -> None:
    directives: tuple[p.Directive, ...] = (
        p.Disable(task="often"),
        p.Enable(task="often"),
        p.PauseTask(task="often"),
        p.ResumeTask(task="often"),
        p.Resolve(task="fails"),
        p.Restart(task="often"),
        p.StopRun(task="long"),
        p.PauseSystem(),
        p.ResumeSystem(),
        p.RestartService(service="scheduler"),
        p.RestartService(service="watcher"),
        p.RestartService(service="runner"),
        p.Delete(task="fails"),
    )
    for directive in directives:
        installation.do(directive)
    installation.write_settings(MAX_PARALLEL_RUNS="3")
    installation.signal(signal.SIGHUP)
    until(lambda: any(entry.verb == "engine-reload" for entry in installation.ask(p.GetDirectives()).directives))
