"""Logs of any length, as a link would read them, and what users do with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from fake_link import FakeLink
from piloting import log, press, sees, text_of
from scenes import FAILED, OK, before, snapshot, task
from textual.pilot import Pilot
from textual.widgets import Input
from waiting import until

from keiji.records import Run
from keiji.states import RunState, Trigger
from keiji_engine.bus.protocol import LogChunk, LogSlice
from keiji_engine.bus.views import LinkChanged, LinkState
from keiji_tui.app import ControlCenter
from keiji_tui.logs.prompt import LogPrompt

LINE = 'time={} level={} run={} msg="{}"\n'
MERGED_TASKS = ("backup", "計時 [x]", "mail")
MERGED_LINES = 60  # of each task
RUN_LINES = 500
_TAIL_LINES = 200


class LogLink(FakeLink):
    """A link to the log of the task "a", of which `follow` yields the last lines first, as the engine does.

    Attributes:
        free_reads: number of reads after which reading blocks; None for no limit.
    """

    def __init__(self, data: bytes) -> None:
        begin = len(data)
        for _ in range(_TAIL_LINES + 1):
            begin = data.rfind(b"\n", 0, begin)
            if begin < 0:
                break
        begin += 1
        text = data[begin:].decode()
        tail = LogSlice(id="l", task="a", position=begin, end=len(data), size=len(data), text=text)
        super().__init__(snapshot([task("a")]), LinkChanged(LinkState.LIVE), logs={"a": [tail]})
        self.files["a"] = data
        self.free_reads: int | None = None
        self._unblocked = asyncio.Event()

    async def read(self, task: str, position: int | None, limit: int) -> LogSlice:
        if self.free_reads is not None:
            self.free_reads -= 1
            if self.free_reads < 0:
                self.reads.append(position)
                await self._unblocked.wait()
        return await super().read(task, position, limit)

    def block_reads(self, free_reads: int) -> None:
        self.free_reads = free_reads
        self._unblocked.clear()

    def unblock_reads(self) -> None:
        self.free_reads = None
        self._unblocked.set()

    def append(self, data: bytes, *, is_pushed: bool = True) -> None:
        """Append to the log, and push what was appended to its followers."""
        begin = len(self.files["a"])
        self.files["a"] += data
        if is_pushed:
            self.print(LogChunk(task="a", position=begin, end=begin + len(data), text=data.decode()))

    def delete_log(self) -> None:
        self.files["a"] = b""
        self.print(LogChunk(task="a", position=0, end=0, text="", restarted=True))


def log_lines(first: int, last: int, *, level: str = "INFO", run: str = "r1", words: str = "line") -> bytes:
    """Return lines of the same length whose messages are numbered."""
    moment = before(seconds=60).isoformat(timespec="milliseconds")
    return "".join(LINE.format(moment, level, run, f"{words} {number:07}") for number in range(first, last)).encode()


def line_with(message: str, *, level: str = "INFO", run: str = "r1") -> bytes:
    """Return a line with a message, which is not escaped."""
    return LINE.format(before(seconds=9).isoformat(timespec="milliseconds"), level, run, message).encode()


def make_run(number: int, state: RunState, begin: int | None, end: int | None) -> Run:
    started_at = before(minutes=100 - number)
    return Run(
        run_id=f"{number:02x}" * 16, task="a", trigger=Trigger.SCHEDULE, state=state, created_at=started_at,
        scheduled_for=started_at, started_at=started_at, finished_at=None if state is RunState.RUNNING else started_at,
        exit_code=1 if state is FAILED else 0, log_start=begin, log_end=end,
    )  # fmt: skip


def link_with_runs(count: int = 20) -> LogLink:
    """Return a link to the log of ``count`` runs, of which the fourth failed and the last one is live."""
    data, runs = b"", []
    for number in range(count):
        run_id = f"{number:02x}" * 16
        begin = len(data)
        data += log_lines(number * RUN_LINES, (number + 1) * RUN_LINES, run=run_id)
        if number == 3:
            for level, message in (("ERROR", "ValueError: boom"), ("INFO", "cleaning up"), ("INFO", "bye")):
                data += line_with(message, level=level, run=run_id)
            data += line_with("run failed after 3.4 s: exit code 1", level="ERROR", run=run_id)
        if number == count - 1:
            runs.append(make_run(number, RunState.RUNNING, None, None))
        else:
            runs.append(make_run(number, FAILED if number == 3 else OK, begin, len(data)))
    link = LogLink(data)
    link.history = tuple(reversed(runs))
    return link


def merged_line(slug: str, number: int, message: str) -> str:
    moment = before(seconds=600) + timedelta(seconds=3 * number + MERGED_TASKS.index(slug))
    return f'time={moment.isoformat(timespec="milliseconds")} level=INFO run={slug[:2]} msg="{message}"\n'


def link_with_merged_tasks() -> FakeLink:
    """Return a link to three tasks that print in turn."""
    link = FakeLink(snapshot([task(name, slug=name) for name in MERGED_TASKS]), LinkChanged(LinkState.LIVE))
    for name in MERGED_TASKS:
        far = "x" * 90 if name == "mail" else ""
        text = "".join(merged_line(name, number, f"{far}line {number} of {name}") for number in range(MERGED_LINES))
        size = len(text.encode())
        link.files[name] = text.encode()
        link._logs[name] = [LogSlice(id="l", task=name, position=0, end=size, size=size, text=text)]
    return link


async def open_log(pilot: Pilot[None], app: ControlCenter, text: str) -> None:
    """Show the log full-screen as soon as ``text`` is in it."""
    await until(pilot, sees(app, text))
    await press(pilot, "l")
    await until(pilot, lambda: log(app).region.y == 3, "the log has the whole screen")


async def enter(pilot: Pilot[None], app: ControlCenter, key: str, text: str) -> None:
    """Open a prompt with a key, and submit ``text``."""
    await press(pilot, key)
    await until(pilot, lambda: app.screen.query_one(LogPrompt).is_open)
    app.screen.query_one(LogPrompt).query_one(Input).value = text
    await press(pilot, "enter")


def visible_numbers(app: ControlCenter) -> list[int]:
    """Return the numbers of the lines on the screen."""
    found = [row.rpartition("line ")[2][:7] for row in text_of(app).splitlines() if "line 0" in row]
    return [int(number) for number in found]


def is_without_gap(numbers: list[int]) -> bool:
    return bool(numbers) and numbers == list(range(numbers[0], numbers[-1] + 1))
