"""Runs from launch to result, with a real launcher and real shims."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import stat
import sys
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from runner_harness import RunnerHarness, is_alive

from keiji.errors import ServiceOffline
from keiji.log_reader import LogReader
from keiji.reasons import Code, reason, render, text_reason
from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner import run_folder
from keiji_engine.runner.runner import RunStarted

pytestmark = pytest.mark.asyncio(loop_scope="module")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs subreapers, which only Linux has")


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def _shared_harness(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunnerHarness]:
    harness = RunnerHarness(tmp_path_factory.mktemp("runner"))
    await harness.runner.start(())
    yield harness
    await harness.close()


@pytest_asyncio.fixture(loop_scope="module")
async def harness(_shared_harness: RunnerHarness, tmp_path: Path) -> AsyncIterator[RunnerHarness]:
    """A running runner that other tests use as well; its runs are ended after each test."""
    _shared_harness.use_folder(tmp_path)
    yield _shared_harness
    await _shared_harness.end_runs()


@pytest_asyncio.fixture(loop_scope="module")
async def own_harness(tmp_path: Path) -> AsyncIterator[RunnerHarness]:
    """A running runner of this test alone, for tests that stop it or change its run files."""
    harness = RunnerHarness(tmp_path)
    await harness.runner.start(())
    yield harness
    await harness.close()


# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_exits_with_0_succeeds(harness: RunnerHarness) -> None:
    before = datetime.now(UTC)
    result = await harness.run(harness.shell("r1", "exit 0"))
    assert (result.state, result.exit_code, result.signal, render(result.reason)) == (RunState.SUCCEEDED, 0, None, "")
    assert result.started_at is not None
    assert before <= result.started_at <= result.finished_at <= datetime.now(UTC)


async def test_the_start_of_a_run_is_reported_before_its_result(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.shell("r1", "sleep 0.2")])
    started, result = await harness.started("r1"), await harness.result("r1")
    assert harness.events == [started, result]
    assert (started.adopted, started.started_at) == (False, result.started_at)


async def test_the_reason_of_a_failure_has_the_exit_code_and_the_last_error_line(harness: RunnerHarness) -> None:
    result = await harness.run(
        harness.shell("r1", "echo fine; printf 'Traceback:\\n\\033[31mValueError: boom\\033[0m\\n\\n' >&2; exit 3")
    )
    assert (result.state, result.exit_code, result.signal) == (RunState.FAILED, 3, None)
    assert render(result.reason) == "exit code 3: ValueError: boom"


async def test_a_long_reason_is_truncated(harness: RunnerHarness) -> None:
    result = await harness.run(harness.python("r1", "import sys; sys.exit('x' * 5000)"))
    assert render(result.reason).startswith("exit code 1: xxx")
    assert len(render(result.reason)) == len("exit code 1: ") + 300


async def test_the_signal_that_killed_a_run_is_recorded(harness: RunnerHarness) -> None:
    result = await harness.run(harness.shell("r1", "kill -9 $$"))
    assert (result.state, result.exit_code, result.signal) == (RunState.FAILED, None, 9)
    assert render(result.reason) == "killed by SIGKILL"


async def test_cpu_time_and_memory_include_all_processes_of_a_run(harness: RunnerHarness) -> None:
    work = "data = bytearray(80_000_000); n = sum(range(3_000_000))"
    idle = await harness.run(harness.shell("r1", "true"))
    busy = await harness.run(harness.shell("r2", f"{sys.executable} -I -S -c '{work}'; true"))
    assert idle.cpu_seconds is not None
    assert busy.cpu_seconds is not None
    assert busy.cpu_seconds > idle.cpu_seconds + 0.02
    assert busy.peak_memory_bytes is not None
    assert 80_000_000 < busy.peak_memory_bytes < 400_000_000


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("/no/such/program", "No such file or directory: /no/such/program"),
        ("{root}", "Permission denied: {root}"),
        ("{root}/no_interpreter", "the interpreter in its first line does not exist"),
        ("{root}/no_program", "Exec format error"),
        ("with\0nul", "null"),
    ],
)
async def test_a_run_whose_command_cannot_be_executed_fails(
    harness: RunnerHarness, command: str, expected: str
) -> None:
    for name, text in (("no_interpreter", "#!/no/such/interpreter\n"), ("no_program", "\x7fELF?")):
        (harness.root / name).write_text(text)
        (harness.root / name).chmod(0o700)
    result = await harness.run(harness.spec("r1", command.format(root=harness.root)))
    assert (result.state, result.exit_code) == (RunState.FAILED, None)
    assert render(result.reason).startswith("could not be started: ")
    assert expected.format(root=harness.root) in render(result.reason)
    assert render(result.reason) in harness.lines("r1")[-1].msg


async def test_a_run_whose_working_folder_cannot_be_created_fails(harness: RunnerHarness) -> None:
    (harness.root / "file").write_text("")
    result = await harness.run(harness.shell("r1", "true", directory=str(harness.root / "file" / "work")))
    assert result.state == RunState.FAILED
    assert "Not a directory" in render(result.reason)


async def test_a_run_whose_run_file_cannot_be_created_fails_and_is_not_lost(own_harness: RunnerHarness) -> None:
    shutil.rmtree(own_harness.run_files)
    own_harness.run_files.touch()
    result = await own_harness.run(own_harness.shell("r1", "true"))
    assert result.state == RunState.FAILED
    assert "Not a directory" in render(result.reason)


async def test_a_run_is_not_started_twice(harness: RunnerHarness) -> None:
    spec = harness.shell("r1", "echo once; sleep 0.2")
    await harness.runner.launch([spec])
    await harness.runner.launch([spec])
    await harness.result("r1")
    await harness.runner.launch([spec])  # its run file still exists
    await harness.until(lambda: not harness.runner.live)
    assert [line.msg for line in harness.lines("r1")].count("once") == 1


# ── environment ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_gets_its_environment_its_working_folder_and_no_input(harness: RunnerHarness) -> None:
    script = "import os; print(sorted(os.environ.items())); print(os.getcwd()); print(repr(os.read(0, 9)))"
    await harness.run(harness.python("r1", script, environment={"NAME": "Nairobi ⏱", "LC_CTYPE": "C.UTF-8"}))
    messages = [line.msg for line in harness.lines("r1")]
    assert messages[:3] == ["[('LC_CTYPE', 'C.UTF-8'), ('NAME', 'Nairobi ⏱')]", str(harness.root / "work"), "b''"]


@linux
async def test_a_run_inherits_no_files_and_no_blocked_or_ignored_signals(harness: RunnerHarness) -> None:
    await harness.run(
        harness.shell("r1", "ls /proc/self/fd | tr '\\n' ' '; echo; grep -E 'Sig(Blk|Ign)' /proc/self/status")
    )
    files, blocked, ignored = (line.msg for line in harness.lines("r1")[:3])
    assert files.split() == ["0", "1", "2", "3"]  # the last one was opened by ls
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0  # the upper signals belong to the C library


async def test_values_of_environment_variables_are_not_written_to_files(own_harness: RunnerHarness) -> None:
    await own_harness.run(own_harness.shell("r1", "exit 1", environment={"API_TOKEN": "s3cr3t-value"}))
    written = [path.read_bytes() for path in own_harness.root.rglob("*") if path.is_file()]
    assert len(written) >= 3
    assert not any(b"s3cr3t-value" in data for data in written)
    assert stat.S_IMODE((own_harness.run_files / "r1").stat().st_mode) == 0o600


# ── output ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_standard_output_and_standard_error_are_logged_with_their_levels(harness: RunnerHarness) -> None:
    await harness.run(harness.shell("r1", "echo out; echo err >&2"))
    logged = {(line.level, line.msg) for line in harness.lines("r1")}
    assert {("INFO", "out"), ("ERROR", "err")} <= logged


async def test_the_last_line_of_a_run_is_its_outcome(harness: RunnerHarness) -> None:
    await harness.run(harness.shell("r1", "exit 4"))
    last = harness.lines("r1")[-1]
    assert last.level == "ERROR"
    assert last.msg.startswith("run failed after 0.")
    assert last.msg.endswith("s: exit code 4")


async def test_a_result_has_the_log_positions_of_its_output(harness: RunnerHarness) -> None:
    await harness.run(harness.shell("r1", "echo one"))
    result = await harness.run(harness.shell("r2", "echo two; echo three"))
    assert result.log_start is not None
    assert result.log_end is not None
    position, data = LogReader(harness.log).read(result.log_start, result.log_end - result.log_start)
    assert position == result.log_start
    assert data.count(b"run=r2 ") == 3 == data.count(b"\n")


async def test_the_log_preserves_every_byte_of_output(harness: RunnerHarness) -> None:
    script = (
        "import os; data = bytes(range(256)) * 2000; [os.write(1, data[n:n+9999]) for n in range(0, len(data), 9999)]"
    )
    await harness.run(harness.python("r1", script))
    lines = [line for line in harness.lines("r1") if not line.msg.startswith("run succeeded")]
    assert (
        b"".join(line.raw + (b"" if line.is_continued else b"\n") for line in lines).removesuffix(b"\n")
        == bytes(range(256)) * 2000
    )


async def test_an_incomplete_line_is_logged_after_a_delay_and_continued(harness: RunnerHarness) -> None:
    os.mkfifo(harness.root / "fifo")
    await harness.runner.launch(
        [harness.shell("r1", f"printf 'progress: 10%%'; read -r line < '{harness.root}/fifo'; printf ' done'")]
    )
    await harness.printed("progress: 10%")
    assert [(line.msg, line.is_continued) for line in harness.lines("r1")] == [("progress: 10%", True)]
    await asyncio.to_thread((harness.root / "fifo").write_text, "continue\n")
    await harness.result("r1")
    assert [(line.msg, line.is_continued) for line in harness.lines("r1")][1] == (" done", False)


@linux
@pytest.mark.parametrize("printed", ["b'x' * 1_000_000", "b'\\n' * 200_000", "bytes(range(256)) * 4000"])
async def test_the_memory_of_a_shim_is_bounded_for_any_output(harness: RunnerHarness, printed: str) -> None:
    script = f"import os, time; [os.write(1, {printed}) for _ in range(2)]; os.write(1, b'\\nend\\n'); time.sleep(60)"
    await harness.runner.launch([harness.python("r1", script)])
    await harness.until(lambda: LogReader(harness.log).tail(1, 1000)[1].endswith(b'msg="end"\n'))
    status = Path(f"/proc/{harness.shim_pid('r1')}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    assert 5_000 < peak < 60_000


async def test_a_run_whose_log_cannot_be_written_has_a_result(harness: RunnerHarness) -> None:
    (harness.root / "file").write_text("")
    result = await harness.run(harness.shell("r1", "echo lost; exit 5", log_path=str(harness.root / "file" / "t.log")))
    assert (result.state, result.exit_code, result.log_end) == (RunState.FAILED, 5, None)
    assert render(result.reason) == "exit code 5; the log could not be written"


async def test_an_unknown_time_zone_falls_back_to_utc(harness: RunnerHarness) -> None:
    result = await harness.run(harness.shell("r1", "true", zone="Nowhere/Special"))
    assert result.state == RunState.SUCCEEDED
    time = harness.lines("r1")[0].time
    assert time is not None
    assert time.utcoffset() == timedelta(0)


# ── timeouts and stops ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_exceeds_its_timeout_is_stopped(harness: RunnerHarness) -> None:
    result = await harness.run(harness.shell("r1", "echo begun; sleep 60", timeout=0.2))
    assert (result.state, result.signal) == (RunState.TIMED_OUT, 15)
    assert render(result.reason) == "timed out after 0.2s"


async def test_a_stopped_run_can_clean_up(harness: RunnerHarness) -> None:
    await harness.runner.launch(
        [harness.shell("r1", "trap 'echo cleaned up; exit 7' TERM; echo ready; while :; do sleep 0.01; done")]
    )
    await harness.printed("ready")
    assert harness.runner.stop_run("r1")
    result = await harness.result("r1")
    assert (result.state, result.exit_code, render(result.reason)) == (RunState.STOPPED, 7, "stopped")
    assert "cleaned up" in [line.msg for line in harness.lines("r1")]


async def test_a_run_that_ignores_a_stop_is_killed_after_its_grace_period(harness: RunnerHarness) -> None:
    await harness.runner.launch(
        [harness.shell("r1", "trap '' TERM; echo ready; while :; do sleep 0.01; done", stop_grace=0.2)]
    )
    await harness.printed("ready")
    assert harness.runner.stop_run("r1")
    result = await harness.result("r1")
    assert (result.state, result.signal) == (RunState.STOPPED, 9)
    assert render(result.reason) == "stopped; killed after another 0.2s"


async def test_a_run_can_be_stopped_before_it_has_begun(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.shell("r1", "sleep 60")])
    assert harness.runner.stop_run("r1")
    assert (await harness.result("r1")).state == RunState.STOPPED


async def test_a_run_that_has_ended_or_does_not_exist_cannot_be_stopped(harness: RunnerHarness) -> None:
    await harness.run(harness.shell("r1", "true"))
    assert not harness.runner.stop_run("r1")
    assert not harness.runner.stop_run("unknown")


FORKS_DAEMON = """
import os, signal, sys, time
reading, writing = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        print("daemon", os.getpid(), flush=True)
        os.write(writing, b"x")
        while True:
            time.sleep(60)
    os._exit(0)
os.read(reading, 1)
"""


@linux
async def test_a_double_forked_daemon_does_not_survive_a_stop(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.python("r1", FORKS_DAEMON + "time.sleep(60)", stop_grace=0.1)])
    daemon = int(await harness.printed("daemon "))
    assert is_alive(daemon)
    harness.runner.stop_run("r1")
    assert (await harness.result("r1")).state == RunState.STOPPED
    assert not is_alive(daemon)


@linux
async def test_a_daemon_that_keeps_the_output_pipe_open_does_not_delay_the_result(harness: RunnerHarness) -> None:
    result = await harness.run(harness.python("r1", FORKS_DAEMON + "sys.exit(6)"))
    assert (result.state, result.exit_code) == (RunState.FAILED, 6)
    assert result.finished_at - (result.started_at or result.finished_at) < timedelta(seconds=5)
    assert not is_alive(int(await harness.printed("daemon ")))


@linux
async def test_the_grace_period_applies_to_all_processes_of_a_run(harness: RunnerHarness) -> None:
    clean_up = "trap 'sleep 0.3; echo {0} cleaned up; exit' TERM; echo {0} is ready; while :; do sleep 0.01; done"
    group, session = clean_up.format("group"), clean_up.format("session")
    script = f'(setsid sh -c "{session}") & sh -c "{group}" & trap \'exit 3\' TERM; while :; do sleep 0.01; done'
    await harness.runner.launch([harness.shell("r1", script)])
    for name in ("group", "session"):
        await harness.printed(f"{name} is ready")
    harness.runner.stop_run("r1")
    result = await harness.result("r1")
    assert (result.state, result.exit_code, render(result.reason)) == (RunState.STOPPED, 3, "stopped")
    messages = [line.msg for line in harness.lines("r1")]
    assert {"group cleaned up", "session cleaned up"} <= set(messages)


@linux
async def test_processes_that_ignore_a_stop_are_killed_after_the_grace_period(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.python("r1", FORKS_DAEMON + "time.sleep(60)", timeout=0.2, stop_grace=0.2)])
    daemon = int(await harness.printed("daemon "))
    result = await harness.result("r1")
    assert render(result.reason) == "timed out after 0.2s; killed after another 0.2s"
    assert not is_alive(daemon)


@linux
@pytest.mark.parametrize(("leave", "outcome"), [("nothing", "was ended"), ("children", "continues")])
async def test_processes_that_outlive_a_run_are_named_in_its_log(
    harness: RunnerHarness, leave: str, outcome: str
) -> None:
    result = await harness.run(harness.python("r1", FORKS_DAEMON, leave=leave))
    assert result.state is RunState.SUCCEEDED
    daemon = int(await harness.printed("daemon "))
    name = Path(sys.executable).name
    assert f"1 process that it left behind {outcome}: {name} (pid {daemon})" in [
        line.msg for line in harness.lines("r1")
    ]
    assert is_alive(daemon) == (leave == "children")
    if leave == "children":
        os.kill(daemon, signal.SIGKILL)


@linux
async def test_processes_that_end_with_the_main_process_are_not_mentioned(harness: RunnerHarness) -> None:
    await harness.run(harness.shell("r1", "sleep 0.02 & exit 0"))
    assert len(harness.lines("r1")) == 1


@linux
async def test_signals_to_all_processes_leave_launcher_and_shim_alive(own_harness: RunnerHarness) -> None:
    await own_harness.runner.launch([own_harness.shell("r1", "sleep 0.3; exit 4")])
    await own_harness.started("r1")
    launcher = own_harness.runner._launcher
    assert launcher is not None
    unblocked = {signal.SIGKILL, signal.SIGSTOP, signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL}
    unblocked |= {signal.SIGSEGV, signal.SIGSYS, signal.SIGTRAP}
    for number in signal.valid_signals() - unblocked:
        os.kill(launcher.pid, number)
        if number != signal.SIGTERM:  # the request to stop the run
            os.kill(own_harness.shim_pid("r1"), number)
    assert (await own_harness.result("r1")).exit_code == 4
    assert (await own_harness.run(own_harness.shell("r2", "exit 5"))).exit_code == 5
    assert own_harness.runner._launcher is launcher


async def test_the_reported_exception_is_the_reason_of_a_failure(harness: RunnerHarness) -> None:
    script = "import os; os.write(int(os.environ['KEIJI_FAILURE_FD']), b'ValueError\\0boom\\0function.py\\x003\\0'); "
    script += "os.write(2, b'misleading\\n'); os._exit(1)"
    result = await harness.run(harness.python("r1", script, reports_failure=True))
    assert render(result.reason) == "exit code 1: ValueError: boom (function.py:3)"


@linux
async def test_orphaned_descendants_are_reaped_during_the_run(harness: RunnerHarness) -> None:
    script = (
        "import os, time\n"
        "for _ in range(20):\n"
        "    if os.fork() == 0:\n"
        "        os.fork()\n"
        "        os._exit(0)\n"
        "    os.wait()\n"
        "print('shim', os.getppid(), flush=True)\n"
        "time.sleep(60)\n"
    )
    await harness.runner.launch([harness.python("r1", script)])
    shim = int(await harness.printed("shim "))
    children = Path(f"/proc/{shim}/task/{shim}/children")
    await harness.until(lambda: len(children.read_text().split()) == 1)


# ── bursts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_each_run_of_a_burst_has_its_own_result_and_output(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.shell(f"r{code}", f"echo I am {code}; exit {code}") for code in range(60)])
    for code in range(60):
        assert (await harness.result(f"r{code}")).exit_code == code
        assert harness.lines(f"r{code}")[0].msg == f"I am {code}"
    assert not harness.runner.live


async def test_remove_run_files_removes_the_run_file(harness: RunnerHarness) -> None:
    await harness.run(harness.shell("r1", "true"))
    harness.runner.remove_run_files("r1")
    harness.runner.remove_run_files("r1")
    assert run_folder.run_ids(harness.run_files) == []


async def test_live_runs_are_those_that_were_launched_and_have_not_ended(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.shell("r1", "sleep 60")])
    assert harness.runner.live == {"r1"}
    await harness.started("r1")
    assert harness.runner.live == {"r1"}
    harness.runner.stop_run("r1")
    await harness.result("r1")
    assert harness.runner.live == set()


# ── stop and restart of the runner ───────────────────────────────────────────────────────────────────────────────────


async def test_runs_continue_while_the_runner_is_stopped_and_are_adopted_on_restart(own_harness: RunnerHarness) -> None:
    await own_harness.runner.launch(
        [own_harness.shell("short", "sleep 0.1; exit 8"), own_harness.shell("long", "sleep 60")]
    )
    for run_id in ("short", "long"):
        await own_harness.started(run_id)
    await own_harness.runner.stop()
    with pytest.raises(ServiceOffline):
        await own_harness.runner.launch([own_harness.shell("r3", "true")])
    await own_harness.until(lambda: own_harness.has_ended("short"))
    own_harness.events.clear()

    await own_harness.runner.start(["short", "long", "gone"])
    assert isinstance(own_harness.events[0], RunStarted)
    assert (own_harness.events[0].run_id, own_harness.events[0].adopted) == ("long", True)
    assert (await own_harness.result("short")).exit_code == 8
    assert (await own_harness.result("gone")).state == RunState.LOST
    own_harness.runner.stop_run("long")
    assert (await own_harness.result("long")).state == RunState.STOPPED


async def test_an_incomplete_result_in_a_run_file_is_ignored(own_harness: RunnerHarness) -> None:
    await own_harness.run(own_harness.shell("r1", "true"))
    await own_harness.runner.stop()
    file = own_harness.run_files / "r1"
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    own_harness.events.clear()
    await own_harness.runner.start(["r1"])
    lost = await own_harness.result("r1")
    assert (lost.state, lost.started_at is not None) == (RunState.LOST, True)


async def test_a_live_run_of_an_earlier_boot_is_lost_because_the_machine_rebooted(own_harness: RunnerHarness) -> None:
    await own_harness.run(own_harness.shell("r1", "true"))
    await own_harness.runner.stop()
    file = own_harness.run_files / "r1"
    header, result, _ = file.read_bytes().split(b"\n")
    earlier = json.dumps(json.loads(header) | {"boot": str(uuid.uuid4())}).encode() + b"\n"
    file.write_bytes(earlier)
    (own_harness.run_files / "r2").write_bytes(earlier + result.replace(b"r1", b"r2") + b"\n")
    (own_harness.run_files / "folder").mkdir()
    own_harness.events.clear()
    await own_harness.runner.start(["r1", "r2"])
    lost = await own_harness.result("r1")
    assert (lost.state, lost.reason) == (RunState.LOST, reason(Code.MACHINE_REBOOTED))
    assert (await own_harness.result("r2")).state == RunState.SUCCEEDED, "its result was recorded before the reboot"
    assert len(own_harness.events) == 2, "what is not a run file is ignored"


async def test_a_run_file_of_an_earlier_version_is_read(own_harness: RunnerHarness) -> None:
    header = b'{"version": 1, "run_id": "r1", "shim": 1, "started_at": "2026-11-23T10:00:00+00:00"}\n'
    result = (
        b'{"version": 1, "state": "failed", "exit_code": 3, "signal": null, '
        b'"started_at": "2026-11-23T10:00:00+00:00", "finished_at": "2026-11-23T10:00:07+00:00", "cpu_seconds": 0.5, '
        b'"peak_memory_bytes": 100, "log_start": 40, "log_end": 90, "reason": "exit code 3"}\n'
    )
    await own_harness.runner.stop()
    (own_harness.run_files / "r1").write_bytes(header + result)
    await own_harness.runner.start(["r1"])
    assert await own_harness.result("r1") == RunResult(
        run_id="r1",
        state=RunState.FAILED,
        finished_at=datetime(2026, 11, 23, 10, 0, 7, tzinfo=UTC),
        started_at=datetime(2026, 11, 23, 10, tzinfo=UTC),
        reason=text_reason("exit code 3"),
        exit_code=3,
        cpu_seconds=0.5,
        peak_memory_bytes=100,
        log_start=40,
        log_end=90,
    )


@pytest.mark.parametrize(
    ("exit_code", "signal", "state"), [(5, None, RunState.FAILED), (None, 9, RunState.FAILED), (0, None, RunState.LOST)]
)
async def test_a_result_in_a_state_of_a_newer_version_keeps_its_exit_code(
    own_harness: RunnerHarness, exit_code: int | None, signal: int | None, state: RunState
) -> None:
    await own_harness.run(own_harness.shell("r1", "true"))
    await own_harness.runner.stop()
    file = own_harness.run_files / "r1"
    header, line = file.read_text().splitlines()
    newer = json.loads(line) | {"version": 2, "state": "exploded", "exit_code": exit_code, "signal": signal, "new": {}}
    file.write_text(f"{header}\n{json.dumps(newer)}\n")
    own_harness.events.clear()
    await own_harness.runner.start(["r1"])
    result = await own_harness.result("r1")
    assert (result.state, result.exit_code, result.signal) == (state, exit_code, signal)
    assert render(result.reason) == "a newer version of keiji recorded the state exploded"


async def test_runs_that_were_launched_just_before_a_stop_begin(own_harness: RunnerHarness) -> None:
    await own_harness.runner.launch([own_harness.shell(f"r{number}", "true") for number in range(20)])
    await own_harness.runner.stop()
    await own_harness.runner.start([f"r{number}" for number in range(20)])
    for number in range(20):
        assert (await own_harness.result(f"r{number}")).state == RunState.SUCCEEDED


@pytest_asyncio.fixture(loop_scope="module")
async def harness_without_pidfds(tmp_path: Path) -> AsyncIterator[RunnerHarness]:
    harness = RunnerHarness(tmp_path, open_pidfd=lambda pid: None)
    await harness.runner.start(())
    yield harness
    await harness.close()


async def test_without_pidfds_the_end_of_a_run_is_detected_by_its_lock(harness_without_pidfds: RunnerHarness) -> None:
    harness = harness_without_pidfds
    await harness.runner.launch([harness.shell("r1", "exit 9"), harness.shell("r2", "sleep 60")])
    assert (await harness.result("r1")).exit_code == 9
    await harness.started("r2")
    assert harness.runner.stop_run("r2")
    assert (await harness.result("r2")).state == RunState.STOPPED


async def test_the_grace_of_a_run_that_is_stopped_can_be_ended_early(harness: RunnerHarness) -> None:
    await harness.runner.launch([harness.shell("r1", "trap '' TERM; echo ready; while :; do sleep 0.02; done")])
    await harness.started("r1")
    await harness.printed("ready")
    assert harness.runner.stop_run("r1")
    assert harness.runner.kill_run("r1")
    result = await harness.result("r1")
    assert (result.state, result.signal) == (RunState.STOPPED, 9)
    assert "killed after another 0" in render(result.reason)
