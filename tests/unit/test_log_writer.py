"""A log as a byte stream: appending, rotation and reading."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keiji import file_lock
from keiji.log_reader import LogReader
from keiji_engine.logs.writer import MAX_ARCHIVES, LogWriter

TIME = datetime(2026, 11, 23, 10, 0, 0, 123000, ZoneInfo("Africa/Nairobi"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "t" / "t.log"


def read_all(reader: LogReader, limit: int = 1000) -> bytes:
    """Read the whole stored log, ``limit`` bytes at a time."""
    position, data = reader.start(), b""
    while chunk := reader.read(position, limit)[1]:
        data += chunk
        position += len(chunk)
    return data


def test_an_append_returns_the_positions_of_its_data(path: Path) -> None:
    writer = LogWriter(path, None, "UTC")
    assert writer.append(b"one\n") == (0, 4)
    assert writer.append(b"two\n") == (4, 8)
    assert LogReader(path).read(4, 100) == (4, b"two\n")


def test_the_time_of_a_line_is_written_in_the_time_zone_of_the_log(path: Path) -> None:
    LogWriter(path, None, "Africa/Nairobi").write_line(TIME.astimezone(UTC), "INFO", "hello")
    assert path.read_bytes().startswith(b"time=2026-11-23T10:00:00.123+03:00 ")


def test_data_without_a_final_newline_is_rejected(path: Path) -> None:
    with pytest.raises(ValueError, match="whole lines"):
        LogWriter(path, None, "UTC").append(b"half")


def test_a_log_that_does_not_exist_is_empty(path: Path) -> None:
    reader = LogReader(path)
    assert (reader.start(), reader.size(), reader.read(7, 100), reader.tail(5, 100)) == (0, 0, (0, b""), (0, b""))


def test_positions_stay_valid_after_rotation(path: Path) -> None:
    writer = LogWriter(path, 100, "UTC")
    positions = {number: writer.append(b"line %04d\n" % number) for number in range(30)}
    reader = LogReader(path)
    assert len(list(path.parent.glob("t.log.*.keiji"))) == 2
    for number, (start, end) in positions.items():
        assert reader.read(start, end - start) == (start, b"line %04d\n" % number)
    assert reader.size() == 300


def test_reading_from_a_pruned_position_starts_at_the_oldest_archive(path: Path) -> None:
    writer = LogWriter(path, 50, "UTC")
    for number in range(60):
        writer.append(b"line %04d\n" % number)
    reader = LogReader(path)
    assert len(list(path.parent.glob("t.log.*.keiji"))) == MAX_ARCHIVES
    assert reader.start() == 600 - MAX_ARCHIVES * 50 - 50
    assert reader.read(0, 10) == (reader.start(), b"line 0030\n")


def test_files_beside_a_log_that_other_programs_wrote_are_neither_read_nor_deleted(path: Path) -> None:
    writer = LogWriter(path, 50, "UTC")
    writer.append(b"line 0000\n")
    foreign = {path.with_name(f"t.log.{suffix}") for suffix in ("0", "1", "2", "20261124", "20261124.gz", "10.keiji~")}
    for file in foreign:
        file.write_bytes(path.read_bytes())
    for number in range(1, 60):
        assert writer.append(b"line %04d\n" % number) == (number * 10, number * 10 + 10)
    assert all(file.read_bytes() == b"line 0000\n" for file in foreign)
    reader = LogReader(path)
    assert read_all(reader) == b"".join(b"line %04d\n" % number for number in range(30, 60))
    assert LogWriter(path, 50, "UTC").append(b"line 0060\n") == (600, 610), "another writer continues at the end"


@pytest.fixture
def upgraded(path: Path) -> Path:
    """A log of version 0.1, beside which there are files of other programs."""
    path.parent.mkdir(parents=True)
    path.with_name("t.log.lock").touch()
    for start in (100, 110, 120):
        path.with_name(f"t.log.{start}").write_bytes(b"line %04d\n" % (start // 10))
    path.write_bytes(b"line 0013\n")
    for suffix in ("1", "2", "20261124"):
        path.with_name(f"t.log.{suffix}").write_bytes(b"foreign\n")
    return path


def test_archives_of_version_0_1_are_read(upgraded: Path) -> None:
    reader = LogReader(upgraded)
    assert reader.start() == 100
    assert read_all(reader) == b"line 0010\nline 0011\nline 0012\nline 0013\n"


def test_archives_of_version_0_1_are_renamed_by_the_first_writer(upgraded: Path) -> None:
    assert LogWriter(upgraded, 20, "UTC").append(b"line 0014\n") == (140, 150)
    assert sorted(file.name for file in upgraded.parent.glob("*.keiji")) == [
        f"t.log.{start:015}.keiji" for start in (100, 110, 120)
    ]
    assert {file.suffix for file in upgraded.parent.glob("t.log.*[0-9]")} == {".1", ".2", ".20261124"}
    assert LogReader(upgraded).read(110, 10) == (110, b"line 0011\n")


def test_an_archive_that_a_shim_of_version_0_1_rotates_after_the_upgrade_is_read(upgraded: Path) -> None:
    LogWriter(upgraded, None, "UTC").append(b"line 0014\n")
    upgraded.rename(upgraded.with_name("t.log.130"))
    upgraded.write_bytes(b"line 0015\n")
    assert LogReader(upgraded).read(120, 1000) == (120, b"line 0012\nline 0013\nline 0014\nline 0015\n")
    assert LogWriter(upgraded, None, "UTC").append(b"line 0016\n") == (160, 170)


def test_the_only_archive_of_version_0_1_is_read_and_renamed(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.with_name("t.log.0").write_bytes(b"line 0000\n")
    assert read_all(LogReader(path)) == b"line 0000\n"
    assert LogWriter(path, None, "UTC").append(b"line 0001\n") == (10, 20)
    assert read_all(LogReader(path)) == b"line 0000\nline 0001\n"


@pytest.mark.parametrize("umask", [0, 0o777])
def test_logs_and_their_folders_are_private_whatever_the_umask(path: Path, umask: int) -> None:
    previous = os.umask(umask)
    try:
        LogWriter(path, None, "UTC").append(b"one\n")
    finally:
        os.umask(previous)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (path, path.with_name("t.log.lock"))} == {0o600}
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (path.parent, path.parent.parent)} == {0o700}


def test_the_mode_of_a_log_that_others_can_read_is_corrected(path: Path) -> None:
    LogWriter(path, None, "UTC").append(b"one\n")
    path.chmod(0o644)
    LogWriter(path, None, "UTC").append(b"two\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_after_the_folder_was_removed_writers_continue_in_a_new_one_and_share_its_lock(path: Path) -> None:
    writers = [LogWriter(path, None, "UTC") for _ in range(2)]
    for writer in writers:
        writer.append(b"one\n")
    shutil.rmtree(path.parent)
    assert [writer.append(b"two\n") for writer in writers] == [(0, 4), (4, 8)]
    with path.with_name("t.log.lock").open("rb") as lock_file:
        file_lock.lock(lock_file.fileno())
        appending = threading.Thread(target=writers[0].append, args=(b"three\n",))
        appending.start()
        appending.join(0.05)
        assert appending.is_alive(), "it waits for the new lock"
    appending.join()
    assert path.read_bytes() == b"two\ntwo\nthree\n"


def test_a_writer_continues_in_the_new_file_after_another_writer_has_rotated(path: Path) -> None:
    first, second = LogWriter(path, 20, "UTC"), LogWriter(path, 20, "UTC")
    for number in range(5):
        assert first.append(b"first %d\n" % number) == (17 * number, 17 * number + 8)
        assert second.append(b"second %d\n" % number) == (17 * number + 8, 17 * number + 17)


def test_a_log_that_was_removed_is_created_again(path: Path) -> None:
    writer = LogWriter(path, None, "UTC")
    writer.append(b"one\n")
    path.unlink()
    assert writer.append(b"two\n") == (0, 4)
    assert path.read_bytes() == b"two\n"


def test_an_incomplete_line_left_by_a_killed_writer_is_terminated_first(path: Path) -> None:
    writer = LogWriter(path, None, "UTC")
    writer.append(b"one\n")
    with path.open("ab") as file:
        file.write(b"tor")
    assert writer.append(b"two\n") == (8, 12)
    assert path.read_bytes() == b"one\ntor\ntwo\n"


def test_tail_returns_whole_lines_within_its_limits(path: Path) -> None:
    writer = LogWriter(path, 40, "UTC")
    for number in range(9):
        writer.append(b"line %d\n" % number)
    reader = LogReader(path)
    assert reader.tail(2, 1000) == (49, b"line 7\nline 8\n")
    assert reader.tail(100, 1000) == (0, read_all(reader))
    assert reader.tail(100, 17) == (49, b"line 7\nline 8\n")
    assert reader.tail(100, 14) == (49, b"line 7\nline 8\n")
    assert reader.tail(0, 1000) == (63, b"")
    assert reader.tail(3, 3) == (63, b"")


def test_a_line_longer_than_the_read_limit_is_read_in_parts(path: Path) -> None:
    LogWriter(path, None, "UTC").append(b"0123456789\n")
    assert LogReader(path).read(0, 4) == (0, b"0123")


def test_an_incomplete_last_line_is_not_read(path: Path) -> None:
    LogWriter(path, None, "UTC").append(b"one\n")
    with path.open("ab") as file:
        file.write(b"two")
    assert LogReader(path).read(0, 100) == (0, b"one\n")
    assert LogReader(path).read(4, 100) == (4, b"")


def test_a_writer_that_is_garbage_collected_closes_its_files(path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    before = descriptors()
    for _ in range(5):
        LogWriter(path, None, "UTC").append(b"x\n")
    assert descriptors() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_an_append_to_a_full_disk_fails_and_leaves_no_partial_line(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.symlink_to("/dev/full")
    writer = LogWriter(path, None, "UTC")
    with pytest.raises(OSError, match=r"space|Invalid"):
        writer.append(b"one\n")
    path.unlink()
    assert writer.append(b"two\n") == (0, 4)


@given(
    batches=st.lists(
        st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b"")), min_size=1, max_size=4)
    ),
    limit=st.one_of(st.none(), st.integers(1, 200)),
    read_limit=st.integers(1, 80),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_reading_returns_the_retained_part_of_the_appended_data(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], limit: int | None, read_limit: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "t.log"
    writer, reader = LogWriter(path, limit, "UTC"), LogReader(path)
    appended = b""
    for batch in batches:
        data = b"".join(line + b"\n" for line in batch)
        assert writer.append(data) == (len(appended), len(appended) + len(data))
        appended += data
    assert reader.size() == len(appended)
    assert read_all(reader, read_limit) == appended[reader.start() :]


_WRITER = """
import sys
from pathlib import Path
from keiji_engine.logs.writer import LogWriter
writer = LogWriter(Path(sys.argv[1]), 7_000, "UTC")
for number in range(400):
    text = b"writer %s line %04d\\n" % (sys.argv[2].encode(), number)
    start, end = writer.append(text)
    print(start, end, text.decode(), end="")
"""


def follow(reader: LogReader, has_ended: Callable[[], bool]) -> tuple[int, bytes]:
    """Follow the log from its start to its end; return the number of bytes skipped, and the bytes read."""
    position, skipped, followed = 0, 0, b""
    while True:
        is_last = has_ended()
        start, data = reader.read(position, 4096)
        skipped += start - position
        position = start + len(data)
        followed += data
        if is_last and not data:
            return skipped, followed


def test_concurrent_writers_lose_no_line_and_their_positions_are_correct(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(path), str(number)], stdout=subprocess.PIPE)
        for number in range(4)
    ]
    outputs: list[bytes] = []
    threads = [threading.Thread(target=lambda w=writer: outputs.append(w.communicate()[0])) for writer in writers]
    for thread in threads:
        thread.start()
    reader = LogReader(path)
    skipped, followed = follow(reader, lambda: not any(thread.is_alive() for thread in threads))
    for thread in threads:
        thread.join()

    appends = {}
    for row in b"".join(outputs).splitlines(keepends=True):
        start, end, text = row.split(b" ", 2)
        appends[int(start)] = (int(end), text)
    stream = b""
    for position in sorted(appends):
        assert position == len(stream)
        stream += appends[position][1]
        assert appends[position][0] == len(stream)
    assert sorted(stream.splitlines()) == sorted(
        b"writer %d line %04d" % (writer, number) for writer in range(4) for number in range(400)
    )
    assert (skipped, followed) == (0, stream)
    assert reader.read(reader.start(), 1 << 20) == (reader.start(), stream[reader.start() :])
