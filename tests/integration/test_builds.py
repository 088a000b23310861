"""Builds are immutable, isolated, content-addressed and created atomically."""

from __future__ import annotations

import asyncio
import json
import os
import signal
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
from keiji_engine.builds import (
    activate,
    build_task,
    collect_garbage,
    collect_unheld,
    command_of,
    create_task_folder,
    hash_sources,
    hold_builds,
    load_build,
)
from keiji_engine.builds.build_store import staging_folder

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks" / "ping é 'x'"
    create_task_folder(folder, "ping", "", schedule="every(10).seconds")
    return folder


@pytest.fixture
def builds(tmp_path: Path) -> Path:
    return tmp_path / 'state "é" $HOME it\'s' / "builds"


async def _build(source: Path, builds: Path) -> Build:
    built, _ = await build_task(source, builds, python=sys.executable, now=NOW, inherited=ENVIRONMENT)
    return built


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


def _run(built: Build, builds: Path) -> subprocess.CompletedProcess[str]:
    return _shell(*command_of(built, builds))


def _write_function(source: Path, *lines: str, before: str = "") -> None:
    body = "\n".join(f"    {line}" for line in lines)
    (source / "function.py").write_text(f"{before}\ndef function():\n{body}\n")


@pytest.fixture(scope="module")
def new_task(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Build, list[datetime]]:
    """Sources, builds, build and next instants of a new task with a secret. The tests that share it only read."""
    root = tmp_path_factory.mktemp("new")
    create_task_folder(root / "new", "new", "", schedule="every(10).seconds")
    (root / "new" / ".env").write_text("TOKEN=hunter2\n")
    builds = root / "builds"
    return root / "new", builds, *asyncio.run(build_task(root / "new", builds, python=sys.executable, now=NOW))


def test_a_new_task_can_be_built_and_run(new_task: tuple[Path, Path, Build, list[datetime]]) -> None:
    source, builds, built, upcoming = new_task

    assert _run(built, builds).stdout == "hello from keiji\n"
    assert built.command == (sys.executable, "-P", "-s", "-B", "-X", "utf8", "-u", "entry.py", "--run")
    assert built.files == hash_sources(source)
    assert built.schedule.describe() == "every 10 seconds"
    assert built.policy == Policy()
    assert 0 < built.import_seconds < 10
    assert built.created_at == NOW
    assert load_build(builds / built.hash) == built
    assert [(later - sooner).total_seconds() for sooner, later in pairwise([NOW, *upcoming])] == [10.0] * 5
    assert list(builds.iterdir()) == [builds / built.hash]


async def test_the_next_instants_are_computed_in_the_time_zone(source: Path, builds: Path) -> None:
    (source / "schedule.py").write_text(
        "from keiji import on, Policy, Retry\n"
        "def schedule():\n    return on.friday.at('10:00PM')\n"
        "policy = Policy(timeout=30, retry=Retry(tries=3, delay=1))\n"
    )

    built, upcoming = await build_task(source, builds, python=sys.executable, now=NOW, zone="Africa/Nairobi")

    assert isinstance(built.schedule, DayTime)
    assert built.policy == Policy(timeout=30, retry=Retry(tries=3, delay=1))
    assert [instant.isoformat() for instant in upcoming[:2]] == [
        "2026-11-27T19:00:00+00:00",
        "2026-12-04T19:00:00+00:00",
    ]


async def test_edits_do_not_affect_existing_builds(source: Path, builds: Path) -> None:
    (source / "texts.py").write_text("TEXT = 'old'\n")
    _write_function(source, "import texts", "print(texts.TEXT)")
    old = await _build(source, builds)

    (source / "texts.py").write_text("TEXT = 'new'\n")
    new = await _build(source, builds)
    (source / "texts.py").unlink()
    (source / "function.py").unlink()

    assert old.hash != new.hash
    assert _run(old, builds).stdout == "old\n"
    assert _run(new, builds).stdout == "new\n"


async def test_a_run_never_imports_from_the_source_folder(source: Path, builds: Path) -> None:
    _write_function(source, "import texts")
    built = await _build(source, builds)
    (source / "texts.py").write_text("print('imported from the sources')\n")

    completed = _shell(*command_of(built, builds), cwd=source)

    assert completed.returncode == 1
    assert completed.stdout == ""
    assert "No module named 'texts'" in completed.stderr


async def test_a_build_is_read_only_and_compiled_and_a_run_writes_nothing_to_it(source: Path, builds: Path) -> None:
    (source / "lib").mkdir()
    (source / "lib" / "__init__.py").write_text("X = 1\n")
    _write_function(source, "import lib, schedule")
    built = await _build(source, builds)
    folder = builds / built.hash

    def contents() -> dict[str, tuple[int, int]]:
        statuses = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*")}
        return {path: (status.st_mode, status.st_mtime_ns) for path, status in statuses.items()}

    before = contents()
    assert folder.stat().st_mode & 0o222 == 0
    assert _run(built, builds).returncode == 0

    assert contents() == before
    assert all(mode & 0o222 == 0 for mode, _ in before.values())
    tag = sys.implementation.cache_tag
    for compiled in (f"src/__pycache__/function.{tag}.pyc", f"src/lib/__pycache__/__init__.{tag}.pyc"):
        flags = int.from_bytes((folder / compiled).read_bytes()[4:8], "little")
        assert flags == 0b01, "hash-based and unchecked"


async def test_a_task_that_writes_to_its_folder_during_import_is_rejected(source: Path, builds: Path) -> None:
    before = "from pathlib import Path\nPath(__file__).with_name('cache.json').write_text('x')"
    _write_function(source, "pass", before=before)

    # An ordinary user gets a PermissionError; for root, the change is detected afterwards.
    with pytest.raises(BuildFailed, match=r"modified its own files: cache\.json|function\.py, line 2: PermissionError"):
        await _build(source, builds)
    assert list(builds.iterdir()) == []


async def test_the_same_sources_give_the_same_build_in_any_folder(source: Path, builds: Path) -> None:
    first = await _build(source, builds)
    inode = (builds / first.hash / "manifest.json").stat().st_ino
    moved = source.rename(source.with_name("elsewhere"))
    os.utime(moved / "function.py", (1, 1))
    (moved / ".env").write_text("NAME=x")
    second = await _build(moved, builds)

    assert second.hash == first.hash
    assert second.created_at == first.created_at
    assert (builds / first.hash / "manifest.json").stat().st_ino == inode
    assert len(list(builds.iterdir())) == 1


async def test_the_executable_bit_changes_the_build(source: Path, builds: Path) -> None:
    (source / "tool.sh").write_text("#!/bin/sh\necho ran\n")
    plain = await _build(source, builds)
    (source / "tool.sh").chmod(0o755)
    executable = await _build(source, builds)

    assert plain.hash != executable.hash
    tool = builds / executable.hash / "src" / "tool.sh"
    assert _shell(tool).stdout == "ran\n"


async def test_a_schedule_that_depends_on_the_env_file_is_updated_without_a_new_build(
    source: Path, builds: Path
) -> None:
    (source / "schedule.py").write_text(
        "import os\nfrom keiji import every\ndef schedule():\n    return every(int(os.environ['EVERY'])).minutes\n"
    )
    (source / ".env").write_text("EVERY=5\n")
    first = await _build(source, builds)
    (source / ".env").write_text("EVERY=7\n")
    second = await _build(source, builds)

    assert first.hash == second.hash
    assert (first.schedule.describe(), second.schedule.describe()) == ("every 5 minutes", "every 7 minutes")


async def test_python_variables_of_the_env_file_do_not_change_the_build(
    source: Path, builds: Path, tmp_path: Path
) -> None:
    (source / ".env").write_text(f"PYTHONPYCACHEPREFIX='{tmp_path}/cache'\nPYTHONOPTIMIZE=2\nPYTHONHASHSEED=0\n")
    built = await _build(source, builds)
    bytecode = sorted(path.name for path in (builds / built.hash).rglob("*.pyc"))

    assert bytecode == [f"{name}.{sys.implementation.cache_tag}.pyc" for name in ("function", "main", "schedule")]
    assert _run(built, builds).stdout == "hello from keiji\n"
    assert not (tmp_path / "cache").exists()


def test_a_build_contains_no_secrets(new_task: tuple[Path, Path, Build, list[datetime]]) -> None:
    _, builds, built, _ = new_task
    files = [path for path in (builds / built.hash).rglob("*") if path.is_file()]

    assert len(files) > 5
    assert not [path for path in files if b"hunter2" in path.read_bytes()]


async def test_an_invalid_env_file_fails_the_build_with_the_line(source: Path, builds: Path) -> None:
    (source / ".env").write_text("NAME=x\nTOKEN='hunter2\n")

    with pytest.raises(BuildFailed, match=r"/\.env, line 2: TOKEN has no closing '"):
        await _build(source, builds)


@pytest.mark.parametrize("missing", ["function.py", "schedule.py"])
async def test_a_missing_file_is_reported(source: Path, builds: Path, missing: str) -> None:
    (source / missing).unlink()

    with pytest.raises(BuildFailed, match=f"^{missing}: the file is missing in "):
        await _build(source, builds)


async def test_a_missing_interpreter_is_reported(source: Path, builds: Path) -> None:
    with pytest.raises(BuildFailed, match="cannot start the interpreter /nowhere/python"):
        await build_task(source, builds, python="/nowhere/python", now=NOW)
    assert list(builds.iterdir()) == []


@pytest.mark.parametrize(
    ("pattern", "reported"),
    [
        ("src/function.py", r"function\.py"),
        ("entry.py", r"entry\.py"),
        ("task", "task"),
        ("src/__pycache__/function.*.pyc", r"src/__pycache__/function\..*\.pyc"),
        ("src/added.py", r"added\.py"),
        ("src/__pycache__/added.pyc", r"src/__pycache__/added\.pyc"),
        ("sitecustomize.py", r"sitecustomize\.py"),
    ],
)
async def test_a_build_in_which_any_file_was_modified_or_added_is_replaced(
    source: Path, builds: Path, pattern: str, reported: str
) -> None:
    built = await _build(source, builds)
    folder = builds / built.hash
    damaged = next(folder.glob(pattern), folder / pattern)
    damaged.parent.chmod(0o755)
    damaged.unlink(missing_ok=True)
    damaged.write_text("print('tampered')\n")
    with pytest.raises(BuildFailed, match=f"was modified: {reported}$"):
        load_build(folder)

    rebuilt = await _build(source, builds)

    assert rebuilt.hash == built.hash
    assert load_build(folder) == rebuilt
    assert _run(rebuilt, builds).stdout == "hello from keiji\n"
    assert list(builds.iterdir()) == [folder]


async def test_a_build_with_a_missing_file_or_an_older_manifest_is_replaced(source: Path, builds: Path) -> None:
    for step in ("missing", "older"):
        built = await _build(source, builds)
        folder = builds / built.hash
        folder.chmod(0o755)
        if step == "missing":
            (folder / "entry.py").unlink()
        else:
            manifest = json.loads((folder / "manifest.json").read_text())
            del manifest["artifacts"]
            (folder / "manifest.json").unlink()
            (folder / "manifest.json").write_text(json.dumps(manifest))
        with pytest.raises(BuildFailed):
            load_build(folder)

    assert _run(await _build(source, builds), builds).stdout == "hello from keiji\n"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (0, "the build cannot be written: File exists: "),
        (4096, "the build cannot be written: File too large"),
        (8192, "function.py: its bytecode cannot be written completely; the disk may be full"),
    ],
)
def test_a_full_disk_is_a_clear_error_and_leaves_no_files(
    source: Path, builds: Path, limit: int, expected: str
) -> None:
    (source / "function.py").write_text("def function(): pass\n" * 300)
    script = """
import asyncio, resource, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from keiji.errors import BuildFailed
from keiji_engine.builds import build_task
source, builds, limit = *map(Path, sys.argv[1:3]), int(sys.argv[3])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # writing beyond the limit gives EFBIG
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
else:
    builds.parent.mkdir()
    builds.write_text("not a folder")
try:
    asyncio.run(build_task(source, builds, python=sys.executable, now=datetime.now(UTC)))
except BuildFailed as error:
    print(error.message)
"""
    completed = _shell(sys.executable, "-c", script, source, builds, str(limit))

    assert completed.stderr == ""
    assert expected in completed.stdout
    assert not limit or list(builds.iterdir()) == []


async def test_concurrent_builds_of_the_same_sources_give_one_build(source: Path, builds: Path) -> None:
    built = await asyncio.gather(*(_build(source, builds) for _ in range(4)))

    assert len({each.hash for each in built}) == 1
    assert list(builds.iterdir()) == [builds / built[0].hash]
    assert _run(built[0], builds).returncode == 0


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_cancelled_build_leaves_no_files(source: Path, builds: Path) -> None:
    _write_function(source, "pass", before="import threading; threading.Event().wait()")
    building = asyncio.create_task(_build(source, builds))
    await _until(lambda: list(builds.glob(".tmp-*/build/src/__pycache__/schedule*")))  # the next step is the import
    building.cancel()

    with pytest.raises(asyncio.CancelledError):
        await building
    assert list(builds.iterdir()) == []


# Each process is killed by an alarm, in another phase of the build. It is forked, because a fork starts quickly.
KILLED_BUILDS = """
import asyncio, os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
from keiji_engine.builds import build_task, load_build
source, builds = map(Path, sys.argv[1:])
for step in range(8):
    (source / "texts.py").write_text(f"NUMBER = {step}")
    pid = os.fork()
    if pid == 0:
        signal.setitimer(signal.ITIMER_REAL, 0.01 * (step + 1))
        asyncio.run(build_task(source, builds, python=sys.executable, now=datetime.now(UTC)))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    for folder in builds.glob("[0-9a-f]*"):
        load_build(folder)
"""


def test_a_killed_process_leaves_no_partial_build(source: Path, builds: Path) -> None:
    completed = _shell(sys.executable, "-c", KILLED_BUILDS, source, builds)
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout.split().count(str(-signal.SIGALRM)) >= 3

    built = asyncio.run(_build(source, builds))

    assert _run(built, builds).returncode == 0
    deadline = time.monotonic() + 10
    while leftovers := list(builds.glob(".*")):  # an orphaned validation process may still write to one
        assert time.monotonic() < deadline, leftovers
        collect_garbage(builds, {built.hash})


async def test_unused_builds_and_leftovers_are_collected(source: Path, builds: Path) -> None:
    old = await _build(source, builds)
    _write_function(source, "pass")
    new = await _build(source, builds)
    (builds / ".tmp-left").mkdir()
    (builds / ".old-left").mkdir()
    (builds / "notes").mkdir()

    assert collect_garbage(builds, {new.hash}) == [], "it is in its grace period"
    assert collect_garbage(builds, {new.hash}, grace_period=0) == [old.hash]

    assert sorted(folder.name for folder in builds.iterdir()) == sorted([new.hash, "notes"])
    assert load_build(builds / new.hash) == new


async def test_held_builds_are_not_collected(source: Path, builds: Path) -> None:
    built = await _build(source, builds)
    waits = asyncio.Event()

    async def nothing() -> set[str]:
        return set()

    async def slow() -> set[str]:
        waits.set()
        await asyncio.Event().wait()
        return set()

    async with hold_builds(builds), hold_builds(builds):
        assert await collect_unheld(builds, nothing, released={built.hash}) == []

    collecting = asyncio.create_task(collect_unheld(builds, slow))
    await waits.wait()
    collecting.cancel()
    await asyncio.wait([collecting])
    async with asyncio.timeout(20), hold_builds(builds):  # a collection that was cancelled leaves no lock
        assert (builds / built.hash).is_dir()


async def test_released_builds_are_collected_without_a_grace_period_unless_they_are_in_use(
    source: Path, builds: Path
) -> None:
    first = await _build(source, builds)
    _write_function(source, "pass")
    second = await _build(source, builds)

    async def in_use() -> set[str]:
        return {second.hash}

    assert await collect_unheld(builds, in_use, released={first.hash, second.hash}) == [first.hash]
    assert [folder.name for folder in builds.iterdir()] == [second.hash]


async def test_a_reused_build_is_not_collected_during_the_grace_period(source: Path, builds: Path) -> None:
    built = await _build(source, builds)
    os.utime(builds / built.hash, (1, 1))
    await _build(source, builds)

    assert collect_garbage(builds, set()) == []


def test_a_staging_folder_in_use_is_not_collected(builds: Path) -> None:
    with staging_folder(builds) as folder:
        collect_garbage(builds, set(), grace_period=0)
        assert folder.is_dir()
    assert list(builds.iterdir()) == []


def test_collecting_without_builds_does_nothing(builds: Path) -> None:
    assert collect_garbage(builds, set()) == []


async def test_the_link_to_the_active_build_runs_it(source: Path, builds: Path, tmp_path: Path) -> None:
    link = builds.parent / "exec" / "tasks" / source.name
    old = await _build(source, builds)
    activate(link, old, builds, tmp_path)
    _write_function(source, "import sys; print('new', sys.argv, sys.path[0]); return 3")
    new = await _build(source, builds)
    activate(link, new, builds, tmp_path)

    completed = _shell(link, "--run")
    schedule = _shell(link, "--schedule")
    usage = _shell(link)

    src = builds / new.hash / "src"
    assert (completed.returncode, completed.stdout) == (3, f"new {[str(src / 'function.py')]} {src}\n")
    assert schedule.stdout.splitlines()[0] == "every 10 seconds"
    assert len(schedule.stdout.splitlines()) == 6
    assert (usage.returncode, usage.stdout) == (2, "")
    assert usage.stderr.startswith(f"usage: {link} --run [NAME=VALUE…] (run the task) or {link} --schedule")
    assert [path.name for path in link.parent.iterdir()] == [link.name]


async def test_the_link_runs_a_build_with_the_values_of_the_env_file(
    source: Path, builds: Path, tmp_path: Path
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "team_tools.py").write_text("NAME = 'team'\n")
    (source / ".env").write_text(f"SECRET=abc\nPYTHONPATH='{tmp_path}/shared'\n")
    _write_function(source, "import os, team_tools; print(os.environ['SECRET'], os.environ['LANG'], team_tools.NAME)")
    link = builds.parent / "exec" / "tasks" / source.name
    activate(link, await _build(source, builds), builds, tmp_path)

    relative = _shell(f"./{link.name}", "--run", cwd=link.parent, LANG="C.UTF-8")
    (source / ".env").write_text("SECRET='abc\n")
    invalid = _shell(link, "--run")

    assert (relative.stdout, relative.stderr) == ("abc C.UTF-8 team\n", "")
    assert invalid.returncode == 1
    assert "/.env, line 1: SECRET has no closing '" in invalid.stderr


async def test_a_state_folder_that_was_moved_runs_its_builds(source: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    workspace = root / "workspace"
    (workspace / "tasks").mkdir(parents=True)
    source = source.rename(workspace / "tasks" / "ping")
    (source / ".env").write_text("SECRET=abc\n")
    _write_function(source, "import os; print(function.__code__.co_filename, os.environ['SECRET'])")
    built = await _build(source, root / "builds")
    activate(root / "exec" / "tasks" / "ping", built, root / "builds", workspace)

    moved = root.rename(tmp_path / "moved")

    files = [path for path in moved.rglob("*") if path.is_file()]
    assert not [path for path in files if str(root).encode() in path.read_bytes()]
    completed = _shell(moved / "exec" / "tasks" / "ping", "--run")
    assert (completed.stdout, completed.stderr) == (f"{moved}/builds/{built.hash}/src/function.py abc\n", "")
    assert (await _build(moved / "workspace" / "tasks" / "ping", moved / "builds")).created_at == built.created_at
