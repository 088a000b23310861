"""Builds are immutable, isolated, content-addressed and never there in half."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest

from keiji.errors import BuildFailed
from keiji.policy import Policy, Retry
from keiji.records import Build
from keiji.schedule import DayTime
from keiji_engine.builds import build, collect, create, fingerprint, link, load
from keiji_engine.builds.build_store import draft

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks" / "ping é 'x'"
    create(folder, "ping", "")
    return folder


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    return tmp_path / 'state "é" $HOME it\'s' / "builds"


async def _build(source: Path, builds: Path) -> Build:
    made, _ = await build(source, builds, python=sys.executable, now=NOW, inherited=ENVIRONMENT)
    return made


def _shell(*command: str | Path, cwd: str | Path = "/", **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        cwd=cwd,
        env=ENVIRONMENT | environment,
        stdin=subprocess.DEVNULL,
    )


def _run(made: Build) -> subprocess.CompletedProcess[str]:
    return _shell(*made.command)


def _function(source: Path, *lines: str, before: str = "") -> None:
    body = "\n".join(f"    {line}" for line in lines)
    (source / "function.py").write_text(f"{before}\ndef function():\n{body}\n")


async def test_a_new_task_builds_and_runs_as_it_is(source: Path, builds: Path) -> None:
    made, upcoming = await build(source, builds, python=sys.executable, now=NOW)

    assert _run(made).stdout == "hello from keiji\n"
    assert made.command == (
        sys.executable, "-I", "-B", "-u", "-X", "utf8", str(builds / made.hash / "entry.py"), "--run",
    )  # fmt: skip
    assert made.files == fingerprint(source)
    assert made.schedule.describe() == "every 10 seconds"
    assert made.policy == Policy()
    assert 0 < made.import_seconds < 10
    assert made.created_at == NOW
    assert load(builds / made.hash) == made
    assert [(later - sooner).total_seconds() for sooner, later in pairwise([NOW, *upcoming])] == [10.0] * 5
    assert list(builds.iterdir()) == [builds / made.hash]


async def test_the_next_instants_are_told_by_the_clocks_of_the_zone(source: Path, builds: Path) -> None:
    (source / "schedule.py").write_text(
        "from keiji import on, Policy, Retry\n"
        "def schedule():\n    return on.friday.at('10:00PM')\n"
        "policy = Policy(timeout=30, retry=Retry(tries=3, delay=1))\n"
    )

    made, upcoming = await build(source, builds, python=sys.executable, now=NOW, zone="Africa/Nairobi")

    assert isinstance(made.schedule, DayTime)
    assert made.policy == Policy(timeout=30, retry=Retry(tries=3, delay=1))
    assert [moment.isoformat() for moment in upcoming[:2]] == ["2026-11-27T19:00:00+00:00", "2026-12-04T19:00:00+00:00"]


async def test_edits_do_not_touch_what_was_built(source: Path, builds: Path) -> None:
    (source / "words.py").write_text("TEXT = 'old'\n")
    _function(source, "import words", "print(words.TEXT)")
    old = await _build(source, builds)

    (source / "words.py").write_text("TEXT = 'new'\n")
    new = await _build(source, builds)
    (source / "words.py").unlink()
    (source / "function.py").unlink()

    assert old.hash != new.hash
    assert _run(old).stdout == "old\n"
    assert _run(new).stdout == "new\n"


async def test_a_run_never_imports_from_the_source_folder(source: Path, builds: Path) -> None:
    _function(source, "import words")
    made = await _build(source, builds)
    (source / "words.py").write_text("print('imported from the sources')\n")

    ran = _shell(*made.command, cwd=source, PYTHONPATH=str(source))

    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "No module named 'words'" in ran.stderr


async def test_a_build_is_read_only_and_compiled_and_running_it_writes_nothing(source: Path, builds: Path) -> None:
    (source / "lib").mkdir()
    (source / "lib" / "__init__.py").write_text("X = 1\n")
    _function(source, "import lib, schedule")
    made = await _build(source, builds)
    folder = builds / made.hash

    def contents() -> dict[str, tuple[int, int]]:
        found = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*")}
        return {path: (status.st_mode, status.st_mtime_ns) for path, status in found.items()}

    before = contents()
    assert folder.stat().st_mode & 0o222 == 0
    assert _run(made).returncode == 0

    assert contents() == before
    assert all(mode & 0o222 == 0 for mode, _ in before.values())
    tag = sys.implementation.cache_tag
    for compiled in (f"src/__pycache__/function.{tag}.pyc", f"src/lib/__pycache__/__init__.{tag}.pyc"):
        flags = int.from_bytes((folder / compiled).read_bytes()[4:8], "little")
        assert flags == 0b01, "hash-based and unchecked"


async def test_a_task_that_writes_beside_its_sources_while_it_is_imported_is_refused(
    source: Path, builds: Path
) -> None:
    before = "from pathlib import Path\nPath(__file__).with_name('cache.json').write_text('x')"
    _function(source, "pass", before=before)

    # An ordinary user gets the PermissionError, root is found out afterwards.
    with pytest.raises(BuildFailed, match=r"changed its own files: cache\.json|function\.py, line 2: PermissionError"):
        await _build(source, builds)
    assert list(builds.iterdir()) == []


async def test_the_same_sources_give_the_same_build_wherever_they_lie(source: Path, builds: Path) -> None:
    first = await _build(source, builds)
    stamp = (builds / first.hash / "manifest.json").stat().st_ino
    moved = source.rename(source.with_name("elsewhere"))
    os.utime(moved / "function.py", (1, 1))
    (moved / ".env").write_text("NAME=x")
    second = await _build(moved, builds)

    assert second.hash == first.hash
    assert second.created_at == first.created_at
    assert (builds / first.hash / "manifest.json").stat().st_ino == stamp
    assert len(list(builds.iterdir())) == 1


async def test_the_x_bit_makes_another_build(source: Path, builds: Path) -> None:
    (source / "tool.sh").write_text("#!/bin/sh\necho ran\n")
    plain = await _build(source, builds)
    (source / "tool.sh").chmod(0o755)
    program = await _build(source, builds)

    assert plain.hash != program.hash
    tool = builds / program.hash / "src" / "tool.sh"
    assert _shell(tool).stdout == "ran\n"


async def test_a_schedule_that_reads_the_env_file_follows_it_without_a_new_build(source: Path, builds: Path) -> None:
    (source / "schedule.py").write_text(
        "import os\nfrom keiji import every\ndef schedule():\n    return every(int(os.environ['EVERY'])).minutes\n"
    )
    (source / ".env").write_text("EVERY=5\n")
    first = await _build(source, builds)
    (source / ".env").write_text("EVERY=7\n")
    second = await _build(source, builds)

    assert first.hash == second.hash
    assert (first.schedule.describe(), second.schedule.describe()) == ("every 5 minutes", "every 7 minutes")


async def test_secrets_stay_out_of_the_build(source: Path, builds: Path) -> None:
    (source / ".env").write_text("TOKEN=hunter2\n")
    made = await _build(source, builds)

    assert not [path for path in (builds / made.hash).rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]


async def test_an_env_file_that_cannot_be_read_fails_the_build_with_its_line(source: Path, builds: Path) -> None:
    (source / ".env").write_text("NAME=x\nTOKEN='hunter2\n")

    with pytest.raises(BuildFailed, match=r"/\.env, line 2: TOKEN begins with ', and no ' ends it"):
        await _build(source, builds)


@pytest.mark.parametrize("missing", ["function.py", "schedule.py"])
async def test_a_missing_file_is_named(source: Path, builds: Path, missing: str) -> None:
    (source / missing).unlink()

    with pytest.raises(BuildFailed, match=f"^{missing}: there is no such file"):
        await _build(source, builds)


async def test_an_interpreter_that_is_not_there_is_named(source: Path, builds: Path) -> None:
    with pytest.raises(BuildFailed, match="the interpreter /nowhere/python cannot be started"):
        await build(source, builds, python="/nowhere/python", now=NOW)
    assert list(builds.iterdir()) == []


async def test_a_build_that_somebody_damaged_is_replaced(source: Path, builds: Path) -> None:
    made = await _build(source, builds)
    damaged = builds / made.hash / "src" / "function.py"
    damaged.chmod(0o644)
    damaged.write_text("def function():\n    print('tampered')\n")
    with pytest.raises(BuildFailed, match=r"was changed: function\.py"):
        load(builds / made.hash)

    again = await _build(source, builds)

    assert again.hash == made.hash
    assert _run(again).stdout == "hello from keiji\n"
    assert list(builds.iterdir()) == [builds / made.hash]


async def test_building_the_same_at_once_gives_one_build(source: Path, builds: Path) -> None:
    made = await asyncio.gather(*(_build(source, builds) for _ in range(4)))

    assert len({each.hash for each in made}) == 1
    assert list(builds.iterdir()) == [builds / made[0].hash]
    assert _run(made[0]).returncode == 0


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_cancelled_build_leaves_nothing(source: Path, builds: Path) -> None:
    _function(source, "pass", before="import threading; threading.Event().wait()")
    building = asyncio.create_task(_build(source, builds))
    await _until(lambda: list(builds.glob(".tmp-*/build/src/__pycache__/schedule*")))  # next is the import, which hangs
    building.cancel()

    with pytest.raises(asyncio.CancelledError):
        await building
    assert list(builds.iterdir()) == []


BUILDER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from keiji_engine.builds import build
source, builds = map(Path, sys.argv[1:])
print("ready", flush=True)
asyncio.run(build(source, builds, python=sys.executable, now=datetime.now(UTC)))
"""


def test_killed_at_any_instant_it_leaves_no_half_a_build(source: Path, builds: Path) -> None:
    killed = 0
    for step in range(8):
        (source / "words.py").write_text(f"NUMBER = {step}\n")
        process = subprocess.Popen([sys.executable, "-c", BUILDER, source, builds], stdout=subprocess.PIPE)
        assert process.stdout is not None
        with process.stdout:
            assert process.stdout.readline() == b"ready\n"
            try:
                process.wait(timeout=0.01 * (step + 1))
            except subprocess.TimeoutExpired:
                process.kill()
            killed += process.wait() == -9
        for folder in builds.glob("[0-9a-f]*"):
            load(folder)
    assert killed >= 3

    made = asyncio.run(_build(source, builds))

    assert _run(made).returncode == 0
    limit = time.monotonic() + 10
    while leftovers := list(builds.glob(".*")):  # an orphaned gate may still write into one
        assert time.monotonic() < limit, leftovers
        collect(builds, {made.hash})


async def test_what_is_not_referred_to_is_collected(source: Path, builds: Path) -> None:
    old = await _build(source, builds)
    _function(source, "pass")
    new = await _build(source, builds)
    (builds / ".tmp-left").mkdir()
    (builds / ".old-left").mkdir()
    (builds / "somebody's notes").mkdir()

    assert collect(builds, {new.hash}) == [], "it was asked for just now"
    assert collect(builds, {new.hash}, spare=0) == [old.hash]

    assert sorted(folder.name for folder in builds.iterdir()) == sorted([new.hash, "somebody's notes"])
    assert load(builds / new.hash) == new


async def test_a_build_that_is_used_again_is_not_collected_before_it_is_recorded(source: Path, builds: Path) -> None:
    made = await _build(source, builds)
    os.utime(builds / made.hash, (1, 1))
    await _build(source, builds)

    assert collect(builds, set()) == []


def test_what_somebody_builds_in_is_not_collected(builds: Path) -> None:
    with draft(builds) as folder:
        collect(builds, set(), spare=0)
        assert folder.is_dir()
    assert list(builds.iterdir()) == []


def test_collecting_where_nothing_was_built_is_fine(builds: Path) -> None:
    assert collect(builds, set()) == []


async def test_the_link_leads_to_a_launcher_that_runs_by_hand(source: Path, builds: Path, tmp_path: Path) -> None:
    place = tmp_path / "exec" / "ping é 'x'"
    old = await _build(source, builds)
    link(place, old)
    _function(source, "import sys; print('new', sys.argv, sys.path[0]); return 3")
    new = await _build(source, builds)
    link(place, new)

    ran = _shell(place, "--run")
    shown = _shell(place, "--schedule")
    usage = _shell(place)

    src = builds / new.hash / "src"
    assert (ran.returncode, ran.stdout) == (3, f"new {[str(src / 'function.py')]} {src}\n")
    assert shown.stdout.splitlines()[0] == "every 10 seconds"
    assert len(shown.stdout.splitlines()) == 6
    assert (usage.returncode, usage.stdout) == (2, "")
    assert [path.name for path in place.parent.iterdir()] == [place.name]
