"""The lock files of an engine: whose description is believed, who is signalled, whose lock counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from keiji import engine_lock
from keiji.engine_lock import Holder, LockFile
from keiji.errors import EngineUnreachable

NOBODY = 65534
LOCKS = """
import fcntl, os, sys, time
uid, path = int(sys.argv[1]), sys.argv[2]
if uid:
    os.setuid(uid)
file = open(path)
fcntl.flock(file, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(60)
"""


@contextmanager
def locked_by_other_process(path: Path, uid: int = 0) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", LOCKS, str(uid), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def description(tmp_path: Path) -> Holder:
    return Holder.describe(workspace=tmp_path, data=tmp_path, runtime=tmp_path, is_ready=True)


def test_a_held_lock_describes_its_holder_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    lock = LockFile.try_acquire(path)
    assert lock is not None
    assert engine_lock.find_holder(path) is None
    lock.describe(description(tmp_path))
    assert engine_lock.find_holder(path) == description(tmp_path)
    assert engine_lock.find_pid(path) == os.getpid()
    assert LockFile.try_acquire(path) is None
    lock.close()
    assert (engine_lock.is_held(path), engine_lock.read(path)) == (False, None)


def test_a_shared_lock_is_not_taken_for_an_engine(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    locks = [LockFile.try_acquire(path, shared=True) for _ in range(2)]
    assert not engine_lock.is_held(path)
    assert LockFile.try_acquire(path) is None
    for lock in locks:
        assert lock is not None
        lock.close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\0" * 100, "\udcff"])
def test_an_invalid_description_is_ignored(tmp_path: Path, text: str) -> None:
    path = tmp_path / "engine.lock"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert engine_lock.read(path) is None


def test_neither_a_stranger_that_is_described_nor_one_that_holds_the_lock_is_signalled(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    lock = LockFile.try_acquire(path)
    assert lock is not None
    with subprocess.Popen(["/bin/sleep", "60"]) as stranger:
        try:
            lock.describe(replace(description(tmp_path), pid=stranger.pid))
            text = path.read_text()
            lock.close()
            with locked_by_other_process(path) as holder:
                path.write_text(text)
                assert engine_lock.is_held(path)
                for expected in (None, stranger.pid):
                    with pytest.raises(EngineUnreachable, match=f"has not identified itself.*{holder.pid}"):
                        engine_lock.send_signal(path, signal.SIGKILL, expected)
                assert (stranger.poll(), holder.poll()) == (None, None)
        finally:
            stranger.kill()


def test_an_engine_of_an_earlier_version_which_describes_nothing_is_signalled_if_it_holds_the_lock(
    tmp_path: Path,
) -> None:
    path = tmp_path / "engine.lock"
    path.touch()
    with locked_by_other_process(path) as engine:
        assert engine_lock.send_signal(path, signal.SIGTERM, engine.pid) == engine.pid
        assert engine.wait(10) == -signal.SIGTERM


def test_an_engine_in_another_container_is_not_signalled(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    lock = LockFile.try_acquire(path)
    assert lock is not None
    lock.describe(replace(description(tmp_path), namespace="pid:[1]"))
    with pytest.raises(EngineUnreachable, match="another container"):
        engine_lock.send_signal(path, signal.SIGKILL)
    lock.close()


def test_a_deleted_file_is_locked_again_and_a_moved_one_stays_locked(tmp_path: Path) -> None:
    path = tmp_path / "engine.lock"
    lock = LockFile.try_acquire(path)
    assert lock is not None
    lock.describe(description(tmp_path))
    path.unlink()
    assert not lock.is_in_place()
    assert lock.restore()
    moved = path.rename(tmp_path / "moved")
    assert lock.restore()
    for file in (path, moved):
        assert engine_lock.find_holder(file) == description(tmp_path)
    path.unlink()
    path.touch()
    with locked_by_other_process(path):
        assert not lock.restore()
    lock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_the_lock_of_another_user_on_a_file_that_was_open_to_all_counts_for_nothing() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "engine.lock"
        path.touch(mode=0o644)
        with locked_by_other_process(path, NOBODY):
            assert not engine_lock.is_held(path)
            lock = LockFile.try_acquire(path)
            assert lock is not None
            assert engine_lock.is_held(path)
            assert path.stat().st_mode & 0o777 == 0o600
            lock.close()
