"""Kills the engine, the launcher and shims with real signals: the results and the output of runs survive."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from faults.runner_host import RunnerHost
from runner_harness import RunnerHarness, is_alive, wait_until

from keiji.reasons import Code, reason, render
from keiji.records import RunOrigin
from keiji.states import RunState
from keiji_engine.runner import run_file
from keiji_engine.runner.runner import RunStarted
from keiji_engine.runner.spec import RunSpec

RUN_COUNT = 6
PRINTED = 5  # lines that each waiting run prints
GATE = "gate"  # a pipe from which each waiting run reads a line
SCRIPT = (
    "trap 'exit 99' TERM; n=0; while [ $n -lt {printed} ]; do echo {code} prints $n; n=$((n+1)); done; "
    "read -r line < '{gate}'; echo {code} continues; echo {code} fails >&2; exit {code}"
)


@pytest.fixture
def host(tmp_path: Path, _engine_server: None) -> Iterator[RunnerHost]:
    host = RunnerHost(tmp_path)
    yield host
    host.close()


@pytest.fixture
def restore_timeout() -> float:
    """Seconds after which a run without a run file is lost."""
    return 0.1


shims_restore_files = pytest.mark.parametrize("restore_timeout", [5.0])


@pytest_asyncio.fixture
async def harness(tmp_path: Path, restore_timeout: float) -> AsyncIterator[RunnerHarness]:
    """A runner that each test starts itself."""
    harness = RunnerHarness(tmp_path, restore_timeout=restore_timeout)
    os.mkfifo(tmp_path / GATE)
    gate = os.open(tmp_path / GATE, os.O_RDWR)  # open, so that what is written remains until a run reads it
    yield harness
    await harness.close()
    os.close(gate)


def have_begun(harness: RunnerHarness, count: int) -> Callable[[], bool]:
    """Return a condition: at least ``count`` runs have a run file."""
    folder = harness.run_files
    return lambda: folder.is_dir() and len([path for path in folder.iterdir() if path.name[0] != "."]) >= count


def specs_of_waiting_runs(harness: RunnerHarness, count: int = RUN_COUNT) -> list[RunSpec]:
    """Runs that print, wait until they are released, print again, and exit with a code of their own."""
    gate = harness.root / GATE
    return [
        harness.shell(f"r{code}", SCRIPT.format(code=code, gate=gate, printed=PRINTED)) for code in range(1, count + 1)
    ]


def release(harness: RunnerHarness, count: int = RUN_COUNT) -> None:
    """Let as many waiting runs end."""
    (harness.root / GATE).write_text("\n" * count)


async def assert_complete(harness: RunnerHarness, count: int = RUN_COUNT) -> None:
    """Check that each run has one result, with its exit code, and that the log has its output exactly once."""
    for code in range(1, count + 1):
        result = await harness.result(f"r{code}")
        assert (result.state, result.exit_code) == (RunState.FAILED, code)
        assert render(result.reason) == f"exit code {code}: {code} fails"
        lines = harness.lines(f"r{code}")[:-1]
        output = [line.msg for line in lines if line.level == "INFO"]
        assert output == [*(f"{code} prints {number}" for number in range(PRINTED)), f"{code} continues"]
        assert [line.msg for line in lines if line.level == "ERROR"] == [f"{code} fails"]
    assert sorted(result.run_id for result in harness.results) == sorted(f"r{code}" for code in range(1, count + 1))


def run_ids(count: int = RUN_COUNT) -> list[str]:
    return [f"r{code}" for code in range(1, count + 1)]


async def test_runs_survive_the_engine_and_are_adopted(harness: RunnerHarness, host: RunnerHost) -> None:
    host.launch(specs_of_waiting_runs(harness))
    assert wait_until(lambda: have_begun(harness, RUN_COUNT)() and len(harness.lines()) >= RUN_COUNT * PRINTED)
    host.kill()

    await harness.runner.start(run_ids())
    adopted = {event.run_id for event in harness.events if isinstance(event, RunStarted) and event.adopted}
    assert adopted == set(run_ids())
    release(harness)
    await assert_complete(harness)


async def test_results_of_runs_that_end_without_an_engine_are_found(harness: RunnerHarness, host: RunnerHost) -> None:
    host.launch(specs_of_waiting_runs(harness))
    assert wait_until(have_begun(harness, RUN_COUNT))
    host.kill()
    release(harness)
    assert wait_until(lambda: all(harness.has_ended(run_id) for run_id in run_ids()))
    await harness.runner.start(run_ids())
    await assert_complete(harness)


async def test_all_runs_of_a_burst_begin_although_the_engine_is_killed(
    harness: RunnerHarness, host: RunnerHost
) -> None:
    release(harness)
    host.launch(specs_of_waiting_runs(harness))
    host.kill()  # the specs are in the socket, and few of the runs have begun
    await harness.runner.start(run_ids())
    await assert_complete(harness)


@pytest.mark.parametrize("count", [0, 1, RUN_COUNT])
async def test_when_engine_and_launcher_are_killed_no_run_that_began_is_lost(
    harness: RunnerHarness, host: RunnerHost, count: int
) -> None:
    host.launch(specs_of_waiting_runs(harness))
    assert wait_until(have_begun(harness, count))
    host.kill_launcher()
    host.kill()
    await harness.runner.start(run_ids())
    release(harness)
    results = [await harness.result(run_id) for run_id in run_ids()]
    assert len([result for result in results if result.state == RunState.LOST]) <= RUN_COUNT - count
    for code, result in enumerate(results, start=1):
        if result.state == RunState.LOST:
            assert not harness.lines(result.run_id), "a lost run has begun"
        else:
            assert (result.exit_code, len(harness.lines(result.run_id))) == (code, PRINTED + 3)


@pytest.mark.parametrize("count", [0, 1, RUN_COUNT])
async def test_a_killed_launcher_is_replaced_and_each_run_begins_exactly_once(
    harness: RunnerHarness, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.runner.start(())
    launcher = harness.runner._launcher
    assert launcher is not None
    await harness.runner.launch(specs_of_waiting_runs(harness))
    await harness.until(have_begun(harness, count))
    os.kill(launcher.pid, signal.SIGKILL)
    release(harness)
    await assert_complete(harness)
    await harness.until(lambda: harness.runner._launcher not in (None, launcher))
    warning = f"the launcher (pid {launcher.pid}) died; starting another one"
    assert ("keiji.runner", logging.WARNING, warning) in caplog.record_tuples
    assert (await harness.run(harness.shell("after", "true"))).state == RunState.SUCCEEDED


async def test_a_run_requested_while_there_is_no_launcher_begins_with_the_next_launcher(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    launcher = harness.runner._launcher
    assert launcher is not None
    os.kill(launcher.pid, signal.SIGKILL)
    assert (await harness.run(harness.shell("r1", "exit 3"))).exit_code == 3


async def test_a_run_whose_shim_is_killed_is_lost(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    await harness.runner.launch([harness.shell("r1", "echo pid $$; exec sleep 60")])
    pid = int(await harness.printed("pid "))
    started = await harness.started("r1")
    os.kill(harness.shim_pid("r1"), signal.SIGKILL)
    result = await harness.result("r1")
    assert (result.state, result.exit_code, result.started_at) == (RunState.LOST, None, started.started_at)
    assert "shim" in render(result.reason)
    assert wait_until(lambda: not is_alive(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("with_engine", [True, False])
async def test_no_process_of_a_run_whose_shim_was_killed_is_left_when_the_run_is_lost(
    harness: RunnerHarness, host: RunnerHost, with_engine: bool
) -> None:
    forks = "trap '' TERM HUP; (setsid sleep 61 & echo session $!) & sleep 62 & echo group $!; sleep 63 & wait"
    environment = {"PATH": os.environ["PATH"], "KEIJI_RUN_ID": "r1"}
    spec = harness.shell("r1", forks, environment=environment)
    if with_engine:
        await harness.runner.start(())
        await harness.runner.launch([spec])
    else:
        host.launch([spec])
    pids = [int(await harness.printed(f"{name} ")) for name in ("session", "group")]
    shim = harness.shim_pid("r1")
    if not with_engine:
        host.kill()
    os.kill(shim, signal.SIGKILL)
    if not with_engine:
        assert wait_until(lambda: not is_alive(shim))
        await harness.runner.start(["r1"])
    assert (await harness.result("r1")).state == RunState.LOST
    assert not any(map(is_alive, pids))


async def test_a_run_whose_shim_is_killed_without_an_engine_is_lost(harness: RunnerHarness, host: RunnerHost) -> None:
    host.launch([harness.shell("r1", "echo pid $$; exec sleep 60")])
    pid = int(await harness.printed("pid "))
    host.kill()
    shim = harness.shim_pid("r1")
    os.kill(shim, signal.SIGKILL)
    assert wait_until(lambda: not is_alive(shim))
    await harness.runner.start(["r1"])
    assert (await harness.result("r1")).state == RunState.LOST
    assert not is_alive(pid)


async def test_a_timeout_is_enforced_without_engine_and_launcher(harness: RunnerHarness, host: RunnerHost) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.02; done"
    host.launch([harness.shell("r1", script, timeout=0.5, stop_grace=0.1)])
    await harness.printed("ready")
    host.kill_launcher()
    host.kill()
    assert wait_until(lambda: harness.has_ended("r1"))
    await harness.runner.start(["r1"])
    result = await harness.result("r1")
    assert (result.state, result.signal) == (RunState.TIMED_OUT, 9)
    assert render(result.reason) == "timed out after 0.5s; killed after another 0.1s"


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_the_process_group_of_the_engine_does_not_reach_runs(
    harness: RunnerHarness, host: RunnerHost, signum: signal.Signals
) -> None:
    host.launch(specs_of_waiting_runs(harness, 3))
    assert wait_until(have_begun(harness, 3))
    host.kill(signum)
    await harness.runner.start(run_ids(3))
    release(harness)
    await assert_complete(harness, 3)


async def test_an_adopted_run_can_be_stopped(harness: RunnerHarness, host: RunnerHost) -> None:
    host.launch(specs_of_waiting_runs(harness, 2))
    assert wait_until(have_begun(harness, 2))
    host.kill()
    await harness.runner.start(run_ids(2))
    for run_id in run_ids(2):
        assert harness.runner.stop_run(run_id)
        assert (await harness.result(run_id)).state == RunState.STOPPED


async def test_a_process_that_reuses_the_pid_of_a_shim_is_neither_adopted_nor_signalled(
    harness: RunnerHarness,
) -> None:
    unrelated = subprocess.Popen(["/bin/sleep", "60"])  # noqa: ASYNC220  # returns at once
    try:
        harness.run_files.mkdir(parents=True)
        header = {"version": 1, "shim": unrelated.pid, "started_at": "2026-11-23T10:00:00+00:00"}
        (harness.run_files / "r1").write_text(json.dumps(header) + "\n")
        await harness.runner.start(["r1"])
        assert (await harness.result("r1")).state == RunState.LOST
        assert not harness.runner.stop_run("r1")
        assert unrelated.poll() is None
    finally:
        unrelated.kill()
        unrelated.wait()


async def test_a_run_with_an_invalid_run_file_is_lost(harness: RunnerHarness) -> None:
    folder = harness.run_files
    folder.mkdir(parents=True)
    for name, text in (("empty", ""), ("torn", '{"version": 1, "sh'), ("foreign", "[]\n7\n"), (".temporary.1", "{")):
        (folder / name).write_text(text)
    await harness.runner.start(["empty"])
    lost = {result.run_id for result in harness.results if result.state == RunState.LOST}
    assert lost == {"empty", "torn", "foreign"}
    assert not (folder / ".temporary.1").exists()


async def test_strange_entries_among_the_run_files_do_not_affect_other_runs(harness: RunnerHarness) -> None:
    folder = harness.run_files
    folder.mkdir(parents=True)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    (folder / "link").symlink_to("nowhere")
    (folder / "garbage").write_bytes(os.urandom(300) + b"\n")
    await harness.runner.start(())
    assert [result.run_id for result in harness.results] == ["garbage"]
    for name in ("garbage", "folder"):
        harness.runner.remove_run_files(name)
    assert (await harness.run(harness.shell("r1", "exit 3"))).exit_code == 3


async def test_runs_go_on_without_free_descriptors(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    await harness.runner.launch([harness.shell(f"early{number}", "sleep 0.2; exit 2") for number in range(3)])
    for number in range(3):
        await harness.started(f"early{number}")
    sizes = {path: path.stat().st_size for path in harness.run_files.iterdir() if path.name.startswith("early")}
    taken = [os.open(os.devnull, os.O_RDONLY)]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken[0] + 4, 16), limits[1]))
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        await harness.runner.launch([harness.shell("late", "exit 3")])
        await harness.until(lambda: all(path.stat().st_size > size for path, size in sizes.items()))
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for number in range(3):
        assert (await harness.result(f"early{number}")).exit_code == 2
    assert (await harness.result("late")).exit_code == 3
    assert (await harness.run(harness.shell("after", "exit 4"))).exit_code == 4


async def test_run_files_are_not_read_before_the_former_launcher_has_finished(harness: RunnerHarness) -> None:
    path = harness.root / "run" / "launcher.lock"
    path.parent.mkdir()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        starting = asyncio.create_task(harness.runner.start(["r1"]))
        done, _ = await asyncio.wait([starting], timeout=0.1)
        assert not done
        assert not harness.events
    await starting
    assert (await harness.result("r1")).state == RunState.LOST


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
async def test_a_full_disk_affects_the_log_but_not_the_result(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    full = harness.root / "full.log"
    full.symlink_to("/dev/full")
    result = await harness.run(harness.shell("r1", "echo lost; exit 4", log_path=str(full)))
    assert (result.state, result.exit_code) == (RunState.FAILED, 4)
    assert "the log could not be written" in render(result.reason)


@shims_restore_files
async def test_run_files_that_are_deleted_are_created_again_and_no_run_is_lost(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    former = harness.runner.folder_id
    await harness.runner.launch([harness.shell("r1", "echo ready; sleep 1.2; exit 3"), harness.shell("r2", "sleep 60")])
    await harness.printed("ready")
    await harness.started("r2")
    shutil.rmtree(harness.run_files.parent)
    assert await harness.runner.check_folder()
    assert harness.runner.folder_id != former
    assert (await harness.result("r1")).exit_code == 3
    await harness.until((harness.run_files / "r2").exists)
    assert harness.runner.stop_run("r2")
    assert (await harness.result("r2")).state == RunState.STOPPED
    assert not await harness.runner.check_folder()


@shims_restore_files
async def test_live_runs_whose_files_are_deleted_as_the_engine_is_killed_are_adopted(
    harness: RunnerHarness, host: RunnerHost
) -> None:
    host.launch(specs_of_waiting_runs(harness, 3))
    assert wait_until(have_begun(harness, 3))
    shutil.rmtree(harness.run_files.parent)
    host.kill_launcher()
    host.kill()
    assert await harness.runner.start(run_ids(3), {}, run_ids(3)) == []
    for run_id in run_ids(3):
        assert (await harness.started(run_id)).adopted
    release(harness)
    await assert_complete(harness, 3)


@shims_restore_files
async def test_a_moved_run_file_gets_the_result_as_well(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    await harness.runner.launch([harness.shell("r1", "sleep 1.3; exit 4")])
    await harness.started("r1")
    moved = harness.run_files.rename(harness.root / "moved") / "r1"
    assert (await harness.result("r1")).exit_code == 4
    assert run_file.read(moved)[1] == run_file.read(harness.run_files / "r1")[1]


async def test_only_a_run_that_was_claimed_here_and_has_no_trace_can_be_launched(harness: RunnerHarness) -> None:
    await harness.runner.start(())
    await harness.runner.stop()
    here = harness.runner.origin
    origins = {
        "here": here,
        "running": here,
        "other-folder": RunOrigin("0" * 32, here.boot),
        "other-boot": RunOrigin(here.folder, str(uuid.uuid4())),
    }
    never_began = await harness.runner.start(
        [*origins, "unknown"], origins, [name for name in (*origins, "unknown") if name != "running"]
    )
    assert never_began == ["here"]
    assert (await harness.result("other-boot")).reason == reason(Code.MACHINE_REBOOTED)
    for run_id in ("running", "other-folder", "unknown"):
        assert (await harness.result(run_id)).reason == reason(Code.NO_TRACE)
