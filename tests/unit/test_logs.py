"""The lines of a log, and the stream that they make across rotation."""

from __future__ import annotations

import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keiji_engine.logs.line_format import LONGEST, Stream
from keiji_engine.logs.writer import ARCHIVES, LogReader, LogWriter, line, parse_line

MOMENT = datetime(2026, 11, 23, 10, 0, 0, 123000, ZoneInfo("Africa/Nairobi"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "t" / "t.log"


def read_all(reader: LogReader, limit: int = 1000) -> bytes:
    position, content = reader.start(), b""
    while data := reader.read(position, limit)[1]:
        content += data
        position += len(data)
    return content


def printed(lines: bytes) -> bytes:
    """What a program printed, had back from the lines of its log."""
    return b"".join(parsed.raw + (b"" if parsed.more else b"\n") for parsed in map(parse_line, lines.splitlines()))


# ── lines ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_line_of_our_own_is_logfmt_with_time_level_and_message() -> None:
    assert line(MOMENT, "INFO", "task disabled, exiting...", None) == (
        b'time=2026-11-23T10:00:00.123+03:00 level=INFO msg="task disabled, exiting..."\n'
    )


def test_a_line_of_the_engine_about_itself_says_of_which_service_it_is() -> None:
    written = line(MOMENT, "WARN", "it looked", service="watcher")
    assert b" level=WARN service=watcher msg=" in written
    read = parse_line(written)
    assert (read.level, read.run, read.msg) == ("WARN", None, "it looked")


def test_output_is_tagged_with_its_run_and_level() -> None:
    assert Stream("ERROR", "r1").feed(b'say "hi"\n', MOMENT) == (
        b'time=2026-11-23T10:00:00.123+03:00 level=ERROR run=r1 msg="say \\"hi\\""\n'
    )


def test_a_message_of_several_lines_stays_one_line() -> None:
    written = line(MOMENT, "INFO", "one\ntwo", "r")
    assert written.count(b"\n") == 1
    assert parse_line(written).msg == "one\ntwo"


def test_a_line_is_read_as_it_was_written() -> None:
    parsed = parse_line(line(MOMENT, "ERROR", "Zeit läuft ⏱", "r1"))
    assert (parsed.time, parsed.level, parsed.run, parsed.msg) == (MOMENT, "ERROR", "r1", "Zeit läuft ⏱")


@pytest.mark.parametrize("foreign", [b"", b"plain words\n", b'time=yesterday level=INFO msg="x"\n', b"\xff\xfe"])
def test_a_line_of_another_format_is_a_message(foreign: bytes) -> None:
    parsed = parse_line(foreign)
    assert (parsed.time, parsed.raw) == (None, foreign.removesuffix(b"\n"))


def test_bytes_that_are_no_utf8_are_shown_escaped() -> None:
    written = Stream("INFO", "r").feed(b"a\xffb\n", MOMENT)
    assert rb'msg="a\xffb"' in written
    assert parse_line(written).msg == r"a\xffb"


@pytest.mark.parametrize("sequence", ["\x1b[31m", "\x07", "\x9b31m", "\r", "\x00", "\x7f"])
def test_no_control_character_reaches_the_log(sequence: str) -> None:
    written = Stream("INFO", "r").feed(f"a{sequence}b\n".encode(), MOMENT)
    assert written.decode().removesuffix("\n").isprintable()
    assert parse_line(written).msg == f"a{sequence}b"


def test_a_line_that_is_too_long_is_split_between_characters_and_marked() -> None:
    printed_line = ("é" * LONGEST).encode()
    lines = Stream("INFO", "r").feed(printed_line + b"\nnext\n", MOMENT).splitlines()
    pieces = [parse_line(each) for each in lines]
    assert [piece.more for piece in pieces] == [True, False, False]
    assert "\\x" not in pieces[0].msg + pieces[1].msg
    assert pieces[0].raw + pieces[1].raw == printed_line


def test_a_program_that_prints_no_newline_does_not_fill_the_memory() -> None:
    stream = Stream("INFO", "r")
    written = b"".join(stream.feed(b"x" * 5000, MOMENT) for _ in range(100))
    assert len(parse_line(stream.flush(MOMENT, ended=True)).raw) <= LONGEST
    assert printed(written).count(b"x") >= 500_000 - LONGEST


output = st.lists(
    st.one_of(
        st.binary(max_size=60), st.sampled_from([b"\n", b"\\", b'"', b"\xc2", b"\x9b", b"\xf0\x9f", b"x" * 70_000])
    ),
    max_size=12,
)


@given(chunks=output, pauses=st.sets(st.integers(0, 11)))
@settings(max_examples=150, deadline=None)
def test_whatever_a_program_prints_can_be_had_back(chunks: list[bytes], pauses: set[int]) -> None:
    stream, written = Stream("INFO", "r"), b""
    for number, chunk in enumerate(chunks):
        written += stream.feed(chunk, MOMENT)
        if number in pauses:
            written += stream.flush(MOMENT, ended=False)
    written += stream.flush(MOMENT, ended=True)
    original = b"".join(chunks)
    assert printed(written).removesuffix(b"\n") == original.removesuffix(b"\n")
    assert not any(unicodedata.category(char) == "Cc" for char in written.decode().replace("\n", ""))


# ── the stream ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_an_append_returns_where_it_lies(path: Path) -> None:
    writer = LogWriter(path, None, "UTC")
    assert writer.append(b"one\n") == (0, 4)
    assert writer.append(b"two\n") == (4, 8)
    assert LogReader(path).read(4, 100) == (4, b"two\n")


def test_our_own_lines_carry_the_time_of_the_zone(path: Path) -> None:
    LogWriter(path, None, "Africa/Nairobi").say(MOMENT.astimezone(UTC), "INFO", "hello")
    assert path.read_bytes().startswith(b"time=2026-11-23T10:00:00.123+03:00 ")


def test_half_a_line_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="whole lines"):
        LogWriter(path, None, "UTC").append(b"half")


def test_a_missing_log_is_empty(path: Path) -> None:
    reader = LogReader(path)
    assert (reader.start(), reader.size(), reader.read(7, 100), reader.tail(5, 100)) == (0, 0, (0, b""), (0, b""))


def test_positions_survive_rotation(path: Path) -> None:
    writer = LogWriter(path, 100, "UTC")
    positions = {number: writer.append(b"line %04d\n" % number) for number in range(30)}
    reader = LogReader(path)
    assert len(list(path.parent.glob("t.log.[0-9]*"))) == 2
    for number, (start, end) in positions.items():
        assert reader.read(start, end - start) == (start, b"line %04d\n" % number)
    assert reader.size() == 300


def test_reading_from_a_pruned_position_starts_at_the_oldest_stored_byte(path: Path) -> None:
    writer = LogWriter(path, 50, "UTC")
    for number in range(60):
        writer.append(b"line %04d\n" % number)
    reader = LogReader(path)
    assert len(list(path.parent.glob("t.log.[0-9]*"))) == ARCHIVES
    assert reader.start() == 600 - ARCHIVES * 50 - 50
    assert reader.read(0, 10) == (reader.start(), b"line 0030\n")


def test_a_writer_goes_on_where_another_one_has_rotated(path: Path) -> None:
    first, second = LogWriter(path, 20, "UTC"), LogWriter(path, 20, "UTC")
    for number in range(5):
        assert first.append(b"first %d\n" % number) == (17 * number, 17 * number + 8)
        assert second.append(b"second %d\n" % number) == (17 * number + 8, 17 * number + 17)


def test_what_somebody_else_removed_is_begun_anew(path: Path) -> None:
    writer = LogWriter(path, None, "UTC")
    writer.append(b"one\n")
    path.unlink()
    assert writer.append(b"two\n") == (0, 4)
    assert path.read_bytes() == b"two\n"


def test_a_line_that_was_torn_by_a_kill_does_not_swallow_the_next(path: Path) -> None:
    writer = LogWriter(path, None, "UTC")
    writer.append(b"one\n")
    with path.open("ab") as file:
        file.write(b"tor")
    assert writer.append(b"two\n") == (8, 12)
    assert path.read_bytes() == b"one\ntor\ntwo\n"


def test_tail_returns_whole_lines(path: Path) -> None:
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


def test_a_line_longer_than_the_limit_is_read_in_parts(path: Path) -> None:
    LogWriter(path, None, "UTC").append(b"0123456789\n")
    assert LogReader(path).read(0, 4) == (0, b"0123")


def test_an_incomplete_line_is_not_read(path: Path) -> None:
    LogWriter(path, None, "UTC").append(b"one\n")
    with path.open("ab") as file:
        file.write(b"two")
    assert LogReader(path).read(0, 100) == (0, b"one\n")
    assert LogReader(path).read(4, 100) == (4, b"")


def test_a_writer_that_nobody_holds_leaves_no_open_file(path: Path) -> None:
    def descriptors() -> int:
        return len(list(Path("/dev/fd").iterdir()))

    before = descriptors()
    for _ in range(5):
        LogWriter(path, None, "UTC").append(b"x\n")
    assert descriptors() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full here")
def test_an_append_that_fails_says_so_and_the_next_one_is_whole(path: Path) -> None:
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
    piece=st.integers(1, 80),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_kept_is_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, batches: list[list[bytes]], limit: int | None, piece: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "t.log"
    writer, reader = LogWriter(path, limit, "UTC"), LogReader(path)
    whole = b""
    for batch in batches:
        data = b"".join(each + b"\n" for each in batch)
        assert writer.append(data) == (len(whole), len(whole) + len(data))
        whole += data
    assert reader.size() == len(whole)
    assert read_all(reader, piece) == whole[reader.start() :]


_WRITE = """
import sys
from pathlib import Path
from keiji_engine.logs.writer import LogWriter
writer = LogWriter(Path(sys.argv[1]), 7_000, "UTC")
for number in range(400):
    text = b"writer %s line %04d\\n" % (sys.argv[2].encode(), number)
    start, end = writer.append(text)
    print(start, end, text.decode(), end="")
"""


def following(reader: LogReader, ended: Callable[[], bool]) -> tuple[int, bytes]:
    """Follow the log from its beginning until it has ended; return the bytes missed, and those seen."""
    position, missed, seen = 0, 0, b""
    while True:
        last = ended()
        found, data = reader.read(position, 4096)
        missed += found - position
        position = found + len(data)
        seen += data
        if last and not data:
            return missed, seen


def test_many_writers_and_rotation_lose_no_line_and_every_position_holds(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITE, str(path), str(number)], stdout=subprocess.PIPE)
        for number in range(4)
    ]
    told: list[bytes] = []
    threads = [threading.Thread(target=lambda w=writer: told.append(w.communicate()[0])) for writer in writers]
    for thread in threads:
        thread.start()
    reader = LogReader(path)
    missed, seen = following(reader, lambda: not any(thread.is_alive() for thread in threads))
    for thread in threads:
        thread.join()

    placed = {}
    for row in b"".join(told).splitlines(keepends=True):
        start, end, text = row.split(b" ", 2)
        placed[int(start)] = (int(end), text)
    stream = b""
    for position in sorted(placed):
        assert position == len(stream)
        stream += placed[position][1]
        assert placed[position][0] == len(stream)
    assert sorted(stream.splitlines()) == sorted(
        b"writer %d line %04d" % (writer, number) for writer in range(4) for number in range(400)
    )
    assert (missed, seen) == (0, stream)
    assert reader.read(reader.start(), 1 << 20) == (reader.start(), stream[reader.start() :])
