"""Engine, launcher and shims are killed with real signals; runs keep their ends and their output."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import pytest_asyncio
from runner_lab import Lab, is_alive, waited

from keiji.records import RunResult
from keiji.states import RunState
from keiji_engine.runner.runner import RunStarted
from keiji_engine.runner.spec import RunSpec

MANY = 20
PRINTING = (
    "trap 'exit 99' TERM; n=0; while [ $n -lt 20 ]; do echo {code} says $n; n=$((n+1)); done; "
    "while [ ! -e '{go}' ]; do sleep 0.02; done; echo {code} goes on; echo {code} fails >&2; exit {code}"
)


class Host:
    """The process in the engine's place."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.process: subprocess.Popen[str] | None = None
        self.launcher = 0

    def launch(self, specs: list[RunSpec]) -> None:
        """Return as soon as the specs were sent; nothing need have begun."""
        (self.root / "specs.json").write_text(json.dumps([asdict(spec) for spec in specs]))
        script = Path(__file__).with_name("runner_host.py")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.root)], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.launcher = int(self.process.stdout.readline())

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)
        self.process.wait()

    def kill_launcher(self) -> None:
        os.kill(self.launcher, signal.SIGKILL)

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.kill()
            assert self.process.stdout is not None
            self.process.stdout.close()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    host.close()


@pytest_asyncio.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A runner that each test starts itself."""
    lab = Lab(tmp_path)
    yield lab
    await lab.close()


def began(lab: Lab, count: int) -> Callable[[], bool]:
    """Whether so many runs have their file."""
    folder = lab.root / "run" / "runs"
    return lambda: folder.is_dir() and len([path for path in folder.iterdir() if path.name[0] != "."]) >= count


def ended(lab: Lab, run_id: str) -> bool:
    return (lab.root / "run" / "runs" / run_id).read_bytes().count(b"\n") == 2


def waiting(lab: Lab, count: int = MANY) -> list[RunSpec]:
    """Runs that print a little, wait until the file ``go`` is there, print more and end with codes of their own."""
    go = lab.root / "go"
    return [lab.shell(f"r{code}", PRINTING.format(code=code, go=go)) for code in range(1, count + 1)]


async def ends_are_true(lab: Lab, count: int = MANY) -> None:
    """Every run ended as it did, once, and every byte of its output is in the log, once."""
    for code in range(1, count + 1):
        result = await lab.result(f"r{code}")
        assert (result.state, result.exit_code) == (RunState.FAILED, code)
        assert result.reason == f"exit code {code}: {code} fails"
        lines = lab.lines(f"r{code}")[:-1]
        output = [line.msg for line in lines if line.level == "INFO"]
        assert output == [*(f"{code} says {number}" for number in range(20)), f"{code} goes on"]
        assert [line.msg for line in lines if line.level == "ERROR"] == [f"{code} fails"]
    told = [each.run_id for each in lab.told if isinstance(each, RunResult)]
    assert sorted(told) == sorted(f"r{code}" for code in range(1, count + 1))


def ids(count: int = MANY) -> list[str]:
    return [f"r{code}" for code in range(1, count + 1)]


async def test_runs_survive_the_engine_and_are_adopted(lab: Lab, host: Host) -> None:
    host.launch(waiting(lab))
    assert waited(lambda: began(lab, MANY)() and len(lab.lines()) >= MANY * 20)
    host.kill()

    await lab.runner.start(ids())
    assert {each.run_id for each in lab.told if isinstance(each, RunStarted) and each.adopted} == set(ids())
    (lab.root / "go").touch()
    await ends_are_true(lab)


async def test_runs_end_while_there_is_no_engine(lab: Lab, host: Host) -> None:
    host.launch(waiting(lab))
    assert waited(began(lab, MANY))
    host.kill()
    (lab.root / "go").touch()
    assert waited(lambda: all(ended(lab, run_id) for run_id in ids()))
    await lab.runner.start(ids())
    await ends_are_true(lab)


async def test_an_engine_that_dies_in_the_middle_of_a_burst_leaves_no_run_half_begun(lab: Lab, host: Host) -> None:
    (lab.root / "go").touch()
    host.launch(waiting(lab))
    host.kill()  # the specs are in the socket, and few have begun
    await lab.runner.start(ids())
    await ends_are_true(lab)


@pytest.mark.parametrize("count", [0, 1, 10, MANY])
async def test_engine_and_launcher_die_together(lab: Lab, host: Host, count: int) -> None:
    host.launch(waiting(lab))
    assert waited(began(lab, count))
    host.kill_launcher()
    host.kill()
    await lab.runner.start(ids())
    (lab.root / "go").touch()
    results = [await lab.result(run_id) for run_id in ids()]
    lost = [result.run_id for result in results if result.state == RunState.LOST]
    assert len(lost) <= MANY - count
    for code, result in enumerate(results, start=1):
        if result.state == RunState.LOST:
            assert not lab.lines(result.run_id), "what is lost has not begun"
        else:
            assert (result.exit_code, len(lab.lines(result.run_id))) == (code, 23)


@pytest.mark.parametrize("count", [0, 1, 10, MANY])
async def test_a_launcher_that_dies_is_replaced_and_no_run_begins_twice_or_never(lab: Lab, count: int) -> None:
    await lab.runner.start(())
    launcher = lab.runner._launcher
    assert launcher is not None
    await lab.runner.launch(waiting(lab))
    await lab.until(began(lab, count))
    os.kill(launcher.pid, signal.SIGKILL)
    (lab.root / "go").touch()
    await ends_are_true(lab)
    await lab.until(lambda: lab.runner._launcher not in (None, launcher))
    assert any("launcher" in note for note in lab.notes)
    assert (await lab.run(lab.shell("after", "true"))).state == RunState.SUCCEEDED


async def test_a_run_that_is_asked_for_while_there_is_no_launcher_begins_with_the_next(lab: Lab) -> None:
    await lab.runner.start(())
    launcher = lab.runner._launcher
    assert launcher is not None
    os.kill(launcher.pid, signal.SIGKILL)
    assert (await lab.run(lab.shell("r1", "exit 3"))).exit_code == 3


async def test_a_run_whose_shim_is_killed_is_lost(lab: Lab) -> None:
    await lab.runner.start(())
    await lab.runner.launch([lab.shell("r1", "echo pid $$; exec sleep 60")])
    pid = int(await lab.printed("pid "))
    started = await lab.started("r1")
    os.kill(lab.shim("r1"), signal.SIGKILL)
    result = await lab.result("r1")
    assert (result.state, result.exit_code, result.started_at) == (RunState.LOST, None, started.started_at)
    assert "shim" in result.reason
    os.kill(pid, signal.SIGKILL)  # nobody is left who could


async def test_a_shim_that_was_killed_without_an_engine_is_lost_too(lab: Lab, host: Host) -> None:
    host.launch([lab.shell("r1", "echo pid $$; exec sleep 60")])
    pid = int(await lab.printed("pid "))
    host.kill()
    shim = lab.shim("r1")
    os.kill(shim, signal.SIGKILL)
    assert waited(lambda: not is_alive(shim))
    await lab.runner.start(["r1"])
    assert (await lab.result("r1")).state == RunState.LOST
    os.kill(pid, signal.SIGKILL)


async def test_a_time_limit_holds_without_engine_and_launcher(lab: Lab, host: Host) -> None:
    host.launch(
        [lab.shell("r1", "trap '' TERM; echo ready; while :; do sleep 0.02; done", timeout=0.5, stop_grace=0.1)]
    )
    await lab.printed("ready")
    host.kill_launcher()
    host.kill()
    assert waited(lambda: ended(lab, "r1"))
    await lab.runner.start(["r1"])
    result = await lab.result("r1")
    assert (result.state, result.signal) == (RunState.TIMED_OUT, 9)
    assert result.reason == "did not end within 0.5 s; killed after another 0.1 s"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_to_the_group_of_the_engine_does_not_reach_runs(
    lab: Lab, host: Host, number: signal.Signals
) -> None:
    host.launch(waiting(lab, 3))
    assert waited(began(lab, 3))
    host.kill(number)
    await lab.runner.start(ids(3))
    (lab.root / "go").touch()
    await ends_are_true(lab, 3)


async def test_an_adopted_run_can_be_stopped(lab: Lab, host: Host) -> None:
    host.launch(waiting(lab, 2))
    assert waited(began(lab, 2))
    host.kill()
    await lab.runner.start(ids(2))
    for run_id in ids(2):
        assert lab.runner.stop_run(run_id)
        assert (await lab.result(run_id)).state == RunState.STOPPED


async def test_a_number_that_went_to_somebody_else_is_neither_adopted_nor_signalled(lab: Lab) -> None:
    """After a reboot, or long enough, the number in a run file may be that of any process."""
    stranger = subprocess.Popen(["/bin/sleep", "60"])  # noqa: ASYNC220  # it is quick
    try:
        folder = lab.root / "run" / "runs"
        folder.mkdir(parents=True)
        head = {"version": 1, "shim": stranger.pid, "started_at": "2026-11-23T10:00:00+00:00"}
        (folder / "r1").write_text(json.dumps(head) + "\n")
        await lab.runner.start(["r1"])
        assert (await lab.result("r1")).state == RunState.LOST
        assert not lab.runner.stop_run("r1")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_run_file_that_makes_no_sense_is_a_lost_run(lab: Lab) -> None:
    folder = lab.root / "run" / "runs"
    folder.mkdir(parents=True)
    for name, text in (("empty", ""), ("torn", '{"version": 1, "sh'), ("foreign", "[]\n7\n"), (".unfinished.1", "{")):
        (folder / name).write_text(text)
    await lab.runner.start(["empty"])
    assert {each.run_id for each in lab.told if isinstance(each, RunResult) and each.state == RunState.LOST} == {
        "empty", "torn", "foreign",
    }  # fmt: skip
    assert not (folder / ".unfinished.1").exists()


async def test_run_files_are_read_only_once_the_former_launcher_has_finished(lab: Lab) -> None:
    path = lab.root / "run" / "launcher.lock"
    path.parent.mkdir()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        starting = asyncio.create_task(lab.runner.start(["r1"]))
        done, _ = await asyncio.wait([starting], timeout=0.1)
        assert not done
        assert not lab.told
    await starting
    assert (await lab.result("r1")).state == RunState.LOST


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
async def test_a_full_disk_costs_the_log_and_nothing_else(lab: Lab) -> None:
    await lab.runner.start(())
    full = lab.root / "full.log"
    full.symlink_to("/dev/full")
    result = await lab.run(lab.shell("r1", "echo lost; exit 4", log_path=str(full)))
    assert (result.state, result.exit_code) == (RunState.FAILED, 4)
    assert "the log could not be written" in result.reason
