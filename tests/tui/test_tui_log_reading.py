"""Reading a log that does not fit into memory: it opens at its end and is read by position while it grows."""

from __future__ import annotations

from log_scenes import LogLink, is_without_gap, line_with, log_lines, open_log, visible_numbers
from piloting import log, press, running, sees, settle, text_of
from scenes import center, snapshot, task
from waiting import until

from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.logs.buffer import MARGIN_LINES, MAX_LINES


async def test_a_long_log_opens_at_its_end_and_can_be_paged_through() -> None:
    link = LogLink(log_lines(0, 20_000))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0019999")
        await until(pilot, sees(app, "following"))
        await until(pilot, lambda: log(app).buffer.oldest == 0)
        assert len(link.reads) < 5
        seen = set(visible_numbers(app))
        while min(visible_numbers(app)) > 19_700:
            top = min(visible_numbers(app))
            await press(pilot, "ctrl+u")
            await until(pilot, lambda top=top: min(visible_numbers(app)) < top)
            assert is_without_gap(visible_numbers(app))
            seen.update(visible_numbers(app))
        assert seen == set(range(min(seen), 20_000))
        while not log(app).following:
            await press(pilot, "ctrl+d")
        await until(pilot, sees(app, "line 0019999", "following"))


async def test_the_oldest_line_is_the_oldest_that_is_stored() -> None:
    link = LogLink(log_lines(0, 20_000))
    link.oldest["a"] = len(log_lines(0, 1_000))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0019999")
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0001000", "0% · f follows"))
        assert "line 0000999" not in text_of(app)
        await press(pilot, "k", "ctrl+u")
        assert visible_numbers(app)[0] == 1_000
        await press(pilot, "j")
        await until(pilot, lambda: visible_numbers(app)[0] == 1_001)
        # Lines that are pruned while they are read leave a note.
        link.oldest["a"] = len(log_lines(0, 15_000))
        while not any(line.is_note for line in log(app).visible_lines):
            bottom = log(app).bottom
            log(app).action_lines(20)
            await until(pilot, lambda bottom=bottom: log(app).bottom > bottom)
        note = next(line for line in log(app).buffer if line.is_note)
        assert note.end == link.oldest["a"]
        await until(pilot, sees(app, "bytes were skipped", "line 0015000"))
        await press(pilot, "G")
        await until(pilot, sees(app, "line 0019999", "following"))


async def test_memory_is_bounded_and_the_view_stays_put_during_a_flood() -> None:
    link = LogLink(log_lines(0, 10_000))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0009999")
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
        for number in range(10_000, 40_000, 1_000):
            link.append(log_lines(number, number + 1_000))
        await until(pilot, sees(app, "+30,000 lines"))
        assert visible_numbers(app)[0] == 0
        for _ in range(20):
            bottom = log(app).bottom
            log(app).action_lines(MARGIN_LINES)
            await until(pilot, lambda bottom=bottom: log(app).bottom > bottom)
            assert len(log(app).buffer) <= MAX_LINES
        assert is_without_gap(visible_numbers(app))
        await press(pilot, "f")
        await until(pilot, sees(app, "line 0039999", "following"))
        for number in range(40_000, 70_000, 1_000):
            link.append(log_lines(number, number + 1_000))
        await until(pilot, sees(app, "line 0069999"))
        assert len(log(app).buffer) <= MAX_LINES
        log(app).action_lines(-400)
        await until(pilot, lambda: is_without_gap(visible_numbers(app)) and visible_numbers(app)[-1] < 69_700)
        # Events that were lost are read from the file.
        await press(pilot, "f")
        link.append(log_lines(70_000, 75_000), is_pushed=False)
        link.append(log_lines(75_000, 75_010))
        await until(pilot, sees(app, "line 0075009", "following"))
        await until(pilot, lambda: len(visible_numbers(app)) > 15)
        assert visible_numbers(app) == list(range(visible_numbers(app)[0], 75_010))
        assert "skipped" not in text_of(app)


async def test_the_position_is_kept_while_the_engine_is_offline_and_lost_if_the_log_is_deleted() -> None:
    link = LogLink(log_lines(0, 20_000))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0019999")
        await press(pilot, "ctrl+u", "ctrl+u")
        top = visible_numbers(app)[0]
        link.die()
        await until(pilot, sees(app, "engine offline"))
        link.append(log_lines(20_000, 30_000), is_pushed=False)
        await press(pilot, "ctrl+u", "ctrl+d")
        link.come_back(snapshot([task("a")], boot="boot-2"))
        await until(pilot, lambda: "engine offline" not in text_of(app))
        assert visible_numbers(app)[0] == top
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
        link.delete_log()
        link.append(log_lines(0, 3, words="fresh line"))
        await until(pilot, sees(app, "fresh line 0000002", "following"))
        assert "line 0000005" not in text_of(app)


async def test_another_task_shows_only_its_own_log() -> None:
    link = LogLink(log_lines(0, 5_000))
    link.tell(snapshot([task("a"), task("b")]), LinkChanged(LinkState.LIVE))
    app = center(link, task="a")
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0004999"))
        await press(pilot, "j")
        await until(pilot, lambda: "line 00" not in text_of(app) and "log b" in text_of(app))


async def test_what_has_already_arrived_of_the_former_log_is_not_shown_in_the_next_one() -> None:
    link = LogLink(log_lines(0, 10))
    link.tell(snapshot([task("a"), task("b")]), LinkChanged(LinkState.LIVE))
    app = center(link, task="a")
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0000009", "following"))
        pane = app.tasks_screen.log_pane
        link.append(log_lines(10, 11))
        pane.show({"b": "b"})  # before the event loop delivers the line
        pane.connect(link)
        await settle(pilot)
        assert pane.reader.buffer.size == 0
        assert not pane.reader.buffer


async def test_very_long_lines_can_be_scrolled_past_and_keep_their_time() -> None:
    link = LogLink(log_lines(0, 1_000) + line_with("x" * 600_000, level="ERROR") + log_lines(1_000, 1_010))
    app = center(link)
    async with running(app) as pilot:
        await open_log(pilot, app, "line 0001009")
        await until(pilot, sees(app, "✗ xxxxx"))
        assert "msg=" not in text_of(app)
        log(app).action_lines(-200)
        await until(pilot, lambda: visible_numbers(app) and visible_numbers(app)[-1] < 1_000)
        await press(pilot, "w", "G")
        await until(pilot, sees(app, "following"))
        while not visible_numbers(app) or visible_numbers(app)[-1] >= 1_000:
            log(app).action_lines(-40)
            await pilot.pause()
            text_of(app)
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
