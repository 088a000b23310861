"""Differences between two folders of sources are bounded in size and contain no secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from keiji.records import FileDifference
from keiji_engine.builds.difference import MAX_FILE_SIZE, MAX_FILES, difference
from keiji_engine.builds.snapshot import hash_sources


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


def compare(build: Path, folder: Path) -> tuple[FileDifference, ...]:
    return difference(build, hash_sources(build), folder, hash_sources(folder))[0]


def test_identical_folders_have_no_difference(build: Path, folder: Path) -> None:
    for sources in (build, folder):
        (sources / "function.py").write_text("x = 1\n")
    assert difference(build, hash_sources(build), folder, hash_sources(folder)) == ((), "")


def test_added_and_removed_files_are_shown_completely(build: Path, folder: Path) -> None:
    (build / "old.py").write_text("a\n-- b\n")
    (folder / "new.py").write_text("++ c\n")
    added, removed = compare(build, folder)
    assert (added.path, added.change, added.lines) == ("new.py", "added", ("@@ -0,0 +1 @@", "+++ c"))
    assert (removed.change, removed.lines) == ("removed", ("@@ -1,2 +0,0 @@", "-a", "--- b"))


def test_a_missing_newline_at_the_end_is_a_difference(build: Path, folder: Path) -> None:
    (build / "a.py").write_text("x\n")
    (folder / "a.py").write_text("x")
    [file] = compare(build, folder)
    assert file.lines[-1] == "+\\ no newline at end of file"


@pytest.mark.parametrize(
    ("content", "note"),
    [
        (b"a\0b", "binary"),
        (b"caf\xe9\n", "not valid UTF-8"),
        (b"x\n" * MAX_FILE_SIZE, "not shown: larger than 256 KiB"),
    ],
    ids=["binary", "not UTF-8", "too large"],
)
def test_a_file_without_text_lines_has_a_note_instead(build: Path, folder: Path, content: bytes, note: str) -> None:
    (build / "a.py").write_text("x\n")
    (folder / "a.py").write_bytes(content)
    [file] = compare(build, folder)
    assert (file.change, file.lines, file.note) == ("edited", (), note)


def test_files_that_may_contain_secrets_and_changes_of_the_mode_have_no_lines(build: Path, folder: Path) -> None:
    for sources, mode in ((build, 0o644), (folder, 0o755)):
        (sources / "run.sh").write_text("x\n")
        (sources / "run.sh").chmod(mode)
        (sources / "prod.env").write_text(f"TOKEN={mode}\n")
    secret, program = compare(build, folder)
    assert (secret.path, secret.change, secret.lines, secret.note) == (
        "prod.env", "edited", (), "not shown: may contain secrets"
    )  # fmt: skip
    assert (program.change, program.lines, program.note) == ("mode", (), "is now executable")


def test_an_unreadable_file_has_the_reason_as_its_note(build: Path, folder: Path) -> None:
    (folder / "a.py").write_text("x\n")
    after = hash_sources(folder)
    (folder / "a.py").unlink()
    [file] = difference(build, {}, folder, after)[0]
    assert file.note == "not shown: No such file or directory"


def test_large_differences_are_truncated_with_a_note(build: Path, folder: Path) -> None:
    for number in range(MAX_FILES + 3):
        (folder / f"{number:03}.py").write_text(f"{'y' * 2000}\n" * 10)
    (folder / "000.py").write_text("x\n" * 5000)
    files, note = difference(build, {}, folder, hash_sources(folder))
    assert files[0].note == "only the first 2,000 lines of the difference are shown"
    assert files[1].lines[1].endswith("… 1,001 more characters")
    assert files[-1].note == "not shown: the differences above reach the size limit"
    assert len(files) == MAX_FILES
    assert note == "3 more files differ"
    assert sum(len(line) for file in files for line in file.lines) < 300_000
