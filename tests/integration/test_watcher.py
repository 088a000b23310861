"""The watcher reports how sources differ from the active build, for all kinds of edits, and does not stop on errors."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from keiji_engine.builds import create_task_folder, hash_sources
from keiji_engine.watcher import SourceState, Watcher

CHANGED = SourceState("ping", ("function.py",))
SAME = SourceState("ping")


class TaskFolders:
    """A folder of tasks with the task "ping", the files of the active builds, and the reports of the watcher."""

    def __init__(self, root: Path) -> None:
        self.tasks = root / "tasks é 'x'"
        self.source = self.tasks / "ping"
        self.function = self.source / "function.py"
        self.active: dict[str, dict[str, str]] = {}
        self.reports: asyncio.Queue[SourceState] = asyncio.Queue()
        create_task_folder(self.source, "ping", "")
        self.activate()

    def activate(self, slug: str = "ping") -> None:
        self.active[slug] = hash_sources(self.tasks / slug)

    def add_active(self, slug: str) -> Path:
        create_task_folder(self.tasks / slug, slug, "")
        self.activate(slug)
        return self.tasks / slug

    def save(self, text: str) -> None:
        """Replace function.py atomically, so that no check reads a partial file."""
        temporary = self.source / ".function.py.swp"
        temporary.write_text(text)
        temporary.replace(self.function)

    def watcher(self, *, debounce: float = 0.01, max_delay: float = 3.0, recheck_interval: float = 60.0) -> Watcher:
        return Watcher(
            self.tasks,
            lambda: self.active,
            self.reports.put_nowait,
            debounce=debounce,
            max_delay=max_delay,
            recheck_interval=recheck_interval,
            poll_interval=0.05,
            event_interval=0.01,
        )

    async def next_report(self) -> SourceState:
        async with asyncio.timeout(20):
            return await self.reports.get()


@pytest.fixture
def folders(tmp_path: Path) -> TaskFolders:
    return TaskFolders(tmp_path)


@asynccontextmanager
async def running(watcher: Watcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(watcher.serve())
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_an_edit_is_reported_and_reverting_it_clears_the_report(folders: TaskFolders) -> None:
    original = folders.function.read_text()
    async with running(folders.watcher()):
        folders.save("def function(): pass\n")
        assert await folders.next_report() == CHANGED

        folders.save("def function(:\n")
        assert await folders.next_report() == SourceState(
            "ping", ("function.py",), "function.py, line 1: invalid syntax"
        )

        folders.save(original)
        assert await folders.next_report() == SAME


async def test_the_final_content_of_a_file_written_in_place_is_reported(folders: TaskFolders) -> None:
    async with running(folders.watcher()):
        for text, error in (("x =\n", "function.py, line 1: invalid syntax"), ("x = 2\n", "")):
            folders.function.write_text(text)
            while (state := await folders.next_report()).error != error:
                assert state == CHANGED, "a check may read a partial file"
            assert state.changes == ("function.py",)


async def test_added_and_removed_files_are_reported_by_path(folders: TaskFolders) -> None:
    async with running(folders.watcher()):
        (folders.source / "lib").mkdir()
        (folders.source / "lib" / "module.py").write_text("x = 1\n")
        assert await folders.next_report() == SourceState("ping", ("lib/module.py",))

        (folders.source / "main.py").unlink()
        assert await folders.next_report() == SourceState("ping", ("lib/module.py", "main.py"))


async def test_changes_made_before_the_start_are_reported_at_the_start(folders: TaskFolders) -> None:
    folders.function.write_text("x = 1\n")

    async with running(folders.watcher()):
        assert await folders.next_report() == CHANGED


async def test_files_that_are_not_sources_and_tasks_without_a_build_are_ignored(folders: TaskFolders) -> None:
    create_task_folder(folders.tasks / "other", "other", "")
    async with running(folders.watcher()):
        (folders.source / ".env").write_text("NAME=other\n")
        (folders.source / "__pycache__").mkdir()
        (folders.source / "__pycache__" / "x.pyc").write_text("x")
        (folders.tasks / "other" / "function.py").write_text("x = 1\n")
        (folders.tasks / "stray.py").write_text("x")
        (folders.source / "function.py~").write_text("x")
        original = folders.function.read_text()
        for text, report in (("x = 1\n", CHANGED), (original, SAME)):  # two checks: the others would be reported by now
            folders.save(text)
            assert await folders.next_report() == report
    assert folders.reports.empty()


async def test_an_unchanged_state_is_not_reported_again(folders: TaskFolders) -> None:
    async with running(folders.watcher()):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED
        folders.function.write_text("x = 2\n")
        (folders.source / "module.py").write_text("x = 1\n")

        assert await folders.next_report() == SourceState("ping", ("function.py", "module.py"))


async def test_a_new_build_clears_the_report_and_becomes_the_reference(folders: TaskFolders) -> None:
    watcher = folders.watcher()
    async with running(watcher):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED
        folders.activate()
        watcher.recheck("ping")
        assert await folders.next_report() == SAME

        folders.function.write_text("x = 2\n")
        assert await folders.next_report() == CHANGED


async def test_sources_edited_during_a_build_are_reported_again(folders: TaskFolders) -> None:
    watcher = folders.watcher()
    async with running(watcher):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED
        folders.active["ping"] = folders.active["ping"] | {"function.py": "hash of the new build"}
        watcher.recheck("ping")

        assert await folders.next_report() == CHANGED


async def test_a_deleted_task_that_is_created_again_is_reported_again(folders: TaskFolders) -> None:
    watcher = folders.watcher()
    async with running(watcher):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED
        files = folders.active.pop("ping")
        watcher.recheck("ping")
        other = folders.add_active("other")
        (other / "main.py").unlink()
        assert await folders.next_report() == SourceState("other", ("main.py",))

        folders.active["ping"] = files
        watcher.recheck("ping")
        assert await folders.next_report() == CHANGED


async def test_the_folder_of_tasks_may_be_created_later(tmp_path: Path, folders: TaskFolders) -> None:
    elsewhere = folders.tasks.rename(tmp_path / "elsewhere")
    async with running(folders.watcher()):
        missing = await folders.next_report()
        assert missing.changes == ("function.py", "main.py", "schedule.py", "task.toml")
        assert missing.error == f"the folder {folders.source} does not exist"

        elsewhere.rename(folders.tasks)
        assert await folders.next_report() == SAME
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED


async def test_the_folder_of_tasks_may_be_replaced(tmp_path: Path, folders: TaskFolders) -> None:
    async with running(folders.watcher()):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED

        shutil.copytree(folders.tasks, tmp_path / "new")
        (tmp_path / "new" / "ping" / "module.py").write_text("x = 1\n")
        folders.tasks.rename(tmp_path / "old")
        (tmp_path / "new").rename(folders.tasks)
        state = await folders.next_report()
        if state.error:  # the check ran between the two renames
            state = await folders.next_report()
        assert state == SourceState("ping", ("function.py", "module.py"))

        (folders.source / "module.py").unlink()
        assert await folders.next_report() == CHANGED


async def test_a_removed_task_folder_is_reported_and_the_others_are_still_watched(folders: TaskFolders) -> None:
    other = folders.add_active("other")
    async with running(folders.watcher()):
        shutil.rmtree(folders.source)
        state = await folders.next_report()
        while not state.error:  # a check may run during the removal
            state = await folders.next_report()
        assert state.error == f"the folder {folders.source} does not exist"

        (other / "function.py").write_text("x = 1\n")
        assert await folders.next_report() == SourceState("other", ("function.py",))


def _add_pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.py")


def _add_cyclic_links(folder: Path) -> None:
    (folder / "here").symlink_to(".")
    (folder / "up").symlink_to("../..")


@pytest.mark.parametrize("add", [_add_pipe, _add_cyclic_links], ids=["pipe", "cyclic links"])
async def test_unusual_files_do_not_stop_the_watcher(folders: TaskFolders, add: Callable[[Path], None]) -> None:
    add(folders.source)
    folders.activate()
    async with running(folders.watcher()):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED


async def test_unreadable_sources_are_reported_with_the_reason_until_they_are_readable(folders: TaskFolders) -> None:
    async with running(folders.watcher()):
        (folders.source / "data").symlink_to("data")
        state = await folders.next_report()
        assert state.error == "data cannot be read: Too many levels of symbolic links"

        (folders.source / "data").unlink()
        assert await folders.next_report() == SAME


async def test_an_edit_without_an_event_is_found_by_the_periodic_recheck(folders: TaskFolders, tmp_path: Path) -> None:
    shared = tmp_path / "shared.py"  # outside the folder that is watched
    shared.write_text("x = 1\n")
    (folders.source / "shared.py").symlink_to(shared)
    folders.activate()
    edited = SourceState("ping", ("shared.py",))
    async with running(folders.watcher(recheck_interval=0.05)):
        # During the start there are two checks of all tasks. Only the periodic recheck can find the third edit.
        for text, report in (("x = 2\n", edited), ("x = 1\n", SAME), ("x = 2\n", edited)):
            temporary = shared.with_suffix(".tmp")
            temporary.write_text(text)
            temporary.replace(shared)
            assert await folders.next_report() == report


async def complete_start(folders: TaskFolders) -> None:
    """Wait until the checks of all tasks during the start have passed: there are two, and an event causes the third."""
    for name in ("a.py", "b.py", "c.py"):
        (folders.source / name).write_text("x = 1\n")
        await folders.next_report()


async def test_a_task_that_is_written_continuously_is_checked_after_the_maximum_delay(folders: TaskFolders) -> None:
    other = folders.add_active("other")
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.01):
            (other / "function.py").write_text("x = 1\n")

    async with running(folders.watcher(debounce=1000.0, max_delay=0.05)):
        await complete_start(folders)
        writer = asyncio.create_task(asyncio.to_thread(write))
        try:
            assert (await folders.next_report()).changes == ("function.py",)
            assert not writer.done()
        finally:
            stop.set()
            await writer


async def test_a_task_is_checked_only_after_the_debounce_time(folders: TaskFolders) -> None:
    clock = asyncio.get_running_loop().time
    other = folders.add_active("other")
    async with running(folders.watcher(debounce=0.1)):
        await complete_start(folders)
        written_at = clock()
        (other / "d.py").write_text("x = 1\n")

        assert await folders.next_report() == SourceState("other", ("d.py",))
        assert clock() - written_at >= 0.1


async def test_the_watcher_can_be_stopped_and_run_again(folders: TaskFolders) -> None:
    watcher = folders.watcher()
    async with running(watcher):
        folders.function.write_text("x = 1\n")
        assert await folders.next_report() == CHANGED
    (folders.source / "module.py").write_text("x = 1\n")
    watcher.recheck("ping")

    async with running(watcher):
        assert await folders.next_report() == SourceState("ping", ("function.py", "module.py"))
        (folders.source / "module.py").unlink()
        assert await folders.next_report() == CHANGED


async def test_an_exception_in_the_callback_stops_the_watcher_and_is_raised(folders: TaskFolders) -> None:
    def fail(state: SourceState) -> None:
        raise LookupError(state.slug)

    folders.function.write_text("x = 1\n")
    watcher = Watcher(folders.tasks, lambda: folders.active, fail)

    with pytest.raises(ExceptionGroup) as failure:
        await asyncio.wait_for(watcher.serve(), 20)
    assert failure.group_contains(LookupError, match="ping")


# ── ways of saving ───────────────────────────────────────────────────────────────────────────────────────────────────

NEW, OLD = "def function():\n    return 2\n", "def function():\n    return 1\n"


def _write_in_steps(folder: Path) -> None:
    with (folder / "function.py").open("w") as file:
        for line in NEW.splitlines(keepends=True):
            file.write(line)
            file.flush()


def _replace(folder: Path, temporary: str) -> None:
    (folder / temporary).write_text(NEW)
    (folder / temporary).replace(folder / "function.py")


def _keep_backup(folder: Path) -> None:
    (folder / "function.py").rename(folder / "function.py~")
    (folder / "function.py").write_text(NEW)
    (folder / "function.py~").unlink()


def _recreate(folder: Path, text: str) -> None:
    (folder / "function.py").unlink()
    (folder / "function.py").write_text(text)


def _edit_and_undo(folder: Path) -> None:
    _replace(folder, ".function.py.swp")
    (folder / "function.py").write_text(OLD)


def _add_folder(folder: Path) -> None:
    (folder / "new").mkdir()
    for name in ("__init__.py", "module.py"):
        (folder / "new" / name).write_text("x = 1\n")


def _replace_folder(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name(".copy"))
    (folder.with_name(".copy") / "function.py").write_text(NEW)
    folder.rename(folder.with_name(".old"))
    folder.with_name(".copy").rename(folder)


def _move_away_and_back(folder: Path) -> None:
    folder.rename(folder.with_name(".elsewhere"))
    folder.with_name(".elsewhere").rename(folder)


def _clone_again(folder: Path) -> None:
    copy = folder.with_name(".clone")
    shutil.copytree(folder, copy)
    shutil.rmtree(folder)
    shutil.copytree(copy, folder)


FILES = ("function.py", "lib/module.py")
# What a program does with the folder of a task, and the files that are then offered to be built.
WAYS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "in place": (lambda folder: (folder / "function.py").write_text(NEW), ("function.py",)),
    "in place, in steps": (_write_in_steps, ("function.py",)),
    "in place, the same content": (lambda folder: (folder / "function.py").write_text(OLD), ()),
    "touched": (lambda folder: (folder / "function.py").touch(), ()),
    "atomic rename": (lambda folder: _replace(folder, ".function.py.swp"), ("function.py",)),
    "atomic rename of a visible file": (lambda folder: _replace(folder, "function.tmp"), ("function.py",)),
    "with a backup": (_keep_backup, ("function.py",)),
    "deleted and recreated": (lambda folder: _recreate(folder, NEW), ("function.py",)),
    "deleted and recreated, the same content": (lambda folder: _recreate(folder, OLD), ()),
    "edited and undone": (_edit_and_undo, ()),
    "made executable": (lambda folder: (folder / "function.py").chmod(0o755), ("function.py",)),
    "file deleted": (lambda folder: (folder / "lib" / "module.py").unlink(), ("lib/module.py",)),
    "file renamed": (lambda folder: (folder / "function.py").rename(folder / "f.py"), ("f.py", "function.py")),
    "folder added": (_add_folder, ("new/__init__.py", "new/module.py")),
    "folder renamed": (lambda folder: (folder / "lib").rename(folder / "l"), ("l/module.py", "lib/module.py")),
    "folder deleted": (lambda folder: shutil.rmtree(folder / "lib"), ("lib/module.py",)),
    "task replaced": (_replace_folder, ("function.py",)),
    "task moved away and back": (_move_away_and_back, ()),
    "task cloned again": (_clone_again, ()),
    "task deleted": (shutil.rmtree, FILES),
    "task renamed": (lambda folder: folder.rename(folder.with_name("another_name")), FILES),
}
GIT_FILES = tuple(sorted(f"module_{number}.py" for number in range(100)))


def git(tasks: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")
    subprocess.run(("git", *identity, *arguments), cwd=tasks, check=True, capture_output=True, timeout=20)


def create_repository(tasks: Path) -> None:
    """Create tasks in version control: two commits differ in 100 files of one task and in one of another."""
    tasks.mkdir()
    for slug in ("many", "one", "none"):
        (tasks / slug).mkdir()
        for name in GIT_FILES:
            (tasks / slug / name).write_text("x = 1\n")
    git(tasks, "init")
    for number in (1, 2):
        for slug, names in (("many", GIT_FILES), ("one", GIT_FILES[:1])):
            for name in names:
                (tasks / slug / name).write_text(f"x = {number}\n")
        git(tasks, "add", ".")
        git(tasks, "commit", "-m", f"version {number}")
        git(tasks, "tag", f"v{number}")
    git(tasks, "checkout", "v1")


async def reports_of(folders: TaskFolders, save: Callable[[], object]) -> dict[str, list[SourceState]]:
    """Return what the watcher reports about each task after ``save``, except about "ping"."""
    reports: dict[str, list[SourceState]] = {}
    async with running(folders.watcher(debounce=0.4)):
        await complete_start(folders)
        await asyncio.to_thread(save)
        for name in ("d.py", "e.py"):  # when the second one is reported, everything before it has been
            (folders.source / name).write_text("x = 1\n")
            while (state := await folders.next_report()).slug != "ping":
                reports.setdefault(state.slug, []).append(state)
    return reports


async def test_every_way_of_saving_leads_to_one_offer_with_the_right_files_or_to_none(folders: TaskFolders) -> None:
    ways = {way.replace(" ", "_").replace(",", ""): work for way, work in WAYS.items()}
    for slug in ways:
        (folders.tasks / slug / "lib").mkdir(parents=True)
        (folders.tasks / slug / "function.py").write_text(OLD)
        (folders.tasks / slug / "lib" / "module.py").write_text(OLD)
        folders.activate(slug)

    def save() -> None:
        for slug, (work, _) in ways.items():
            work(folders.tasks / slug)

    reports = await reports_of(folders, save)

    found = {slug: [state.changes for state in states] for slug, states in reports.items()}
    assert found == {slug: [files] for slug, (_, files) in ways.items() if files}
    missing = {slug for slug, states in reports.items() if states[0].error}
    assert missing == {"task_deleted", "task_renamed"}


async def test_a_checkout_of_many_files_leads_to_one_offer_for_each_task(tmp_path: Path, folders: TaskFolders) -> None:
    folders.tasks.rename(tmp_path / "ping")
    create_repository(folders.tasks)
    (tmp_path / "ping" / "ping").rename(folders.source)
    for slug in ("many", "one", "none"):
        folders.activate(slug)

    reports = await reports_of(folders, lambda: git(folders.tasks, "checkout", "v2"))

    assert reports == {
        "many": [SourceState("many", GIT_FILES)],
        "one": [SourceState("one", GIT_FILES[:1])],
    }
    git(folders.tasks, "checkout", "v1")

    def there_and_back() -> None:
        git(folders.tasks, "checkout", "v2")
        git(folders.tasks, "checkout", "v1")

    for name in "abcde":
        (folders.source / f"{name}.py").unlink()
    assert await reports_of(folders, there_and_back) == {}
