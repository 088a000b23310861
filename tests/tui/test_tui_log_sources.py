"""Where lines come from: one log, and several as one in the order of their times."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from fake_link import FakeLink
from hypothesis import given
from hypothesis import strategies as st
from waiting import eventually

from keiji.errors import TaskNotFound
from keiji_engine.bus.protocol import LogChunk, LogSlice
from keiji_tui.engine.link import LogPart
from keiji_tui.logs.chunk import Line
from keiji_tui.logs.merge import MergedLog, OffsetVector
from keiji_tui.logs.search import chunks_after, chunks_before
from keiji_tui.logs.source import LogEvent, TaskLog

BEGIN = datetime(2026, 11, 24, tzinfo=UTC)
SLUGS = ("one", "two", "three")

gaps = st.lists(st.integers(0, 50), max_size=40)  # milliseconds between the lines of a log
three = st.tuples(gaps, gaps, gaps)


def written(slug: str, gaps: Sequence[int]) -> list[str]:
    """Return the lines of a log; every fourth one is long, every fifth one has no time."""
    moment, lines = BEGIN, []
    for number, gap in enumerate(gaps):
        moment += timedelta(milliseconds=gap)
        words = f"{slug} {number} 計時 " + "x" * (60 if number % 4 == 3 else 0)
        time = moment.isoformat(timespec="milliseconds")
        lines.append(words if number % 5 == 4 else f'time={time} level=INFO run=r msg="{words}"')
    return lines


def merged(logs: dict[str, list[str]], least: int = 1) -> MergedLog:
    link = FakeLink()
    link.files = {slug: "".join(f"{line}\n" for line in lines).encode() for slug, lines in logs.items()}
    return MergedLog(link, list(logs), least)


def apart(lines: Sequence[Line]) -> dict[str, list[str]]:
    """Return lines by the log that they are of."""
    return {slug: [line.raw for line in lines if line.task == slug] for slug in SLUGS}


def is_without_gaps(lines: Sequence[Line]) -> bool:
    return all(before.end == line.position for before, line in itertools.pairwise(lines))


def times(lines: Sequence[Line]) -> list[str]:
    return [line.raw.split()[0] for line in lines if line.raw.startswith("time=")]


async def test_a_log_is_gone_through_in_both_directions_up_to_where_it_was_pruned() -> None:
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
def test_several_logs_are_read_in_the_order_of_their_times_from_either_end(all_gaps, limit: int) -> None:  # type: ignore[no-untyped-def]
    logs = {slug: written(slug, gaps) for slug, gaps in zip(SLUGS, all_gaps, strict=True)}
    log = merged(logs)

    async def down() -> list[Line]:
        lines: list[Line] = []
        place = OffsetVector.from_offsets((0, 0, 0))
        while (chunk := (await log.after(place, 3 * limit)).chunk).end > place:
            assert chunk.position == place
            lines += chunk.lines()
            place = lines[-1].end  # type: ignore[assignment]
        return lines

    async def up() -> list[Line]:
        lines: list[Line] = []
        place: int = (await log.last(3 * limit)).size
        is_oldest = False
        while not is_oldest:
            chunk, is_oldest = await log.before(place, 3 * limit)
            if chunk is None:
                break
            assert chunk.end == place
            lines[:0] = chunk.lines()
            place = chunk.position
        assert place == 0
        return lines

    for lines in (asyncio.run(down()), asyncio.run(up())):
        assert apart(lines) == logs
        assert is_without_gaps(lines)
        assert times(lines) == sorted(times(lines))


@given(three, st.floats(0, 1))
def test_around_any_place_there_are_lines_without_gaps(all_gaps, share: float) -> None:  # type: ignore[no-untyped-def]
    logs = {slug: written(slug, gaps) for slug, gaps in zip(SLUGS, all_gaps, strict=True)}
    log = merged(logs)

    async def around() -> None:
        size = (await log.last(1)).size
        found, place = await log.around(int(share * size))
        lines = found.chunk.lines()
        assert found.chunk.position <= place <= found.chunk.end
        assert is_without_gaps(lines)
        assert [line for line in lines if line.position == place] or place == size or not lines

    asyncio.run(around())


async def test_a_place_in_the_middle_of_long_logs_is_found_by_its_time() -> None:
    logs = {slug: written(slug, [step] * count) for slug, step, count in zip(SLUGS, (1, 3, 40), (30_000, 9_000, 900),
                                                                            strict=True)}  # fmt: skip
    log = merged(logs)
    size = (await log.last(1)).size
    for share in (0.1, 0.5, 0.9):
        found, place = await log.around(int(size * share))
        assert abs(place - size * share) < size / 20
        lines = found.chunk.lines()
        assert times(lines) == sorted(times(lines))
        assert set(apart(lines)) == set(SLUGS)


class GrowingLink(FakeLink):
    """Logs that grow while they are followed: first how the end looks, then what is added, as the bus tells it."""

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

    def begin_anew(self, slug: str) -> None:
        self.files[slug] = b""
        self._followers[slug].put_nowait(LogChunk(task=slug, position=0, end=0, text="", restarted=True))


class DeletedLink(GrowingLink):
    """The same, but for the task "two" that is deleted."""

    def __init__(self, link: GrowingLink) -> None:
        super().__init__()
        self.files = link.files

    async def read(self, task: str, position: int | None, limit: int) -> LogSlice:
        if task == "two":
            raise TaskNotFound("there is no task two")
        return await super().read(task, position, limit)


class Listener:
    """Follows logs, and notes what it is told."""

    def __init__(self, log: MergedLog) -> None:
        self._log = log
        self._listening: asyncio.Task[None] | None = None
        self.told: list[LogEvent] = []

    @property
    def lines(self) -> list[Line]:
        return [line for told in self.told for line in told.chunk.lines()]

    async def begin(self) -> None:
        known = len(self.told)
        self._listening = asyncio.create_task(self._listen())
        await eventually(lambda: len(self.told) > known)

    async def _listen(self) -> None:
        async for told in self._log.follow():
            self.told.append(told)

    async def end(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])


async def test_what_is_added_is_told_once_in_order_and_goes_on_after_a_break() -> None:
    logs = {slug: written(slug, [5] * 30) for slug in SLUGS}
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
    assert apart(listener.lines) == logs
    assert is_without_gaps(listener.lines)
    assert times(listener.lines) == sorted(times(listener.lines))


async def test_one_log_that_is_begun_anew_is_told_so_and_the_others_go_on() -> None:
    logs = {slug: written(slug, [5] * 9) for slug in SLUGS}
    link = GrowingLink()
    for slug in SLUGS:
        link.add(slug, logs[slug][0])
    listener = Listener(MergedLog(link, SLUGS))
    await listener.begin()
    link.begin_anew("two")
    for number in range(1, 9):
        for slug in SLUGS:
            link.add(slug, logs[slug][number])
    await eventually(lambda: len(listener.lines) == 27)
    await listener.end()
    assert [told.restarted for told in listener.told].count(True) == 1
    assert apart(listener.lines) == logs


async def test_a_task_that_is_deleted_takes_nothing_from_the_others() -> None:
    link = GrowingLink()
    link.add("one", written("one", [0])[0])
    log = MergedLog(DeletedLink(link), SLUGS)
    listener = Listener(log)
    await listener.begin()
    assert apart(listener.lines)["one"] == written("one", [0])
    found, _ = await log.around(0)
    assert [line.task for line in found.chunk.lines()] == ["one"]
    assert await log.before(found.chunk.end, 1000) == (found.chunk, True)
    await listener.end()


async def test_a_position_in_a_very_long_line_is_shown_from_the_start_of_the_line() -> None:
    link = FakeLink()
    link.files["a"] = b"first\n" + b"x" * 500_000 + b"\nlast\n"
    result, position = await TaskLog(link, "a").around(250_000)
    assert (result.chunk.position, position) == (6, 6)
