"""The watcher tells what differs from the active build, however the edit was made, and nothing ends it."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from keiji_engine.builds import create, fingerprint
from keiji_engine.watcher import SourceState, Watcher

CHANGED = SourceState("ping", ("function.py",))
SAME = SourceState("ping")


class Scene:
    """A folder of tasks, what is active, and what the watcher told."""

    def __init__(self, root: Path) -> None:
        self.tasks = root / "tasks é 'x'"
        self.source = self.tasks / "ping"
        self.function = self.source / "function.py"
        self.active: dict[str, dict[str, str]] = {}
        self.told: asyncio.Queue[SourceState] = asyncio.Queue()
        create(self.source, "ping", "")
        self.activate()

    def activate(self, slug: str = "ping") -> None:
        self.active[slug] = fingerprint(self.tasks / slug)

    def save(self, text: str) -> None:
        """Replace function.py at once, so that no look can find it half written."""
        fresh = self.source / ".function.py.swp"
        fresh.write_text(text)
        fresh.replace(self.function)

    def watcher(self, *, quiet: float = 0.05, most: float = 3.0, recheck: float = 60.0) -> Watcher:
        return Watcher(
            self.tasks,
            lambda: self.active,
            self.told.put_nowait,
            quiet=quiet,
            most=most,
            recheck=recheck,
            glance=0.1,
        )

    async def next(self) -> SourceState:
        async with asyncio.timeout(20):
            return await self.told.get()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@asynccontextmanager
async def running(watcher: Watcher) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(watcher.run())
    try:
        yield task
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_an_edit_is_told_and_taking_it_back_clears_it(scene: Scene) -> None:
    original = scene.function.read_text()
    async with running(scene.watcher()):
        scene.save("def function(): pass\n")
        assert await scene.next() == CHANGED

        scene.save("def function(:\n")
        assert await scene.next() == SourceState("ping", ("function.py",), "function.py, line 1: invalid syntax")

        scene.save(original)
        assert await scene.next() == SAME


async def test_a_file_that_is_written_in_place_is_seen_as_it_is_in_the_end(scene: Scene) -> None:
    async with running(scene.watcher()):
        for text, error in (("x =\n", "function.py, line 1: invalid syntax"), ("x = 2\n", "")):
            scene.function.write_text(text)
            while (state := await scene.next()).error != error:
                assert state == CHANGED, "it may be seen half written"
            assert state.changes == ("function.py",)


async def test_files_that_come_and_go_are_told_by_name(scene: Scene) -> None:
    async with running(scene.watcher()):
        (scene.source / "lib").mkdir()
        (scene.source / "lib" / "words.py").write_text("x = 1\n")
        assert await scene.next() == SourceState("ping", ("lib/words.py",))

        (scene.source / "main.py").unlink()
        assert await scene.next() == SourceState("ping", ("lib/words.py", "main.py"))


async def test_what_changed_before_it_started_is_told_at_once(scene: Scene) -> None:
    scene.function.write_text("x = 1\n")

    async with running(scene.watcher()):
        assert await scene.next() == CHANGED


async def test_what_is_no_source_or_not_active_is_not_told(scene: Scene) -> None:
    create(scene.tasks / "other", "other", "")
    async with running(scene.watcher()):
        (scene.source / ".env").write_text("NAME=other\n")
        (scene.source / "__pycache__").mkdir()
        (scene.source / "__pycache__" / "x.pyc").write_text("x")
        (scene.tasks / "other" / "function.py").write_text("x = 1\n")
        (scene.tasks / "stray.py").write_text("x")
        (scene.source / "function.py~").write_text("x")
        scene.function.write_text("x = 1\n")

        assert await scene.next() == CHANGED
    assert scene.told.empty()


async def test_the_same_is_not_told_twice(scene: Scene) -> None:
    async with running(scene.watcher()):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED
        scene.function.write_text("x = 2\n")
        (scene.source / "words.py").write_text("x = 1\n")

        assert await scene.next() == SourceState("ping", ("function.py", "words.py"))


async def test_a_new_build_clears_the_mark_and_is_compared_with_from_then_on(scene: Scene) -> None:
    watcher = scene.watcher()
    async with running(watcher):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED
        scene.activate()
        watcher.recheck("ping")
        assert await scene.next() == SAME

        scene.function.write_text("x = 2\n")
        assert await scene.next() == CHANGED


async def test_sources_that_were_edited_while_they_were_built_are_told_again(scene: Scene) -> None:
    watcher = scene.watcher()
    async with running(watcher):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED
        scene.active["ping"] = scene.active["ping"] | {"function.py": "what was built meanwhile"}
        watcher.recheck("ping")

        assert await scene.next() == CHANGED


async def test_a_task_that_is_deleted_and_comes_back_starts_anew(scene: Scene) -> None:
    watcher = scene.watcher()
    async with running(watcher):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED
        files = scene.active.pop("ping")
        watcher.recheck("ping")
        create(scene.tasks / "other", "other", "")
        scene.activate("other")
        (scene.tasks / "other" / "main.py").unlink()
        assert await scene.next() == SourceState("other", ("main.py",))

        scene.active["ping"] = files
        watcher.recheck("ping")
        assert await scene.next() == CHANGED


async def test_the_folder_of_tasks_may_come_later(tmp_path: Path, scene: Scene) -> None:
    elsewhere = scene.tasks.rename(tmp_path / "elsewhere")
    async with running(scene.watcher()):
        gone = await scene.next()
        assert gone.changes == ("function.py", "main.py", "schedule.py")
        assert gone.error == f"the folder {scene.source} is gone"

        elsewhere.rename(scene.tasks)
        assert await scene.next() == SAME
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED


async def test_the_folder_of_tasks_may_be_replaced(tmp_path: Path, scene: Scene) -> None:
    async with running(scene.watcher()):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED

        shutil.copytree(scene.tasks, tmp_path / "new")
        (tmp_path / "new" / "ping" / "words.py").write_text("x = 1\n")
        scene.tasks.rename(tmp_path / "old")
        (tmp_path / "new").rename(scene.tasks)
        state = await scene.next()
        if state.error:  # it was seen between the two
            state = await scene.next()
        assert state == SourceState("ping", ("function.py", "words.py"))

        (scene.source / "words.py").unlink()
        assert await scene.next() == CHANGED


async def test_a_task_whose_folder_vanishes_is_told_and_the_others_go_on(scene: Scene) -> None:
    create(scene.tasks / "other", "other", "")
    scene.activate("other")
    async with running(scene.watcher()):
        shutil.rmtree(scene.source)
        state = await scene.next()
        while not state.error:  # it may be seen half removed
            state = await scene.next()
        assert state.error == f"the folder {scene.source} is gone"

        (scene.tasks / "other" / "function.py").write_text("x = 1\n")
        assert await scene.next() == SourceState("other", ("function.py",))


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe.py")


def _loops(folder: Path) -> None:
    (folder / "here").symlink_to(".")
    (folder / "up").symlink_to("../..")


@pytest.mark.parametrize("place", [_pipe, _loops], ids=["a pipe", "links in a circle"])
async def test_odd_things_in_a_folder_do_not_stop_it(scene: Scene, place: Callable[[Path], None]) -> None:
    place(scene.source)
    scene.activate()
    async with running(scene.watcher()):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED


async def test_sources_that_cannot_be_read_are_told_with_the_reason_until_they_can(scene: Scene) -> None:
    async with running(scene.watcher()):
        (scene.source / "data").symlink_to("data")
        state = await scene.next()
        assert state.error == "data cannot be read: Too many levels of symbolic links"

        (scene.source / "data").unlink()
        assert await scene.next() == SAME


async def test_an_edit_without_an_event_is_found_by_looking(scene: Scene, tmp_path: Path) -> None:
    shared = tmp_path / "shared.py"
    shared.write_text("x = 1\n")
    (scene.source / "shared.py").symlink_to(shared)
    scene.activate()
    watcher = scene.watcher(recheck=0.2)
    async with running(watcher):
        shared.write_text("x = 2\n")  # nothing happens in the folders that are watched
        assert await scene.next() == SourceState("ping", ("shared.py",))


async def test_who_never_stops_writing_is_told_of_all_the_same(scene: Scene) -> None:
    done = threading.Event()

    def write() -> None:
        while not done.wait(0.02):
            scene.function.write_text("x = 1\n")

    async with running(scene.watcher(quiet=1000.0, most=0.5)):
        writing = asyncio.create_task(asyncio.to_thread(write))
        try:
            assert await scene.next() == CHANGED
            assert not writing.done()
        finally:
            done.set()
            await writing


async def test_it_looks_only_when_it_has_been_quiet(scene: Scene) -> None:
    clock = asyncio.get_running_loop().time
    create(scene.tasks / "other", "other", "")
    scene.activate("other")
    async with running(scene.watcher(quiet=0.3)):
        for name in ("a.py", "b.py", "c.py"):  # while it starts it looks at all, and waits for nothing
            (scene.source / name).write_text("x = 1\n")
            await scene.next()
        began = clock()
        (scene.tasks / "other" / "d.py").write_text("x = 1\n")

        assert await scene.next() == SourceState("other", ("d.py",))
        assert clock() - began >= 0.3


async def test_it_can_be_stopped_and_run_again(scene: Scene) -> None:
    watcher = scene.watcher()
    async with running(watcher):
        scene.function.write_text("x = 1\n")
        assert await scene.next() == CHANGED
    (scene.source / "words.py").write_text("x = 1\n")
    watcher.recheck("ping")

    async with running(watcher):
        assert await scene.next() == SourceState("ping", ("function.py", "words.py"))
        (scene.source / "words.py").unlink()
        assert await scene.next() == CHANGED


async def test_a_defect_in_what_it_tells_ends_it_loudly(scene: Scene) -> None:
    def tell(state: SourceState) -> None:
        raise LookupError(state.slug)

    scene.function.write_text("x = 1\n")
    watcher = Watcher(scene.tasks, lambda: scene.active, tell)

    with pytest.raises(ExceptionGroup) as failure:
        await asyncio.wait_for(watcher.run(), 20)
    assert failure.group_contains(LookupError, match="ping")
