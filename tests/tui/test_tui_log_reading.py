"""A log that is longer than what fits into memory: opened at its end, read by position, while it goes on."""

from __future__ import annotations

from fake_link import FakeLink
from piloting import log, press, running, sees, text_of
from scenes import before, center, snapshot, task, tasks
from waiting import until

from keiji_engine.bus.protocol import LogChunk, LogSlice
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.buffer import MARGIN_LINES, MAX_LINES

LINE = 'time={} level={} run={} msg="{}"\n'


def lines(first: int, last: int, *, level: str = "INFO", run: str = "r1", words: str = "line") -> bytes:
    """Return lines whose messages are numbers, each as long as the others."""
    moment = before(seconds=60).isoformat(timespec="milliseconds")
    return "".join(LINE.format(moment, level, run, f"{words} {number:07}") for number in range(first, last)).encode()


def long_log(data: bytes, slug: str = "a", told: int = 200) -> FakeLink:
    """Return a link to a log of which `follow` tells the last lines, as the engine does."""
    begin = len(data)
    for _ in range(told + 1):
        begin = data.rfind(b"\n", 0, begin)
        if begin < 0:
            break
    begin += 1
    part = LogSlice(id="l", task=slug, position=begin, end=len(data), size=len(data), text=data[begin:].decode())
    link = FakeLink(snapshot([task(slug)]), LinkChanged(LinkState.LIVE), logs={slug: [part]})
    link.files[slug] = data
    return link


def grow(link: FakeLink, data: bytes, slug: str = "a", *, is_told: bool = True) -> None:
    """Append to the log, and tell of it."""
    begin = len(link.files[slug])
    link.files[slug] += data
    if is_told:
        link.print(LogChunk(task=slug, position=begin, end=begin + len(data), text=data.decode()))


def numbers(app: ControlCenter) -> list[int]:
    """Return the numbers of the lines on the screen."""
    found = [row.rpartition("line ")[2][:7] for row in text_of(app).splitlines() if "line 0" in row]
    return [int(number) for number in found]


async def test_a_long_log_opens_at_its_end_with_a_few_reads() -> None:
    link = long_log(lines(0, 200_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0199999", "following"))
        await until(pilot, lambda: log(app).buffer.oldest == 0)
        assert len(link.reads) < 5


async def test_paging_up_and_down_shows_every_line_once_and_in_order() -> None:
    link = long_log(lines(0, 3_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0002999"))
        await press(pilot, "l")
        seen: set[int] = set(numbers(app))
        while min(numbers(app)) > 2_700:
            top = min(numbers(app))
            await press(pilot, "ctrl+u")
            await until(pilot, lambda top=top: min(numbers(app)) < top)
            assert numbers(app) == list(range(numbers(app)[0], numbers(app)[-1] + 1))
            seen.update(numbers(app))
        assert seen == set(range(min(seen), 3_000))
        while not log(app).following:
            await press(pilot, "ctrl+d")
        await until(pilot, sees(app, "line 0002999", "following"))


async def test_g_goes_to_the_oldest_line_that_is_kept_and_the_end_key_back() -> None:
    data = lines(0, 50_000)
    link = long_log(data)
    link.oldest["a"] = len(lines(0, 1_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0049999"))
        await press(pilot, "l", "g")
        await until(pilot, sees(app, "line 0001000", "0% · f follows"))
        assert "line 0000999" not in text_of(app)
        await press(pilot, "k", "ctrl+u")
        assert numbers(app)[0] == 1_000
        await press(pilot, "j")
        await until(pilot, lambda: numbers(app)[0] == 1_001)
        await press(pilot, "G")
        await until(pilot, sees(app, "line 0049999", "following"))


async def test_what_is_kept_in_memory_is_bounded_however_far_one_reads() -> None:
    link = long_log(lines(0, 60_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0059999"))
        await press(pilot, "l", "g")
        await until(pilot, sees(app, "line 0000000"))
        for _ in range(30):
            bottom = log(app).bottom
            log(app).action_lines(MARGIN_LINES)
            await until(pilot, lambda bottom=bottom: log(app).bottom > bottom)
            assert len(log(app).buffer) <= MAX_LINES
        assert numbers(app) == list(range(numbers(app)[0], numbers(app)[-1] + 1))


async def test_a_reader_far_up_stays_there_in_a_flood_and_nothing_of_it_is_kept() -> None:
    link = long_log(lines(0, 20_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0019999"))
        await press(pilot, "l", "g")
        await until(pilot, sees(app, "line 0000000"))
        for number in range(20_000, 120_000, 1_000):
            grow(link, lines(number, number + 1_000))
        await until(pilot, sees(app, "+100,000 lines"))
        assert numbers(app)[0] == 0
        assert len(log(app).buffer) <= MAX_LINES
        await press(pilot, "f")
        await until(pilot, sees(app, "line 0119999", "following"))


async def test_who_follows_a_flood_sees_its_end_and_can_page_up_into_it() -> None:
    link = long_log(lines(0, 1_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0000999"))
        for number in range(1_000, 101_000, 1_000):
            grow(link, lines(number, number + 1_000))
        await until(pilot, sees(app, "line 0100999"))
        assert len(log(app).buffer) <= MAX_LINES
        await press(pilot, "l", *["ctrl+u"] * 10)
        assert numbers(app) == list(range(numbers(app)[0], numbers(app)[-1] + 1))


async def test_what_the_bus_left_out_is_read_from_the_file() -> None:
    link = long_log(lines(0, 1_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0000999"))
        grow(link, lines(1_000, 5_000), is_told=False)
        grow(link, lines(5_000, 5_010))
        await until(pilot, sees(app, "line 0005009", "following"))
        await press(pilot, "l")
        await until(pilot, lambda: len(numbers(app)) > 15)
        assert numbers(app) == list(range(numbers(app)[0], 5_010))
        assert "skipped" not in text_of(app)


async def test_what_was_pruned_below_a_reader_is_said_to_be_missing() -> None:
    link = long_log(lines(0, 40_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0039999"))
        await press(pilot, "l", "g")
        await until(pilot, sees(app, "line 0000000"))
        link.oldest["a"] = len(lines(0, 30_000))
        while "were skipped" not in text_of(app):
            assert numbers(app)[0] < 30_000
            await press(pilot, "ctrl+d")
        end = next(line.end for line in log(app).buffer if line.is_note)
        assert end == link.oldest["a"]
        await press(pilot, "ctrl+d")
        await until(pilot, sees(app, "line 0030000"))


async def test_the_place_is_kept_while_the_engine_is_away() -> None:
    link = long_log(lines(0, 20_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0019999"))
        await press(pilot, "l", *["ctrl+u"] * 20)
        shown = numbers(app)
        link.die()
        await until(pilot, sees(app, "engine offline"))
        grow(link, lines(20_000, 30_000), is_told=False)
        await press(pilot, "ctrl+u", "ctrl+d")
        link.come_back(snapshot([task("a")], boot="boot-2"))
        await until(pilot, lambda: "engine offline" not in text_of(app))
        await until(pilot, lambda: log(app).buffer.size == len(link.files["a"]) or not link.reads.clear())
        assert numbers(app)[0] == shown[0]
        await press(pilot, "f")
        await until(pilot, sees(app, "following"))


async def test_a_log_that_is_begun_anew_while_somebody_reads_far_up() -> None:
    link = long_log(lines(0, 20_000))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0019999"))
        await press(pilot, "l", "g")
        await until(pilot, sees(app, "line 0000000"))
        link.files["a"] = b""
        link.print(LogChunk(task="a", position=0, end=0, text="", restarted=True))
        grow(link, lines(0, 3, words="fresh line"))
        await until(pilot, sees(app, "fresh line 0000002", "following"))
        assert "line 0000005" not in text_of(app)


async def test_another_task_shows_its_own_log_and_no_line_of_the_one_before() -> None:
    link = long_log(lines(0, 20_000), "ping_google")
    link.tell(snapshot(tasks()))
    app = center(link, task="ping_google")
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0019999"))
        await app._tasks_screen.table.run_action("rows(1)")
        await until(pilot, lambda: "line 00" not in text_of(app))


async def test_lines_longer_than_what_is_read_at_once_do_not_stop_anybody() -> None:
    long = LINE.format(before(seconds=9).isoformat(), "INFO", "r1", "x" * 600_000).encode()
    link = long_log(lines(0, 2_000) + long + lines(2_000, 2_010))
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0002009", "xxxxx"))
        await press(pilot, "l")
        for _ in range(40):
            await press(pilot, "ctrl+u")
        await until(pilot, lambda: numbers(app) and numbers(app)[-1] < 2_000)
        await press(pilot, "w", "G")
        await until(pilot, sees(app, "following"))
        for _ in range(100):
            await press(pilot, "ctrl+u")
        text_of(app)
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
