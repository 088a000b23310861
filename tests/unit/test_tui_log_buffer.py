"""The log lines that the terminal holds in memory, and how it reads them from the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import given
from hypothesis import strategies as st

from keiji_engine.bus.protocol import LogSlice
from keiji_tui.logs.buffer import MARGIN_LINES, LogBuffer
from keiji_tui.logs.chunk import MAX_LINE_CHARS, Chunk, Line
from keiji_tui.logs.pending_chunks import PendingChunks
from keiji_tui.logs.source import read_backwards


def reader_of(data: bytes, oldest: int = 0) -> Callable[[int | None, int], Awaitable[LogSlice]]:
    """Return a function that reads ``data`` as the engine reads a log."""

    async def read(position: int | None, limit: int) -> LogSlice:
        start = min(max(position or 0, oldest), len(data))
        chunk = data[start : start + limit]
        chunk = chunk[: chunk.rfind(b"\n") + 1] or (chunk if len(chunk) == limit else b"")
        text = chunk.decode(errors="replace")
        return LogSlice(id="r", task="a", position=start, end=start + len(chunk), size=len(data), text=text)

    return read


def raws(lines: list[Line]) -> list[str]:
    return [line.raw for line in lines]


def test_lines_have_their_positions_in_bytes() -> None:
    text = "one\nzwölf\n報告\n"
    lines = Chunk(100, 100 + len(text.encode()), text).lines()
    assert [(line.position, line.end, line.raw) for line in lines] == [
        (100, 104, "one"), (104, 111, "zwölf"), (111, 118, "報告"),
    ]  # fmt: skip


def test_whole_drops_the_partial_line_at_the_start() -> None:
    data = "報告報告\nabc\ndef\n".encode()[1:]
    text = data.decode(errors="replace")
    lines = Chunk(1, 1 + len(data), text).without_partial_line().lines()
    assert [(line.position, line.raw) for line in lines] == [(13, "abc"), (17, "def")]


def test_a_chunk_without_a_newline_is_one_open_line() -> None:
    lines = Chunk(10, 30, "x" * 20).without_partial_line().lines()
    assert [(line.position, line.end, line.is_open) for line in lines] == [(10, 30, True)]


def test_invalid_utf8_does_not_shift_the_position_of_the_end() -> None:
    data = b"good\nbad \xe5\xa0\nmore\n"
    lines = Chunk(0, len(data), data.decode(errors="replace")).lines()
    assert lines[-1].end == len(data)
    assert all(line.position < line.end for line in lines)


def test_a_line_split_over_two_chunks_is_joined() -> None:
    buffer = LogBuffer()
    buffer.append(Chunk(0, 6, "one\ntw").lines(), 0, 6)
    buffer.append(Chunk(6, 14, "o\nthree\n").lines(), 6, 14)
    assert raws(list(buffer)) == ["one", "two", "three"]
    assert (buffer.begin, buffer.end) == (0, 14)


def test_a_gap_in_the_buffer_is_shown_with_its_size() -> None:
    buffer = LogBuffer()
    buffer.append(Chunk(0, 4, "one\n").lines(), 0, 4)
    buffer.append(Chunk(1004, 1008, "two\n").lines(), 1004, 1008)
    assert raws(list(buffer)) == ["one", "… 1,000 bytes were skipped …", "two"]
    assert buffer[1].is_note


def numbered(first: int, last: int) -> list[Line]:
    return [Line(number * 10, number * 10 + 10, f"{number:09}") for number in range(first, last)]


def test_a_full_buffer_drops_lines_at_the_opposite_end() -> None:
    buffer = LogBuffer(max_lines=5)
    buffer.append(numbered(10, 20), 100, 200)
    assert (buffer.begin, buffer.end, len(buffer)) == (150, 200, 5)
    buffer.prepend(numbered(12, 15), 120)
    assert (buffer.begin, buffer.end, len(buffer)) == (120, 170, 5)
    assert buffer.is_full
    assert not buffer.is_at_end


def test_a_buffer_is_limited_in_characters_too() -> None:
    buffer = LogBuffer(max_chars=100)
    buffer.append([Line(n, n + 1, "x" * 40) for n in range(10)], 0, 10)
    assert (len(buffer), buffer.begin) == (2, 8)
    buffer.prepend([Line(7, 8, "y" * 90)], 7)
    assert raws(list(buffer)) == ["y" * 90]
    assert len(Chunk(0, 100_000, "z" * 100_000).lines()[0].raw) == MAX_LINE_CHARS


def test_the_index_of_a_position_is_that_of_the_line_it_is_in() -> None:
    buffer = LogBuffer()
    buffer.append(numbered(3, 6), 30, 60)
    assert [buffer.index(position) for position in (0, 30, 39, 40, 59, 999)] == [0, 0, 0, 1, 2, 2]


def test_the_margin_around_a_position_is_counted_in_lines() -> None:
    buffer = LogBuffer()
    buffer.append(numbered(0, 2 * MARGIN_LINES + 2), 0, (2 * MARGIN_LINES + 2) * 10)
    middle = (MARGIN_LINES + 1) * 10
    assert buffer.has_margin_before(middle)
    assert buffer.has_margin_after(middle)
    assert not buffer.has_margin_before(middle - 20)


def test_pending_chunks_joins_adjacent_chunks_and_keeps_the_newest() -> None:
    pending = PendingChunks(max_chars=20)
    for begin in range(0, 60, 10):
        pending.append(Chunk(begin, begin + 10, "x" * 9 + "\n"))
    assert pending.end == 60
    chunk = pending.pop()
    assert (chunk.position, chunk.end, len(chunk.text)) == (40, 60, 20)
    assert not pending
    pending.append(Chunk(70, 80, "y" * 9 + "\n"))
    pending.append(Chunk(90, 100, "z" * 9 + "\n"))
    assert pending.pop().end == 80


logs = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n"), max_size=30), max_size=60)


@given(logs, st.integers(1, 200))
def test_reading_backwards_returns_each_line_once(lines: list[str], limit: int) -> None:
    data = "".join(f"{line}\n" for line in lines).encode()
    longest = max((len(line.encode()) for line in lines), default=0) + 1

    async def read_all() -> list[str]:
        lines_read: list[str] = []
        before = len(data)
        while before > 0:
            chunk, is_oldest = await read_backwards(reader_of(data), before, max(limit, longest))
            assert chunk is not None
            assert chunk.end == before
            lines_read[:0] = raws(chunk.lines())
            before = chunk.position
            assert is_oldest == (before == 0)
        return lines_read

    assert asyncio.run(read_all()) == lines


@given(st.lists(st.binary(max_size=80), max_size=20), st.integers(1, 60))
def test_reading_backwards_terminates_for_any_content(parts: list[bytes], limit: int) -> None:
    data = b"\n".join(parts) + b"\n"

    async def read_all() -> None:
        before = len(data)
        while before > 0:
            chunk, _ = await read_backwards(reader_of(data), before, limit)
            if chunk is None:
                return
            assert chunk.position < before
            before = chunk.position

    asyncio.run(read_all())


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(1, 60))
def test_lines_longer_than_the_limit_are_read_as_a_whole(lengths: list[int], limit: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)

    async def read_all() -> list[int]:
        lengths_read: list[int] = []
        before = len(data)
        while before > 0:
            chunk, _ = await read_backwards(reader_of(data), before, limit)
            assert chunk is not None
            lengths_read[:0] = [len(line.raw) for line in chunk.lines()]
            before = chunk.position
        return lengths_read

    assert asyncio.run(read_all()) == lengths
