"""The sources of lines: one log, and several logs merged by time."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from fake_link import FakeLink
from hypothesis import given
from hypothesis import strategies as st
from waiting import eventually

from keiji.errors import KeijiError, TaskNotFound
from keiji_engine.bus.protocol import LogChunk, LogSlice
from keiji_tui.engine.link import LogPart
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.logfmt import parse
from keiji_tui.logs.merge import MergedLog, OffsetVector
from keiji_tui.logs.search import chunks_after, chunks_before
from keiji_tui.logs.source import LogEvent, TaskLog

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
SLUGS = ("one", "two", "three")

gaps = st.lists(st.integers(0, 50), max_size=40)  # milliseconds between the lines of a log
three = st.tuples(gaps, gaps, gaps)


def make_lines(slug: str, gaps: Sequence[int]) -> list[str]:
    """Return the lines of a log. Every fourth one is long; every fifth one has no time."""
    moment, lines = BEGIN, []
    for number, gap in enumerate(gaps):
        moment += timedelta(milliseconds=gap)
        message = f"{slug} {number} 計時 " + "x" * (60 if number % 4 == 3 else 0)
        time = moment.isoformat(timespec="milliseconds")
        lines.append(message if number % 5 == 4 else f'time={time} level=INFO run=r msg="{message}"')
    return lines


def merge(logs: dict[str, list[str]], min_read: int = 1) -> MergedLog:
    link = FakeLink()
    link.files = {slug: "".join(f"{line}\n" for line in lines).encode() for slug, lines in logs.items()}
    return MergedLog(link, list(logs), min_read)


def by_task(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return the raw lines by task."""
    return {slug: [line.raw for line in lines if line.task == slug] for slug in SLUGS}


def is_without_gaps(lines: Sequence[Line]) -> bool:
    return all(before.end == line.position for before, line in itertools.pairwise(lines))


def times(lines: Sequence[Line]) -> list[str]:
    return [line.raw.split()[0] for line in lines if line.raw.startswith("time=")]


async def test_a_log_is_scanned_in_both_directions_up_to_its_oldest_line() -> None:
    data = b"".join(b"%06d\n" % number for number in range(200_000))
    link = FakeLink()
    link.files["a"], link.oldest["a"] = data, 7 * 1_000
    log = TaskLog(link, "a")
    down = [line.raw async for chunk in chunks_after(log, 0) for line in chunk.lines()]
    up = [line.raw async for chunk in chunks_before(log, len(data)) for line in reversed(chunk.lines())]
    assert down == up[::-1]
    assert (down[0], down[-1], len(down)) == ("001000", "199999", 199_000)
    some = [line.raw async for chunk in chunks_after(log, 7 * 5_000, 7 * 5_003) for line in chunk.lines()]
    assert some == ["005000", "005001", "005002"]


@given(three, st.integers(200, 700))
def test_merged_logs_are_read_in_order_of_time_from_either_end(all_gaps, limit: int) -> None:  # type: ignore[no-untyped-def]
    logs = {slug: make_lines(slug, gaps) for slug, gaps in zip(SLUGS, all_gaps, strict=True)}
    log = merge(logs)

    async def down() -> list[Line]:
        lines: list[Line] = []
        position = OffsetVector.from_offsets((0, 0, 0))
        while (chunk := (await log.after(position, 3 * limit)).chunk).end > position:
            assert chunk.position == position
            lines += chunk.lines()
            position = lines[-1].end  # type: ignore[assignment]
        return lines

    async def up() -> list[Line]:
        lines: list[Line] = []
        position: int = (await log.last(3 * limit)).size
        is_oldest = False
        while not is_oldest:
            chunk, is_oldest = await log.before(position, 3 * limit)
            if chunk is None:
                break
            assert chunk.end == position
            lines[:0] = chunk.lines()
            position = chunk.position
        assert position == 0
        return lines

    for lines in (asyncio.run(down()), asyncio.run(up())):
        assert by_task(lines) == logs
        assert is_without_gaps(lines)
        assert times(lines) == sorted(times(lines))


@given(three, st.floats(0, 1))
def test_the_lines_around_any_position_have_no_gaps(all_gaps, share: float) -> None:  # type: ignore[no-untyped-def]
    logs = {slug: make_lines(slug, gaps) for slug, gaps in zip(SLUGS, all_gaps, strict=True)}
    log = merge(logs)

    async def around() -> None:
        size = (await log.last(1)).size
        result, position = await log.around(int(share * size))
        lines = result.chunk.lines()
        assert result.chunk.position <= position <= result.chunk.end
        assert is_without_gaps(lines)
        assert [line for line in lines if line.position == position] or position == size or not lines

    asyncio.run(around())


async def test_a_position_in_the_middle_of_long_logs_is_found_by_time() -> None:
    gaps = ([1] * 30_000, [3] * 9_000, [40] * 900)
    logs = {slug: make_lines(slug, gap) for slug, gap in zip(SLUGS, gaps, strict=True)}
    log = merge(logs)
    size = (await log.last(1)).size
    for share in (0.1, 0.5, 0.9):
        result, position = await log.around(int(size * share))
        assert abs(position - size * share) < size / 20
        lines = result.chunk.lines()
        assert times(lines) == sorted(times(lines))
        assert set(by_task(lines)) == set(SLUGS)


class GrowingLink(FakeLink):
    """Logs that grow while they are followed. `follow` yields the tail, then additions, as the bus does."""

    def __init__(self) -> None:
        super().__init__()
        self.files = dict.fromkeys(SLUGS, b"")

    async def follow(self, task: str) -> AsyncIterator[LogPart]:
        queue: asyncio.Queue[LogPart] = asyncio.Queue()
        self._followers[task] = queue
        yield await self.read(task, None, 200)
        while True:
            yield await queue.get()

    def add(self, slug: str, line: str) -> None:
        data = f"{line}\n".encode()
        begin = len(self.files[slug])
        self.files[slug] += data
        if slug in self._followers:
            chunk = LogChunk(task=slug, position=begin, end=begin + len(data), text=data.decode())
            self._followers[slug].put_nowait(chunk)

    def delete_log(self, slug: str) -> None:
        self.files[slug] = b""
        self._followers[slug].put_nowait(LogChunk(task=slug, position=0, end=0, text="", restarted=True))


class DeletedLink(GrowingLink):
    """The same logs, but the task "two" was deleted."""

    def __init__(self, link: GrowingLink) -> None:
        super().__init__()
        self.files = link.files

    async def read(self, task: str, position: int | None, limit: int) -> LogSlice:
        if task == "two":
            raise TaskNotFound("there is no task two")
        return await super().read(task, position, limit)


class Listener:
    """Follows a merged log and records its events."""

    def __init__(self, log: MergedLog) -> None:
        self._log = log
        self._listening: asyncio.Task[None] | None = None
        self.events: list[LogEvent] = []

    @property
    def lines(self) -> list[Line]:
        return [line for event in self.events for line in event.chunk.lines()]

    async def begin(self) -> None:
        known = len(self.events)
        self._listening = asyncio.create_task(self._listen())
        await eventually(lambda: len(self.events) > known)

    async def _listen(self) -> None:
        async for event in self._log.follow():
            self.events.append(event)

    async def end(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])


async def test_additions_are_yielded_once_and_in_order_even_after_an_interruption() -> None:
    logs = {slug: make_lines(slug, [5] * 30) for slug in SLUGS}
    link = GrowingLink()
    listener = Listener(MergedLog(link, SLUGS))
    for first, last, lost in ((0, 12, 15), (15, 24, 30)):
        for number in range(first, last):
            for slug in SLUGS:
                link.add(slug, logs[slug][number])
            if number == first:
                await listener.begin()
        await eventually(lambda last=last: len(listener.lines) == 3 * last)
        await listener.end()
        for number in range(last, lost):
            for slug in SLUGS:
                link.add(slug, logs[slug][number])
    await listener.begin()
    await eventually(lambda: len(listener.lines) == 90)
    await listener.end()
    assert by_task(listener.lines) == logs
    assert is_without_gaps(listener.lines)
    assert times(listener.lines) == sorted(times(listener.lines))


async def test_a_log_that_is_deleted_is_restarted_and_the_others_continue() -> None:
    logs = {slug: make_lines(slug, [5] * 9) for slug in SLUGS}
    link = GrowingLink()
    for slug in SLUGS:
        link.add(slug, logs[slug][0])
    listener = Listener(MergedLog(link, SLUGS))
    await listener.begin()
    link.delete_log("two")
    for number in range(1, 9):
        for slug in SLUGS:
            link.add(slug, logs[slug][number])
    await eventually(lambda: len(listener.lines) == 27)
    await listener.end()
    assert [event.restarted for event in listener.events].count(True) == 1
    assert by_task(listener.lines) == logs


async def test_the_other_logs_remain_if_a_task_is_deleted() -> None:
    link = GrowingLink()
    link.add("one", make_lines("one", [0])[0])
    log = MergedLog(DeletedLink(link), SLUGS)
    listener = Listener(log)
    await listener.begin()
    assert by_task(listener.lines)["one"] == make_lines("one", [0])
    result, _ = await log.around(0)
    assert [line.task for line in result.chunk.lines()] == ["one"]
    assert await log.before(result.chunk.end, 1000) == (result.chunk, True)
    await listener.end()


async def test_a_position_in_a_very_long_line_is_shown_from_the_start_of_the_line() -> None:
    link = FakeLink()
    link.files["a"] = b"first\n" + b"x" * 500_000 + b"\nlast\n"
    result, position = await TaskLog(link, "a").around(250_000)
    assert (result.chunk.position, position) == (6, 6)


async def test_the_fragments_of_a_line_are_joined_in_a_merged_log_unless_others_are_between_them() -> None:
    stamps = [(BEGIN + timedelta(seconds=number)).isoformat() for number in range(4)]
    parts = [f'time={stamp} level=INFO run=r msg="part {number}" more=1' for number, stamp in enumerate(stamps)]
    other = f'time={(BEGIN + timedelta(seconds=1.5)).isoformat()} level=INFO run=s msg="other"'
    result = await merge({"one": parts, "two": [other]}).last(10_000)
    assert [(line.task, parse(line.raw).message) for line in result.chunk.lines()] == [
        ("one", "part 0part 1"), ("two", "other"), ("one", "part 2part 3"),
    ]  # fmt: skip
    assert is_without_gaps(result.chunk.lines())


class EndingLink(GrowingLink):
    """The same logs, but the one of the task "two" is followed no further than its tail."""

    async def follow(self, task: str) -> AsyncIterator[LogPart]:
        async for part in super().follow(task):
            yield part
            if task == "two":
                return


async def test_a_merged_log_fails_if_one_of_its_logs_is_no_longer_followed() -> None:
    with pytest.raises(KeijiError, match="the log of two is no longer followed"):
        async for _ in MergedLog(EndingLink(), SLUGS).follow():
            pass
