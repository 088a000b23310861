"""What is done with a log beyond reading it: runs, copies, files, the pager."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

import pytest
from fake_link import FakeLink
from piloting import log, press, running, sees, text_of
from scenes import FAILED, NOW, OK, before, center, snapshot, task
from test_tui_log_finding import asked, opened
from test_tui_log_reading import LINE, lines, long_log
from textual.widgets import Input
from waiting import until

from keiji.records import Run
from keiji.states import RunState, Trigger
from keiji_tui.app import ControlCenter
from keiji_tui.cli import read
from keiji_tui.logs.prompt import LogPrompt
from keiji_tui.logs.view import LogView
from keiji_tui.screens.log import RunLogScreen
from keiji_tui.screens.runs import RunsScreen

EVERY = 500  # lines of a run


def run(number: int, state: RunState, begin: int | None, end: int | None) -> Run:
    began = before(minutes=100 - number)
    return Run(
        run_id=f"{number:02x}" * 16, task="a", trigger=Trigger.SCHEDULE, state=state, created_at=began,
        scheduled_for=began, started_at=began, finished_at=None if state is RunState.RUNNING else began,
        exit_code=1 if state is FAILED else 0, log_start=begin, log_end=end,
    )  # fmt: skip


def with_runs(count: int = 20) -> FakeLink:
    """Return a link to the log of some runs; the third failed, and the last one goes on."""
    data, runs = b"", []
    for number in range(count):
        name = f"{number:02x}" * 16
        begin = len(data)
        data += lines(number * EVERY, (number + 1) * EVERY, run=name)
        if number == 3:
            moment = before(seconds=60).isoformat(timespec="milliseconds")
            for level, words in (("ERROR", "ValueError: boom"), ("INFO", "cleaning up"), ("INFO", "bye")):
                data += LINE.format(moment, level, name, words).encode()
            data += LINE.format(moment, "ERROR", name, "run failed after 3.4s: exit code 1").encode()
        is_last = number == count - 1
        state = RunState.RUNNING if is_last else FAILED if number == 3 else OK
        runs.append(run(number, state, None if is_last else begin, None if is_last else len(data)))
    link = long_log(data)
    link.history = tuple(reversed(runs))
    return link


def top_of(app: ControlCenter) -> str:
    view = app.board.query_one(LogView)
    return view.lines_shown[0].raw if view.lines_shown else ""


async def test_brackets_go_from_run_to_run() -> None:
    app = center(with_runs())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        await press(pilot, *["ctrl+u"] * 3, "left_square_bracket")
        for number in (19, 18, 17):
            await until(pilot, lambda number=number: f"line {number * EVERY:07}" in top_of(app))
            await press(pilot, "left_square_bracket")
        await until(pilot, lambda: f"line {16 * EVERY:07}" in top_of(app))
        await press(pilot, "right_square_bracket")
        await until(pilot, lambda: f"line {17 * EVERY:07}" in top_of(app))
        await press(pilot, "g")
        await until(pilot, sees(app, "line 0000000"))
        await press(pilot, "left_square_bracket")
        await until(pilot, sees(app, "no earlier run"))


async def test_a_run_that_failed_is_opened_at_its_last_error_line() -> None:
    link = with_runs()
    app = center(link)
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0009999"))
        await press(pilot, "H")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.run)
        await press(pilot, *"j" * 16, "enter")
        await until(pilot, sees(app, "✗ ValueError: boom", "run 03030303", "exit 1"))
        assert isinstance(app.screen, RunLogScreen)
        view = app.screen.query_one(LogView)
        assert view.is_here_visible
        assert "boom" in view.buffer[view.buffer.index(view.here or 0)].raw
        await press(pilot, "j", "k", "escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))


async def test_a_run_that_went_well_is_opened_at_its_first_line() -> None:
    app = center(with_runs())
    async with running(app) as pilot:
        await until(pilot, sees(app, "line 0009999"))
        await press(pilot, "H")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen) and app.screen.run)
        await press(pilot, *"jj", "enter")
        await until(pilot, lambda: f"line {17 * EVERY:07}" in top_of(app))


@pytest.mark.parametrize(("wanted", "words"), [("0303", "ValueError: boom"), ("failed", "boom"), ("last", "0009999")])
async def test_the_program_opens_at_a_run(wanted: str, words: str) -> None:
    app = center(with_runs(), task="a", run=wanted)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.lines_shown)
        await until(pilot, sees(app, words))


def test_a_run_is_asked_for_together_with_its_task(capsys: pytest.CaptureFixture[str]) -> None:
    options = read(["--task", "a", "--run", "failed"])
    assert (options.task, options.run) == ("a", "failed")
    with pytest.raises(SystemExit) as ended:
        read(["--run", "failed"])
    assert ended.value.code == 2
    assert "--run needs --task" in capsys.readouterr().err


async def test_a_run_that_there_is_not_is_said_to_be_none() -> None:
    app = center(with_runs(), task="a", run="ffff")
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, sees(app, "a has no run ffff"))


async def test_a_log_at_a_run_goes_on_when_the_engine_is_back() -> None:
    link = with_runs()
    app = center(link, task="a", run="failed")
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, RunLogScreen) and app.screen.log_pane.view.is_here_visible)
        link.die()
        await until(pilot, sees(app, "engine offline", "boom"))
        asked_before = len(link.followed)
        link.come_back(snapshot([task("a")], boot="boot-2"))
        await until(pilot, lambda: len(link.followed) > asked_before)
        await until(pilot, sees(app, "boom"))
        await press(pilot, "G")
        await until(pilot, sees(app, "line 0009999", "following"))


async def test_the_line_that_was_found_is_copied_or_else_what_is_visible() -> None:
    app = center(with_runs())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        await until(pilot, lambda: log(app).size.height > 20 and "SCHEDULE" not in text_of(app))
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard)
        assert app.clipboard.splitlines()[-1] == "line 0009999"
        assert len(app.clipboard.splitlines()) == log(app).size.height
        await asked(pilot, app, "slash", "0001234")
        await until(pilot, lambda: log(app).is_here_visible)
        await press(pilot, "y")
        await until(pilot, sees(app, "copied 1 line"))
        assert app.clipboard == "line 0001234"


async def test_what_is_selected_with_the_mouse_is_copied() -> None:
    app = center(with_runs())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        await until(pilot, lambda: log(app).size.height > 20 and "SCHEDULE" not in text_of(app))
        x = text_of(app).splitlines()[10].index("line")
        await pilot.mouse_down(offset=(x, 10))
        await pilot.hover(offset=(x + 12, 12))
        await pilot.mouse_up(offset=(x + 12, 12))
        await press(pilot, "y")
        await until(pilot, sees(app, "copied 3 lines"))
        first = app.clipboard.splitlines()[0]
        assert first.startswith("line 0")
        assert first in text_of(app).splitlines()[10]


async def test_what_is_copied_reaches_the_terminal_as_plain_text() -> None:
    moment = before(seconds=1).isoformat()
    link = long_log(LINE.format(moment, "INFO", "r", r"\x1b]52;c;ZXZpbA==\x07\x1b[31mred\x1b[0m \x1b[2Jtext").encode())
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "red text")
        await press(pilot, "y")
        await until(pilot, lambda: app.clipboard)
        assert app.clipboard == "red text"
        assert base64.b64encode(app.clipboard.encode()) != b"ZXZpbA=="


async def test_the_run_on_the_screen_is_saved(tmp_path: Path) -> None:
    app = center(with_runs())
    path = tmp_path / "run.txt"
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        await asked(pilot, app, "slash", "0001234")
        await until(pilot, lambda: log(app).is_here_visible)
        await asked(pilot, app, "ctrl+s", str(path))
        await until(pilot, sees(app, "saved run 02020202, 500 lines"))
    saved = path.read_text().splitlines()
    assert saved[0].endswith("INFO  line 0001000")
    assert saved[-1].endswith("line 0001499")
    assert len(saved) == EVERY


async def test_what_a_filter_shows_is_saved_and_a_file_is_not_overwritten_at_once(tmp_path: Path) -> None:
    app = center(with_runs())
    path = tmp_path / "found.txt"
    path.write_text("precious")
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        await asked(pilot, app, "ampersand", "line 00.*99$")
        await until(pilot, lambda: "only “line" in text_of(app) and len(log(app).buffer) == 100)
        await asked(pilot, app, "ctrl+s", str(path))
        await until(pilot, sees(app, "it exists"))
        assert path.read_text() == "precious"
        await press(pilot, "enter")
        await until(pilot, sees(app, "saved 100 lines"))
    assert len(path.read_text().splitlines()) == 100


async def test_a_file_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    app = center(with_runs())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        await asked(pilot, app, "ctrl+s", str(tmp_path / "nowhere" / "file"))
        await until(pilot, sees(app, "✗ No such file or directory"))
        assert app.screen.query_one(LogPrompt).query_one(Input).has_focus


async def test_the_pager_is_said_to_be_impossible_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = with_runs()
    app = center(link)
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        monkeypatch.setenv("PAGER", "true")
        await press(pilot, "o")
        await until(pilot, sees(app, "there is no file of it here"))
        link.log_folder = tmp_path
        (tmp_path / "a.log").write_text("x\n")
        await press(pilot, "o")
        await until(pilot, sees(app, "cannot be handed to another program"))
        for pager, reason in (("/no/such", "there is no such program"), ("less 'x", "No closing quotation")):
            monkeypatch.setenv("PAGER", pager)
            await press(pilot, "o")
            await until(pilot, sees(app, reason))


async def test_long_lines_are_wrapped_and_times_go_through_their_forms() -> None:
    moment = before(days=3, seconds=1).isoformat(timespec="milliseconds")
    link = long_log(LINE.format(moment, "INFO", "r", "word " * 60 + "END").encode() + lines(0, 5))
    app = center(link)
    async with running(app, (80, 24)) as pilot:
        await opened(pilot, app, "line 0000004")
        assert "END" not in text_of(app)
        await press(pilot, "w")
        await until(pilot, sees(app, "END", "line 0000004"))
        await press(pilot, "t")
        day = (NOW - timedelta(days=3)).astimezone(app.store.zone)
        await until(pilot, sees(app, f"{day:%Y-%m-%d} {day:%H:%M}"))
        await press(pilot, "t")
        await until(pilot, lambda: f"{day:%H:%M:}" not in text_of(app).split("log a")[1])
        await press(pilot, "w", "t")
        await until(pilot, lambda: "END" not in text_of(app))


async def test_the_scroll_bar_goes_to_a_place_in_the_file() -> None:
    app = center(with_runs())
    async with running(app) as pilot:
        await opened(pilot, app, "line 0009999")
        view = log(app)
        await until(pilot, lambda: view.size.height > 20 and "SCHEDULE" not in text_of(app))
        right, height = view.region.right - 1, view.size.height
        for share, number in ((0.5, 5_000), (0.25, 2_500)):
            await pilot.mouse_down(offset=(right, view.region.y + int((height - 1) * share)))
            await pilot.mouse_up(offset=(right, view.region.y + int((height - 1) * share)))
            await until(pilot, lambda number=number: abs(int(top_of(app).rpartition("line ")[2][:7]) - number) < 600)
        await pilot.mouse_down(offset=(right, view.region.bottom - 1))
        await pilot.mouse_up(offset=(right, view.region.bottom - 1))
        await until(pilot, sees(app, "following"))


WILD = [
    r"\x1b[2J\x1b[Hcleared \x1b]52;c;ZXZpbA==\x07 \x1b]0;title\x1b\\ \x1b[31mred\x1b[0m",
    "zero\u200dwidth\u200b \u202eright-to-left\u202c שלום עולם مرحبا",
    "報告 한국어 ไทย ก็ e\u0301\u0301\u0301",
    "😀👨\u200d👩\u200d👧\u200d👦🏳️\u200d🌈 ❤️",
    "x" * 10_000,
    "報" * 10_000,
    "\\t".join("tabs"),
    "[/b] [prod] [@click=app.quit]click[/]",
]


@pytest.mark.parametrize("size", [(120, 30), (40, 10)])
async def test_whatever_a_task_prints_the_screen_stays_whole(size: tuple[int, int]) -> None:
    moment = before(seconds=1).isoformat(timespec="milliseconds")
    link = long_log("".join(LINE.format(moment, "INFO", "r", words) for words in WILD).encode())
    app = center(link)
    async with running(app, size) as pilot:
        await until(pilot, lambda: len(log(app).buffer) == len(WILD))
        await press(pilot, "l")
        for key in ("w", "g", "t", "j", "j", "t", "right", "w", "right", "right", "t", "G", "left"):
            await press(pilot, key)
            assert "\x1b" not in text_of(app)  # which asserts that each line is as wide as the screen
        await asked(pilot, app, "slash", "報|x+|[אבגדהוזחטיכלמנסעפצקרשת]|😀")
        await until(pilot, lambda: log(app).is_here_visible)
        for key in ("N", "N", "w", "n", "y"):
            await press(pilot, key)
            assert "\x1b" not in text_of(app)
        await until(pilot, lambda: app.clipboard)
        assert all(line.isprintable() for line in app.clipboard.splitlines())
