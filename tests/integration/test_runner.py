"""A run from its launch to its result, through a real launcher and real shims."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import pytest_asyncio
from runner_lab import Lab, is_alive

import keiji_engine
from keiji.errors import ServiceOffline
from keiji.states import RunState
from keiji_engine.logs.writer import LogReader
from keiji_engine.runner.runner import RunStarted

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    lab = Lab(tmp_path)
    await lab.runner.start(())
    yield lab
    await lab.close()


# ── how it ended ─────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_does_its_work_succeeds(lab: Lab) -> None:
    before = datetime.now(UTC)
    result = await lab.run(lab.shell("r1", "exit 0"))
    assert (result.state, result.exit_code, result.signal, result.reason) == (RunState.SUCCEEDED, 0, None, "")
    assert result.started_at is not None
    assert before <= result.started_at <= result.finished_at <= datetime.now(UTC)


async def test_a_run_tells_that_it_has_started_before_how_it_ended(lab: Lab) -> None:
    await lab.runner.launch([lab.shell("r1", "sleep 0.2")])
    started, result = await lab.started("r1"), await lab.result("r1")
    assert lab.told == [started, result]
    assert (started.adopted, started.started_at) == (False, result.started_at)


async def test_an_exit_code_is_recorded_with_the_last_words(lab: Lab) -> None:
    result = await lab.run(
        lab.shell("r1", "echo fine; printf 'Traceback:\\n\\033[31mValueError: boom\\033[0m\\n\\n' >&2; exit 3")
    )
    assert (result.state, result.exit_code, result.signal) == (RunState.FAILED, 3, None)
    assert result.reason == "exit code 3: ValueError: boom"


async def test_a_reason_is_kept_short(lab: Lab) -> None:
    result = await lab.run(lab.python("r1", "import sys; sys.exit('x' * 5000)"))
    assert result.reason.startswith("exit code 1: xxx")
    assert len(result.reason) == 300


async def test_a_signal_is_recorded(lab: Lab) -> None:
    result = await lab.run(lab.shell("r1", "kill -9 $$"))
    assert (result.state, result.exit_code, result.signal) == (RunState.FAILED, None, 9)
    assert result.reason == "killed by SIGKILL"


async def test_cpu_time_and_memory_are_those_of_all_its_processes(lab: Lab) -> None:
    work = "data = bytearray(80_000_000); n = sum(range(3_000_000))"
    idle = await lab.run(lab.shell("r1", "true"))
    busy = await lab.run(lab.shell("r2", f"{sys.executable} -I -S -c '{work}'; true"))
    assert idle.cpu_seconds is not None
    assert busy.cpu_seconds is not None
    assert busy.cpu_seconds > idle.cpu_seconds + 0.02
    assert busy.peak_memory_bytes is not None
    assert 80_000_000 < busy.peak_memory_bytes < 400_000_000


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/no/such/program", "No such file or directory: /no/such/program"),
        ("{root}", "Permission denied: {root}"),
        ("{root}/no_interpreter", "the interpreter in its first line is not there"),
        ("{root}/no_program", "Exec format error"),
        ("with\0nul", "null"),
    ],
)
async def test_a_command_that_cannot_be_executed_is_a_failed_run(lab: Lab, command: str, words: str) -> None:
    for name, text in (("no_interpreter", "#!/no/such/interpreter\n"), ("no_program", "\x7fELF?")):
        (lab.root / name).write_text(text)
        (lab.root / name).chmod(0o700)
    result = await lab.run(lab.spec("r1", command.format(root=lab.root)))
    assert (result.state, result.exit_code) == (RunState.FAILED, None)
    assert result.reason.startswith("could not be started: ")
    assert words.format(root=lab.root) in result.reason
    assert result.reason in lab.lines("r1")[-1].msg


async def test_a_working_folder_that_cannot_be_made_is_a_failed_run(lab: Lab) -> None:
    (lab.root / "file").write_text("")
    result = await lab.run(lab.shell("r1", "true", directory=str(lab.root / "file" / "work")))
    assert result.state == RunState.FAILED
    assert "Not a directory" in result.reason


async def test_a_run_that_cannot_have_a_run_file_is_failed_not_lost(lab: Lab) -> None:
    (lab.root / "run" / "runs").rmdir()
    result = await lab.run(lab.shell("r1", "true"))
    assert result.state == RunState.FAILED
    assert "No such file or directory" in result.reason


async def test_a_run_is_not_started_twice(lab: Lab) -> None:
    spec = lab.shell("r1", "echo once; sleep 0.2")
    await lab.runner.launch([spec])
    await lab.runner.launch([spec])
    await lab.result("r1")
    await lab.runner.launch([spec])  # its file is still there
    await lab.until(lambda: not lab.runner.live)
    assert [line.msg for line in lab.lines("r1")].count("once") == 1


# ── what it is given ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_is_given_its_environment_its_folder_and_no_input(lab: Lab) -> None:
    script = "import os; print(sorted(os.environ.items())); print(os.getcwd()); print(repr(os.read(0, 9)))"
    await lab.run(lab.python("r1", script, environment={"NAME": "Nairobi ⏱", "LC_CTYPE": "C.UTF-8"}))
    messages = [line.msg for line in lab.lines("r1")]
    assert messages[:3] == ["[('LC_CTYPE', 'C.UTF-8'), ('NAME', 'Nairobi ⏱')]", str(lab.root / "work"), "b''"]


@linux
async def test_a_run_inherits_neither_files_nor_signals_that_are_blocked_or_ignored(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "ls /proc/self/fd | tr '\\n' ' '; echo; grep -E 'Sig(Blk|Ign)' /proc/self/status"))
    files, blocked, ignored = (line.msg for line in lab.lines("r1")[:3])
    assert files.split() == ["0", "1", "2", "3"]  # the last is that of ls itself
    assert int(blocked.split()[1], 16) == 0
    assert int(ignored.split()[1], 16) & 0x7FFFFFFF == 0  # those above are the C library's


async def test_secrets_are_not_written(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "exit 1", environment={"API_TOKEN": "s3cr3t-value"}))
    written = [path.read_bytes() for path in lab.root.rglob("*") if path.is_file()]
    assert len(written) >= 3
    assert not any(b"s3cr3t-value" in data for data in written)
    assert stat.S_IMODE((lab.root / "run" / "runs" / "r1").stat().st_mode) == 0o600


# ── what it prints ───────────────────────────────────────────────────────────────────────────────────────────────


async def test_both_streams_reach_the_log(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "echo out; echo err >&2"))
    found = {(line.level, line.msg) for line in lab.lines("r1")}
    assert {("INFO", "out"), ("ERROR", "err")} <= found


async def test_the_log_says_how_it_ended(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "exit 4"))
    last = lab.lines("r1")[-1]
    assert last.level == "ERROR"
    assert last.msg.startswith("run failed after 0.")
    assert last.msg.endswith(" s: exit code 4")


async def test_a_run_knows_where_its_output_lies(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "echo one"))
    result = await lab.run(lab.shell("r2", "echo two; echo three"))
    assert result.log_start is not None
    assert result.log_end is not None
    position, data = LogReader(lab.log).read(result.log_start, result.log_end - result.log_start)
    assert position == result.log_start
    assert data.count(b"run=r2 ") == 3 == data.count(b"\n")


async def test_every_byte_is_kept(lab: Lab) -> None:
    script = (
        "import os; data = bytes(range(256)) * 2000; [os.write(1, data[n:n+9999]) for n in range(0, len(data), 9999)]"
    )
    await lab.run(lab.python("r1", script))
    lines = [line for line in lab.lines("r1") if not line.msg.startswith("run succeeded")]
    assert (
        b"".join(line.raw + (b"" if line.more else b"\n") for line in lines).removesuffix(b"\n")
        == bytes(range(256)) * 2000
    )


async def test_a_line_without_an_end_is_shown_while_the_run_goes_on(lab: Lab) -> None:
    os.mkfifo(lab.root / "fifo")
    await lab.runner.launch(
        [lab.shell("r1", f"printf 'how far: 10%%'; read -r line < '{lab.root}/fifo'; printf ' done'")]
    )
    await lab.printed("how far: 10%")
    assert [(line.msg, line.more) for line in lab.lines("r1")] == [("how far: 10%", True)]
    await asyncio.to_thread((lab.root / "fifo").write_text, "go on\n")
    await lab.result("r1")
    assert [(line.msg, line.more) for line in lab.lines("r1")][1] == (" done", False)


@linux
@pytest.mark.parametrize("printed", ["b'x' * 1_000_000", "b'\\n' * 200_000", "bytes(range(256)) * 4000"])
async def test_the_shim_stays_small_whatever_is_printed(lab: Lab, printed: str) -> None:
    script = f"import os, time; [os.write(1, {printed}) for _ in range(3)]; os.write(1, b'\\nend\\n'); time.sleep(60)"
    await lab.runner.launch([lab.python("r1", script)])
    await lab.until(lambda: LogReader(lab.log).tail(1, 1000)[1].endswith(b'msg="end"\n'))
    status = Path(f"/proc/{lab.shim('r1')}/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0])
    assert 5_000 < peak < 60_000


async def test_a_log_that_cannot_be_written_does_not_cost_the_result(lab: Lab) -> None:
    (lab.root / "file").write_text("")
    result = await lab.run(lab.shell("r1", "echo lost; exit 5", log_path=str(lab.root / "file" / "t.log")))
    assert (result.state, result.exit_code, result.log_end) == (RunState.FAILED, 5, None)
    assert result.reason == "exit code 5; the log could not be written"


async def test_a_zone_that_is_not_known_here_becomes_utc(lab: Lab) -> None:
    result = await lab.run(lab.shell("r1", "true", zone="Nowhere/Special"))
    assert result.state == RunState.SUCCEEDED
    time = lab.lines("r1")[0].time
    assert time is not None
    assert time.utcoffset() == timedelta(0)


# ── limits and stops ─────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_run_that_takes_too_long_is_timed_out(lab: Lab) -> None:
    result = await lab.run(lab.shell("r1", "echo begun; sleep 60", timeout=0.2))
    assert (result.state, result.signal) == (RunState.TIMED_OUT, 15)
    assert result.reason == "did not end within 0.2 s"


async def test_a_run_that_is_stopped_may_tidy_up(lab: Lab) -> None:
    await lab.runner.launch(
        [lab.shell("r1", "trap 'echo tidied up; exit 7' TERM; echo ready; while :; do sleep 0.01; done")]
    )
    await lab.printed("ready")
    assert lab.runner.stop_run("r1")
    result = await lab.result("r1")
    assert (result.state, result.exit_code, result.reason) == (RunState.STOPPED, 7, "stopped")
    assert "tidied up" in [line.msg for line in lab.lines("r1")]


async def test_a_run_that_does_not_want_to_stop_is_killed(lab: Lab) -> None:
    await lab.runner.launch([lab.shell("r1", "trap '' TERM; echo ready; while :; do sleep 0.01; done", stop_grace=0.2)])
    await lab.printed("ready")
    assert lab.runner.stop_run("r1")
    result = await lab.result("r1")
    assert (result.state, result.signal) == (RunState.STOPPED, 9)
    assert result.reason == "stopped; killed after another 0.2 s"


async def test_a_run_can_be_stopped_before_it_has_begun(lab: Lab) -> None:
    await lab.runner.launch([lab.shell("r1", "sleep 60")])
    assert lab.runner.stop_run("r1")
    assert (await lab.result("r1")).state == RunState.STOPPED


async def test_a_run_that_is_over_or_unknown_cannot_be_stopped(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "true"))
    assert not lab.runner.stop_run("r1")
    assert not lab.runner.stop_run("nobody")


DAEMON = """
import os, signal, sys, time
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        print("daemon", os.getpid(), flush=True)
        os.write(told, b"x")
        while True:
            time.sleep(60)
    os._exit(0)
os.read(ready, 1)
"""


@linux
async def test_a_process_that_forked_twice_does_not_survive_a_stop(lab: Lab) -> None:
    await lab.runner.launch([lab.python("r1", DAEMON + "time.sleep(60)")])
    daemon = int(await lab.printed("daemon "))
    assert is_alive(daemon)
    lab.runner.stop_run("r1")
    assert (await lab.result("r1")).state == RunState.STOPPED
    assert not is_alive(daemon)


@linux
async def test_a_process_that_is_left_behind_and_holds_the_pipe_does_not_delay_the_end(lab: Lab) -> None:
    result = await lab.run(lab.python("r1", DAEMON + "sys.exit(6)"))
    assert (result.state, result.exit_code) == (RunState.FAILED, 6)
    assert result.finished_at - (result.started_at or result.finished_at) < timedelta(seconds=5)
    assert not is_alive(int(await lab.printed("daemon ")))


@linux
async def test_those_that_a_run_left_behind_are_buried_while_it_goes_on(lab: Lab) -> None:
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
    await lab.runner.launch([lab.python("r1", script)])
    shim = int(await lab.printed("shim "))
    children = Path(f"/proc/{shim}/task/{shim}/children")
    await lab.until(lambda: len(children.read_text().split()) == 1)


# ── many ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_burst_of_runs_each_has_its_own_end(lab: Lab) -> None:
    await lab.runner.launch([lab.shell(f"r{code}", f"echo I am {code}; exit {code}") for code in range(60)])
    for code in range(60):
        assert (await lab.result(f"r{code}")).exit_code == code
        assert lab.lines(f"r{code}")[0].msg == f"I am {code}"
    assert not lab.runner.live


async def test_what_is_recorded_is_forgotten(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "true"))
    lab.runner.forget("r1")
    lab.runner.forget("r1")
    assert list((lab.root / "run" / "runs").iterdir()) == []


async def test_live_runs_are_those_with_a_process(lab: Lab) -> None:
    await lab.runner.launch([lab.shell("r1", "sleep 60")])
    assert lab.runner.live == {"r1"}
    await lab.started("r1")
    assert lab.runner.live == {"r1"}
    lab.runner.stop_run("r1")
    await lab.result("r1")
    assert lab.runner.live == set()


# ── stopping and starting the runner ─────────────────────────────────────────────────────────────────────────────


async def test_runs_go_on_while_the_runner_is_stopped_and_are_adopted_when_it_is_back(lab: Lab) -> None:
    await lab.runner.launch([lab.shell("short", "sleep 0.1; exit 8"), lab.shell("long", "sleep 60")])
    for run_id in ("short", "long"):
        await lab.started(run_id)
    await lab.runner.stop()
    with pytest.raises(ServiceOffline):
        await lab.runner.launch([lab.shell("r3", "true")])
    file = lab.root / "run" / "runs" / "short"
    await lab.until(lambda: file.read_bytes().count(b"\n") == 2)
    lab.told.clear()

    await lab.runner.start(["short", "long", "gone"])
    assert isinstance(lab.told[0], RunStarted)
    assert (lab.told[0].run_id, lab.told[0].adopted) == ("long", True)
    assert (await lab.result("short")).exit_code == 8
    assert (await lab.result("gone")).state == RunState.LOST
    lab.runner.stop_run("long")
    assert (await lab.result("long")).state == RunState.STOPPED


async def test_a_result_that_was_not_written_to_its_end_is_none(lab: Lab) -> None:
    await lab.run(lab.shell("r1", "true"))
    await lab.runner.stop()
    file = lab.root / "run" / "runs" / "r1"
    file.write_bytes(file.read_bytes().removesuffix(b"\n"))
    lab.told.clear()
    await lab.runner.start(["r1"])
    lost = await lab.result("r1")
    assert (lost.state, lost.started_at is not None) == (RunState.LOST, True)


async def test_runs_that_were_just_sent_begin_although_the_runner_stops(lab: Lab) -> None:
    await lab.runner.launch([lab.shell(f"r{number}", "true") for number in range(20)])
    await lab.runner.stop()
    await lab.runner.start([f"r{number}" for number in range(20)])
    for number in range(20):
        assert (await lab.result(f"r{number}")).state == RunState.SUCCEEDED


def test_the_launcher_loads_nothing_that_is_large() -> None:
    program = "import sys; sys.path += sys.argv[1:]; import keiji_engine.runner.launcher; print(*sys.modules)"
    places = [str(Path(keiji_engine.__file__).parents[1])]
    loaded = subprocess.check_output([sys.executable, "-I", "-S", "-c", program, *places], text=True).split()
    assert "keiji_engine.runner.shim" in loaded
    large = {"asyncio", "threading", "subprocess", "sqlalchemy", "zmq", "msgspec", "textual", "click"}
    assert large.isdisjoint(loaded)


async def test_where_there_is_no_pidfd_the_lock_is_watched(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    await lab.runner.launch([lab.shell("r1", "exit 9"), lab.shell("r2", "sleep 60")])
    assert (await lab.result("r1")).exit_code == 9
    await lab.started("r2")
    assert lab.runner.stop_run("r2")
    assert (await lab.result("r2")).state == RunState.STOPPED
