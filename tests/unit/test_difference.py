"""Two folders of sources, compared for people: bounded, and silent about what may be secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from keiji_engine.builds.difference import LARGEST_FILE, MOST_FILES, FileDifference, difference
from keiji_engine.builds.snapshot import fingerprint


@pytest.fixture
def build(tmp_path: Path) -> Path:
    folder = tmp_path / "build"
    folder.mkdir()
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


def compared(build: Path, folder: Path) -> tuple[FileDifference, ...]:
    return difference(build, fingerprint(build), folder, fingerprint(folder))[0]


def test_what_is_the_same_is_not_told(build: Path, folder: Path) -> None:
    for each in (build, folder):
        (each / "function.py").write_text("x = 1\n")
    assert difference(build, fingerprint(build), folder, fingerprint(folder)) == ((), "")


def test_added_and_removed_files_have_all_their_lines(build: Path, folder: Path) -> None:
    (build / "old.py").write_text("a\n-- b\n")
    (folder / "new.py").write_text("++ c\n")
    added, removed = compared(build, folder)
    assert (added.path, added.change, added.lines) == ("new.py", "added", ("@@ -0,0 +1 @@", "+++ c"))
    assert (removed.change, removed.lines) == ("removed", ("@@ -1,2 +0,0 @@", "-a", "--- b"))


def test_a_last_line_without_an_end_is_a_difference(build: Path, folder: Path) -> None:
    (build / "a.py").write_text("x\n")
    (folder / "a.py").write_text("x")
    [file] = compared(build, folder)
    assert file.lines[-1] == "+\\ no newline at the end of the file"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"a\0b", "binary"),
        (b"caf\xe9\n", "not text in UTF-8"),
        (b"x\n" * LARGEST_FILE, "not shown: it has more than 256 KiB"),
    ],
)
def test_what_cannot_be_shown_as_lines_is_named(build: Path, folder: Path, content: bytes, note: str) -> None:
    (build / "a.py").write_text("x\n")
    (folder / "a.py").write_bytes(content)
    [file] = compared(build, folder)
    assert (file.change, file.lines, file.note) == ("edited", (), note)


def test_a_file_that_cannot_be_read_says_so(build: Path, folder: Path) -> None:
    (folder / "a.py").write_text("x\n")
    after = fingerprint(folder)
    (folder / "a.py").unlink()
    [file] = difference(build, {}, folder, after)[0]
    assert file.note == "not shown: No such file or directory"


def test_a_difference_of_any_size_is_bounded_and_says_so(build: Path, folder: Path) -> None:
    for number in range(MOST_FILES + 3):
        (folder / f"{number:03}.py").write_text(f"{'y' * 2000}\n" * 10)
    (folder / "000.py").write_text("x\n" * 5000)
    files, note = difference(build, {}, folder, fingerprint(folder))
    assert files[0].note == "only the first 2,000 lines of the difference are shown"
    assert files[1].lines[1].endswith("… 1,001 more")
    assert files[-1].note == "not shown: there is enough above already"
    assert len(files) == MOST_FILES
    assert note == "3 more files differ"
    assert sum(len(line) for file in files for line in file.lines) < 300_000
