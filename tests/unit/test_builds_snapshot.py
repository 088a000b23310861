"""Which files of a folder are sources, and what their fingerprint notices."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from keiji.errors import BuildFailed
from keiji_engine.builds import snapshot
from keiji_engine.builds.snapshot import Hashed, changed, copy, fingerprint, identity

TEXT = "def function():\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "ping é 'x'"
    source.mkdir()
    (source / "function.py").write_text(TEXT)
    return source


def _age(path: Path, seconds: int) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))


def test_it_is_the_sha256_of_each_file_with_a_mark_for_programs(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "lib" / "tool.sh").chmod(0o755)

    assert fingerprint(folder) == {
        "function.py": hashlib.sha256(TEXT.encode()).hexdigest(),
        "lib/tool.sh": hashlib.sha256(b"#!/bin/sh\n").hexdigest() + "+x",
    }


@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        "__pycache__/function.cpython-311.pyc",
        "function.pyc",
        "function.py~",
        ".function.py.swp",
        "#function.py#",
        ".#function.py",
        "4913",
        "function.py___jb_tmp___",
        "venv/pyvenv.cfg",
        "lib/__pycache__/x.pyc",
    ],
)
def test_what_editors_and_python_leave_is_no_source(folder: Path, path: str) -> None:
    before = fingerprint(folder)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("x")

    assert fingerprint(folder) == before


def test_a_copy_has_the_fingerprint_of_what_was_copied_and_is_read_only(folder: Path, tmp_path: Path) -> None:
    (folder / "run.sh").write_text("x")
    (folder / "run.sh").chmod(0o700)
    target = tmp_path / "copy"

    files = copy(folder, target)

    assert files == fingerprint(folder) == fingerprint(target)
    assert (target / "function.py").stat().st_mode & 0o777 == 0o444
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o555


def test_pipes_and_sockets_are_passed_over_without_waiting(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder)
    os.mkfifo(folder / "pipe.py")
    (folder / "dead.py").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(folder, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{descriptor}/s")  # the folder's own path may be too long for a socket
        os.close(descriptor)

        assert fingerprint(folder) == before == copy(folder, tmp_path / "copy")


def test_links_that_lead_back_end_somewhere(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "up").symlink_to("..")
    (folder / "here").symlink_to(".")

    assert list(fingerprint(folder)) == ["function.py"]


def test_a_linked_folder_counts_with_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "words.py").write_text("x")
    (folder / "shared").symlink_to(shared)

    assert set(fingerprint(folder)) == {"function.py", "shared/words.py"}


def test_a_link_to_itself_is_named(folder: Path) -> None:
    (folder / "data").symlink_to("data")

    with pytest.raises(BuildFailed, match="data cannot be read: Too many levels of symbolic links"):
        fingerprint(folder)


def test_a_file_whose_name_is_not_utf_8_is_named_in_a_message_that_is(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py")).write_text("x")

    with pytest.raises(BuildFailed, match=r"the name of \\xff\.py is not UTF-8") as failure:
        fingerprint(folder)
    assert str(failure.value).encode()


def test_a_huge_file_is_refused_without_being_read(folder: Path) -> None:
    with (folder / "data.bin").open("wb") as file:
        file.truncate(2**40)  # sparse

    with pytest.raises(BuildFailed, match=r"holds more than 100 MiB: data\.bin has 1,048,576\.0"):
        fingerprint(folder)


def test_a_very_deep_folder_is_refused(folder: Path) -> None:
    deep = folder.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)

    with pytest.raises(BuildFailed, match="more than 32 folders deep"):
        fingerprint(folder)


def test_too_many_files_are_refused(folder: Path) -> None:
    (folder / "0").mkdir()
    for number in range(100):
        (folder / "0" / f"{number}.txt").touch()
    for number in range(1, snapshot.MOST_FILES // 100):
        (folder / str(number)).symlink_to("0")

    with pytest.raises(BuildFailed, match="more than 5,000 files"):
        fingerprint(folder)
    (folder / "function.py").unlink()
    assert len(fingerprint(folder)) == snapshot.MOST_FILES


def test_a_folder_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="nowhere is gone"):
        fingerprint(tmp_path / "nowhere")


def test_a_file_that_did_not_change_is_not_read_again(folder: Path) -> None:
    _age(folder / "function.py", 60)
    cache: dict[str, Hashed] = {}
    fingerprint(folder, cache)
    cache["function.py"] = Hashed(cache["function.py"].mark, "remembered")

    assert fingerprint(folder, cache) == {"function.py": "remembered"}


def test_a_file_that_was_replaced_with_the_same_size_and_time_is_read_again(folder: Path) -> None:
    _age(folder / "function.py", 60)
    cache: dict[str, Hashed] = {}
    before = fingerprint(folder, cache)
    status = (folder / "function.py").stat()
    (folder / "new").write_text(TEXT.replace("pass", "fail"))
    (folder / "new").replace(folder / "function.py")
    os.utime(folder / "function.py", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert fingerprint(folder, cache) != before


def test_a_file_that_was_just_written_is_not_trusted_by_its_time(folder: Path) -> None:
    cache: dict[str, Hashed] = {}
    fingerprint(folder, cache)

    assert cache == {}


def test_what_is_gone_is_forgotten(folder: Path) -> None:
    _age(folder / "function.py", 60)
    cache: dict[str, Hashed] = {}
    fingerprint(folder, cache)
    (folder / "function.py").unlink()

    assert fingerprint(folder, cache) == {}
    assert cache == {}


def test_changes_are_what_was_added_removed_and_edited() -> None:
    assert changed({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == ("a", "b", "d")


def test_the_identity_depends_on_every_input_and_on_no_order() -> None:
    files = {"a": "1", "b": "2"}
    base = identity(files, "python 3.11", "entry")

    assert identity({"b": "2", "a": "1"}, "python 3.11", "entry") == base
    others = {
        identity({"a": "1", "b": "3"}, "python 3.11", "entry"),
        identity({"a": "1", "b": "2+x"}, "python 3.11", "entry"),
        identity({"a": "1", "c": "2"}, "python 3.11", "entry"),
        identity(files, "python 3.12", "entry"),
        identity(files, "python 3.11", "another entry"),
    }
    assert len(others | {base}) == 6
    assert len(base) == 16
