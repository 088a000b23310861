"""The files that tasks wait for are reported after each kind of change, soon after the last one of a series."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from keiji_engine.file_events import PendingCheck
from keiji_engine.file_patterns import Files, Folder, TooManyFiles, folder_of, scan
from keiji_engine.file_watch import FileWatch


class Reports:
    """A watch and what it reports."""

    def __init__(self, *, answers: bool = True) -> None:
        self.reports: list[tuple[str, Files]] = []
        self.answers = answers
        self.watch = FileWatch(
            self._report,
            debounce=0.02,
            max_delay=1.0,
            poll_interval=0.05,
            recheck_interval=60.0,
            retry_interval=0.05,
            event_interval=0.01,
        )

    async def _report(self, slug: str, files: Files) -> bool:
        self.reports.append((slug, files))
        return self.answers

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                await asyncio.sleep(0.01)

    async def until_found(self, *paths: Path, slug: str = "ping") -> None:
        """Wait until the last report for a task has exactly these files."""
        wanted = set(map(str, paths))
        await self.until(lambda: [set(found) for each, found in self.reports if each == slug][-1:] == [wanted])


@asynccontextmanager
async def watching(reports: Reports) -> AsyncIterator[None]:
    task = asyncio.create_task(reports.watch.serve())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "in é [x]"
    folder.mkdir()
    return folder


def escaped(folder: Path) -> str:
    return str(folder).replace("[", "[[]")


async def test_created_changed_renamed_and_removed_files_are_reported(folder: Path) -> None:
    reports, file, other = Reports(), folder / "a.csv", folder / "b.csv"
    reports.watch.set_patterns("ping", (f"{escaped(folder)}/*.csv",))
    async with watching(reports):
        await reports.until_found()
        (folder / "a.txt").touch()
        file.write_text("1")
        await reports.until_found(file)
        before = reports.reports[-1][1]
        file.write_text("12")
        await reports.until(lambda: reports.reports[-1][1] != before)
        file.rename(other)
        await reports.until_found(other)
        other.unlink()
        await reports.until_found()


async def test_a_folder_that_is_created_or_replaced_later_is_watched(folder: Path) -> None:
    reports, inner = Reports(), folder / "later" / "in"
    reports.watch.set_patterns("ping", (f"{escaped(inner)}/*.csv",))
    async with watching(reports):
        for name in ("a.csv", "b.csv"):
            inner.mkdir(parents=True)
            (inner / name).touch()
            await reports.until_found(inner / name)
            shutil.rmtree(folder / "later")
            await reports.until_found()


async def test_folders_below_are_watched_for_a_pattern_with_wildcards_in_its_path(folder: Path) -> None:
    reports = Reports()
    reports.watch.set_patterns("ping", (f"{escaped(folder)}/**/*.csv",))
    reports.watch.set_patterns("pong", (str(folder),))
    async with watching(reports):
        deep = folder / "2026" / "11" / "a.csv"
        deep.parent.mkdir(parents=True)
        deep.touch()
        await reports.until_found(deep)
        (folder / "direct").touch()
        await reports.until_found(folder / "direct", slug="pong")


async def test_a_task_that_is_added_to_a_watched_folder_misses_nothing(folder: Path) -> None:
    reports = Reports()
    reports.watch.set_patterns("ping", (str(folder),))
    async with watching(reports):
        (folder / "a.csv").touch()
        await reports.until_found(folder / "a.csv")
        reports.watch.set_patterns("pong", (str(folder),))
        await reports.until_found(folder / "a.csv", slug="pong")
        (folder / "b.csv").touch()
        await reports.until_found(folder / "a.csv", folder / "b.csv", slug="pong")


async def test_a_task_without_patterns_is_not_reported_and_one_that_is_refused_is_reported_again(folder: Path) -> None:
    reports = Reports(answers=False)
    reports.watch.set_patterns("ping", (f"{escaped(folder)}/*",))
    async with watching(reports):
        await reports.until(lambda: len(reports.reports) >= 3)
        reports.answers = True
        reports.watch.set_patterns("ping", ())
        await asyncio.sleep(0)
        count = len(reports.reports)
        (folder / "a.csv").touch()
        reports.watch.set_patterns("pong", (f"{escaped(folder)}/*",))
        await reports.until_found(folder / "a.csv", slug="pong")
        assert [slug for slug, _ in reports.reports[count + 1 :]].count("ping") == 0


def test_a_series_of_events_is_checked_after_its_end_but_no_later_than_the_bound() -> None:
    check = None
    for now in (10.0, 10.3, 10.6):
        check = PendingCheck.after(check, now, debounce=0.5, max_delay=2.0)
    assert check == PendingCheck(10.0, 11.1)
    for now in (11.0, 11.4, 11.8):
        check = PendingCheck.after(check, now, debounce=0.5, max_delay=2.0)
    assert check == PendingCheck(10.0, 12.0)


def test_more_files_than_can_be_compared_are_refused(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / str(number)).touch()
    with pytest.raises(TooManyFiles):
        scan([f"{tmp_path}/*"], limit=5)
    with pytest.raises(TooManyFiles):
        scan([f"{tmp_path}/[012]", f"{tmp_path}/[345]"], limit=5)
    assert len(scan([f"{tmp_path}/*"], limit=6)) == 6


def test_only_files_match(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "broken.csv").symlink_to("nowhere")
    (tmp_path / "file.csv").touch()
    (tmp_path / "link.csv").symlink_to("file.csv")
    assert sorted(scan([f"{tmp_path}/*.csv"])) == [f"{tmp_path}/file.csv", f"{tmp_path}/link.csv"]
    assert scan([f"{tmp_path}/none/*"]) == {}


@pytest.mark.parametrize(
    ("pattern", "folder", "is_recursive"),
    [
        ("/data/in/*.csv", "/data/in", False),
        ("/data/in/report.csv", "/data/in", False),
        ("/data/*/in.csv", "/data", True),
        ("/data/**/*.csv", "/data", True),
        ("/*.csv", "/", False),
        ("~/in/*.csv", str(Path("~/in").expanduser()), False),
    ],
)
def test_the_folder_of_a_pattern_is_before_its_first_wildcard(pattern: str, folder: str, is_recursive: bool) -> None:
    assert folder_of(pattern) == Folder(folder, is_recursive)


def test_a_folder_stands_for_the_files_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert folder_of(str(tmp_path)) == Folder(str(tmp_path), False)
    assert list(scan([str(tmp_path)])) == [f"{tmp_path}/file"]
