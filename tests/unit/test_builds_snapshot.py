"""Snapshots of task folders: which files are sources, their hashes, and copies."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from keiji.errors import BuildFailed
from keiji_engine.builds import snapshot
from keiji_engine.builds.snapshot import (
    CachedDigest,
    build_hash,
    changed_paths,
    copy_sources,
    hash_sources,
    read_regular_file,
)

TEXT = "def function():\n    pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "tasks" / "ping é 'x'"
    source.mkdir(parents=True)
    (source / "function.py").write_text(TEXT)
    return source


def _age(path: Path, seconds: int) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - seconds * 10**9))


def test_each_file_has_its_sha256_and_a_suffix_if_executable(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "tool.sh").write_text("#!/bin/sh\n")
    (folder / "lib" / "tool.sh").chmod(0o755)

    assert hash_sources(folder) == {
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
def test_temporary_files_of_editors_and_python_are_not_sources(folder: Path, path: str) -> None:
    before = hash_sources(folder)
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_text("x")

    assert hash_sources(folder) == before


def test_a_copy_has_the_hashes_of_its_source_and_is_read_only(folder: Path, tmp_path: Path) -> None:
    (folder / "run.sh").write_text("x")
    (folder / "run.sh").chmod(0o700)
    target = tmp_path / "copy"

    files = copy_sources(folder, target)

    assert files == hash_sources(folder) == hash_sources(target)
    assert (target / "function.py").stat().st_mode & 0o777 == 0o444
    assert (target / "run.sh").stat().st_mode & 0o777 == 0o555


def test_pipes_and_sockets_are_skipped_without_blocking(folder: Path, tmp_path: Path) -> None:
    before = hash_sources(folder)
    os.mkfifo(folder / "pipe.py")
    (folder / "dead.py").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(folder, os.O_RDONLY)
        listener.bind(f"/proc/self/fd/{descriptor}/s")  # the folder's own path may be too long for a socket
        os.close(descriptor)

        assert hash_sources(folder) == before == copy_sources(folder, tmp_path / "copy")


def test_cyclic_links_are_skipped(folder: Path) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "up").symlink_to("..")
    (folder / "here").symlink_to(".")

    assert list(hash_sources(folder)) == ["function.py"]


def test_the_files_of_a_linked_folder_are_included(folder: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "module.py").write_text("x")
    (folder / "shared").symlink_to(shared)

    assert set(hash_sources(folder)) == {"function.py", "shared/module.py"}


def test_a_task_folder_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "texts.py").symlink_to("function.py")
    moved = folder.rename(tmp_path / "elsewhere" / "ping")
    folder.symlink_to(moved)

    assert set(hash_sources(folder)) == {"function.py", "texts.py"}


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("/etc/passwd", "which is outside the workspace"),
        ("/dev/zero", "which is outside the workspace"),
        ("/proc/self/environ", "which is outside the workspace"),
        ("../../../outside", "which is outside the workspace"),
        (".env", "which is not a source file"),
        ("../other/.env", "which is not a source file"),
        ("../../.git", "which is not a source file"),
    ],
)
def test_a_link_is_judged_by_its_target(folder: Path, tmp_path: Path, target: str, reason: str) -> None:
    (folder.parent / "other").mkdir()
    (tmp_path / ".git").mkdir()
    (tmp_path.parent / "outside").mkdir(exist_ok=True)
    for env in (folder / ".env", folder.parent / "other" / ".env"):
        env.write_text("TOKEN=hunter2\n")
    (folder / "alias").symlink_to(target)
    (folder / "lib").mkdir()
    (folder / "lib" / "data").symlink_to("../alias")  # a link to a link is judged by its final target, too

    for read in (lambda: hash_sources(folder), lambda: copy_sources(folder, tmp_path / "copy")):
        with pytest.raises(BuildFailed, match=rf"alias is a link to /.*, {reason}"):
            read()
    (folder / "alias").rename(tmp_path / "alias")  # the remaining link is dead
    assert set(hash_sources(folder)) == {"function.py"}


def test_a_file_is_read_within_bounds_whatever_its_size_was_before(tmp_path: Path) -> None:
    with (tmp_path / "data.bin").open("wb") as file:
        file.truncate(snapshot.MAX_BYTES + 1)

    with pytest.raises(OSError, match="it has more than 100 MiB"):
        read_regular_file(tmp_path / "data.bin")


def test_a_link_to_itself_is_reported(folder: Path) -> None:
    (folder / "data").symlink_to("data")

    with pytest.raises(BuildFailed, match="data cannot be read: Too many levels of symbolic links"):
        hash_sources(folder)


def test_a_file_name_that_is_not_utf_8_is_reported_in_a_message_that_is(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.py")).write_text("x")

    with pytest.raises(BuildFailed, match=r"the name of \\xff\.py is not valid UTF-8") as failure:
        hash_sources(folder)
    assert str(failure.value).encode()


def test_a_huge_file_is_rejected_without_being_read(folder: Path) -> None:
    with (folder / "data.bin").open("wb") as file:
        file.truncate(2**40)  # sparse

    with pytest.raises(BuildFailed, match=r"contains more than 100 MiB: data\.bin has 1,048,576\.0 MiB"):
        hash_sources(folder)


def test_a_deeply_nested_folder_is_rejected(folder: Path) -> None:
    deep = folder.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)

    with pytest.raises(BuildFailed, match="more than 32 folders deep"):
        hash_sources(folder)


def test_too_many_files_are_rejected(folder: Path) -> None:
    (folder / "0").mkdir()
    for number in range(100):
        (folder / "0" / f"{number}.txt").touch()
    for number in range(1, snapshot.MAX_FILES // 100):
        (folder / str(number)).symlink_to("0")

    with pytest.raises(BuildFailed, match="more than 5,000 files"):
        hash_sources(folder)
    (folder / "function.py").unlink()
    assert len(hash_sources(folder)) == snapshot.MAX_FILES


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="nowhere does not exist"):
        hash_sources(tmp_path / "nowhere")


def test_an_unchanged_file_is_not_read_again(folder: Path) -> None:
    _age(folder / "function.py", 60)
    cache: dict[str, CachedDigest] = {}
    hash_sources(folder, cache)
    cache["function.py"] = CachedDigest(cache["function.py"].stat_key, "cached")

    assert hash_sources(folder, cache) == {"function.py": "cached"}


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(folder: Path) -> None:
    _age(folder / "function.py", 60)
    cache: dict[str, CachedDigest] = {}
    before = hash_sources(folder, cache)
    status = (folder / "function.py").stat()
    (folder / "new").write_text(TEXT.replace("pass", "fail"))
    (folder / "new").replace(folder / "function.py")
    os.utime(folder / "function.py", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert hash_sources(folder, cache) != before


def test_a_recently_modified_file_is_not_cached(folder: Path) -> None:
    cache: dict[str, CachedDigest] = {}
    hash_sources(folder, cache)

    assert cache == {}


def test_a_removed_file_is_removed_from_the_cache(folder: Path) -> None:
    _age(folder / "function.py", 60)
    cache: dict[str, CachedDigest] = {}
    hash_sources(folder, cache)
    (folder / "function.py").unlink()

    assert hash_sources(folder, cache) == {}
    assert cache == {}


def test_changed_paths_are_the_added_removed_and_edited_files() -> None:
    assert changed_paths({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}) == ("a", "b", "d")


def test_the_build_hash_depends_on_every_input_but_not_on_the_order() -> None:
    files = {"a": "1", "b": "2"}
    base = build_hash(files, "python 3.11", "entry")

    assert build_hash({"b": "2", "a": "1"}, "python 3.11", "entry") == base
    variants = {
        build_hash({"a": "1", "b": "3"}, "python 3.11", "entry"),
        build_hash({"a": "1", "b": "2+x"}, "python 3.11", "entry"),
        build_hash({"a": "1", "c": "2"}, "python 3.11", "entry"),
        build_hash(files, "python 3.12", "entry"),
        build_hash(files, "python 3.11", "another entry"),
    }
    assert len(variants | {base}) == 6
    assert len(base) == 16


def test_the_build_hash_of_the_same_inputs_is_the_same_in_each_version_of_keiji() -> None:
    assert build_hash({"b.py": "2", "a.py": "1+x"}, "python 3.11", "entry") == "ec39c4383f65dbe9"
